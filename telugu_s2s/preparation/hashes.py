"""SHA-256 of files, remembered by path, size and times of change: a rerun over a million files reads none of them."""
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
COLUMNS = 'path blob primary key, size, changed, renewed, sha256'       # changed: mtime, which a copy may keep; renewed: ctime, which it cannot
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
      known = {}
      with contextlib.suppress(sqlite3.OperationalError):                      # another process holds it: it only saves time
        known = {path: rest for path, *rest in store.execute(f'select * from hashed where path in ({",".join("?" * len(once))})', once)}
      found = dict(zip(once, threads.map(lambda path: _file(path, known.get(path)), once)))
      fresh = [(path, *one) for path, one in found.items() if one[0] is not None and one != known.get(path)]
      with contextlib.suppress(sqlite3.OperationalError), store:
        store.executemany('insert or replace into hashed values (?, ?, ?, ?, ?)', fresh)
      yield from (('', one[-1]) if one[0] is None else (one[-1], '') for one in map(found.get, batch))
      bar.update(len(batch))
    bar.close()


def _opened(path):
  """The store; one in memory where the file cannot be written, since it only saves time."""
  for place in (path, path, ':memory:'):
    try:
      store = sqlite3.connect(place)
      with store:
        store.execute(f'create table if not exists hashed ({COLUMNS}) without rowid')
        store.execute("insert or replace into hashed values (x'', 0, 0, 0, '')")     # fails here, where none may write, not later
        if store.execute('pragma quick_check(1)').fetchone() != ('ok',):             # nor where a page that is read later is damaged
          raise sqlite3.DatabaseError
      return store
    except sqlite3.OperationalError:         # may not be written, or another process holds it: then without
      continue
    except sqlite3.DatabaseError:            # it is something else: made anew
      path.unlink()


def _file(path, known):
  """[size, mtime and ctime in ns, sha256] of a file, or [None, None, None, why it cannot be read]."""
  try:
    stat = os.stat(path)
    now = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    if known and known[:3] == now:
      return known
    with open(path, 'rb') as file:
      return [*now, hashlib.file_digest(file, 'sha256').hexdigest()]
  except OSError as error:
    return [None, None, None, error.strerror]
