"""Opus bytes: the same samples, the same file."""
import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings, strategies as st

from telugu_s2s.audio import opus

RATE = 16_000


def tone(seconds, hz=220.0):
  t = np.arange(int(seconds * RATE)) / RATE
  return (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def by_libsndfile(samples):
  file = io.BytesIO()
  soundfile.write(file, samples, RATE, format='OGG', subtype='OPUS')
  return file.getvalue()


def test_the_same_samples_give_the_same_bytes():
  assert opus.encoded(tone(1.3), 18) == opus.encoded(tone(1.3), 18)
  assert opus.encoded(tone(1.3), 18) != opus.encoded(tone(1.3, hz=230), 18)


def test_our_page_checksum_is_the_one_that_libogg_wrote():
  ogg = by_libsndfile(tone(2.1))
  start = ogg.index(b'OggS', 4)                     # the second page, to the third
  page = bytearray(ogg[start:ogg.index(b'OggS', start + 4)])
  written, = struct.unpack('<I', page[22:26])
  page[22:26] = bytes(4)
  assert opus.page_checksum(bytes(page)) == written


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 3))
def test_another_stream_number_changes_no_sample(number, seconds):
  ogg = by_libsndfile(tone(seconds))
  again = opus.numbered(ogg, number)
  assert again[14:18] == struct.pack('<I', number) and len(again) == len(ogg)
  before, after = (soundfile.read(io.BytesIO(data))[0] for data in (ogg, again))
  assert len(before) and np.array_equal(before, after)


def test_length_is_kept_and_the_bitrate_is_near_what_was_asked():
  samples = tone(6.0) + np.random.default_rng(0).normal(0, 0.05, 6 * RATE).astype(np.float32)
  for kbps in (12, 18, 32):
    data = opus.encoded(samples, kbps)
    assert soundfile.info(io.BytesIO(data)).frames == len(samples)
    assert 0.7 * kbps < (len(data) - 1000) * 8 / 6 / 1000 < 1.4 * kbps     # variable rate; headers are some 1 kB


def test_bytes_that_are_no_ogg_pages_are_refused():
  ogg = opus.encoded(tone(0.5), 18)
  with pytest.raises(ValueError, match='no Ogg page at byte 0'):
    opus.numbered(b'RIFF' + ogg, 1)
  with pytest.raises(ValueError, match='outside what Opus takes'):
    opus.encoded(tone(0.5), 500)
