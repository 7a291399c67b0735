"""Whole utterances with transcripts: which get in, and how they are laid out."""
import numpy as np

from telugu_s2s.preparation.segment import Segment
from telugu_s2s.tokens import graphemes
from telugu_s2s.training import spoken

HOP, RATE = 10, 100
ROWS = [('అమ్మ పాట', 150), ('అమ్మ', 400), ('', 150), ('అమ్మ పాట', 60), ('అఅఅ', 40), ('పాట అమ్మ', 200)]


class Said(list):
  """Segments in memory."""

  def outlines(self):
    return [({'text': one.text}, len(one.audio)) for one in self]


def made():
  return Said(Segment(f'{index}', np.full(length, index + 1, np.float32), 'test', '', '', 0.0, 'CC0-1.0', 'A', text=text)
              for index, (text, length) in enumerate(ROWS))


def test_only_utterances_that_can_be_spelled_get_in(monkeypatch):
  monkeypatch.setattr(graphemes.table, '__defaults__', (1,))
  found = spoken.Spoken(made(), 2.0, HOP, RATE)
  heard = {int(found[row]['spoken'].max()) - 1 for row in range(len(found))}
  assert heard == {0, 5}              # 1 is too long, 2 has no text, 3 and 4 (alike neighbours need a blank) no frames
  row = found[[int(found[row]['spoken'].max()) for row in range(len(found))].index(1)]
  assert row['spoken'].shape == (200,) and row['spoken_frames'] == 15
  text = ROWS[0][0]
  assert ''.join(found.table[number - 1] for number in row['graphemes'] if number) == text
  assert row['graphemes'].shape == (8,)


def test_a_batch_is_a_function_of_seed_and_step(monkeypatch):
  monkeypatch.setattr(graphemes.table, '__defaults__', (1,))
  found = spoken.Spoken(made(), 2.0, HOP, RATE)
  one, other = (spoken.batches(found, batch=4, seed=3) for _ in range(2))
  in_turn = [one[step] for step in range(4)]
  for name, array in other[3].items():
    np.testing.assert_array_equal(array, in_turn[3][name])
  part = spoken.batches(found, batch=4, seed=3, process=1, processes=2)[2]
  np.testing.assert_array_equal(part['spoken'], np.split(in_turn[2]['spoken'], 2)[1])
