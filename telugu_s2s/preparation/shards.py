"""Folders of ArrayRecord shards: framed records, files that are whole or absent, and a manifest that is checked.

A record says what it is: magic, kind, schema version, a JSON header, a payload and a checksum. A shard is made
under a temporary name, reopened and counted, flushed, and renamed; then its row, a small JSON file beside it,
is written the same way. Whoever finds the row has a finished shard, so a rerun goes on where the last one ended.
"""
import hashlib
import importlib.metadata
import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from array_record.python import array_record_module

from telugu_s2s.audio import files as audio_files
from telugu_s2s.errors import InputError

MAGIC = b'TS2S'
HEAD = struct.Struct('<4sHHI')     # magic, bytes of the kind, schema version, bytes of the header
CHECK = struct.Struct('<I')        # crc32 of all before it
SUFFIX = '.array_record'
MANIFEST = 'manifest.json'


def canonical(value) -> bytes:
  """JSON with sorted keys and no spaces: equal values give equal bytes. NaN and infinity raise ValueError."""
  return json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False, allow_nan=False).encode()


def pack(kind: str, version: int, header: Mapping, payload: bytes) -> bytes:
  """One record. kind: what it holds, such as 'segment'; header: anything JSON can say."""
  name, text = kind.encode(), canonical(header)
  body = b''.join([HEAD.pack(MAGIC, len(name), version, len(text)), name, text, payload])
  return body + CHECK.pack(zlib.crc32(body))


def unpack(record: bytes, kind: str, version: int | None = None) -> tuple[int, dict, bytes]:
  """The (schema version, header, payload) of a record made by `pack`.

  Args:
    kind: what the record has to be.
    version: the only schema version accepted; None takes any.

  Raises:
    ValueError: it is no record, is damaged, or is of another kind or version; the message says which.
  """
  if len(record) < HEAD.size + CHECK.size or record[:4] != MAGIC:
    raise ValueError(f'no {kind} record: it begins with {bytes(record[:4])!r} instead of {MAGIC!r}')
  if CHECK.unpack(record[-CHECK.size:])[0] != zlib.crc32(memoryview(record)[:-CHECK.size]):
    raise ValueError(f'a {kind} record of {len(record)} bytes is damaged: its checksum does not match')
  _, name, found, header = HEAD.unpack_from(record)
  start = HEAD.size + name
  if record[HEAD.size:start] != kind.encode():
    raise ValueError(f'a record of kind {record[HEAD.size:start].decode()!r} where {kind!r} is expected')
  if version not in (None, found):
    raise ValueError(f'a {kind} record of version {found}; this code reads version {version}')
  return found, json.loads(record[start:start + header]), record[start + header:-CHECK.size]


def write(folder, name: str, records: Iterable[bytes], row: Mapping | None = None) -> dict:
  """Writes the shard `name` and its row; either both are there and whole, or neither counts.

  Args:
    folder: made if it is missing.
    name: without the suffix; two writers of one name must write the same bytes, the last one wins.
    records: what `pack` gives, or any other bytes.
    row: further fields of the manifest row, such as seconds. It is read after the last record, so that the
      generator of the records may still fill it.

  Returns:
    The row: file, records, bytes, sha256 (of the file), content (sha256 over the records), and `row`.

  Raises:
    InputError: the disk is full, or takes no more of the file for another reason.
  """
  folder = Path(folder)
  beside = audio_files.beside(folder / (name + SUFFIX))
  content, count = hashlib.sha256(), 0
  try:
    # One record a group: random reads are what training does, and larger groups decode all of a group for one.
    writer = array_record_module.ArrayRecordWriter(str(beside), 'group_size:1')
    try:
      for record in records:
        _put(beside, writer.write, record)
        content.update(CHECK.pack(len(record)))
        content.update(record)
        count += 1
    finally:
      _put(beside, writer.close)
    if counted(beside) != count:
      raise _full(beside, f'{count} records were written, {counted(beside)} are there')
    with open(beside, 'rb') as file:
      digest = hashlib.file_digest(file, 'sha256').hexdigest()
    result = {'file': name + SUFFIX, 'records': count, 'bytes': beside.stat().st_size, 'sha256': digest,
              'content': content.hexdigest(), **(row or {})}
    audio_files.settle(beside, folder / result['file'])
    write_json(folder / f'{name}.json', result)
    return result
  finally:
    beside.unlink(missing_ok=True)


