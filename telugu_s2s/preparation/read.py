"""Prepared segments as an indexable source, for Grain or for a plain loop."""
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import grain
import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.corpora import splits
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import inputs, prepare, segment, shards, table


class Segments:
  """The segments of a folder that selection kept: `len(...)` and `[index]`, in the order of the manifest.

  Grain takes it as it is: `grain.MapDataset.source(Segments(folder))`.

  Raises:
    InputError: the folder holds no prepared segments, or a shard is missing or truncated.
  """

  def __init__(self, folder):
    self._folder = str(folder)
    self.manifest = shards.check(folder, segment.KIND)
    self._records = grain.sources.ArrayRecordDataSource(shards.files(folder, self.manifest))
    self._places = shards.places(self.manifest)

  def __len__(self) -> int:
    return len(self._places)

  def __getitem__(self, index) -> segment.Segment:
    """Raises InputError for a record that is damaged, IndexError outside of 0 to len - 1."""
    if not 0 <= index < len(self):
      raise IndexError(f'segment {index} of {len(self)}')
    try:
      return segment.from_bytes(self._records[self._places[index]])
    except (ValueError, RuntimeError) as problem:
      raise damaged(self._folder, index, problem) from problem

  def outlines(self) -> Iterator[tuple[dict, int]]:
    """What is known of each segment, and of how many samples it is, from the tables beside the shards: of 5000 h no record is read.

    Raises:
      InputError: a table is missing or damaged.
    """
    for row in table.rows(self._folder, self.manifest):
      if not row['dropped']:
        yield row, round(row['seconds'] * files.SAMPLE_RATE)

  def __repr__(self) -> str:
    return f'Segments({self._folder!r})'


class Kept:
  """Segments that stay in memory, decoded, once they were read: as 16-bit samples, up to `limit` bytes of them."""

  def __init__(self, segments, limit=2e9):
    self._segments, self._room, self._found = segments, limit, {}

  def __len__(self) -> int:
    return len(self._segments)

  def __getitem__(self, index) -> segment.Segment:
    """The segment, of which every reader gets its own samples."""
    if index in self._found:
      one, pcm = self._found[index]
      return dataclasses.replace(one, audio=pcm.astype(np.float32) / 32768)
    one = self._segments[index]
    pcm = files.pcm16(one.audio)
    if pcm.nbytes <= self._room:
      self._room -= pcm.nbytes
      self._found[index] = dataclasses.replace(one, audio=None), pcm
    return one

  def outlines(self) -> Iterator[tuple[dict, int]]:
    """As of `Segments`."""
    return self._segments.outlines()

  def __repr__(self) -> str:
    return f'Kept({self._segments!r})'


def held_out(data: prepare.Data, folder) -> tuple[Segments, str]:
  """The segments that a corpus holds out, prepared below `folder`, and 'eval'; those of training there, and saying so, and 'train', if it has none.

  Raises:
    InputError: its split 'eval' is there and cannot be used: nobody shall take training clips for it.
  """
  folder = Path(folder)
  try:
    check_held_out(data)
    prepare.prepare(dataclasses.replace(data, split=splits.EVAL), folder / 'eval')
    return Segments(folder / 'eval'), splits.EVAL
  except inputs.NoSplit as problem:
    print(f'no held-out clips ({problem}): measured on training clips')
    return Segments(folder / 'train'), splits.TRAIN


def check_held_out(data: prepare.Data) -> None:
  """Raises NoSplit where training takes what a corpus holds out."""
  if data.split in ('', splits.EVAL):
    raise inputs.NoSplit(f"data.split {data.split!r} trains on what is held out; give 'train'")


def spread(size: int, count: int) -> list[int]:
  """`count` indices below `size`, evenly spread with both ends among them; all of them where there are no more."""
  return [int(index) for index in np.unique(np.linspace(0, size - 1, count).astype(int))]


def damaged(folder, index, problem) -> InputError:
  """What a reader says of a record that cannot be read."""
  return InputError(f'{folder}: record {index} is damaged ({str(problem).splitlines()[0]}); delete the folder and run '
                    'the job that makes it')
