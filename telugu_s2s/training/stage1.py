"""Stage 1, reconstruction: trains the codec on prepared segments and writes it as one file with its picture."""
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s import axes
from telugu_s2s.audio import files, pictures, quality
from telugu_s2s.codec import losses, quantizer, streaming, weights
from telugu_s2s.codec.model import Codec, Config
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import prepare, read
from telugu_s2s.training import crops, loop, optimiser

HELD_OUT = 12                    # clips that are decoded and measured at the end


def run(config, workdir):
  """The job: prepares what is missing, trains or resumes, and writes `codec.safetensors`, samples and a summary."""
  workdir = loop.begin(config, workdir)
  mesh = axes.mesh(**config.mesh)
  sizes = Config(**config.model)
  axes.check_batch(config.batch, mesh)
  samples = round(config.crop_s * sizes.rate / sizes.hop) * sizes.hop
  if samples < max(window for window, _ in losses.MEL_SCALES):
    raise InputError(f'config.crop_s: {config.crop_s} s is shorter than the longest window of the loss; take 0.2 or more')
  started = start(config.start, sizes)
  data = prepare.Data(**config.data)
  manifest = prepare.prepare(data, workdir / 'segments' / 'train')
  segments = read.Segments(workdir / 'segments' / 'train')
  stage = loop.Stage(
      init=lambda key: init(Codec(sizes), optimiser_of(config), key, started),
      step=lambda state, batch, key: step(Codec(sizes), optimiser_of(config), config, state, batch['audio'], key),
      batches=crops.batches(segments, batch=config.batch, samples=samples, seed=config.seed,
                            process=jax.process_index(), processes=jax.process_count()),
      audio_s=config.batch * samples / sizes.rate,
      facts={'stage': 1, 'data': manifest['content'], 'seed': config.seed, 'batch': config.batch},
      line=line)
  state, done = loop.fit(stage, loop.Schedule(config.steps, config.log_every, config.save_every), mesh, config.seed, workdir)
  if done:
    finish(state, sizes, config, data, manifest, workdir)


def optimiser_of(config):
  schedule = optimiser.warmup_stable_decay(config.lr, config.warmup, config.steps, config.decay)
  return optimiser.adamw(schedule, b1=0.8, b2=0.99, weight_decay=0.01)     # DAC's betas


def start(path, sizes):
  """The parameters of the codec file that a run begins with; None for a fresh one.

  Raises:
    InputError: the file's codec has other sizes than config.model.
  """
  if not path:
    return None
  trained = weights.load(path)
  if trained.config != sizes:
    raise InputError(f'config.start: {path} has sizes {trained.config}, config.model has {sizes}; make them alike')
  return trained.params


def init(codec, tx, key, params=None):
  """A new state: parameters (fresh if None), their running mean, optimiser, step and the running use of each code."""
  c = codec.config
  if params is None:
    params = codec.init(key, jnp.zeros((1, 2 * c.hop)))['params']
  return {'params': params, 'mean': params, 'opt': tx.init(params), 'step': jnp.zeros((), jnp.int32),
          'usage_qv': jnp.full((c.codebooks, c.codes), 1.0 / c.codes)}


