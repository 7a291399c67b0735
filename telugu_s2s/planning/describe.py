"""What a size of stage 2 is, takes and costs: parts, shardings, compiled programs, hours, money. Nothing is allocated."""
import dataclasses
import json
import math
from pathlib import Path
import runpy
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from telugu_s2s import axes
from telugu_s2s.audio import files
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.lm import conditions
from telugu_s2s.lm.model import Config
from telugu_s2s.planning import compute, memory, program
from telugu_s2s.training import lm_step, loop, stage2

DEVICES = 8
# Compiled for its arithmetic and its messages alone; quick code would take ten times as long to make.
OPTIONS = {'xla_backend_optimization_level': 0, 'xla_llvm_disable_expensive_passes': True}


def run(config, workdir):
  """The job: prints all of it and writes it to describe.json."""
  devices = simulated()
  trained = weights.load(config.codec)
  model, how = stage2.sizes(config, trained), stage2.update_of(config)
  rate = trained.config.frame_rate
  found = {'sizes': sizes(trained), 'parameters': parts(model, how), 'shardings': {}, 'programs': []}
  for number, mesh in enumerate(meshes(config, devices)):
    lm_step.check(model, how, config.batch, mesh)
    stage = stage_of(config, dataclasses.replace(model, attention='xla'), how)
    if number == 0:
      found['shardings'] = shardings(stage, mesh, config.seed)
    found['programs'].append(compiled(stage, config, model, how, mesh, rate))
  found |= {'plans': plans(trained, rate), 'epochs': epochs(trained)}
  count = sum(compute.parameters(model).values())
  found['storage'] = {hours: memory.storage(model, count, hours, rate, how.ema > 0) for hours in (150, 1000, 5000)}
  print('\non a disk: ' + '; '.join(f'{hours} hours of tokens {size["tokens"] / 1e9:.2f} GB a view'
                                    for hours, size in found['storage'].items()) +
        f'; a checkpoint {found["storage"][150]["checkpoint"] / 1e9:.2f} GB')
  path = Path(workdir) / 'describe.json'
  files.write(path, (json.dumps(found, indent=1) + '\n').encode())
  print(f'all of it: {path}')


def simulated():
  """Eight CPU devices of this process.

  Raises:
    InputError: JAX was used before with fewer.
  """
  try:
    jax.config.update('jax_num_cpu_devices', DEVICES)
  except RuntimeError:
    pass                           # it runs already
  devices = jax.devices('cpu')
  if len(devices) < DEVICES:
    raise InputError(f'{len(devices)} CPU devices, where {DEVICES} are simulated: run config.job=describe as a command of '
                     'its own')
  return devices[:DEVICES]


def meshes(config, devices):
  """The config's own mesh over the devices, fsdp 4 x tensor 2, and data 2 x fsdp 4."""
  return [axes.mesh(**config.mesh, devices=devices), axes.mesh(1, 4, 2, devices), axes.mesh(2, 4, 1, devices)]


def named(mesh) -> str:
  """'fsdp 4 x tensor 2'."""
  return ' x '.join(f'{name} {size}' for name, size in mesh.shape.items() if size > 1) or 'one device'


def table(head, rows) -> None:
  """Prints rows of words below their heads, numbers to the right."""
  rows = [head, *([str(cell) for cell in row] for row in rows)]
  widths = [max(map(len, column)) for column in zip(*rows)]
  for row in rows:
    print('  ' + row[0].ljust(widths[0]) + ''.join('  ' + cell.rjust(width) for cell, width in zip(row[1:], widths[1:])))


def every_size(trained):
  """{size: (config, model)} of configs/stage2.py as it stands in the repository."""
  module = runpy.run_path(str(Path(__file__).parents[2] / 'configs' / 'stage2.py'))
  configs = {size: module['get_config'](size) for size in module['SIZES']}
  return {size: (config, stage2.sizes(config, trained)) for size, config in configs.items()}


