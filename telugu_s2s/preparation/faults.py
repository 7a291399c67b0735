"""What a fault of a file is worth: whether it may be over next time, and whether the file takes its process with it."""
import concurrent.futures
import hashlib
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from telugu_s2s.audio import files, parts
from telugu_s2s.corpora.folder import Recording
from telugu_s2s.preparation import pool, recording

OF_A_FILE = ('missing', 'non-audio', 'corrupt')       # what a disk that does not answer looks like too
KILLS = 'kills its decoder'                            # a reason to leave a recording out


def passing(folder, one: Recording, sha256: str) -> bool:
  """Whether a recording in which a fault was found is now another file than was planned, is away, or decodes after all.

  It is decoded as its segments are: of a file that breaks other blocks may reach further.
  """
  path = Path(folder, one.path)
  try:
    with open(path, 'rb') as file:
      if hashlib.file_digest(file, 'sha256').hexdigest() != sha256:
        return True
    parts.forget()
    for _ in parts.blocks(path, one.channel, one.start_s or 0.0, one.end_s):
      pass
  except files.Unreadable as problem:
    return problem.reason not in OF_A_FILE
  except OSError:
    return True
  return True


def survived(folder, recordings: Iterable[Recording], settings: dict) -> Iterator[bool]:
  """For each recording whether a process that makes its segments lives to the end."""
  executor = None
  try:
    for one in recordings:
      executor = executor or concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn'), pool.follow)
      try:
        executor.submit(_tried, folder, one, settings).result()
        yield True
      except BrokenProcessPool:
        executor.shutdown()
        executor = None
        yield False
  finally:
    if executor:
      executor.shutdown()


def _tried(folder, one, settings):
  for _ in recording.segments(folder, one, '', **settings):
    pass
