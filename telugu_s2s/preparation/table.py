"""The labels of a folder's segments without their audio: what selection and reports read instead of the shards."""
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import shards
from telugu_s2s.preparation.segment import Segment

SUFFIX = '.jsonl'


def write(folder, name: str, labels: Iterable[Mapping]) -> None:
  """Writes the table of the shard `name`, a line a segment; see `of`."""
  files.write(Path(folder) / (name + SUFFIX), b''.join(shards.canonical(row) + b'\n' for row in labels))


def exists(folder, name: str) -> bool:
  """Whether the shard `name` has its table: one that an older version made has none, and is made again."""
  return (Path(folder) / (name + SUFFIX)).is_file()


def of(segment: Segment, sha256: str) -> dict:
  """The row of a segment: all its fields but the audio, and `seconds`. sha256: of its samples."""
  labels = {name: value for name, value in vars(segment).items() if name != 'audio'}
  return labels | {'sha256': sha256, 'seconds': round(segment.seconds, 6)}


def shard(folder, file: str) -> Iterator[dict]:
  """The rows of one shard, in the order of its records.

  Raises:
    InputError: the table is missing or damaged.
  """
  path = (Path(folder) / file).with_suffix(SUFFIX)
  try:
    with open(path, 'rb') as lines:
      for line in lines:
        yield json.loads(line)
  except (OSError, ValueError) as problem:
    raise InputError(f'{path}: {problem}; delete it and run configs/prepare.py: the shards are kept') from problem


def rows(folder, manifest: Mapping) -> Iterator[dict]:
  """Every segment of a folder with `shard` (file), `index` (in it) and `dropped`, the reason or '' for one that stays."""
  for entry in manifest['shards']:
    gone = {index: reason for reason, text in entry.get('dropped', {}).items() for index in shards.indices(text)}
    for index, row in enumerate(shard(folder, entry['file'])):
      yield row | {'shard': entry['file'], 'index': index, 'dropped': gone.get(index, '')}
