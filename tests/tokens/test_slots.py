"""The text slot: every word that fits comes back in its order and not before its frame, and nothing changes without it."""
import dataclasses

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.tokens import batches, prosody, record, slots, vocabulary

VOCABULARY = vocabulary.trained(['నమస్కారం మీరు ఎలా ఉన్నారు', 'నేను బాగానే ఉన్నాను 24'], 440)
TEXT = slots.Text(VOCABULARY)
SILENCE = np.array([7, 8, 9], np.int32)
WINDOW = batches.Window(frames=60, user_share=0.5, trailing=3)


def clip(frames=40, words=((4, 'నేను'), (12, 'బాగానే'), (30, 'ఉన్నాను'))):
  """Level 1 of the codes says which frame it is."""
  codes = np.stack([np.full(frames, 100), np.arange(frames), np.zeros(frames)], 1).astype('u2')
  said = None if words is None else tuple(record.Word(text, start, min(start + 3, frames), 0.9) for start, text in words)
  return record.Tokens(codes, np.arange((frames + 1) // 2).astype('u1'), 'codec-a', 1024, 25.0, {'id': 'a'}, said)


def row(mode, side=batches.ASSISTANT, start=0, tokens=None, window=WINDOW):
  return batches.row(tokens or clip(), side, start, window, SILENCE, TEXT, mode)


def begins(slot):
  """{frame: word} of a slot."""
  found, at = {}, None
  for frame, number in enumerate(slot):
    if number > vocabulary.UNKNOWN and (frame == 0 or slot[frame - 1] <= vocabulary.UNKNOWN):
      at, found[frame] = frame, []
    if number > vocabulary.UNKNOWN:
      found[at].append(number)
  return {frame: VOCABULARY.decode(numbers) for frame, numbers in found.items()}


@settings(max_examples=200, deadline=None)
@given(words=st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(5, 99), max_size=5))).map(lambda x: sorted(x, key=lambda y: y[0])),
       frames=st.integers(1, 40))
def test_pieces_keep_their_order_and_come_no_sooner_than_their_word(words, frames):
  found = slots.laid(words, frames)
  every = [number for _, pieces in words for number in pieces]
  said = found[found > vocabulary.UNKNOWN]
  np.testing.assert_array_equal(said, every[:len(said)])
  free = 0
  for start, pieces in words:
    start = max(start, free)
    np.testing.assert_array_equal(found[start:start + len(pieces)], pieces[:max(frames - start, 0)])
    free = start + len(pieces)
  assert set(found[found <= vocabulary.UNKNOWN]) <= {vocabulary.PAD, vocabulary.EPAD}
  if free <= frames:
    assert len(said) == len(every)


@pytest.mark.parametrize('mode, shift', [(slots.Mode(slots.DIALOGUE, 0), 0), (slots.Mode(slots.RECOGNITION, -14), 14)])
def test_words_stand_at_their_frames_or_behind_them(mode, shift):
  found = row(mode)
  assert begins(found['text']) == {4 + shift: 'నేను', 12 + shift: 'బాగానే', 30 + shift: 'ఉన్నాను'}
  assert found['text'][3 + shift] == found['text'][11 + shift] == vocabulary.EPAD
  assert (found['text'][:3] == vocabulary.PAD).all() and (found['task'], found['ahead']) == (mode.task, mode.ahead)
  np.testing.assert_array_equal(found['codes'][0, :40, 1], np.arange(40))
  assert found['weight'].sum() == min(60, 40 + shift + 3)


def test_in_synthesis_the_voice_waits_for_the_text():
  found = row(slots.Mode(slots.SYNTHESIS, 16))
  assert begins(found['text']) == {4: 'నేను', 12: 'బాగానే', 30: 'ఉన్నాను'}
  np.testing.assert_array_equal(found['codes'][0, :16], np.tile(SILENCE, (16, 1)))
  np.testing.assert_array_equal(found['codes'][0, 16:56, 1], np.arange(40))
  np.testing.assert_array_equal(found['prosody'][:16], prosody.silent(16))
  np.testing.assert_array_equal(found['prosody'][16:56:2], np.arange(20))
  assert found['weight'].sum() == 59


def test_a_listener_says_nothing_and_only_recognition_writes_down_what_it_hears():
  for mode in (slots.Mode(slots.DIALOGUE, 0), slots.Mode(slots.SYNTHESIS, 30)):
    assert (row(mode, batches.USER)['text'] == vocabulary.PAD).all()
  assert len(begins(row(slots.Mode(slots.RECOGNITION, -12), batches.USER)['text'])) == 3


def test_words_that_began_before_the_row_are_left_out():
  short = dataclasses.replace(WINDOW, frames=30)
  assert begins(row(slots.Mode(slots.DIALOGUE, 0), start=10, window=short)['text']) == {2: 'బాగానే', 20: 'ఉన్నాను'}
  assert set(begins(row(slots.Mode(slots.RECOGNITION, -12), start=10, window=short)['text'])) == {14}


def test_without_words_the_slot_is_absent():
  found = batches.Cast(WINDOW, SILENCE, TEXT).random_map([clip(words=None)], np.random.default_rng(0))
  assert (found['text'] == slots.ABSENT).all() and (found['task'], found['ahead']) == (slots.ABSENT, 0)
  assert (row(slots.Mode(slots.DIALOGUE, 0), tokens=clip(words=()))['text'] == vocabulary.PAD).all()


def test_a_row_without_a_text_slot_is_the_one_that_it_was():
  for tokens in (clip(), clip(90)):
    for seed in range(20):
      off = batches.Cast(WINDOW, SILENCE).random_map([tokens], np.random.default_rng(seed))
      plain = batches.Cast(WINDOW, SILENCE).random_map([dataclasses.replace(tokens, words=None)], np.random.default_rng(seed))
      assert set(off) == set(plain) == {'codes', 'prosody', 'weight'}
      for name in off:
        np.testing.assert_array_equal(off[name], plain[name])


def test_modes_come_in_their_shares_with_delays_in_their_ranges():
  rng = np.random.default_rng(0)
  modes = [TEXT.mode(clip(), rng) for _ in range(3000)]
  for task, share in enumerate(TEXT.shares):
    assert abs(np.mean([mode.task == task for mode in modes]) - share) < 0.035         # 4 standard deviations
  ahead = {task: sorted({mode.ahead for mode in modes if mode.task == task}) for task in range(3)}
  assert ahead[slots.DIALOGUE] == [0]
  assert ahead[slots.SYNTHESIS] == list(range(26, 51, 2)) and ahead[slots.RECOGNITION] == list(range(-50, -11, 2))


@pytest.mark.parametrize('wrong, says', [(dict(shares=(1, 1)), 'text.shares'), (dict(shares=(0, 0, 0)), 'text.shares'),
                                         (dict(ahead=(50, 25)), 'text.ahead'), (dict(behind=(13, 13)), 'text.behind')])
def test_what_cannot_be_drawn_from_is_refused(wrong, says):
  with pytest.raises(InputError, match=says):
    slots.Text(VOCABULARY, **wrong)
