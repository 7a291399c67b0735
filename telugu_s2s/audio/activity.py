"""Where speech is, by energy or by a network, and where a long recording is cut.

By energy there is no model: each 10 ms frame is compared with a noise floor that follows the recording. It takes
music for speech, and loud noise that comes and goes; Silero VAD does not, and needs its package.
"""
from collections.abc import Iterable, Iterator

import numpy as np

from telugu_s2s.audio import silero
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.level import FRAME, HOP, centred, frame_dbfs

BY = ('energy', 'silero')
SILENCE_DBFS = -60.0       # nothing below this counts as speech, whatever the floor
REACH_S = 5                # the noise floor of a second is taken from this far on either side
KEPT_SILENCE_S = 0.3       # of silence around a span: onsets and final consonants are soft
BACK, ON = 5, 15           # frames of 10 ms that speech by energy reaches back and on (hangover)
BUFFER_S = 300.0           # a longer recording is cut piece by piece, in under 400 MB


def speech(samples, by: str = 'energy') -> np.ndarray:
  """bool[frames], one a 10 ms hop: whether the frame belongs to speech.

  Raises:
    InputError: `by` is 'silero' and its package is not installed.
  """
  return _likely(samples) if by == 'silero' else _loud(samples)


def _loud(samples):
  """Speech by energy.

  A frame is loud when it lies above the noise floor (10th percentile of the frames within 5 s) by a quarter
  of the distance to the peak (95th percentile), at least 3 and at most 9 dB. Bursts under 20 ms are dropped;
  what remains reaches 50 ms back and 150 ms on (hangover).
  """
  level = frame_dbfs(centred(samples))
  second = round(SAMPLE_RATE / HOP)
  seconds = -(-len(level) // second)
  low, high = np.empty(seconds), np.empty(seconds)
  for index in range(seconds):
    near = level[max(0, (index - REACH_S) * second):(index + 1 + REACH_S) * second]
    low[index], high[index] = np.percentile(near, [10, 95])
  threshold = np.maximum(low + np.clip((high - low) / 4, 3, 9), SILENCE_DBFS)
  loud = level > np.repeat(threshold, second)[:len(level)]
  result = np.zeros(len(level), bool)
  for start, end in runs(loud):
    if end - start >= 5:      # a click lights the three frames that it lies in
      result[max(0, start - BACK):end + ON] = True
  return result


def _likely(samples):
  """Speech by Silero VAD, with the rules of its makers.

  Speech begins at a probability of 0.5 and ends below 0.35; gaps under 100 ms are closed, bursts under 250 ms
  dropped, and what remains reaches 50 ms to either side.
  """
  likely = silero.probabilities(samples)
  found = [run for run in runs(likely >= 0.35) if likely[slice(*run)].max() >= 0.5]
  joined = closed(found, 3)               # chunks of 32 ms
  result = np.zeros(max(1, -(-(len(samples) - FRAME) // HOP) + 1), bool)
  for start, end in joined:
    if end - start >= 8:
      result[max(0, start * silero.CHUNK // HOP - 5):-(-end * silero.CHUNK // HOP) + 5] = True
  return result


def runs(flags) -> list[tuple[int, int]]:
  """Every longest stretch of true values as (start, end), end exclusive."""
  edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, np.int8), [0]])))
  return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def closed(runs, gap: float) -> list[tuple[int, int]]:
  """Runs in order of time, those that lie no further apart than this made one."""
  joined = []
  for start, end in runs:
    if joined and start - joined[-1][1] <= gap:
      start = joined.pop()[0]
    joined.append((start, end))
  return joined


def spans(samples, shortest_s: float = 1.0, longest_s: float = 20.0,
          pause_s: float = 1.0, by: str = 'energy', rest: bool = False) -> list[tuple[int, int]]:
  """Cuts a recording at its pauses.

  A recording up to `longest_s` stays one span. In a longer one, a pause of `pause_s` or more always separates;
  what is still too long is halved at its widest pause, or, where it has none, at its softest frame.
  Silence at the ends of a span is cut to 0.3 s.

  Args:
    samples: f32[samples] at 16 kHz.
    shortest_s: no cut that is left to choice makes a span shorter than this.
    longest_s: no span is longer.
    by: what tells speech from pauses, 'energy' or 'silero'.
    rest: it is the rest of a longer recording in which speech was found: it is cut at its pauses however short it is, and a steady
      sound is what its pauses are filled with.

  Returns:
    [(start, end)] in samples, ascending and apart. Speech that stands alone between long pauses may be
    shorter than `shortest_s`; the caller decides. Empty when there is no speech at all.
  """
  level, found = frame_dbfs(centred(samples)), runs(speech(samples, by))
  if by == 'energy' and not found and not rest and level.max() > SILENCE_DBFS:
    found = [(0, len(level))]       # a steady sound has no floor to stand out from
  if not found:
    return []
  kept = round(KEPT_SILENCE_S * SAMPLE_RATE)
  if len(samples) <= longest_s * SAMPLE_RATE and not rest:
    groups = [[(found[0][0], found[-1][1])]]
  else:
    groups = _apart(found, pause_s * SAMPLE_RATE / HOP)
    limits = [int(s * SAMPLE_RATE / HOP) for s in (shortest_s, longest_s - 2 * KEPT_SILENCE_S)]
    groups = [part for group in groups for part in _short(group, level, *limits)]
  edges = [(group[0][0] * HOP, min(group[-1][1] * HOP, len(samples))) for group in groups]
  result = []
  for index, (start, end) in enumerate(edges):
    before = edges[index - 1][1] if index else -2 * kept
    after = edges[index + 1][0] if index + 1 < len(edges) else len(samples) + 2 * kept
    start = max(0, start - min(kept, (start - before) // 2))
    result.append((start, min(len(samples), end + min(kept, (after - end) // 2))))
  return result


def _apart(found, pause):
  """Runs grouped so that a gap of `pause` frames or more lies between two groups."""
  groups = [[found[0]]]
  for run in found[1:]:
    if run[0] - groups[-1][-1][1] >= pause:
      groups.append([])
    groups[-1].append(run)
  return groups


def _short(group, level, shortest, longest):
  """Parts of a group of runs, none longer than `longest` frames."""
  start, end = group[0][0], group[-1][1]
  if end - start <= longest:
    return [group]
  least = max(shortest, (end - start) // 8)      # of either side: crumbs at the edges would go on for ever
  gaps = [(b[0] - a[1], -abs(a[1] + b[0] - start - end), index)
          for index, (a, b) in enumerate(zip(group, group[1:])) if a[1] - start >= least and end - b[0] >= least]
  if gaps:
    cut = max(gaps)[2] + 1
    left, right = group[:cut], group[cut:]
  else:
    quarter = (end - start) // 4
    middle = start + quarter + int(np.argmin(level[start + quarter:end - quarter]))
    left = [(a, min(b, middle)) for a, b in group if a < middle]
    right = [(max(a, middle), b) for a, b in group if b > middle]
  return _short(left, level, shortest, longest) + _short(right, level, shortest, longest)


def cut(blocks: Iterable[np.ndarray], shortest_s: float = 1.0, longest_s: float = 20.0,
        pause_s: float = 1.0, by: str = 'energy') -> Iterator[tuple[int, np.ndarray]]:
  """The spans of a recording of any length that arrives in blocks.

  Five minutes are held at a time; a span at the end of a piece waits for what follows it.

  Args:
    blocks: f32[samples] at 16 kHz, one after the other.

  Yields:
    (start in samples from the beginning, f32[samples]); see `spans` for the cutting.
  """
  held, size, start, given = [], 0, 0, False
  for block in blocks:
    held.append(block)
    size += len(block)
    if size >= BUFFER_S * SAMPLE_RATE:
      piece = np.concatenate(held)
      found = spans(piece, shortest_s, longest_s, pause_s, by, given)
      rest = size
      if found and size - found[-1][1] < (pause_s + KEPT_SILENCE_S) * SAMPLE_RATE:
        rest = found.pop()[0]
      for a, b in found:
        given = True
        yield start + a, piece[a:b]
      held, size, start = [piece[rest:]], size - rest, start + rest
  if size:
    piece = np.concatenate(held)
    for a, b in spans(piece, shortest_s, longest_s, pause_s, by, given):
      yield start + a, piece[a:b]
