"""Who speaks when in a recording of two."""
import itertools
import tracemalloc

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.corpora import sample
from telugu_s2s.dialogue import diarise, voiceprint
from telugu_s2s.dialogue.timing import Span
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import dialogues


def clip(name):
  return files.read(sample.folder() / 'audio' / f'{name}.opus')[0]


def test_two_voices_in_one_channel_are_told_apart():
  parts, spans, at = [], [], 0.0
  for number, voice in enumerate(['mezzo', 'buzz'] * 3):
    part = dialogues.audible(files.read(sorted(sample.folder().glob(f'audio/*-{voice}.opus'))[number])[0])
    parts += [part, np.zeros(4800, np.float32)]
    spans.append(Span(at, at + len(part) / 16000, str(number % 2)))
    at += len(part) / 16000 + 0.3
  samples = np.concatenate(parts)
  found = diarise.turns(samples)
  assert dialogues.error(spans, found)['confusion'] < 0.05 and dialogues.error(spans, found, 0.25)['error'] < 0.05
  assert [one.speaker for one in found][:2] == ['0', '1'] and diarise.turns(samples) == found
  one_voice = dialogues.error(spans, [Span(one.start_s, one.end_s, '0') for one in found])
  assert one_voice['confusion'] > 0.3            # so a diarisation that hears one voice fails this test


def test_the_error_is_missed_and_false_and_confused_speech():
  reference = [Span(0, 1, 'x'), Span(1, 2, 'y')]
  assert dialogues.error(reference, [Span(0, 1, '1'), Span(1, 2, '0')])['error'] == 0
  found = dialogues.error(reference, [Span(0, 1.5, '0'), Span(1.8, 2.2, '1')])
  assert [found[name] for name in ('missed', 'false_alarm', 'confusion')] == pytest.approx([0.15, 0.1, 0.25], abs=0.01)
  assert found['error'] == pytest.approx(0.5, abs=0.01)
  assert dialogues.error(reference, [Span(0, 1.2, '0'), Span(1.2, 2.2, '1')], 0.25)['error'] == 0


def test_the_best_path_seldom_changes():
  scores = np.zeros((40, 2))
  scores[:20, 0], scores[20:, 1] = 1, 1
  scores[5] = 0, 3                               # one frame's doubt
  assert (diarise.path(scores, 4.0) == np.repeat([0, 1], 20)).all()
  assert diarise.path(scores, 0.0)[5] == 1


@hypothesis.given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=8), st.sampled_from((0.0, 1.0, 4.0, 20.0)))
def test_no_other_path_is_better(scores, switch):
  scores = np.array(scores, np.float32)
  worth = lambda way: scores[np.arange(len(way)), way].sum() - switch * np.sum(way[1:] != way[:-1])
  every = [np.array(way) for way in itertools.product((0, 1), repeat=len(scores))]
  assert worth(diarise.path(scores, switch)) == max(map(worth, every))


def test_halves_of_an_hour_take_little_memory_and_begin_with_the_most_distant_pairs(monkeypatch):
  vectors = np.random.default_rng(0).normal(size=(9000, 8))
  tracemalloc.start()
  try:
    side = diarise.halves(vectors)
    assert tracemalloc.get_traced_memory()[1] < 2**28                # all pairs would be 618 MiB
  finally:
    tracemalloc.stop()
  few = vectors[:300]
  distance = np.sum((few[:, None] - few) ** 2, -1)
  monkeypatch.setattr(diarise, 'BLOCK', 7)
  found, furthest = diarise._furthest(few)
  np.testing.assert_allclose(found, distance.max(1))
  assert np.array_equal(furthest, distance.argmax(1)) and set(side) == {0, 1}


def test_halves_do_not_depend_on_chance_and_part_what_is_apart():
  rng = np.random.default_rng(0)
  vectors = np.concatenate([rng.normal(0, 1, (12, 5)), rng.normal(6, 1, (7, 5))])
  side = diarise.halves(vectors)
  assert len(set(side[:12])) == len(set(side[12:])) == 1 and side[0] != side[12]
  assert (diarise.halves(vectors) == side).all()


def test_each_frame_takes_the_side_of_the_nearest_window_and_an_hour_of_them_little_memory():
  rng = np.random.default_rng(0)
  for frames in (200, 345, 1000):
    windows = [one for one in diarise._windows(np.ones(frames, bool)) if rng.random() < 0.6]
    side = rng.integers(0, 2, len(windows))
    middle = np.array([(start + end) / 2 for start, end in windows])
    nearest = np.abs(np.arange(frames)[:, None] - middle).argmin(1)
    assert np.array_equal(diarise._spread(side, windows, frames), side[nearest])
  hour = np.ones(360_000, bool)
  windows = diarise._windows(hour)
  tracemalloc.start()
  try:
    diarise._spread(np.arange(len(windows)) % 2, windows, len(hour))
    assert tracemalloc.get_traced_memory()[1] < 2**26
  finally:
    tracemalloc.stop()


def test_little_speech_is_one_speaker_and_silence_is_nobody():
  assert {one.speaker for one in diarise.turns(clip('q001-mezzo')[:32000])} == {'0'}
  assert diarise.turns(np.zeros(48000, np.float32)) == []


def test_a_vector_that_cannot_be_had_is_named(monkeypatch):
  with pytest.raises(InputError, match="'xvector'.*plain, ge2e"):
    diarise.turns(np.zeros(16000, np.float32), 'xvector')
  monkeypatch.setattr(voiceprint, 'network', lambda: None)
  with pytest.raises(InputError, match='resemblyzer is not installed'):
    voiceprint.ge2e(clip('q001-mezzo'))
