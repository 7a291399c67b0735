"""How fast the language model trains and speaks, beside one of the same size in PyTorch.

Each measurement runs in a process of its own, `python -m telugu_s2s.evaluation.lm_speed SPEC`, which prints JSON.
"""
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s import axes
from telugu_s2s.codec import precision
from telugu_s2s.evaluation import codec_speed, lm_peer, peers, recipes
from telugu_s2s.lm import drawing, sampling
from telugu_s2s.lm.model import Config
from telugu_s2s.planning import compute
from telugu_s2s.preparation import pool
from telugu_s2s.tokens import batches
from telugu_s2s.training import lm_step, optimiser, runs, stage2

ROOT = Path(__file__).parents[2]
BURST = 10                       # frames a call
# FLOP/s of dense bfloat16 from the makers' data sheets, by the kind that JAX tells: one name's boards differ, and a part of one (MIG) is none.
PEAKS = {'NVIDIA A100-SXM4-40GB': 312e12, 'NVIDIA A100-SXM4-80GB': 312e12, 'NVIDIA A100-PCIE-40GB': 312e12, 'NVIDIA A100 80GB PCIe': 312e12,
         'NVIDIA H100 80GB HBM3': 989e12, 'NVIDIA H100 PCIe': 756e12, 'NVIDIA H100 NVL': 835e12, 'NVIDIA H200': 989e12, 'NVIDIA H200 NVL': 836e12,
         'NVIDIA GH200 480GB': 990e12, 'NVIDIA L40': 181e12, 'NVIDIA L40S': 362e12}


def measure(config) -> dict:
  """Prints and returns {size: {threads: {ours, peer}}}; the peer is left out, and said to be, where it is not installed."""
  python = config.peer_python or sys.executable
  beside = bool(config.peer_python) or peers.installed()
  if not beside:
    print(f'no peer beside it: torch and transformers are not installed; {peers.REMEDY}, or give config.peer_python')
  gpu = jax.default_backend() != 'cpu'
  result = {}
  for size in config.sizes:
    for threads in (0,) if gpu else config.threads:
      spec = spec_of(config, size, threads)
      found = {'ours': measure_ours(spec) if gpu else fresh(sys.executable, __name__, spec)}
      if beside and not gpu:
        found['peer'] = fresh(python, lm_peer.__name__, spec)
      result.setdefault(size, {})[str(threads)] = found
      show(size, spec, **found)
  return {'sizes': result, 'context': config.context, 'burst': BURST,
          **({'held_out_nats': narrow(config.run)} if config.run else {})}


def narrow(folder) -> dict:
  """Held-out nats a code, weighted over codebooks, of a stage 2 run with its weights in each precision; prints them."""
  model, params, trained = runs.loaded(folder)
  config = runs.config_of(folder)
  clips = batches.Clips(stage2.folders(config, Path(folder))[1], trained.name)
  tests = batches.evaluation(clips, batches.Window(config.frames, config.user_share), config.batch)
  score = jax.jit(lambda params, batch: lm_step.parts_of(model, precision.dense(params), batch))
  result = {}
  for name in precision.PRECISIONS:
    result[name] = stage2.evaluated(score, precision.converted(params, name), tests, axes.mesh())['codes']
    print(f'held-out loss with {name} weights: {result[name]:.4f} nats a code, {result[name] - result["float32"]:+.4f}')
  return result


