"""SHA-256 of files, remembered by path, size and time of change: a rerun over a million files reads none of them."""
import concurrent.futures
import contextlib
import hashlib
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import tqdm

from telugu_s2s.preparation import pool

NAME = 'inputs.sqlite'
BATCH = 500                    # paths looked up and remembered at a time


def of_files(paths: Iterable[str], out, total: int | None = None) -> Iterator[tuple[str, str]]:
  """Yields (sha256, '') of each file, or ('', why it cannot be read), in the order of the paths.

  Args:
    out: the folder in whose inputs.sqlite they are remembered; where it cannot be written nothing is.
    total: how many paths there are, for the progress bar.
  """
  with contextlib.closing(_opened(Path(out) / NAME)) as store, \
        concurrent.futures.ThreadPoolExecutor(min(8, pool.cores())) as threads:
    bar = tqdm.tqdm(total=total, desc='fingerprints', unit='file', delay=2)
    for batch in iter(lambda left=iter(paths): list(itertools.islice(left, BATCH)), []):
      batch = [os.fsencode(path) for path in batch]                            # some names are no text
      once = list(dict.fromkeys(batch))                                        # a file comes once for each of its turns
      rows = store.execute(f'select * from files where path in ({",".join("?" * len(once))})', once)
      known = {path: rest for path, *rest in rows}
      found = dict(zip(once, threads.map(lambda path: _file(path, known.get(path)), once)))
      fresh = [(path, *one) for path, one in found.items() if one[0] is not None and one != known.get(path)]
      store.executemany('insert or replace into files values (?, ?, ?, ?)', fresh)
      store.commit()
      yield from (('', one[2]) if one[0] is None else (one[2], '') for one in map(found.get, batch))
      bar.update(len(batch))
    bar.close()


def _opened(path):
  """The store; one in memory where the file cannot be written, since it only saves time."""
  for place in (path, path, ':memory:'):
    try:
      store = sqlite3.connect(place)
      with store:
        store.execute('create table if not exists files (path blob primary key, size, changed, sha256) without rowid')
        store.execute("insert or replace into files values (x'', 0, 0, '')")     # fails here, where none may write, not later
      return store
    except sqlite3.OperationalError:
      continue
    except sqlite3.DatabaseError:            # it is something else: made anew
      path.unlink()


def _file(path, known):
  """[size, time of change in ns, sha256] of a file, or [None, None, why it cannot be read]."""
  try:
    stat = os.stat(path)
    if known and known[:2] == [stat.st_size, stat.st_mtime_ns]:
      return known
    with open(path, 'rb') as file:
      return [stat.st_size, stat.st_mtime_ns, hashlib.file_digest(file, 'sha256').hexdigest()]
  except OSError as error:
    return [None, None, error.strerror]
