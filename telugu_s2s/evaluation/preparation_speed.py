"""How fast recordings become segments: each step, all together by workers, beside Lhotse; memory; what 5000 h take."""
import dataclasses
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
import tqdm

from telugu_s2s.audio import activity, files, fingerprint
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import preparation_peer
from telugu_s2s.preparation import inputs, measures, pool, prepare, segment

RATE = 48_000                  # of the recordings made here, as corpora for synthesis are sold
PAUSE_S = 0.7
HOURS, CORES = 5000, 16        # what is projected
FORMS = {'wav': 'PCM_16', 'flac': 'PCM_16', 'mp3': None, 'opus': None}


def measure(config, workdir) -> dict:
  """Prints and returns hours a core-hour of the steps, of whole runs, and of the peer; memory by files; the projection."""
  workdir, data = Path(workdir), prepare.Data(**config.data)
  folder, hours = material(data, workdir / 'recordings', config.minutes, config.form, config.seed)
  result = {'hours': hours, 'form': config.form, 'steps': steps(folder, config.step_files)}
  print(f'\n{hours:.2f} h in files of a minute, {config.form} at {RATE // 1000} kHz\none step, one thread: hours an hour of one core')
  for name, speed in result['steps'].items():
    print(f'{name:>32} {speed:8.0f}')
  result['runs'] = {}
  kinds = {'as a stage does': {}, 'with near duplicates': {'near_duplicates': True},
           'full measures, near duplicates': {'near_duplicates': True, 'measures': 'full'}}
  if {'cut at pauses, by Silero VAD', 'DNSMOS P.808'} <= set(result['steps']):
    kinds['silero'] = {'activity': 'silero'}
    kinds['silero, p808, full measures, near duplicates'] = {
        'near_duplicates': True, 'activity': 'silero', 'mos': 'p808', 'measures': 'full'}
  for name, fields in kinds.items():
    asked = dataclasses.replace(data, audio=str(folder), split='', shard_mb=config.shard_mb, **fields)
    for workers in config.workers:
      result['runs'][f'{name}, {workers} workers'] = whole(asked, workdir / 'prepared', hours, workers)
  if preparation_peer.installed():
    peers = {'Lhotse, cut blindly': 'none'} | ({'Lhotse with the package silero_vad': 'silero'} if 'silero' in kinds else {})
    result['lhotse'] = {f'{name}, {workers} workers': peer(folder, workdir / 'lhotse', hours, workers, by)
                        for name, by in peers.items() for workers in config.workers}
  else:
    print(f'Lhotse is not measured beside it: {preparation_peer.REMEDY}')
  show(result)
  result['memory'] = [memory(workdir / 'many', count, config.seed) for count in config.files]
  for one in result['memory']:
    print(f'{one["files"]:>8} files: at most {one["peak_mb"]:.0f} MB a process, {one["seconds"]:.0f} s')
  result['projection'] = projection(result)
  return result


