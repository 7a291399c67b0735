"""Prepared segments to batches of audio for the codec; a batch is a function of seed and step."""
import grain
import numpy as np

from telugu_s2s.tokens.batches import of_process


class Taught:
  """Segments with the units of their frames, as pairs; units None: pairs without."""

  def __init__(self, segments, units=None):
    self._segments, self._units = segments, units

  def __len__(self):
    return len(self._segments)

  def __getitem__(self, index):
    return self._segments[index], None if self._units is None else self._units[index]


class Crop(grain.transforms.RandomMap):
  """`samples` samples of a segment from a random place; a shorter one stands in silence at a random place.

  Units go along, a frame's being that of the nearest frame of the segment; -1 where there is none.
  """

  def __init__(self, samples, hop):
    self._samples, self._hop = samples, hop

  def random_map(self, pair, rng):
    segment, units = pair
    spare = len(segment.audio) - self._samples
    start = int(rng.integers(abs(spare) + 1)) * (1 if spare >= 0 else -1)        # in the segment
    row = {'audio': _part(segment.audio, start, self._samples, 0.0)}
    if units is not None:
      row['units'] = _part(units.astype(np.int32), round(start / self._hop), self._samples // self._hop, -1)
    return row


def _part(x, start, size, fill):
  """x[start:start + size], filled up where that is outside of x."""
  inside = x[max(start, 0):max(start + size, 0)]
  before = min(max(-start, 0), size)
  return np.pad(inside, (before, size - before - len(inside)), constant_values=fill)


def batches(segments, *, batch, samples, hop, seed, units=None, process=0, processes=1):
  """Endless batches for one process: batches(...)[step] is {'audio': f32[b samples]}, and units i32[b frames].

  Args:
    segments: an indexable source of preparation's Segment.
    batch: rows over all processes.
    samples: of a crop, a multiple of the hop.
    hop: samples a frame.
    units: an indexable source of u16[frames], of each segment, or None.
  """
  source = grain.MapDataset.source(Taught(segments, units)).seed(seed).shuffle().repeat().random_map(Crop(samples, hop))
  return of_process(source, batch, process, processes)


class Together:
  """Batches of several sources as one: [step] has the arrays of all."""

  def __init__(self, *sources):
    self._sources = sources

  def __getitem__(self, step):
    return {name: array for source in self._sources for name, array in source[step].items()}
