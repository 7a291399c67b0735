"""What playing speech at another tempo or pitch does to it, beside WORLD and a phase vocoder: opinion, voice, pitch, time it takes."""
import collections
import time

import numpy as np
import tqdm

from telugu_s2s.audio import pitch, quality, shift, tempo
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import perceptual
from telugu_s2s.preparation import prepare, read

LONGEST_S = 6.0                  # of a recording that is listened to
CHANGES = {'0.75 times as fast': (0.75, 0.0), '1.4 times as fast': (1.4, 0.0), '4 semitones lower': (1.0, -4.0), '4 semitones higher': (1.0, 4.0)}
NEAR = 0.5                       # semitones from the asked pitch, within which a frame has it


def measure(config, workdir) -> dict:
  """Prints and returns `compare` on `config.clips` segments spread over `config.data`."""
  if config.clips < 1:
    raise InputError(f'config.clips {config.clips}: give 1 or more')
  prepare.prepare(prepare.Data(**config.data), workdir / 'segments')
  segments = read.Segments(workdir / 'segments')
  chosen = read.spread(len(segments), config.clips)
  found = compare([segments[index].audio[:round(LONGEST_S * SAMPLE_RATE)] for index in chosen])
  show(found)
  return {'clips': len(chosen), 'rows': found}


def ways() -> dict:
  """{name: a function (samples, speed, semitones) -> samples}, of this package and of those that are installed."""
  found = {'ours': lambda x, speed, semitones: tempo.stretched(shift.shifted(x, semitones), speed)}
  if world := quality.optional('pyworld'):
    found['WORLD'] = lambda x, speed, semitones: _world(world, x, speed, semitones)
  if librosa := quality.optional('librosa', perceptual.NETWORKS):
    found['phase vocoder'] = lambda x, speed, semitones: librosa.effects.pitch_shift(
        librosa.effects.time_stretch(x, rate=speed), sr=SAMPLE_RATE, n_steps=semitones)
  return found


def compare(clips) -> list[dict]:
  """How each change is done in each way, of clips f32[samples] at 16 kHz.

  Returns:
    [{change, way, distillmos, spk_sim: to the clip, near: share of the frames with a voice before and after whose pitch is within NEAR of
    what was asked, voiced: of the frames with a voice, how many have one afterwards, core_s: of one core, a second of the clip}], means
    over clips; first the clips as they are. What is not installed is nan.
  """
  found, every = [{'change': 'none', 'way': 'as it is', **_mean([_heard(clip, clip, 1.0, 0.0) | {'core_s': 0.0} for clip in clips])}], ways()
  with tqdm.tqdm(total=len(CHANGES) * len(every) * len(clips), unit='clip') as bar:
    for change, (speed, semitones) in CHANGES.items():
      for way, changed in every.items():
        rows = []
        for clip in clips:
          before = time.process_time()
          made = changed(clip, speed, semitones)
          took = (time.process_time() - before) / len(clip) * SAMPLE_RATE
          rows.append(_heard(clip, made, speed, semitones) | {'core_s': took})
          bar.update()
        found.append({'change': change, 'way': way, **_mean(rows)})
  return found


def _heard(clip, made, speed, semitones):
  before, after = (_f0(one) for one in (clip, made))
  before = before[np.minimum(np.round(np.arange(len(after)) * speed).astype(int), len(before) - 1)]
  both = (before > 0) & (after > 0)
  off = 12 * np.log2(after[both] / before[both]) - semitones
  return {'distillmos': perceptual.distillmos(made), 'spk_sim': perceptual.speaker_similarity(clip, made),
          'near': float(np.mean(np.abs(off) < NEAR)) if both.any() else float('nan'),
          'voiced': float(both.sum() / max(1, (before > 0).sum()))}


def _f0(audio):
  """By WORLD where it is installed, which ours was not made with."""
  package = quality.optional('pyworld')
  return quality.world_f0(package, audio) if package else pitch.track(audio)


def _world(package, audio, speed, semitones):
  audio = np.asarray(audio, np.float64)
  f0, times = package.harvest(audio, SAMPLE_RATE)
  spectrum, noise = package.cheaptrick(audio, f0, times, SAMPLE_RATE), package.d4c(audio, f0, times, SAMPLE_RATE)
  made = package.synthesize(f0 * 2 ** (semitones / 12), spectrum, noise, SAMPLE_RATE, 5.0 / speed)
  return np.resize(np.pad(made, (0, len(audio))), round(len(audio) / speed)).astype(np.float32)


def _mean(rows):
  values = collections.defaultdict(list)
  for row in rows:
    for name, value in row.items():
      values[name].append(value)
  return {name: float(np.nanmean(some)) if np.isfinite(some).any() else float('nan') for name, some in values.items()}


def show(found) -> None:
  """Prints a table of `compare`."""
  print(f'{"change":20} {"way":14} {"DistillMOS":>10} {"speaker":>8} {"its pitch":>9} {"voiced":>7} {"of a core":>9}')
  for row in found:
    print(f'{row["change"]:20} {row["way"]:14} {row["distillmos"]:10.2f} {row["spk_sim"]:8.3f} {row["near"]:9.0%} {row["voiced"]:7.0%} '
          f'{row["core_s"]:9.1%}')
