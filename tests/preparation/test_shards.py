"""Records and shards: what was written is what is read, and damage is named."""
import json
import os
import re
import resource
import subprocess
import sys

from array_record.python import array_record_module
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import shards

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
KINDS = st.text(st.characters(codec='utf-8'), max_size=9)


def records(count=20, size=50):
  return [shards.pack('word', 1, {'n': n}, bytes([n % 256]) * (size + n)) for n in range(count)]


def contents(path):
  reader = array_record_module.ArrayRecordReader(str(path))
  return [reader.read([index])[0] for index in range(reader.num_records())]


@settings(deadline=None)
@given(KINDS, st.integers(0, 65535), st.dictionaries(st.text(), JSON), st.binary(max_size=200))
def test_a_record_gives_back_what_was_packed(kind, version, header, payload):
  record = shards.pack(kind, version, header, payload)
  assert shards.unpack(record, kind) == (version, header, payload)
  assert shards.unpack(record, kind, version) == (version, header, payload)
  assert record == shards.pack(kind, version, dict(reversed(header.items())), payload)


@settings(deadline=None)
@given(st.data())
def test_any_flipped_bit_or_lost_end_is_noticed(data):
  record = shards.pack('word', 3, {'a': 1}, b'payload')
  place = data.draw(st.integers(0, 8 * len(record) - 1))
  flipped = bytearray(record)
  flipped[place // 8] ^= 1 << place % 8
  with pytest.raises(ValueError):
    shards.unpack(bytes(flipped), 'word')
  with pytest.raises(ValueError):
    shards.unpack(record[:data.draw(st.integers(0, len(record) - 1))], 'word')


@pytest.mark.parametrize('record, says', [
    (b'', 'no word record'), (b'RIFF' + bytes(40), 'RIFF'),
    (shards.pack('sound', 1, {}, b''), "'sound' where 'word'"), (shards.pack('word', 2, {}, b''), 'version 2.*version 1')])
def test_a_foreign_record_is_named(record, says):
  with pytest.raises(ValueError, match=says):
    shards.unpack(record, 'word', 1)


def test_a_number_that_json_cannot_say_is_refused_at_once():
  with pytest.raises(ValueError):
    shards.pack('word', 1, {'snr': float('nan')}, b'')


def test_a_shard_holds_the_records_and_its_row_describes_them(tmp_path):
  row = {'seconds': 0.0}

  def spoken():
    for record in records():
      row['seconds'] += 1.5
      yield record

  result = shards.write(tmp_path / 'new' / 'folder', 'a', spoken(), row)
  path = tmp_path / 'new' / 'folder' / result['file']
  assert contents(path) == records() and result['records'] == 20 and result['seconds'] == 30
  assert result['bytes'] == path.stat().st_size
  assert shards.finished(path.parent, 'a') == result
  assert sorted(os.listdir(path.parent)) == ['a.array_record', 'a.json']


def test_the_same_records_give_the_same_files(tmp_path):
  first, second = (shards.write(tmp_path / name, 'a', records()) for name in 'xy')
  assert first == second and (tmp_path / 'x/a.array_record').read_bytes() == (tmp_path / 'y/a.array_record').read_bytes()
  assert shards.write(tmp_path / 'z', 'a', records()[::-1])['content'] != first['content']


def test_a_shard_that_fails_leaves_nothing(tmp_path):
  def broken():
    yield from records()
    raise RuntimeError('decoder')

  with pytest.raises(RuntimeError, match='decoder'):
    shards.write(tmp_path, 'a', broken())
  assert os.listdir(tmp_path) == [] and shards.finished(tmp_path, 'a') is None


def test_a_disk_that_takes_no_more_is_named_and_nothing_is_left(tmp_path):
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))      # of a file: a write beyond it fails as on a full disk
  try:
    with pytest.raises(InputError, match=f'{tmp_path}: a shard cannot be written .*too large.*is the disk full'):
      shards.write(tmp_path, 'a', (os.urandom(50_000) for _ in range(8)))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert os.listdir(tmp_path) == [] and shards.finished(tmp_path, 'a') is None


