"""Duplicates: copies are found among many, others are left alone, and no sentence comes too often."""
import collections
import io
import time

from hypothesis import given, strategies as st
import numpy as np
import pytest
import soundfile

from telugu_s2s.audio import files, fingerprint, opus
from telugu_s2s.corpora import splits
from telugu_s2s.preparation import duplicates
from telugu_s2s.preparation.prepare import SAMPLE

NAMES = sorted(path.name for path in (SAMPLE / 'audio').glob('a0[0-3]*.opus'))


@pytest.fixture(scope='module')
def voices():
  return [files.read(SAMPLE / 'audio' / name)[0] for name in NAMES]


@pytest.fixture(scope='module')
def prints(voices):
  return [fingerprint.fingerprint(audio) for audio in voices]


def through_opus(audio):
  return soundfile.read(io.BytesIO(opus.encoded(audio, 16)), dtype='float32')[0]


def test_two_voices_of_a_sentence_and_other_sentences_of_a_voice_are_no_duplicates(prints):
  sentences, voices = zip(*(name.split('-') for name in NAMES))
  assert max(collections.Counter(sentences).values()) > 1 and max(collections.Counter(voices).values()) > 5
  assert duplicates.near_duplicates(prints) == []


def test_copies_are_found_among_others_each_in_its_group(voices, prints):
  noise = np.random.default_rng(0).normal
  copies = [0.1 * voices[2], through_opus(voices[5]), voices[9][2080:], np.rint(voices[9] * 127) / np.float32(127),
            voices[12] + noise(0, 0.1 * voices[12].std(), len(voices[12])).astype(np.float32), through_opus(0.5 * voices[2])]
  count = len(prints)
  found = duplicates.near_duplicates(prints + [fingerprint.fingerprint(copy) for copy in copies])
  assert found == [[2, count, count + 5], [5, count + 1], [9, count + 2, count + 3], [12, count + 4]]


def test_many_copies_of_one_recording_are_one_group(prints):
  assert duplicates.near_duplicates([prints[1], *[prints[0]] * 40, prints[2]]) == [list(range(1, 41))]


def test_silence_and_what_has_no_frames_are_no_duplicates(prints):
  silence = np.zeros(200, np.uint32)
  assert duplicates.near_duplicates([]) == duplicates.near_duplicates([silence[:0]] * 2) == []
  assert duplicates.near_duplicates([silence, silence, prints[0], silence[:0], silence[:0]]) == []


def test_a_short_recording_has_to_fit_better_than_a_long_one():
  assert duplicates.allowed(256) == duplicates.allowed(5000) == pytest.approx(0.35)
  assert duplicates.allowed(83) == pytest.approx(0.237, abs=0.001) and duplicates.allowed(20) < 0
  assert duplicates.allowed(100, 0.3) < duplicates.allowed(100)


def test_two_thousand_segments_take_a_moment():
  draw = np.random.default_rng(0)
  prints = [draw.integers(1, 2**32, 300, dtype=np.uint32) for _ in range(2000)]
  prints[1500] = prints[3] ^ (np.uint32(1) << draw.integers(0, 32, 300, dtype=np.uint32)) * (draw.random(300) < 0.9)
  start = time.process_time()
  assert duplicates.near_duplicates(prints) == [[3, 1500]]
  assert time.process_time() - start < 5               # 2 million pairs at 1 ms would be half an hour


TEXTS = st.lists(st.sampled_from(['', 'ఒకటి', 'ఒకటి!', 'Yes', 'yes.', 'no', '...']), max_size=30)


@given(TEXTS, st.integers(0, 4))
def test_no_sentence_stays_more_often_than_the_cap_and_none_is_dropped_without_need(texts, most):
  kept = duplicates.text_cap(texts, most)
  before, after = (collections.Counter(splits.plain(texts[index]) for index in indices) for indices in (range(len(texts)), kept))
  assert kept == sorted(set(kept))
  for sentence, count in before.items():
    assert after[sentence] == (min(count, most) if sentence else count)


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(['a', 'A!', 'b', ''])), unique_by=lambda one: one[0]), st.randoms())
def test_with_ids_the_choice_does_not_follow_the_order(rows, shuffled):
  def chosen(rows):
    return {rows[index][0] for index in duplicates.text_cap([text for _, text in rows], 2, [f'{name}' for name, _ in rows])}

  other = list(rows)
  shuffled.shuffle(other)
  assert chosen(other) == chosen(rows)


def test_the_first_to_come_are_not_preferred():
  kept = duplicates.text_cap(['same'] * 1000, 100)
  assert len(kept) == 100 and 300 < np.mean(kept) < 700


def test_words_looked_up_in_several_rounds_give_the_same_groups(voices, prints):
  copies = [fingerprint.fingerprint(copy) for copy in (0.1 * voices[2], through_opus(voices[5]), voices[9][2080:])]
  whole = duplicates.near_duplicates(prints + copies)
  assert len(whole) == 3 and whole == duplicates.near_duplicates(prints + copies, most_words=1000)


def test_what_shares_a_word_by_chance_is_told_by_what_lies_around_it(prints):
  rng = np.random.default_rng(0)
  others = [rng.integers(1, 2**32, 400, dtype=np.uint32) for _ in range(300)]
  for place, words in enumerate(others):
    words[200] = others[0][200]
  looked_at = len(list(duplicates._candidates([*others, prints[0], prints[0]], 0, 1, 0.35)))
  assert looked_at < 10 and duplicates.near_duplicates([*others, prints[0], prints[0]]) == [[300, 301]]
