"""Segments to bytes and back."""
import dataclasses

from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
import numpy as np
import pytest

from telugu_s2s.preparation import shards
from telugu_s2s.preparation.segment import Segment, from_bytes, to_bytes

WORD = st.text(max_size=9)
SEGMENTS = st.builds(
    Segment, id=WORD, source=WORD, revision=WORD, path=WORD, start_s=st.floats(0, 1e5), licence=WORD,
    licence_class=st.sampled_from('ABCDE'), language=WORD, speaker=WORD, text=WORD, dialogue=WORD,
    turn=st.none() | st.integers(0, 99), channel=st.none() | st.integers(0, 1),
    quality=st.dictionaries(WORD, st.floats(-100, 100)), custom=st.dictionaries(WORD, WORD),
    audio=arrays.arrays(np.int16, st.integers(1, 3000)).map(lambda pcm: pcm.astype(np.float32) / 32768))


@settings(max_examples=50, deadline=None)
@given(SEGMENTS)
def test_every_field_and_sample_comes_back(segment):
  back = from_bytes(to_bytes(segment))
  np.testing.assert_array_equal(back.audio, segment.audio)
  assert back.audio.dtype == np.float32 and len(back.sha256) == 64
  for field in dataclasses.fields(Segment):
    if field.name not in ('audio', 'sha256'):
      assert getattr(back, field.name) == getattr(segment, field.name)
  assert to_bytes(back) == to_bytes(segment)


def segment(audio):
  return Segment('a', audio, 's', 'r', 'p', 0.0, 'CC0-1.0', 'A')


def test_audio_finer_than_16_bits_is_rounded_once():
  audio = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
  once = from_bytes(to_bytes(segment(audio)))
  assert np.abs(once.audio - audio).max() <= 0.5 / 32768 + 1e-7
  assert to_bytes(once) == to_bytes(segment(audio))
  assert once.seconds == 1000 / 16000


def test_the_hash_is_of_the_samples_alone():
  audio = np.zeros(100, np.float32)
  one, other = (from_bytes(to_bytes(dataclasses.replace(segment(audio), text=text))) for text in ('x', 'y'))
  assert one.sha256 == other.sha256 != from_bytes(to_bytes(segment(audio + 0.5))).sha256


def test_samples_of_another_segment_are_noticed():
  _, header, _ = shards.unpack(to_bytes(segment(np.zeros(100))), 'segment')
  _, _, payload = shards.unpack(to_bytes(segment(np.full(100, 0.5))), 'segment')
  with pytest.raises(ValueError, match='segment a: its samples'):
    from_bytes(shards.pack('segment', 1, header, payload))


def test_another_version_is_refused():
  _, header, payload = shards.unpack(to_bytes(segment(np.zeros(100))), 'segment')
  with pytest.raises(ValueError, match='version 9'):
    from_bytes(shards.pack('segment', 9, header, payload))