def _put(path, call, *given):
  """Calls ArrayRecord's writer, which raises RuntimeError where the disk takes no more."""
  try:
    call(*given)
  except RuntimeError as problem:
    raise _full(path, str(problem).partition(';')[0]) from None


def _full(path, problem) -> InputError:
  return InputError(f'{path.parent}: a shard cannot be written ({problem}); is the disk full? What is finished is kept, make room and run it again')


def finished(folder, name: str) -> dict | None:
  """The row of a shard that was written whole; None if it, or its row, is not there in full size."""
  folder = Path(folder)
  try:
    row = json.loads((folder / f'{name}.json').read_bytes())
    return row if (folder / row['file']).stat().st_size == row['bytes'] else None
  except (OSError, ValueError):
    return None


def counted(path) -> int:
  """How many records a shard holds; 0 if it is truncated or no ArrayRecord file."""
  reader = array_record_module.ArrayRecordReader(str(path))
  try:
    if not reader.ok():
      return 0
    return reader.num_records()
  finally:
    try:
      reader.close()
    except (ValueError, RuntimeError):
      pass      # closing a reader of a truncated file raises once more; the count of 0 has said it


class Records:
  """The raw records of one shard: `len(...)` and `[index]`, which raises RuntimeError for one that is damaged.

  Raises:
    ValueError: the file is truncated, or no shard.
  """

  def __init__(self, path):
    self._reader = array_record_module.ArrayRecordReader(str(path), 'readahead_buffer_size:0')
    if not self._reader.ok():
      raise ValueError(f'{path}: no ArrayRecord file, or a truncated one')

  def __len__(self) -> int:
    return self._reader.num_records()

  def __getitem__(self, index) -> bytes:
    if not 0 <= index < len(self):
      raise IndexError(f'record {index} of {len(self)}')
    return self._reader.read([index])[0]


def write_json(path, value) -> None:
  """Writes JSON, whole or not at all; equal values give equal files."""
  text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + '\n'
  audio_files.write(path, text.encode())


def sweep(folder) -> int:
  """Removes what killed writers of this machine left behind; says how many files. Live writers keep theirs."""
  removed, prefix = 0, audio_files.temporary_prefix()
  for path in Path(folder).glob('.tmp-*'):
    pid = path.name.removeprefix(prefix).split('-')[0]
    if path.name.startswith(prefix) and pid.isdecimal() and not _alive(int(pid)):
      path.unlink(missing_ok=True)
      removed += 1
  return removed


def _alive(pid):
  try:
    os.kill(pid, 0)
    # A dead process whose parent has not asked for it, as under a container's first process, still has a number.
    return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
  except ProcessLookupError:
    return False
  except OSError:       # another user's process, or a system without /proc
    return True


def write_manifest(folder, kind: str, version: int, made_from: Mapping, rows: Iterable[Mapping],
                   **more) -> dict:
  """Writes manifest.json, which makes a set of finished shards a dataset; returns it.

  Args:
    kind: of the records, as in `pack`.
    version: their schema version.
    made_from: what went in, such as the hash of the settings, the codec and the inputs.
    rows: of the shards, in the order of reading. A row may have `dropped`, see `kept`: its seconds are then those
      of what stays.
    more: further totals and facts; nothing may be called like a field that is set here.
  """
  rows = list(rows)
  total = lambda field: sum(row.get(field, 0) for row in rows)
  contents = hashlib.sha256(''.join(content(row) for row in rows).encode()).hexdigest()
  manifest = {'kind': kind, 'version': version, 'made_from': dict(made_from), 'shards': rows, 'content': contents,
              'records': sum(len(kept(row)) for row in rows), 'bytes': total('bytes'), 'seconds': total('seconds'),
              'code': code(), **more}
  write_json(Path(folder) / MANIFEST, manifest)
  return manifest