def test_a_shard_without_its_row_or_its_end_is_not_finished(tmp_path):
  row = shards.write(tmp_path, 'a', records())
  path = tmp_path / row['file']
  whole = path.read_bytes()
  path.write_bytes(whole[:-1])
  assert shards.finished(tmp_path, 'a') is None
  path.write_bytes(whole)
  assert shards.finished(tmp_path, 'a') == row
  (tmp_path / 'a.json').write_text('{"file": ')
  assert shards.finished(tmp_path, 'a') is None


def dataset(folder):
  rows = [shards.write(folder, name, records(count)) for name, count in (('a', 5), ('none', 0), ('b', 20))]
  return shards.write_manifest(folder, 'word', 1, {'settings': 'x'}, rows, language='te')


def test_a_manifest_sums_its_shards_and_is_the_same_twice(tmp_path):
  manifest = dataset(tmp_path)
  text = (tmp_path / 'manifest.json').read_bytes()
  assert shards.check(tmp_path, 'word', hashes=True) == manifest == shards.read_manifest(tmp_path, 'word')
  assert (manifest['records'], manifest['language'], manifest['made_from']) == (25, 'te', {'settings': 'x'})
  assert shards.files(tmp_path, manifest) == [str(tmp_path / f'{name}.array_record') for name in 'ab']
  dataset(tmp_path)
  assert (tmp_path / 'manifest.json').read_bytes() == text


def truncate(path):
  path.write_bytes(path.read_bytes()[:-100])


def blank(path):
  path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize('damage, says', [(os.unlink, 'missing'), (truncate, 'truncated'), (blank, 'damaged')])
def test_a_damaged_shard_is_named_with_the_remedy(tmp_path, damage, says):
  dataset(tmp_path)
  damage(tmp_path / 'b.array_record')
  with pytest.raises(InputError, match=f'b.array_record: {says}.*run the job') as caught:
    shards.check(tmp_path, 'word')
  assert '\n' not in str(caught.value)


def test_hashes_find_a_flipped_byte_that_counts_do_not(tmp_path):
  noise = np.random.default_rng(0).bytes(100_000)
  row = shards.write(tmp_path, 'b', [shards.pack('word', 1, {}, noise)])
  shards.write_manifest(tmp_path, 'word', 1, {}, [row])
  data = bytearray((tmp_path / 'b.array_record').read_bytes())
  data[data.index(noise[100:120])] ^= 1
  (tmp_path / 'b.array_record').write_bytes(data)
  shards.check(tmp_path, 'word')
  with pytest.raises(InputError, match='b.array_record: changed'):
    shards.check(tmp_path, 'word', hashes=True)


@pytest.mark.parametrize('text, says', [(None, 'missing'), ('', 'not a manifest'), ('{"kind": "wo', 'not a manifest'),
                                        ('[]', 'not a manifest'), ('{"kind": "word"}', 'not a manifest'),
                                        (json.dumps({'kind': 'sound', 'shards': []}), "'sound' where 'word'")])
def test_a_folder_that_is_no_dataset_is_named(tmp_path, text, says):
  if text is not None:
    (tmp_path / 'manifest.json').write_text(text)
  with pytest.raises(InputError, match=f'manifest.json: .*{says}'):
    shards.read_manifest(tmp_path, 'word')


def test_only_what_dead_writers_of_this_machine_left_is_swept(tmp_path):
  dead = subprocess.Popen([sys.executable, '-c', ''])
  dead.wait()
  here = files.temporary_prefix()
  other = re.sub(r'-\d+-$', '-1-', here)                       # a container of one host name, whose processes we do not see
  left, ours, elsewhere = (tmp_path / f'{prefix}{pid}-a.array_record' for prefix, pid in ((here, dead.pid), (here, os.getpid()), (other, dead.pid)))
  for path in (left, ours, elsewhere, tmp_path / 'a.array_record'):
    path.write_bytes(b'x')
  assert shards.sweep(tmp_path) == 1
  assert not left.exists() and ours.exists() and elsewhere.exists() and (tmp_path / 'a.array_record').exists()
