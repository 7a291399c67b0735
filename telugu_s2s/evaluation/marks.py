"""Recordings and the mark of generated speech: whether they carry it, marked copies, and what the mark bears."""
import math
from pathlib import Path

import numpy as np
import soxr

from telugu_s2s.audio import files, mark, opus, quality
from telugu_s2s.errors import InputError
from telugu_s2s.tokens import transcode

RATE = files.SAMPLE_RATE
OTHERS = 100                     # keys that a recording was not marked with, tried on each
NOISE_DB = 20.0
PART_S = 3.0


def run(config, workdir) -> None:
  """The job 'mark': `config.action` on each recording of `config.input`.

  Raises:
    InputError: there is no recording, no key, or no such action; or some could not be read, which is told when all others are done.
  """
  if not config.key:
    raise InputError('config.key is empty: give the words that the mark is made of')
  source = Path(config.input)
  found = [source] if source.is_file() else sorted(path for path in source.rglob('*') if path.suffix.lower() in files.EXTENSIONS)
  if not config.input or not found:
    raise InputError(f'config.input: {config.input!r} is no recording and no folder of recordings')
  refused = []
  some = readable(found, refused)
  if config.action == 'detect':
    for path, samples in some:
      print(f'{path}: {judged(samples, config.key)}')
  elif config.action == 'mark':
    marked(some, found, source, config, Path(workdir) / 'marked')
  elif config.action == 'measure':
    measure([samples for _, samples in some], config)
  else:
    raise InputError(f'config.action: {config.action!r}; give detect, mark or measure')
  if refused:
    raise InputError(f'config.input: {len(refused)} of {len(found)} recordings could not be read, such as {refused[0]}; all others are done')


def readable(found, refused):
  """Yields (path, f32[samples]) of the recordings that can be read; of others it prints why, and adds them to `refused`."""
  for path in found:
    try:
      samples = files.read(path)[0]
    except InputError as problem:
      print(f'left out: {problem}')
      refused.append(path)
      continue
    yield path, samples


def marked(some, found, source, config, out) -> None:
  """Writes marked copies of `some`, [(path, samples)] of those `found`, below `out`; two of one stem under their whole names."""
  below = [(path.relative_to(source) if path != source else Path(path.name)).as_posix() for path in found]
  names = dict(zip(found, transcode.targets(below)))
  for path, samples in some:
    to = out / f'{names[path]}.wav'
    files.write_wav(to, mark.whole(samples, config.key, config.strength_db), comment=mark.SYNTHETIC)
    print(to)


def judged(samples, key: str) -> str:
  """Whether a recording carries the mark of a key, in words."""
  if len(samples) < mark.LEAST_S * RATE:
    return f'too short, {len(samples) / RATE:.2f} s of {mark.LEAST_S:g}'
  value = mark.score(samples, key)
  return f'{"marked" if value >= mark.MARKED else "not marked"}, score {value:.1f} of {mark.MARKED:g}'


def ways(seed: int) -> dict:
  """{what happens to speech: f(samples)}."""
  rng = np.random.default_rng(seed)
  narrow = lambda x: soxr.resample(soxr.resample(x, RATE, 8000), 8000, RATE).astype(np.float32)
  coded = lambda x, kbps: (files.decoded(opus.encoded(x, kbps))[0] / 32768).astype(np.float32)
  noisy = lambda x: x + rng.normal(0, math.sqrt(np.mean(x ** 2)) * 10 ** (-NOISE_DB / 20), len(x))
  return {'nothing': lambda x: x, 'Opus 24 kbit/s': lambda x: coded(x, 24), 'Opus 12 kbit/s': lambda x: coded(x, 12),
          'telephone band, 8 kHz': narrow, '8 kHz, then Opus 24': lambda x: coded(narrow(x), 24),
          f'white noise at {NOISE_DB:g} dB': noisy, '20 dB softer': lambda x: files.pcm16(x / 10) / 32768,
          f'{PART_S - 0.5:g} s of it': lambda x: x[RATE // 3:][:round((PART_S - 0.5) * RATE)]}


def measure(clips, config) -> dict:
  """Prints, for each thing that happens to marked speech, how often the mark is found; returns {way: {found, least, unmarked}}."""
  clips = [x for x in clips if len(x) >= PART_S * RATE and x.any()]          # silence bears no mark
  if not clips:
    raise InputError(f'config.input: {config.input} has no recording of {PART_S:g} s or more with a sound, which measuring takes')
  marked, result = [mark.whole(x, config.key, config.strength_db) for x in clips], {}
  print(f'{len(clips)} recordings of {PART_S:g} s or more, {sum(map(len, clips)) / RATE:.0f} s, marked by {config.strength_db:g} dB')
  for name, way in ways(config.seed).items():
    scores, others = ([mark.score(way(x), config.key) for x in some] for some in (marked, clips))
    result[name] = {'found': float(np.mean(np.array(scores) >= mark.MARKED)), 'least': min(scores), 'unmarked': max(others)}
    print(f'{name:24} found {result[name]["found"]:6.1%}  mean {np.mean(scores):5.1f}  least {min(scores):5.1f}  '
          f'unmarked at most {max(others):4.1f}', flush=True)
  chance = [score for x in clips for score in mark.scores(x, [f'{config.key} {number}' for number in range(OTHERS)])]
  print(f'unmarked, other keys: {sum(score >= mark.MARKED for score in chance)} of {len(chance)} reach {mark.MARKED:g}, '
        f'at most {max(chance):.2f}')
  snr = np.mean([10 * np.log10(np.mean(x ** 2) / np.mean((y - x) ** 2)) for x, y in zip(clips, marked)])
  heard = [quality.pesq(x, y) for x, y in zip(clips, marked)]
  print(f'what is changed: {snr:.1f} dB below the speech; PESQ-WB of marked against unmarked {np.nanmean(heard):.2f}, '
        f'least {np.nanmin(heard):.2f} (4.64: the same; nan: needs the extra pesq)')
  return result
