"""The code file: what goes in comes out, nothing that was changed goes unnoticed, and it is as small as its codes."""
import dataclasses
import tracemalloc

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import shards
from telugu_s2s.tokens import code_file


def content(frames, levels, entries, hop=320, spare=0, codebooks=8, seed=0):
  """A code file's content with random codes; spare: samples by which the last frame is not full."""
  codes = np.random.default_rng(seed).integers(0, entries, (frames, levels)).astype(np.uint16)
  return code_file.CodeFile(codes, max(0, frames * hop - spare), '25hz-8x1024-0123456789ab', 16_000, hop, codebooks, entries)


@st.composite
def contents(draw):
  hop = draw(st.integers(1, 640))
  return content(draw(st.integers(0, 40)), draw(st.integers(1, 8)), draw(st.integers(1, 2**16)), hop,
                 draw(st.integers(0, hop - 1)), seed=draw(st.integers(0, 99)))


def same(one, other):
  np.testing.assert_array_equal(one.codes, other.codes)
  assert one.codes.dtype == other.codes.dtype == np.uint16
  assert dataclasses.replace(one, codes=None) == dataclasses.replace(other, codes=None)


@given(contents())
@settings(max_examples=60, deadline=None)
def test_a_code_file_gives_back_what_went_in(given):
  data = code_file.to_bytes(given)
  same(code_file.from_bytes(data), given)
  assert code_file.to_bytes(code_file.from_bytes(data)) == data


@given(contents(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_or_a_missing_end_is_always_noticed(given, data):
  whole = code_file.to_bytes(given)
  bit = data.draw(st.integers(0, 8 * len(whole) - 1))
  flipped = bytearray(whole)
  flipped[bit // 8] ^= 1 << bit % 8
  for damaged in (bytes(flipped), whole[:data.draw(st.integers(0, len(whole) - 1))], whole + b'\0'):
    with pytest.raises(ValueError):
      code_file.from_bytes(damaged)


def test_every_bit_and_every_byte_counts():
  whole = code_file.to_bytes(content(5, 3, 1000, spare=7))
  for bit in range(8 * len(whole)):
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match='checksum does not match|begins with|truncated or changed'):
      code_file.from_bytes(bytes(flipped))
  for size in range(len(whole)):
    with pytest.raises(ValueError, match='truncated|checksum does not match'):
      code_file.from_bytes(whole[:size])


def told(data, **fields):
  """A code file whose checksum holds and whose header has other fields."""
  _, header, payload = shards.unpack(data, 'codes', 1)
  return shards.pack('codes', 1, header | fields, payload)


@pytest.mark.parametrize('damage, says', [
    (lambda data: data[:-9], r'talk.codes: truncated or changed: it has (\d+) bytes, its header tells of (\d+)'),
    (lambda data: data[:-9] + bytes([data[-9] ^ 16]) + data[-8:], 'talk.codes: .*checksum does not match'),
    (lambda data: b'RIFF' + data[4:], "talk.codes: no codes record: it begins with b'RIFF'"),
    (lambda data: b'', 'talk.codes: truncated'),
    (lambda data: shards.pack('tokens', 1, {}, b''), "talk.codes: a record of kind 'tokens' where 'codes' is expected"),
    (lambda data: shards.pack('codes', 9, {}, b''), 'talk.codes: a codes record of version 9; this code reads version 1'),
    (lambda data: told(data, levels=None), 'talk.codes: levels None in its header'),
    (lambda data: told(data, hop=0), 'talk.codes: hop 0 in its header'),
    (lambda data: told(data, samples='9'), "talk.codes: samples '9' in its header"),
    (lambda data: told(data, levels=80), 'talk.codes: 80 levels of 8'),
    (lambda data: told(data, codec=5), 'talk.codes: codec 5 in its header'),
], ids=['truncated', 'flipped', 'of another kind', 'empty', 'a record', 'of a later version', 'without levels', 'without length',
        'not a number', 'more levels', 'without a name'])
def test_a_file_that_is_none_is_named_with_its_fault(tmp_path, damage, says):
  path = tmp_path / 'talk.codes'
  path.write_bytes(damage(code_file.to_bytes(content(40, 8, 1024))))
  with pytest.raises(InputError, match=says) as caught:
    code_file.read(path)
  assert '\n' not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
  with pytest.raises(InputError, match='none.codes: No such file'):
    code_file.read(tmp_path / 'none.codes')


def test_codes_take_the_bits_that_they_need_and_no_more(tmp_path):
  minute = content(1500, 8, 1024, hop=640)
  size = code_file.write(tmp_path / 'minute.codes', minute)
  assert size == (tmp_path / 'minute.codes').stat().st_size
  assert 15_000 < size <= 15_000 + 160                   # 2.0 kbit/s, and the header
  same(code_file.read(tmp_path / 'minute.codes'), minute)


@pytest.mark.parametrize('entries, bits', [(2, 1), (3, 2), (11, 4), (1024, 10), (1025, 11), (65536, 16)])
def test_codes_are_written_highest_bit_first(entries, bits):
  codes = content(3, 5, entries).codes
  text = ''.join(f'{code:0{bits}b}' for code in codes.ravel())
  text += '0' * (-len(text) % 8)
  assert code_file.packed(codes, entries) == int(text, 2).to_bytes(len(text) // 8, 'big')


def packed_at_once(codes, entries):
  """As it was written before there were blocks."""
  places = np.arange(max(1, (entries - 1).bit_length()))[::-1]
  return np.packbits((np.asarray(codes, np.uint32).reshape(-1, 1) >> places & 1).astype(np.uint8)).tobytes()


@given(contents(), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_the_bytes_do_not_tell_in_which_blocks_they_were_packed(given, blocks):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(code_file, 'BLOCK', 8 * blocks)
    data = code_file.packed(given.codes, given.entries)
    assert data == packed_at_once(given.codes, given.entries)
    np.testing.assert_array_equal(code_file.unpacked(data, given.codes.shape, given.entries), given.codes)


def test_a_long_recording_is_packed_in_little_memory():
  """Four hours: 2.9 million codes of 2 bytes each, which would take 230 MB at once."""
  codes = np.random.default_rng(0).integers(0, 1024, (360_000, 8)).astype(np.uint16)
  tracemalloc.start()
  try:
    data = code_file.packed(codes, 1024)
    found = code_file.unpacked(data, codes.shape, 1024)
    assert tracemalloc.get_traced_memory()[1] < 40e6
  finally:
    tracemalloc.stop()
  assert data == packed_at_once(codes, 1024)
  np.testing.assert_array_equal(found, codes)


@pytest.mark.parametrize('change', [dict(samples=321), dict(entries=10), dict(codebooks=2), dict(codes=np.zeros(4, int))])
def test_codes_that_do_not_fit_their_sizes_are_not_written(change):
  one = dataclasses.replace(content(1, 3, 11), **{'codes': np.full((1, 3), 10), **change})
  with pytest.raises(ValueError, match='codes'):
    code_file.to_bytes(one)
