"""Prepared segments to batches of audio for the codec; a batch is a function of seed and step."""
import grain
import numpy as np


class Crop(grain.transforms.RandomMap):
  """`samples` samples of a segment from a random place; a shorter one stands in silence at a random place."""

  def __init__(self, samples):
    self._samples = samples

  def random_map(self, segment, rng):
    audio = segment.audio
    spare = len(audio) - self._samples
    start = int(rng.integers(abs(spare) + 1))
    if spare >= 0:
      return {'audio': audio[start:start + self._samples]}
    return {'audio': np.pad(audio, (start, -spare - start))}


def batches(segments, *, batch, samples, seed, process=0, processes=1):
  """Endless batches for one process: batches(...)[step] is {'audio': f32[batch/processes samples]}.

  segments: an indexable source of preparation's Segment.
  """
  source = grain.MapDataset.source(segments).seed(seed).shuffle().repeat().random_map(Crop(samples))
  return source[process::processes].batch(batch // processes, drop_remainder=True)