def sizes(trained):
  """Prints and returns the table of sizes."""
  rows = []
  for size, (config, c) in every_size(trained).items():
    count = sum(compute.parameters(c).values())
    rows.append([size, f'{c.width}/{c.layers}/{c.heads}/{c.kv_heads}/{c.head_width}/{c.ffn}',
                 f'{c.depth_width}/{c.depth_layers}/{c.depth_heads}/{c.depth_ffn}', c.text_codes, f'{count / 1e6:.1f}',
                 f'{sum(compute.flops(c, config.frames).values()) / 1e9:.2f}',
                 f'{2 * 2 * c.layers * c.kv_heads * c.head_width / 1024:.0f}', config.batch, config.frames])
  print('sizes (width/layers/heads/key-value heads/head width/ffn; GFLOP of training and bfloat16 memory of decoding):')
  head = ['size', 'temporal', 'depth d/l/h/f', 'text', 'M parameters', 'GFLOP a frame', 'KB a frame', 'rows', 'frames']
  table(head, rows)
  return [dict(zip(head, row)) for row in rows]


def parts(model: Config, how):
  """Prints and returns the parameters of each part, by formula, and their count in the model's own shapes."""
  found = compute.parameters(model)
  init = lambda: lm_step.init(model, optax.identity(), jax.random.key(0), how.ema)
  counted = sum(math.prod(x.shape) for x in jax.tree.leaves(jax.eval_shape(init)['params']))
  print('\nparameters: ' + ', '.join(f'{name} {count:,}' for name, count in found.items()))
  print(f'  together {sum(found.values()):,}; in the shapes of the model {counted:,}')
  return found | {'counted': counted}


def stage_of(config, model, how):
  """The init and the step of stage 2 without data."""
  tx = stage2.optimiser_of(config)
  return loop.Stage(lambda key: lm_step.init(model, tx, key, how.ema), ((0, lm_step.Step(model, how, stage2.optimiser_name(config))),), None, 0.0, {},
                    rates=stage2.rates_of(config))


def shardings(stage, mesh, seed):
  """Prints and returns how each parameter is cut on a mesh."""
  params = loop.abstract(stage.init, mesh, seed)['params']
  rows = []
  for path, x in jax.tree.leaves_with_path(params):
    rows.append([jax.tree_util.keystr(path, simple=True, separator='/'), 'x'.join(map(str, x.shape)),
                 ', '.join('-' if one is None else str(one) for one in x.sharding.spec),
                 f'{4 * math.prod(x.sharding.shard_shape(x.shape)) / 1e6:.3f}'])
  print(f'\nshardings on {named(mesh)}:')
  table(['parameter', 'shape', 'cut over', 'MB a device'], rows)
  return {row[0]: row[1:] for row in rows}


def abstract_batch(config, model, mesh, rate):
  """The shapes of a batch, its rows over the mesh. rate: frames a second."""
  rows, b, t = jax.NamedSharding(mesh, axes.BATCH), config.batch, config.frames
  shapes = {'codes': ((b, 2, t, model.codebooks), jnp.int32), 'prosody': ((b, t), jnp.int32), 'weight': ((b, t), jnp.float32)}
  if model.text_codes:
    shapes['text'] = ((b, t), jnp.int32)
  if config.packed > 1:
    shapes['segment'] = ((b, t), jnp.int32)
  of_clip = lambda *more: ((b, *((config.packed,) if config.packed > 1 else ()), *more), jnp.int32)
  several = {'knobs': (len(conditions.KNOBS),)}
  shapes |= {name: of_clip(*several.get(name, ())) for name in model.conditions.entries if name != 'guidance'}
  if model.reference:
    shapes['reference'] = of_clip(round(config.reference_s * rate), model.codebooks)
  return {name: jax.ShapeDtypeStruct(shape, kind, sharding=rows) for name, (shape, kind) in shapes.items()}


