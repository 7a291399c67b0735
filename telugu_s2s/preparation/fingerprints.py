"""Audio fingerprints of segments, and of recordings that are held out: made once, kept in files beside the shards."""
import functools
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tqdm

from telugu_s2s.audio import fingerprint
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import engine, segment, shards
from telugu_s2s.preparation import recording as one_recording

KIND = 'fingerprint'
VERSION = 2
FOLDER = 'prints'              # below the segments'
OPEN = 64                      # files at a time: a login may open 1024, and 5000 h are thousands


class Words(Sequence):
  """u32[frames] of segments, from one file that is there as long as this: of 5000 h they are 6 GB, compared here and there millions of times."""

  def __init__(self, files: Sequence[str], places: Iterable[tuple[int, int]], whole: int):
    """Args: files, '' for none; (file, record) of each segment; all records of files[whole:] follow them."""
    opened, ends = functools.lru_cache(OPEN)(_opened), [0]
    places = [*places, *((number, index) for number in range(whole, len(files)) for index in range(len(_opened(files[number]))))]
    with tempfile.TemporaryFile(dir=Path(next(filter(None, files))).parent if any(files) else None) as file:
      for number, index in places:
        try:
          words = shards.unpack(opened(files[number])[index], KIND, VERSION)[2]
        except (ValueError, RuntimeError):
          raise _damaged(files[number]) from None
        file.write(words)
        ends.append(ends[-1] + len(words) // 4)
      file.flush()
      self._words = np.memmap(file, '<u4', 'r') if ends[-1] else np.zeros(0, '<u4')
    self._ends = np.array(ends)

  def __len__(self):
    return len(self._ends) - 1

  def __getitem__(self, place):
    if not 0 <= place < len(self):
      raise IndexError(f'segment {place} of {len(self)}')
    return np.asarray(self._words[self._ends[place]:self._ends[place + 1]])


def _opened(path) -> shards.Records:
  try:
    return shards.Records(path)
  except ValueError:
    raise _damaged(path) from None


def _damaged(path) -> InputError:
  return InputError(f'{path}: damaged; delete it and run the same command again, which makes it anew')


def of_shards(folder, rows: Sequence, workers: int, name: str = 'local', address: str = '') -> list[str]:
  """Fingerprints of the shards of `rows`, one file each; '' for one without records. What is there is not made again."""
  folder = Path(folder).absolute()
  tasks = [(f'prints-{VERSION}-{row["content"][:16]}', str(folder / FOLDER), str(folder / row['file'])) for row in rows]
  _make(_segments, [task for task, row in zip(tasks, rows) if row['records']], folder, 'segments', workers, name, address)
  return [_file(*task) if row['records'] else '' for task, row in zip(tasks, rows)]


def of_recordings(folder, tasks: Sequence, again: set[str], workers: int, name: str = 'local', address: str = '') -> tuple[list[str], int]:
  """Fingerprints of recordings, cut as segments are, of which nothing else is kept.

  Args:
    tasks: prepare.Task.
    again: reasons to leave a recording out that may be over: files that lack one for such a reason are made again.

  Returns:
    A file for each task, and how many recordings lack in them for such a reason.
  """
  folder = Path(folder).absolute()
  tasks = [(f'held-{VERSION}-{task.name}', str(folder / FOLDER), task) for task in tasks]
  _make(_recordings, tasks, folder, 'what is held out', workers, name, address, again)
  rows = [shards.finished(out, name) for name, out, _ in tasks]
  return [_file(*task) for task in tasks], sum(reason in again for row in rows for reason in row['skipped'])


def _file(name, out, _):
  return str(Path(out, name + shards.SUFFIX))


def _make(call, tasks, folder, what, workers, name, address, again=frozenset()):
  """Works off the tasks (name, out, ...) whose files are not there yet, or lack a recording for a reason of `again`."""
  out = folder / FOLDER
  out.mkdir(exist_ok=True)
  shards.sweep(out)
  there = lambda row: row is not None and not again & {*row.get('skipped', ())}
  missing = [task for task in tasks if not there(shards.finished(out, task[0]))]
  done = (map(call, missing) if engine.alone(workers, len(missing), name) else
          engine.results(call, missing, workers, name, address, 'data.workers'))
  for _ in tqdm.tqdm(done, total=len(missing), unit='shard', desc=f'fingerprints of {what}', disable=not missing):
    pass


def _segments(task):
  """Writes the fingerprints of one shard of segments; of a damaged record an empty one, so that numbers stay in step."""
  def words(source):
    for index in range(len(source)):
      try:
        yield fingerprint.fingerprint(segment.from_bytes(source[index]).audio)
      except (ValueError, RuntimeError):
        yield np.zeros(0)

  name, out, path = task
  return _write(out, name, words(_opened(path)))


def _recordings(task):
  """Writes the fingerprints of the recordings of a prepare.Task. What cannot be decoded cannot be compared: its reason goes to the row."""
  name, out, of = task
  row, settings = {'skipped': []}, of.settings | {'mos': '', 'measures': 'basic'}        # nobody reads what was measured

  def found():
    for one, sha256 in zip(of.recordings, of.sha256):
      for part in one_recording.segments(of.folder, one, f'sha256:{sha256[:16]}', **settings):
        if isinstance(part, corpus.Skip):
          row['skipped'].append(part.reason)
        else:
          yield fingerprint.fingerprint(part.audio)

  return _write(out, name, found(), row)


def _write(out, name, found, row=None):
  return shards.write(out, name, (shards.pack(KIND, VERSION, {}, words.astype('<u4').tobytes()) for words in found), row)
