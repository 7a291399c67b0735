"""The record between audio and language: what goes in comes out, and nothing else is read."""
import dataclasses

from hypothesis import given, settings, strategies as st
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest

from telugu_s2s.preparation import segment, shards
from telugu_s2s.tokens import record

words = st.text(max_size=12)
labels = st.fixed_dictionaries({'id': words, 'text': words, 'turn': st.none() | st.integers(0, 9),
                                'custom': st.dictionaries(words, words, max_size=2)})


@st.composite
def clips(draw):
  frames, codebooks, size = draw(st.integers(0, 40)), draw(st.integers(1, 9)), draw(st.sampled_from([2, 11, 1024, 65536]))
  codes = draw(arrays.arrays('u2', (frames, codebooks), elements=st.integers(0, size - 1)))
  prosody = draw(arrays.arrays('u1', ((frames + 1) // 2,)))
  said = draw(st.none() | st.lists(st.tuples(words, st.integers(0, frames), st.integers(0, frames), st.floats(0, 1))))
  if said is not None:
    said = tuple(sorted((record.Word(text, min(a, b), max(a, b), sure) for text, a, b, sure in said), key=lambda one: one.start))
  return record.Tokens(codes, prosody, draw(words), size, draw(st.sampled_from([12.5, 25.0, 50.0])), draw(labels), said)


CLIP = record.Tokens(np.arange(15, dtype='u2').reshape(5, 3) % 11, np.array([9, 63, 0], 'u1'), 'codec-a', 11, 25.0, {'id': 'ఒకటి'})


@settings(max_examples=60, deadline=None)
@given(clips())
def test_what_goes_in_comes_out(clip):
  back = record.from_bytes(record.to_bytes(clip))
  np.testing.assert_array_equal(back.codes, clip.codes)
  np.testing.assert_array_equal(back.prosody, clip.prosody)
  assert back.codes.shape == clip.codes.shape and back.codes.dtype == 'u2' and back.prosody.dtype == 'u1'
  for field in ('codec', 'codebook_codes', 'frame_rate', 'labels', 'words'):
    assert getattr(back, field) == getattr(clip, field)
  assert back.seconds == len(clip.codes) / clip.frame_rate
  assert record.to_bytes(back) == record.to_bytes(clip)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(record.to_bytes(CLIP)) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place, change):
  data = bytearray(record.to_bytes(CLIP))
  data[place] ^= change
  with pytest.raises(ValueError):
    record.from_bytes(bytes(data))


@pytest.mark.parametrize('length', [0, 3, 20, -1])
def test_a_cut_record_is_noticed(length):
  with pytest.raises(ValueError, match='tokens'):
    record.from_bytes(record.to_bytes(CLIP)[:length])


@pytest.mark.parametrize('other, says', [
    (shards.pack('segment', record.VERSION, {}, b''), "'segment' where 'tokens'"),
    (shards.pack(record.KIND, record.TIMED + 1, {}, b''), 'version 3'),
    (b'RIFF' + record.to_bytes(CLIP)[4:], 'RIFF'),
])
def test_a_record_of_another_kind_or_version_is_named(other, says):
  with pytest.raises(ValueError, match=says):
    record.from_bytes(other)


def test_sizes_that_do_not_fit_the_payload_are_noticed():
  header = {'frames': 6, 'codebooks': 3, 'codes': 11, 'codec': 'a', 'frame_rate': 25.0, 'labels': {}}
  with pytest.raises(ValueError, match='6 frames has 33 bytes'):
    record.from_bytes(shards.pack(record.KIND, record.VERSION, header, bytes(33)))


@pytest.mark.parametrize('wrong, says', [
    ({'codes': np.full((5, 3), 11)}, 'to 11, a codebook has 11'),
    ({'codes': np.full((5, 3), -1)}, 'from -1'),
    ({'codes': np.zeros((6, 3), int), 'prosody': np.zeros(4, int)}, 'do not fit'),
    ({'codes': np.zeros(5, int)}, 'do not fit'),
    ({'prosody': np.array([0, 1, 256])}, '256'),
    ({'words': (record.Word('ఒకటి', 0, 6, 1.0),)}, 'within 5 frames'),
    ({'words': (record.Word('ఒకటి', 3, 4, 1.0), record.Word('రెండు', 2, 4, 1.0))}, 'not in their order'),
])
def test_codes_out_of_range_are_refused(wrong, says):
  with pytest.raises(ValueError, match=says):
    record.to_bytes(dataclasses.replace(CLIP, **wrong))


def test_a_record_without_words_is_what_it_was_before_there_were_any():
  header = {'frames': 5, 'codebooks': 3, 'codes': 11, 'codec': 'codec-a', 'frame_rate': 25.0, 'labels': {'id': 'ఒకటి'}}
  before = shards.pack('tokens', 1, header, CLIP.codes.astype('<u2').tobytes() + CLIP.prosody.tobytes())
  assert record.to_bytes(CLIP) == before and record.from_bytes(before).words is None
  assert record.from_bytes(record.to_bytes(dataclasses.replace(CLIP, words=()))).words == ()


def test_the_labels_are_all_of_a_segment_but_its_audio():
  assert set(record.LABELS) == {field.name for field in dataclasses.fields(segment.Segment)} - {'audio'}
