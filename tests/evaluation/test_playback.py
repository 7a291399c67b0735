"""What another tempo or pitch does to speech, as the benchmark tells it."""
import math

import ml_collections
import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import playback


@pytest.fixture(scope='module')
def found(speech):
  return playback.compare([clip[8000:40_000] for clip in speech[:1]])


def test_what_is_not_changed_is_as_it_was(found):
  row = found[0]
  assert (row['change'], row['near'], row['voiced'], row['core_s']) == ('none', 1, 1, 0)


def test_ours_has_the_pitch_that_was_asked_for_in_every_change(found):
  ours = [row for row in found if row['way'] == 'ours']
  assert [row['change'] for row in ours] == list(playback.CHANGES)
  for row in ours:
    assert row['near'] > 0.8 and row['voiced'] > 0.6 and 0 < row['core_s'] < 1, row


def test_what_cannot_be_measured_here_is_nan_and_the_table_has_a_line_for_each(found, capsys):
  playback.show(found)
  assert len(capsys.readouterr().out.splitlines()) == 1 + len(found)
  for row in found:
    assert all(isinstance(value, float) and (math.isnan(value) or value >= 0) for name, value in row.items() if name not in ('change', 'way'))


def test_another_pitch_than_was_asked_for_is_told(speech, monkeypatch):
  monkeypatch.setattr(playback, 'ways', lambda: {'deaf': lambda x, speed, semitones: x[:round(len(x) / speed)]})
  rows = {row['change']: row for row in playback.compare([speech[0][8000:40_000]])}
  assert rows['4 semitones higher']['near'] == 0 and np.isfinite(rows['0.75 times as fast']['near'])


def test_no_clips_are_refused(tmp_path):
  with pytest.raises(InputError, match='config.clips 0: give 1 or more'):
    playback.measure(ml_collections.ConfigDict(dict(clips=0)), tmp_path)
