"""Crops of audio: a function of seed and step, whole stretches, short clips in silence."""
import numpy as np
import pytest

from telugu_s2s.preparation.segment import Segment
from telugu_s2s.training import crops

SAMPLES = 100
HOP = 20
LENGTHS = [30, 100, 101, 250, 400]


class Counting:
  """Segments whose samples tell their clip and place: 1000 n + 1, 1000 n + 2, ..."""

  def __len__(self):
    return len(LENGTHS)

  def __getitem__(self, index):
    audio = np.arange(1, LENGTHS[index] + 1, dtype=np.float32) + 1000 * index
    return Segment(f'{index}', audio, 'test', '', '', 0.0, 'CC0-1.0', 'A')

  def __repr__(self):
    return 'Counting()'


def made(seed=0, batch=4, **more):
  return crops.batches(Counting(), batch=batch, samples=SAMPLES, hop=HOP, seed=seed, **more)


def test_a_batch_is_a_function_of_seed_and_step():
  in_turn = made()
  in_turn = [in_turn[step]['audio'] for step in range(6)]
  np.testing.assert_array_equal(in_turn[5], made()[5]['audio'])
  assert (in_turn[5] != made(seed=1)[5]['audio']).any()


@pytest.mark.parametrize('processes', [2, 4])
def test_processes_cut_one_global_batch_between_them(processes):
  for step in (0, 5):
    for process in range(processes):
      part = made(process=process, processes=processes)[step]['audio']
      np.testing.assert_array_equal(part, np.split(made()[step]['audio'], processes)[process])


def test_every_row_is_a_stretch_of_one_clip_or_a_whole_clip_in_silence():
  starts = {index: set() for index in range(5)}
  source = made()
  for step in range(50):
    assert source[step]['audio'].shape == (4, SAMPLES) and source[step]['audio'].dtype == np.float32
    for row in source[step]['audio']:
      heard = row[row > 0]
      np.testing.assert_array_equal(np.diff(heard), 1)
      index = int(heard[0]) // 1000
      assert len(heard) == min(SAMPLES, LENGTHS[index])
      starts[index].add(int(heard[0]) % 1000 if LENGTHS[index] > SAMPLES else int(np.argmax(row > 0)))
  assert [min(found) for found in starts.values()][1:3] == [0, 1]
  assert starts[1] == {0} and starts[2] == {1, 2} and len(starts[0]) > 10 and len(starts[4]) > 20


class Tens:
  """The unit of a frame of Counting tells its clip and place too: 100 n, 100 n + 1, ..."""

  def __len__(self):
    return len(LENGTHS)

  def __getitem__(self, index):
    return (np.arange(-(-LENGTHS[index] // HOP)) + 100 * index).astype(np.uint16)


def test_units_stay_with_their_audio():
  source, seen = made(units=Tens()), 0
  for step in range(30):
    audio, units = source[step]['audio'].reshape(4, -1, HOP), source[step]['units']
    assert units.shape == (4, SAMPLES // HOP) and units.dtype == np.int32
    for frame, unit in zip(audio.reshape(-1, HOP), units.ravel()):
      clip, place = divmod(int(frame.max()), 1000)
      if (frame > 0).all() and unit >= 0:
        first = place - HOP                                                # of the frame, in its clip
        assert unit // 100 == clip and abs(first - HOP * (unit % 100)) <= HOP / 2
        seen += 1
      elif not frame.any():                                                # within half a frame of the clip's ends
        assert unit == -1 or unit % 100 in (0, -(-LENGTHS[unit // 100] // HOP) - 1)
  assert seen > 200


def test_sources_together_give_the_arrays_of_all():
  both = crops.Together([{'a': 1}, {'a': 2}], [{'b': 3}, {'b': 4}])
  assert both[1] == {'a': 2, 'b': 4}