def step(codec, tx, config, state, audio, key):
  """One update. audio: f32[b t]."""
  c, b = codec.config, audio.shape[0]
  gain, quiet, drop, level, exact, fresh = (jax.random.fold_in(key, number) for number in range(6))
  audio = audio * 10 ** (jax.random.uniform(gain, (b, 1), minval=-14.0, maxval=4.0) / 20)
  audio = jnp.clip(audio * jax.random.bernoulli(quiet, 1 - config.silence, (b, 1)), -1.0, 1.0)
  levels = jnp.where(jax.random.bernoulli(drop, config.level_dropout, (b,)),
                     jax.random.randint(level, (b,), 1, c.codebooks + 1), c.codebooks)
  skip = jax.random.bernoulli(exact, config.unquantised, (b,))

  def loss_of(params):
    decoded, info = codec.apply({'params': params}, audio, levels, skip)
    parts = losses.reconstruction(decoded, audio, c.rate)
    parts |= {'codebook': info['codebook'], 'commit': info['commit']}
    return sum(config.weights[name] * value for name, value in parts.items()), (parts, info)

  (loss, (parts, info)), grads = jax.value_and_grad(loss_of, has_aux=True)(state['params'])
  new, guard = optimiser.apply(tx, state, grads)
  counts = jnp.stack([jnp.bincount(info['codes'][..., q].ravel(), length=c.codes) for q in range(c.codebooks)])
  good = guard['skipped'] == 0                # frames that are not finite are neither counted nor taken as codes
  usage = jnp.where(good, 0.99 * state['usage_qv'] + 0.01 * counts / counts.sum(-1, keepdims=True), state['usage_qv'])
  due = good & (state['step'] % config.restart_every == config.restart_every - 1) & (state['step'] < 0.8 * config.steps)
  table, usage = _restarted(due, new['params']['quantizer']['table_qvz'], usage, info['latent'], fresh)
  new['params'] = {**new['params'], 'quantizer': {**new['params']['quantizer'], 'table_qvz': table}}
  mean = optimiser.average(state['mean'], new['params'], state['step'], config.mean_decay)
  mean = {**mean, 'quantizer': new['params']['quantizer']}          # a mean of restarted codes is no code
  metrics = {'loss': loss, **parts, **guard}
  metrics |= {f'usage{q}': jnp.mean(usage[q] > 0.1 / c.codes) for q in range(c.codebooks)}
  return {**new, 'mean': mean, 'step': state['step'] + 1, 'usage_qv': usage}, metrics


def _restarted(due, table, usage, latent, key):
  """Dead codes restart where it is due: every `restart_every` steps of the first four fifths of the run."""
  return jax.lax.cond(due, lambda: quantizer.restart(table, usage, latent, key, 0.1)[:2], lambda: (table, usage))


def line(values):
  """The stage's part of the screen's line."""
  used = ' '.join(f'{100 * values[name]:.0f}' for name in sorted(values) if name.startswith('usage'))
  return (f'loss {values["loss"]:.3f} | mel {values["mel"]:.4f} | stft {values["stft"]:.3f} | '
          f'commit {values["commit"]:.4f} | codes in use {used} %')


def finish(state, sizes, config, data, manifest, workdir):
  """Writes the codec's file, and what it makes of held-out clips: wavs, pictures and a summary."""
  facts = {'steps': str(config.steps), 'seed': str(config.seed), 'hours': f'{manifest["seconds"] / 3600:.2f}',
           'data': manifest['content'], 'revision': loop.revision()}
  files.write(workdir / 'codec.safetensors', weights.to_bytes(state['mean'], sizes, facts))
  trained = weights.load(workdir / 'codec.safetensors')
  clips = held_out(data, workdir)
  rows = []
  for number, clip in enumerate(clips):
    decoded = streaming.roundtrip(trained, clip.audio)
    rows.append(quality.measures(clip.audio, decoded))
    if number < 3:
      files.write_wav(workdir / 'samples' / f'{number}-original.wav', clip.audio)
      files.write_wav(workdir / 'samples' / f'{number}-decoded.wav', decoded)
      pictures.spectrogram(workdir / 'samples' / f'{number}.png', {'original': clip.audio, 'decoded': decoded})
  table = {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}
  summary = {'codec': trained.name, 'parameters': sum(x.size for x in jax.tree.leaves(trained.params)),
             'clips': len(rows), 'held_out': table, 'hours': manifest['seconds'] / 3600}
  files.write(workdir / 'summary.json', (json.dumps(summary, indent=1) + '\n').encode())
  measured = ', '.join(f'{name} {value:.3f}' for name, value in table.items())
  print(f'{workdir / "codec.safetensors"}: {trained.name}; {len(rows)} held-out clips: {measured}')
  print(f'samples and pictures: {workdir / "samples"}')


def held_out(data, workdir):
  """Clips of the folder's split 'eval', spread over it; of the training split, and saying so, where there is none."""
  try:
    prepare.prepare(dataclasses.replace(data, split='eval', exclude=''), workdir / 'segments' / 'eval')
    segments = read.Segments(workdir / 'segments' / 'eval')
  except InputError as problem:
    print(f'no held-out clips ({problem}): measured on training clips')
    segments = read.Segments(workdir / 'segments' / 'train')
  return [segments[int(index)] for index in np.unique(np.linspace(0, len(segments) - 1, HELD_OUT).astype(int))]