def code() -> str:
  """The version of the installed package, or 'source' when it runs from a checkout."""
  try:
    return importlib.metadata.version('telugu_s2s')
  except importlib.metadata.PackageNotFoundError:
    return 'source'


def read_manifest(folder, kind: str) -> dict:
  """The manifest of a folder of shards.

  Raises:
    InputError: there is none, it cannot be read, or it is of another kind.
  """
  path = Path(folder) / MANIFEST
  try:
    manifest = json.loads(path.read_bytes())
    if manifest['kind'] != kind:
      raise InputError(f'{path}: shards of kind {manifest["kind"]!r} where {kind!r} is expected; give another folder')
    manifest['shards']
  except FileNotFoundError:
    raise InputError(f'{path}: missing; run the job that makes these shards') from None
  except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
    raise InputError(f'{path}: not a manifest of shards; delete it and run the job that makes it') from None
  return manifest


def files(folder, manifest: Mapping) -> list[str]:
  """The paths of a manifest's shards that hold records, in the order of reading."""
  return [str(Path(folder) / row['file']) for row in manifest['shards'] if row['records']]


def kept(row: Mapping) -> Sequence[int]:
  """Which records of a shard belong to the dataset: all that its row's `dropped`, {reason: ranges}, does not name."""
  if not row.get('dropped'):
    return range(row['records'])
  gone = {index for text in row['dropped'].values() for index in indices(text)}
  return [index for index in range(row['records']) if index not in gone]


def content(row: Mapping) -> str:
  """What a shard brings to a dataset, as a hash: another one where its records differ, or which of them are dropped."""
  if not row.get('dropped'):
    return row['content']
  return hashlib.sha256(f'{row["content"]} {ranges(kept(row))}'.encode()).hexdigest()


def places(manifest: Mapping) -> Sequence[int]:
  """The places of a dataset's records among all those of its shards, in the order of reading."""
  if not any(row.get('dropped') for row in manifest['shards']):
    return range(sum(row['records'] for row in manifest['shards']))
  starts = itertools.accumulate((row['records'] for row in manifest['shards']), initial=0)
  return [start + index for start, row in zip(starts, manifest['shards']) for index in kept(row)]


def ranges(numbers: Iterable[int]) -> str:
  """Ascending whole numbers as text, such as '3,7-9'."""
  parts = []
  for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
    run = [number for _, number in run]
    parts.append(str(run[0]) if len(run) == 1 else f'{run[0]}-{run[-1]}')
  return ','.join(parts)


def indices(text: str) -> list[int]:
  """The numbers of `ranges`."""
  ends = [part.split('-') for part in text.split(',') if part]
  return [number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)]


def check(folder, kind: str, hashes: bool = False) -> dict:
  """The manifest of a folder of shards, each of which is there with its size and number of records.

  Args:
    hashes: compares the sha256 of every file too, which reads them all.

  Raises:
    InputError: see `read_manifest`; or a shard is missing, truncated or changed: the first one is named.
  """
  manifest = read_manifest(folder, kind)
  remedy = 'delete it and run the job that makes it: what is whole is kept'
  for row in manifest['shards']:
    path = Path(folder) / row['file']
    if not path.is_file():
      raise InputError(f'{path}: missing; run the job that makes it: what is whole is kept')
    if path.stat().st_size != row['bytes']:
      raise InputError(f'{path}: truncated or changed, {path.stat().st_size} bytes of {row["bytes"]}; {remedy}')
    if counted(path) != row['records']:
      raise InputError(f'{path}: damaged, {counted(path)} records of {row["records"]} can be read; {remedy}')
    if hashes:
      with open(path, 'rb') as file:
        if hashlib.file_digest(file, 'sha256').hexdigest() != row['sha256']:
          raise InputError(f'{path}: changed, its sha256 is not that of the manifest; {remedy}')
  return manifest
