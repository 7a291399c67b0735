"""Hashes of files: right, remembered, and right again when a file or the memory of it is not what it was."""
import contextlib
import hashlib
import os
import sqlite3

import pytest

from telugu_s2s.preparation import hashes


def sha256(data):
  return hashlib.sha256(data).hexdigest()


@pytest.fixture
def paths(tmp_path):
  names = [*(f'{number}.wav' for number in range(1200)), os.fsdecode(b'\xff\xfe.wav')]
  for name in names:
    (tmp_path / name).write_bytes(os.fsencode(name))
  return [str(tmp_path / name) for name in names]


def test_files_are_hashed_in_their_order_and_those_that_cannot_be_read_are_named(paths, tmp_path):
  found = list(hashes.of_files([*paths, str(tmp_path / 'no.wav'), str(tmp_path), paths[0]], tmp_path))
  assert found[:1201] == [(sha256(os.fsencode(os.path.basename(path))), '') for path in paths]
  assert found[1201:] == [('', 'No such file or directory'), ('', 'Is a directory'), found[0]]
  assert list(hashes.of_files([], tmp_path)) == []


def test_what_has_not_changed_is_not_read_again(paths, tmp_path, monkeypatch):
  first = list(hashes.of_files(paths, tmp_path))
  with open(paths[1], 'wb') as file:
    file.write(b'another')
  read, real = [], hashlib.file_digest
  monkeypatch.setattr(hashlib, 'file_digest', lambda file, name: read.append(file.name) or real(file, name))
  again = list(hashes.of_files(paths, tmp_path))
  assert read == [os.fsencode(paths[1])] and again[1] == (sha256(b'another'), '') and again[2:] == first[2:]


def test_a_file_that_comes_once_for_each_of_its_turns_is_read_once(paths, tmp_path, monkeypatch):
  read, real = [], hashlib.file_digest
  monkeypatch.setattr(hashlib, 'file_digest', lambda file, name: read.append(file.name) or real(file, name))
  found = list(hashes.of_files(paths[:1] * 700 + paths[1:2], tmp_path))
  assert len(read) == 2 and len(found) == 701 and len(set(found[:700])) == 1 and found[700] != found[0]


@pytest.mark.parametrize('damage', [lambda path: path.write_bytes(b'no database' * 100), lambda path: path.write_bytes(b''),
                                    lambda path: path.write_bytes(path.read_bytes()[:5000]),
                                    lambda path: path.write_bytes(path.read_bytes()[:-8192] + bytes(8192))], ids=['other', 'empty', 'cut', 'pages'])
def test_a_damaged_memory_costs_time_and_nothing_else(paths, tmp_path, damage):
  want = list(hashes.of_files(paths, tmp_path))
  damage(tmp_path / hashes.NAME)
  assert list(hashes.of_files(paths, tmp_path)) == want
  assert list(hashes.of_files(paths, tmp_path)) == want


def test_where_nothing_may_be_written_nothing_is_remembered(paths, tmp_path):
  assert list(hashes.of_files(paths[:2], tmp_path / 'no' / 'such')) == list(hashes.of_files(paths[:2], tmp_path))


def test_a_file_that_was_replaced_with_its_size_and_time_kept_is_read_again(paths, tmp_path):
  first = list(hashes.of_files(paths, tmp_path))
  status = os.stat(paths[0])
  other = tmp_path / 'other'
  other.write_bytes(b'1.wav')
  os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
  os.replace(other, paths[0])
  assert os.stat(paths[0]).st_size == status.st_size and os.stat(paths[0]).st_mtime_ns == status.st_mtime_ns
  assert list(hashes.of_files(paths, tmp_path)) == [(sha256(b'1.wav'), ''), *first[1:]]


def test_while_another_process_holds_the_memory_files_are_read_all_the_same(paths, tmp_path, monkeypatch):
  want = list(hashes.of_files(paths[:3], tmp_path))
  real = sqlite3.connect
  monkeypatch.setattr(sqlite3, 'connect', lambda place: real(place, timeout=0.05))
  with contextlib.closing(real(tmp_path / hashes.NAME)) as other:
    other.execute('begin exclusive')
    assert list(hashes.of_files(paths[:3], tmp_path)) == want
  found = hashes.of_files(paths, tmp_path)
  next(found)
  with contextlib.closing(real(tmp_path / hashes.NAME)) as other:          # in the middle
    other.execute('begin exclusive')
    assert len(list(found)) == len(paths) - 1
