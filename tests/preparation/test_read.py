"""Segments that stay in memory: the same as those that are read again, and no more of them than there is room for."""
import concurrent.futures
import dataclasses

import numpy as np

from telugu_s2s.preparation import read
from telugu_s2s.preparation.segment import Segment


class Counting:
  """Segments of 100 samples each, and how often each was read."""

  def __init__(self):
    self.reads = [0] * 6

  def __len__(self):
    return 6

  def __getitem__(self, index):
    self.reads[index] += 1
    pcm = np.random.default_rng(index).integers(-32768, 32768, 100).astype(np.float32)
    return Segment(f'{index}', pcm / 32768, 's', 'r', 'p', 0.0, 'CC0-1.0', 'A', text=f'text {index}')


def test_what_was_read_once_stays_and_is_the_same_to_the_bit():
  source, true = Counting(), Counting()
  kept = read.Kept(source)
  for _ in range(3):
    for index in range(len(kept)):
      one, other = kept[index], true[index]
      np.testing.assert_array_equal(one.audio, other.audio)
      assert one.audio.dtype == np.float32
      assert dataclasses.replace(one, audio=None) == dataclasses.replace(other, audio=None)
      one.audio[:] = 0                     # whoever gets it may change it
  assert source.reads == [1] * 6


def test_there_is_no_more_in_memory_than_there_is_room_for():
  source = Counting()
  kept = read.Kept(source, limit=450)      # bytes: two segments of 100 samples of 16 bits
  for _ in range(3):
    for index in range(6):
      np.testing.assert_array_equal(kept[index].audio, Counting()[index].audio)
  assert source.reads == [1, 1, 3, 3, 3, 3]


def test_several_readers_get_the_same():
  kept, true = read.Kept(Counting(), limit=900), Counting()
  with concurrent.futures.ThreadPoolExecutor(8) as readers:
    for place, one in enumerate(readers.map(kept.__getitem__, [index % 6 for index in range(600)])):
      np.testing.assert_array_equal(one.audio, true[place % 6].audio)
