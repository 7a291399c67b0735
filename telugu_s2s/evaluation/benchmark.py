"""The benchmarks: each measures one thing on this machine and says on which."""
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import jax

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import codec_quality, lm_speed
from telugu_s2s.training import loop


def run(config, workdir):
  """The job: the benchmark `config.name`, its table on the screen and in workdir/NAME.json."""
  workdir = loop.begin(config, workdir)
  if config.name == 'codec':
    result = {'quality': codec_quality.measure(config, workdir), 'speed': one_thread(config.codec)}
    show_speed(result['speed'])
  elif config.name == 'lm':
    result = lm_speed.measure(config)
  else:
    raise InputError(f'config.name: {config.name!r} is no benchmark; take codec or lm')
  result |= {'command': 'python -m telugu_s2s.main ' + ' '.join(sys.argv[1:]), 'revision': loop.revision(),
             'machine': machine(), 'date': time.strftime('%Y-%m-%d')}
  files.write(workdir / f'{config.name}.json', (json.dumps(result, indent=1) + '\n').encode())
  print(f'on {result["machine"]}; written to {workdir / f"{config.name}.json"}')


def one_thread(codec) -> dict:
  """Speeds of a codec in a process of its own, since XLA's threads are set before its start."""
  env = {**os.environ, 'XLA_FLAGS': '--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1',
         'OMP_NUM_THREADS': '1', 'JAX_PLATFORMS': 'cpu'}
  found = subprocess.run([sys.executable, '-m', 'telugu_s2s.evaluation.codec_speed', codec], env=env, check=True,
                         stdout=subprocess.PIPE, text=True)
  return json.loads(found.stdout.splitlines()[-1])


def show_speed(speed):
  print(f'one CPU thread, seconds of audio per second of CPU: encode {speed["encode"]:.0f}, decode {speed["decode"]:.0f}; '
        f'frame by frame encode {speed["encode_frames"]:.1f}, decode {speed["decode_frames"]:.1f} '
        f'({speed["encode_ms"]:.2f} + {speed["decode_ms"]:.2f} ms of the frame\'s {speed["frame_ms"]:.0f})')


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