def compiled(stage, config, model, how, mesh, rate):
  """Compiles a step for a mesh; prints and returns its memory, arithmetic and messages beside what was predicted."""
  began = time.monotonic()
  print(f'\na step on {named(mesh)}: compiling ..', flush=True)
  with jax.set_mesh(mesh):
    _, phases, state = loop.compiled(stage, mesh, config.seed)
    made = phases[0].lower(state, abstract_batch(config, model, mesh, rate), np.float32(0)).compile(compiler_options=OPTIONS)
  seconds = time.monotonic() - began
  held, text = made.memory_analysis(), program.counted(made.as_text())
  rows = config.batch // how.accumulate // (mesh.shape['data'] * mesh.shape['fsdp'])
  of_state = memory.of_state(state)
  kept = {fused: memory.activations(model, rows, config.frames, how.loss_chunk, fused, mesh.shape['tensor'], how.depth_frame_fraction)
          for fused in (False, True)}
  frames = config.batch * config.frames
  predicted = sum(compute.flops(model, config.frames, how.depth_frame_fraction).values()) * frames
  again = compute.made_again(model, config.frames, how.loss_chunk, how.depth_frame_fraction) * frames
  counted = text['flops'] * mesh.size
  say = lambda sizes: ', '.join(f'{name} {size / 1e9:.3f}' for name, size in sizes.items())
  print(f'  compiled in {seconds:.0f} s')
  print(f'  GB a device, predicted: {say(of_state)} = {sum(of_state.values()) / 1e9:.3f}; kept for the backward pass of '
        f'{rows} rows: {say(kept[False])} = {sum(kept[False].values()) / 1e9:.3f}, with fused attention '
        f'{sum(kept[True].values()) / 1e9:.3f}')
  print(f'  GB a device, compiled for a CPU: state and batch {held.argument_size_in_bytes / 1e9:.3f}, temporary '
        f'{held.temp_size_in_bytes / 1e9:.3f}')
  print(f'  TFLOP a step: predicted {predicted / 1e12:.4f} and {again / 1e12:.4f} made again in the backward pass; in the '
        f'compiled program {counted / 1e12:.4f}, {counted / (predicted + again):.3f} times as much')
  print('  messages to a device a step: ' + ('; '.join(
      f'{name} {times}, {size / 1e9:.3f} GB' for name, (times, size) in text['collectives'].items()) or 'none'), flush=True)
  return {'mesh': dict(mesh.shape), 'seconds': seconds, 'state': of_state, 'activations': kept[False],
          'activations_fused': kept[True], 'arguments': held.argument_size_in_bytes, 'temporary': held.temp_size_in_bytes,
          'flops_predicted': predicted, 'flops_made_again': again, 'flops_counted': counted, 'collectives': text['collectives']}


def epochs(trained):
  """Prints and returns what 1000 hours once through cost on an A100, by size and frame rate."""
  rows = []
  for size, (config, c) in every_size(trained).items():
    if c.text_codes == 0:
      continue
    for rate in (12.5, 25, 50):
      frames = 1000 * 3600 * rate
      window = round(config.frames * rate / trained.config.frame_rate)
      flop = [compute.by_rule(c) * frames, sum(compute.flops(c, window).values()) * frames]
      rows.append([size, rate, *(f'{compute.hours(one, compute.DEVICES[0], mfu):.2f}' for one in flop for mfu in compute.MFU)])
  print('\nA100 hours for 1000 hours of speech, once (rule: the codes alone; all: attention, text, prosody, the user too):')
  head = ['size', 'frames a second', *(f'{name} at {mfu:.0%}' for name in ('rule', 'all') for mfu in compute.MFU)]
  table(head, rows)
  return [dict(zip(head, row)) for row in rows]


def plans(trained, rate):
  """Prints and returns what to train with 150, 1000 and 5000 hours of speech, with hours and dollars on each device."""
  known, rows = every_size(trained), []
  for hours, size, count in compute.PLANS:
    config, c = known[size]
    frames = hours * 3600 * rate * count
    flop = sum(compute.flops(c, config.frames).values()) * frames
    cells = [f'{compute.hours(flop, one, mfu):,.0f} h ${compute.dollars(flop, one, mfu):,.0f}'
             for one in compute.DEVICES for mfu in compute.MFU]
    rows.append([hours, size, count, f'{frames / (config.batch * config.frames):,.0f}', *cells])
  print('\nwhat to train, by hours of speech (device hours and rent at a share of the peak; planned, nothing of it was run):')
  head = ['hours', 'size', 'epochs', 'steps', *(f'{one.name} {mfu:.0%}' for one in compute.DEVICES for mfu in compute.MFU)]
  table(head, rows)
  print('  rent: ' + ', '.join(f'{one.name} ${one.dollars_an_hour:.2f} an hour' for one in compute.DEVICES))
  return [dict(zip(head, row)) for row in rows]
