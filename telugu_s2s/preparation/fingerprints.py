"""Audio fingerprints of segments, and of recordings that are held out: made once, kept in files beside the shards."""
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tqdm

from telugu_s2s.audio import fingerprint
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.preparation import engine, segment, shards
from telugu_s2s.preparation import recording as one_recording

KIND = 'fingerprint'
VERSION = 1
FOLDER = 'prints'              # below the segments'


class Words(Sequence):
  """u32[frames] of segments, read when they are asked for: of 5000 h they are 6 GB."""

  def __init__(self, files: Sequence[str], places: Iterable[tuple[int, int]], whole: int):
    """Args: files, '' for none; (file, record) of each segment; all records of files[whole:] follow them."""
    self._files = [shards.Records(path) if path else () for path in files]
    self._places = [*places, *((number, index) for number in range(whole, len(files)) for index in range(len(self._files[number])))]

  def __len__(self):
    return len(self._places)

  def __getitem__(self, place):
    number, index = self._places[place]
    return np.frombuffer(shards.unpack(self._files[number][index], KIND, VERSION)[2], '<u4')


def of_shards(folder, rows: Sequence, workers: int, name: str = 'local', address: str = '') -> list[str]:
  """Fingerprints of the shards of `rows`, one file each; '' for one without records. What is there is not made again."""
  folder = Path(folder).absolute()
  tasks = [(f'prints-{VERSION}-{row["content"][:16]}', str(folder / FOLDER), str(folder / row['file'])) for row in rows]
  _make(_segments, [task for task, row in zip(tasks, rows) if row['records']], folder, 'segments', workers, name, address)
  return [_file(*task) if row['records'] else '' for task, row in zip(tasks, rows)]


def of_recordings(folder, tasks: Sequence, workers: int, name: str = 'local', address: str = '') -> list[str]:
  """Fingerprints of recordings, cut as segments are, of which nothing else is kept; a file for each prepare.Task."""
  folder = Path(folder).absolute()
  tasks = [(f'held-{VERSION}-{task.name}', str(folder / FOLDER), task) for task in tasks]
  _make(_recordings, tasks, folder, 'what is held out', workers, name, address)
  return [_file(*task) for task in tasks]


def _file(name, out, _):
  return str(Path(out, name + shards.SUFFIX))


def _make(call, tasks, folder, what, workers, name, address):
  """Works off the tasks (name, out, ...) whose files are not there yet."""
  out = folder / FOLDER
  out.mkdir(exist_ok=True)
  shards.sweep(out)
  missing = [task for task in tasks if shards.finished(out, task[0]) is None]
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
  return _write(out, name, words(shards.Records(path)))


def _recordings(task):
  """Writes the fingerprints of the recordings of a prepare.Task. What cannot be decoded cannot be compared."""
  name, out, of = task
  parts = (part for one, sha256 in zip(of.recordings, of.sha256)
           for part in one_recording.segments(of.folder, one, f'sha256:{sha256[:16]}', **of.settings))
  return _write(out, name, (fingerprint.fingerprint(part.audio) for part in parts if not isinstance(part, corpus.Skip)))


def _write(out, name, found):
  return shards.write(out, name, (shards.pack(KIND, VERSION, {}, words.astype('<u4').tobytes()) for words in found))