def spec_of(config, size: str, threads: int) -> dict:
  """What is measured, as JSON carries it. The text slot, which the peer has not, is left out."""
  names = ('width', 'layers', 'heads', 'kv_heads', 'head_width', 'ffn', 'depth_width', 'depth_layers', 'depth_heads',
           'depth_ffn', 'prosody_codes', 'delay', 'user_every', 'sinks')
  fields = recipes.of('stage2', size).model
  c = Config(**{name: fields[name] for name in names})
  rows = config.batch if size == 'toy' else max(1, config.batch // 8)
  return {'size': size, 'model': {name: fields[name] for name in names} | {'codebooks': c.codebooks, 'codes': c.codes},
          'threads': threads, 'batch': rows, 'frames': config.frames, 'context': config.context, 'streams': list(config.streams),
          'seconds': config.seconds, 'dtype': config.dtype, 'temperature': 0.8, 'top_k': 200}


def fresh(python: str, module: str, spec: dict) -> dict:
  """What a module prints as JSON in a new process that has `spec['threads']` cores and threads."""
  variables = {**codec_speed.ONE_THREAD, 'PYTHONPATH': str(ROOT)}
  if spec['threads'] > 1:
    variables |= {'XLA_FLAGS': '', **dict.fromkeys(pool.SINGLE_THREAD, str(spec['threads']))}
  return codec_speed.printed(python, module, json.dumps(spec), variables=variables)


def measure_ours(spec) -> dict:
  """{parameters, train_frames_per_s, copy_gb_per_s, decode: {streams: {frame_ms, burst_ms, limit_ms, ...}}, int8: {...}}."""
  c = Config(window=spec['context'], dtype=spec['dtype'], **spec['model'])
  tx = optimiser.adamw(optimiser.warmup_stable_decay(1e-3, 10, 100))
  box = [jax.jit(lambda: lm_step.init(c, tx, jax.random.key(0)))()]
  rng = np.random.default_rng(0)
  rows, frames = spec['batch'], spec['frames']
  batch = {'codes': rng.integers(0, c.codes, (rows, 2, frames, c.codebooks), np.int32),
           'prosody': rng.integers(0, c.prosody_codes, (rows, frames), np.int32),
           'weight': np.ones((rows, frames), np.float32)}
  update = jax.jit(lambda state: lm_step.step(c, tx, state, batch), donate_argnums=0)

  def train():
    box[0], parts = update(box[0])
    jax.block_until_ready(parts)

  train_s = lm_peer.seconds(train, spec)
  params = box.pop()['params']
  result = {'parameters': sum(x.size for x in jax.tree.leaves(params)), 'train_frames_per_s': rows * frames / train_s,
            'train_tokens_per_s': rows * frames / train_s * (c.slots + c.codebooks * c.predicted_share), **used(c, frames, rows * frames / train_s),
            'copy_gb_per_s': copied(spec) / 1e9, 'decode': {}}
  for streams in spec['streams']:
    one = spoken(c, params, spec, streams)
    limit = touched(params, c, streams) / copied(spec)
    result['decode'][str(streams)] = {**one, 'limit_ms': 1000 * limit, 'share_of_limit': 1000 * limit / one['burst_ms']}
  for name in ('bfloat16', 'int8'):
    narrow = precision.converted(params, name)
    result[name] = {'megabytes': precision.megabytes(narrow), **spoken(c, narrow, spec, 1)}
  return result


def spoken(c, params, spec, streams) -> dict:
  """ms a frame of so many streams whose memory is full, by single frames and in bursts."""
  how = drawing.settings(c, [drawing.Sampling(spec['temperature'], spec['top_k'])] * streams)
  keys, box = jax.random.split(jax.random.key(0), streams), [full(c, streams)]
  user = jnp.zeros((streams, BURST, c.codebooks), jnp.int32)

  def single():
    box[0], said = sampling.frame(c, params, box[0], user[:, 0], keys, how)
    said.block_until_ready()

  def burst():
    box[0], said = sampling.burst(c, params, box[0], user, keys, how)
    said.block_until_ready()
  return {'frame_ms': 1000 * lm_peer.seconds(single, spec), 'burst_ms': 1000 * lm_peer.seconds(burst, spec) / BURST}


def full(c, streams):
  """The state of streams that have said a whole window of zeros; the time does not depend on the numbers."""
  state = sampling.empty_state(c, streams)
  heard = jnp.broadcast_to(jnp.arange(c.sinks + c.window), (streams, c.sinks + c.window))
  return {**state, 'cache': {**state['cache'], 'position': heard}, 'position': state['position'] + c.sinks + c.window}


def touched(params, c, streams) -> int:
  """Bytes that a frame has to read: every matrix once, tables but for their rows not, and the streams' memory."""
  size = lambda path, x: 0 if str(path[-1].key).endswith('vd') else x.size * x.dtype.itemsize
  weights = sum(jax.tree.leaves(jax.tree_util.tree_map_with_path(size, params)))
  memory = jax.eval_shape(lambda: sampling.empty_state(c, streams))['cache']
  return weights + sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(memory))


def copied(spec, megabytes=256) -> float:
  """Bytes a second that go through memory when an array is added to: read and written."""
  box, add = [jnp.zeros(megabytes << 18)], jax.jit(lambda x: x + 1, donate_argnums=0)

  def call():
    box[0] = add(box[0]).block_until_ready()
  return 2 * (megabytes << 20) / lm_peer.seconds(call, spec)


def used(c, frames: int, frames_per_s: float) -> dict:
  """{mfu}: the share of the GPU's peak that training rows of so many frames uses, causal attention counted in half; or {}, see PEAKS."""
  peak = PEAKS.get(jax.devices()[0].device_kind)
  if not peak:
    return {}
  flops = compute.flops(c, frames)
  return {'mfu': (sum(flops.values()) - flops['attention'] / 2) * frames_per_s / peak}


def show(size, spec, ours, peer=None):
  """Prints a size: training, then decoding by number of streams, with how many times the peer's speed that is."""
  times = lambda mine, theirs: f' ({mine / theirs:.2f} x the peer)' if peer else ''
  where = f'{spec["threads"]} CPU thread(s), ' + ('CPU' if spec['threads'] == 1 else 'wall') + ' time' if spec['threads'] else 'GPU'
  print(f'\n{size}, {where}, {spec["dtype"]}: {ours["parameters"] / 1e6:.1f} M parameters'
        + (f'; peer {peer["name"]}, {peer["parameters"] / 1e6:.1f} M' if peer else '; no peer'))
  print(f'training, {spec["batch"]} rows of {spec["frames"]} frames: {ours["train_frames_per_s"]:.1f} frames/s'
        + times(ours['train_frames_per_s'], peer and peer['train_frames_per_s'])
        + f', {ours["train_tokens_per_s"]:.0f} tokens learnt/s' + times(ours['train_tokens_per_s'], peer and peer['train_tokens_per_s'])
        + (f', {ours["mfu"]:.0%} of the peak' if 'mfu' in ours else ''))
  for streams, one in ours['decode'].items():
    theirs = peer and peer['decode'][streams]['frame_ms']
    print(f'decoding {streams:>2} stream(s): {one["frame_ms"]:.2f} ms a frame{times(theirs, one["frame_ms"])}, '
          f'{one["burst_ms"]:.2f} in bursts; {one["share_of_limit"]:.0%} of what {ours["copy_gb_per_s"]:.1f} GB/s allow')
  for name in ('bfloat16', 'int8'):
    print(f'{name} weights, {ours[name]["megabytes"]:.1f} MB: {ours[name]["frame_ms"]:.2f} ms a frame of one stream')


if __name__ == '__main__':
  given = json.loads(sys.argv[1])
  lm_peer.keep_to_cores(given['threads'])
  print(json.dumps(measure_ours(given)))
