"""Worse answers: one thing is wrong with each, and the rows are alike up to the answer."""
import dataclasses

import numpy as np
import pytest

from telugu_s2s.tokens import batches, census, preferences, turns

from tests.tokens.test_turns import Q, RATE, WINDOW, clips, exchange          # noqa: F401, a fixture

# Clips 0 to 5 answer clip 8: who says it, with what emotion, and which sentence.
ANSWERS = [('a', 'happy', 1), ('a', 'sad', 1), ('b', 'happy', 1), ('a', 'happy', 2), ('b', 'sad', 3), ('c', '', 0)]
TEXT = np.array([text for *_, text in ANSWERS] + [9, 9, 9], np.uint64)


def answering(number):
  speaker, emotion, _ = ANSWERS[number]
  return turns.Exchange((turns.Turn(8, 'user'), turns.Turn(number, speaker, emotion=emotion)), 0, 1)


FOUND = [answering(number) for number in range(len(ANSWERS))]


@pytest.mark.parametrize('number, kind, wanted', [
    (0, 'reply', {3}),                       # the same voice says something else
    (0, 'speaker', {2}), (0, 'emotion', {1}),                                # the same sentence, for there are takes of it
    (3, 'speaker', {2, 4, 5}), (3, 'emotion', {1}),                          # nobody else says sentence 2
    (4, 'reply', set()), (5, 'emotion', set())])
def test_what_is_wrong_with_a_worse_answer(number, kind, wanted):
  worse = preferences.Worse(FOUND, TEXT)
  rng = np.random.default_rng(0)
  assert {worse.clip(FOUND[number], kind, rng) for _ in range(40)} == (wanted or {None})


def test_both_rows_are_alike_up_to_the_answer(clips):
  scenes = turns.Scenes(clips, RATE)
  row = preferences.pair(scenes, FOUND[0], 3, WINDOW, 5)
  np.testing.assert_array_equal(row['codes'][batches.USER], row['worse_codes'][batches.USER])
  mine, other = (row[name][row[name] >= 0] for name in ('answered', 'worse_answered'))
  first = mine[0]
  np.testing.assert_array_equal(row['codes'][:, :first], row['worse_codes'][:, :first])
  assert set(row['codes'][0, mine, 0]) == {100} and set(row['worse_codes'][0, other, 0]) == {103}
  assert len(mine) == 8 and len(other) == 9
  assert all((row[name][len(row[name][row[name] >= 0]):] == batches.ABSENT).all() for name in ('answered', 'worse_answered'))


def test_batches_have_every_exchange_beside_a_worse_one(clips):
  counted = dataclasses.replace(census.counted(clips), text=TEXT)
  made = preferences.make(turns.Scenes(clips, RATE), FOUND, WINDOW, batch=6, seed=0, counted=counted)
  said = lambda row, name: max(row[name][batches.ASSISTANT, :, 0])
  rows = [{name: values[place] for name, values in made[0].items()} for place in range(6)]
  assert sorted(said(row, 'codes') for row in rows) == [100, 101, 102, 103, 104, 105]
  assert made[0]['answered'].shape == made[0]['worse_answered'].shape == (6, max(counted.frames[:6]))         # no frame more is compared
  assert all((row['answered'] >= 0).sum() == counted.frames[said(row, 'codes') - 100] for row in rows)
  assert all(row['compared'] == 1 and said(row, 'worse_codes') != said(row, 'codes') for row in rows)
  again = preferences.make(turns.Scenes(clips, RATE), FOUND, WINDOW, batch=6, seed=0, counted=counted)[0]
  assert all(np.array_equal(again[name], values) for name, values in made[0].items())


@pytest.mark.parametrize('kind, text, wanted', [
    ('reply', TEXT, {100: {103}, 103: {100}}),                                # the others are alone with their voice
    ('speaker', TEXT, {100: {102}, 101: {102}, 102: {100, 101}}), ('emotion', TEXT, {100: {101}, 101: {100}}),
    ('speaker', 0 * TEXT, {}), ('emotion', 0 * TEXT, {}), ('emotion', np.arange(1, 10, dtype=np.uint64), {})])
def test_held_out_answers_stand_beside_the_same_words_so_that_only_the_voice_or_the_emotion_is_wrong(clips, kind, text, wanted):
  counted = dataclasses.replace(census.counted(clips), text=text)
  tests, says = preferences.tests(turns.Scenes(clips, RATE), FOUND, WINDOW, kind, counted, 4, 0)
  rows = [(max(batch['codes'][place, batches.ASSISTANT, :, 0]), max(batch['worse_codes'][place, batches.ASSISTANT, :, 0]))
          for batch in tests for place in range(4)][:len(says)]
  assert [own for own, _ in rows] == sorted(wanted) and all(worse in wanted[own] for own, worse in rows)
  assert all(batch['codes'].shape == (4, 2, 40, Q) for batch in tests)


def test_voices_come_equally_often():
  found = [FOUND[0]] * 6 + [FOUND[2]] * 2
  even, as_is = turns.balanced(found, 1.0), turns.balanced(found, 0.0)
  assert even[:6].sum() == pytest.approx(even[6:].sum()) and set(as_is) == {1.0}
  assert turns.balanced([FOUND[0]] * 99 + [FOUND[2]], 1.0)[-1] == 4.0        # no more often, or it would be learnt by heart


@pytest.mark.parametrize('frames', [14, 20, 26, 40])
@pytest.mark.parametrize('seed', [None, 5])
def test_a_longer_worse_answer_takes_nothing_of_what_comes_before(clips, frames, seed):
  asked = turns.Exchange((turns.Turn(5, 'user'), turns.Turn(8, 'a')), 0, 1)            # 10 frames, then 4, or 70
  row = preferences.pair(turns.Scenes(clips, RATE), asked, 7, dataclasses.replace(WINDOW, frames=frames), seed)
  np.testing.assert_array_equal(row['codes'][batches.USER], row['worse_codes'][batches.USER])
  assert row['answered'][0] == row['worse_answered'][0] and set(row['codes'][batches.ASSISTANT, row['answered'][row['answered'] >= 0], 0]) == {108}
