"""Crops of audio: a function of seed and step, whole stretches, short clips in silence."""
import numpy as np
import pytest

from telugu_s2s.preparation.segment import Segment
from telugu_s2s.training import crops

SAMPLES = 100
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
  return crops.batches(Counting(), batch=batch, samples=SAMPLES, seed=seed, **more)


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
      np.testing.assert_array_equal(part, made()[step]['audio'][process::processes])


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