def material(data, folder, minutes, form, seed) -> tuple[Path, float]:
  """Recordings of a minute at 48 kHz put together from those of `data`, with pauses; the folder, and their hours."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  chosen = inputs.gather(data, data.folders(), folder.parent).chosen
  order, place = np.random.default_rng(seed).permutation(len(chosen)), 0
  pause, seconds = np.zeros(round(PAUSE_S * RATE), np.float32), 0.0
  for number in tqdm.trange(minutes, unit='file', desc='recordings'):
    parts, size = [], 0
    while size < 60 * RATE:
      one = chosen[order[place % len(order)]]
      place += 1
      speech = files.read(Path(one.folder, one.recording.path), one.recording.channel)[0]
      parts += [soxr.resample(speech, files.SAMPLE_RATE, RATE), pause]
      size += len(parts[-2]) + len(pause)
    # A little noise of its own: the material repeats, and copies would be left out.
    audio = np.concatenate(parts) + np.random.default_rng([seed, number]).normal(0, 1e-3, size)
    soundfile.write(folder / f'{number:05d}.{form}', np.clip(audio, -1, 1), RATE, FORMS[form])
    seconds += size / RATE
  return folder, seconds / 3600


def steps(folder, count) -> dict[str, float]:
  """Hours of audio an hour of one core of each step, over `count` files; a step whose package is missing is left out."""
  paths = sorted(folder.iterdir())[:count]
  audio = [files.read(path)[0] for path in paths]
  seconds = sum(map(len, audio)) / files.SAMPLE_RATE
  cuts = [part for one in audio for _, part in activity.cut([one])]
  whole = [segment.Segment(id='', audio=part, source='', revision='', path='', start_s=0, licence='', licence_class='A')
           for part in cuts]
  calls = {
      'read and hash': lambda: [hashlib.sha256(path.read_bytes()) for path in paths],
      'decode to 16 kHz mono': lambda: [files.read(path) for path in paths],
      'cut at pauses, by energy': lambda: [list(activity.cut([one])) for one in audio],
      'cut at pauses, by Silero VAD': lambda: [list(activity.cut([one], by='silero')) for one in audio],
      'measures: basic': lambda: [measures.quality(part, RATE) for part in cuts],
      'measures: full': lambda: [measures.quality(part, RATE, measures='full') for part in cuts],
      'DNSMOS P.808': lambda: [measures.quality(part, RATE, mos='p808') for part in cuts],
      'DNSMOS P.835': lambda: [measures.quality(part, RATE, mos='p835') for part in cuts[:max(1, len(cuts) // 10)]],
      'FLAC and record': lambda: [segment.to_bytes(one) for one in whole],
      'fingerprint': lambda: [fingerprint.fingerprint(part) for part in cuts],
  }
  result = {}
  for name, call in calls.items():
    part = 0.1 if name == 'DNSMOS P.835' else 1.0
    try:
      result[name] = part * seconds / _cpu(call)
    except InputError as problem:
      print(f'{name} is not measured: {problem}')
  # The measures above are timed with the basic ones, which all of them begin with.
  basic = 1 / result['measures: basic']
  for name in ('measures: full', 'DNSMOS P.808', 'DNSMOS P.835'):
    if name in result:
      result[name] = 1 / max(1 / result[name] - basic, 1e-9)
  return result


def _cpu(call):
  """CPU seconds of a call, the least of two, after which files are in the cache and networks loaded."""
  found = []
  for _ in range(3):
    start = time.process_time()
    call()
    found.append(time.process_time() - start)
  return min(found[1:])


def whole(data, out, hours, workers) -> dict:
  """One run, from the start of its process to the manifest: wall and CPU seconds, and what they come to."""
  shutil.rmtree(out, ignore_errors=True)
  start, before = time.perf_counter(), _children_s()
  _prepared({**vars(data), 'workers': workers}, out)
  wall, cpu = time.perf_counter() - start, _children_s() - before
  size = sum(path.stat().st_size for path in out.rglob('*') if path.is_file())
  return rates(hours, wall, cpu) | {'gb_an_hour': size / 1e9 / hours}


def peer(folder, out, hours, workers, by) -> dict:
  """The same of Lhotse."""
  shutil.rmtree(out, ignore_errors=True)
  start, before = time.perf_counter(), _children_s()
  _child(preparation_peer.CODE, str(folder), str(out), str(workers), by)
  return rates(hours, time.perf_counter() - start, _children_s() - before)


def rates(hours, wall_s, cpu_s) -> dict:
  return {'wall_s': wall_s, 'cpu_s': cpu_s, 'hours_a_core_hour': hours / (cpu_s / 3600), 'hours_an_hour': hours / (wall_s / 3600)}


def memory(folder, count, seed) -> dict:
  """The greatest memory of any process that prepares `count` short files, in MB, and the seconds it takes."""
  shutil.rmtree(folder, ignore_errors=True)
  (folder / 'in').mkdir(parents=True)
  noise = np.random.default_rng(seed).normal(0, 0.1, 2 * files.SAMPLE_RATE)
  for number in tqdm.trange(count, unit='file', desc='short recordings'):
    tone = 0.3 * np.sin(2 * np.pi * (100 + number % 997) * np.arange(files.SAMPLE_RATE) / files.SAMPLE_RATE)
    part = noise[number % files.SAMPLE_RATE:][:files.SAMPLE_RATE] + tone
    (folder / 'in' / f'{number:06d}.wav').write_bytes(files.encoded(part[:8200]))
  start = time.perf_counter()
  peak = _prepared({'audio': str(folder / 'in'), 'shortest_s': 0.3, 'workers': 2}, folder / 'out')
  shutil.rmtree(folder)
  return {'files': count, 'peak_mb': peak, 'seconds': time.perf_counter() - start}


def _prepared(fields, out) -> float:
  """Prepares in a fresh process of one thread a worker; the greatest memory of any of its processes, in MB."""
  return _child(PREPARE, json.dumps(fields), str(out))


# A process's own ru_maxrss begins with that of whoever started it, which has JAX loaded.
PREPARE = """
import json, re, resource, sys
from telugu_s2s.preparation import prepare
prepare.prepare(prepare.Data(**json.loads(sys.argv[1])), sys.argv[2])
mine = int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])
print(max(mine, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024)
"""


def _child(code, *arguments):
  """The number that a Python program prints last."""
  found = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True,
                         env={**os.environ, **pool.SINGLE_THREAD})
  if found.returncode:
    raise InputError(f'a measured process failed: {(found.stderr.strip() or "killed").splitlines()[-1]}')
  return float(found.stdout.splitlines()[-1])


def _children_s():
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


def show(result):
  print(f'\n{"whole runs":>64} {"wall s":>8} {"CPU s":>8} {"h/core-h":>9} {"GB/h":>6}')
  for name, one in [*result['runs'].items(), *result.get('lhotse', {}).items()]:
    print(f'{name:>64} {one["wall_s"]:8.1f} {one["cpu_s"]:8.1f} {one["hours_a_core_hour"]:9.0f} {one.get("gb_an_hour", 0):6.3f}')


def projection(result) -> dict:
  """Hours that 16 cores take for 5000 h, at each run's rate a core-hour, and the disk; prints them."""
  found = {}
  print(f'\n{HOURS} h on {CORES} cores, at the rate a core-hour above')
  for name, one in result['runs'].items():
    found[name] = {'hours': HOURS / CORES / one['hours_a_core_hour'], 'gb': HOURS * one['gb_an_hour']}
    print(f'{name:>64}: {found[name]["hours"]:5.1f} h, {found[name]["gb"]:5.0f} GB')
  return found
