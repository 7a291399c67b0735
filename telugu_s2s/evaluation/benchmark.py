"""The benchmarks: each measures one thing on this machine and says on which."""
import json
import os
import platform
import sys
import time
from pathlib import Path

import jax

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import ablations, codec_precision, codec_quality, codec_speed, codec_streams, codec_training, content_probe
from telugu_s2s.evaluation import lm_feeding, lm_speed, peers, playback, preparation_speed
from telugu_s2s.training import loop


def run(config, workdir):
  """The job: the benchmark `config.name`, its table on the screen and in workdir/NAME.json."""
  workdir = loop.begin(config, workdir)
  if config.name == 'codec':
    result = codec(config, workdir)
  elif config.name == 'streaming':
    result = codec_streams.measure(config)
  elif config.name == 'training':
    result = codec_training.measure(config)
  elif config.name == 'content':
    result = content_probe.measure(config, workdir)
  elif config.name == 'precision':
    result = codec_precision.measure(config, workdir)
  elif config.name == 'playback':
    result = playback.measure(config, workdir)
  elif config.name == 'lm':
    result = lm_speed.measure(config)
  elif config.name == 'ablations':
    result = ablations.measure(config, workdir)
  elif config.name == 'feeding':
    result = lm_feeding.measure(config, workdir)
  elif config.name == 'preparation':
    result = preparation_speed.measure(config, workdir)
  else:
    raise InputError(f'config.name: {config.name!r} is no benchmark; take one of configs/benchmark.py')
  save(result, workdir, config.name)


def save(result, workdir, name) -> None:
  """Writes what was measured to workdir/NAME.json, with the command, the revision and the machine."""
  result |= {'command': 'python -m telugu_s2s.main ' + ' '.join(sys.argv[1:]), 'revision': loop.revision(),
             'machine': machine(), 'date': time.strftime('%Y-%m-%d')}
  files.write(workdir / f'{name}.json', (json.dumps(result, indent=1) + '\n').encode())
  print(f'on {result["machine"]}; written to {workdir / f"{name}.json"}')


def codec(config, workdir) -> dict:
  """Quality, then speed beside other codecs; of a size with random weights the speed alone."""
  result = {}
  if codec_speed.untrained(config.codec):
    print(f'config.codec {config.codec}: random weights, so there is only speed to measure')
  else:
    result['quality'] = codec_quality.measure(config, workdir)
  print('measuring speed ...', flush=True)
  result['speed'] = codec_speed.one_thread('telugu_s2s.evaluation.codec_speed', config.codec)
  if config.peer_models and peers.installed():
    result['peers'] = codec_speed.one_thread('telugu_s2s.evaluation.peers')
  elif config.peer_models:
    print(f'other codecs are not measured beside it: torch and transformers are not installed; {peers.REMEDY}')
  show_speed(result['speed'], result.get('peers', {}))
  return result


def show_speed(speed, others):
  """Prints how many seconds of audio a CPU second encodes and decodes; of others also how many times faster ours is."""
  print(f'\none CPU thread, seconds of audio a second of CPU; {codec_speed.SECONDS:g} s at once, and frame by frame')
  width = max(map(len, [speed['name'], *others]))
  for name, one in {speed['name']: speed, **others}.items():
    line = f'{name:>{width}} {one["parameters"] / 1e6:6.1f} M: encode {one["encode"]:6.1f}, decode {one["decode"]:6.1f}'
    if one is not speed:
      line += f' (ours {speed["encode"] / one["encode"]:.1f} and {speed["decode"] / one["decode"]:.1f} times)'
    if 'encode_ms' in one:
      line += f'; {one["encode_ms"]:.2f} + {one["decode_ms"]:.2f} ms of a frame\'s {one["frame_ms"]:.0f}'
    print(line)


def machine() -> str:
  """The hardware and versions that a number belongs to."""
  name = platform.processor() or platform.machine()
  try:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    name = next(line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
  except (OSError, StopIteration):
    pass
  device = jax.devices()[0]
  accelerator = '' if device.platform == 'cpu' else f', {jax.device_count()} x {device.device_kind}'
  return f'{name}, {os.cpu_count()} cores{accelerator}, Python {platform.python_version()}, jax {jax.__version__}'
