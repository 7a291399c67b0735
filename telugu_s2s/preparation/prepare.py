"""A folder of recordings to shards of 16 kHz segments, one task a shard, and a report of what was left out.

What a shard is called follows from what goes into it: the settings, and the labels and bytes of its recordings.
So a rerun makes what is missing, any number of workers on any engine writes the same bytes, and a changed file or
setting touches no other shard.
"""
import collections
import concurrent.futures
import dataclasses
import fnmatch
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import tqdm

import telugu_s2s
from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import licences
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import recording as one_recording
from telugu_s2s.preparation import engine, pool, segment, shards

SAMPLE = Path(telugu_s2s.__file__).parent / 'corpora' / 'sample'
MAKER = 1                      # raised whenever the same input would give other segments
SHARD_FILES = 256
SHARD_BYTES = 128 * 2**20      # of the original files
REPORT = 'report.tsv'
INPUTS = 'inputs.json'         # sha256 of the inputs, by path, size and time of change: they are hashed once


@dataclasses.dataclass(frozen=True)
class Data:
  """Which recordings go in, and how they are cut. A stage embeds the same fields as `config.data`."""
  audio: str = ''              # a folder; '' = the sample corpus in the package
  split: str = 'train'         # '' = all
  profile: str = 'commercial_attribution'
  exclude: str = ''            # a glob on paths below the folder, such as 'radio/*'; '' = nothing
  licence: str = licences.OWN  # of recordings whose manifest names none
  shortest_s: float = 1.0
  longest_s: float = 20.0
  clipped: float = 0.01        # the greatest share of clipped samples
  workers: int = -1            # processes; -1 = one a core, 0 = this one
  engine: str = 'local'        # 'ray' = Ray Core, which spreads the work over a cluster
  address: str = ''            # of the Ray cluster, 'auto' or 'host:port'; '' = a Ray on this machine

  def __post_init__(self):
    licences.classes(self.profile)
    if not 0 < self.shortest_s < self.longest_s or self.longest_s < 2:
      raise InputError(f'data.shortest_s {self.shortest_s}, data.longest_s {self.longest_s}: '
                       'the first is above 0 and below the second, the second at least 2')
    if not 0 <= self.clipped <= 1:
      raise InputError(f'data.clipped {self.clipped}: a share is between 0 and 1')
    if self.workers < -1:
      raise InputError(f'data.workers {self.workers}: give -1 for one a core, 0 for none, or a number')
    engine.check(self.engine, self.address)


@dataclasses.dataclass(frozen=True)
class Task:
  """All that makes one shard."""
  name: str
  folder: str
  out: str
  recordings: tuple[corpus.Recording, ...]
  sha256: tuple[str, ...]      # of the original files
  settings: dict               # arguments of recording.segments


def run(config, workdir) -> dict:
  """The job 'prepare': shards of segments in the folder `config.out` of workdir. Returns their manifest."""
  return prepare(Data(**config.data), Path(workdir) / config.out)


def prepare(data: Data, out, workers: int | None = None) -> dict:
  """Makes the shards that are not there yet, the manifest, the report and the notice.

  Args:
    data: what goes in.
    out: the folder of the shards; made if missing.
    workers: takes the place of data.workers.

  Returns:
    The manifest, see `shards.write_manifest`; with `skipped`, counts by reason, and `left_out`, counts of what
    the split and the exclusion left aside.

  Raises:
    InputError: the folder or its manifest cannot be used, or nothing usable is in it; the report says why.
  """
  out = Path(out)
  folder = Path(data.audio or SAMPLE)
  out.mkdir(parents=True, exist_ok=True)
  shards.sweep(out)
  chosen, skips, left_out = select(data, folder)
  chosen, hashes = _hashed(folder, chosen, out, skips)
  tasks = plan(data, folder, out, chosen, hashes)
  rows = {task.name: shards.finished(out, task.name) for task in tasks}
  missing = [task for task in tasks if rows[task.name] is None]
  if tasks:
    print(f'segments: {len(tasks) - len(missing)} of {len(tasks)} shards are there already, in {out}', flush=True)
  rows |= _made(missing, data, data.workers if workers is None else workers)
  rows = [rows[task.name] for task in tasks]
  skips += [corpus.Skip(*skip) for row in rows for skip in row['skipped']]
  corpus.report(out / REPORT, sorted(skips, key=lambda one: (one.path, one.start_s or 0, one.reason)))
  skipped = corpus.reasons(skips)
  reasons = corpus.counted(skipped) or 'nothing'
  if not sum(row['records'] for row in rows):
    raise InputError(f'data.audio: nothing usable in {folder}; left out: {reasons}; see {out / REPORT}')
  sources = _sources(rows)
  files.write(out / 'DATA_NOTICE.md', licences.notice(sources).encode())
  made_from = {'settings': _settings(data), 'profile': data.profile, 'split': data.split, 'exclude': data.exclude,
               'source': folder.resolve().name, 'tasks': _digest([task.name for task in tasks])}
  lean = [{name: value for name, value in row.items() if name not in ('skipped', 'sources')} for row in rows]
  manifest = shards.write_manifest(out, segment.KIND, segment.VERSION, made_from, lean,
                                   skipped=skipped, left_out=left_out, sources=sources)
  print(f'segments: {manifest["records"]} from {folder}, {manifest["seconds"] / 3600:.2f} h; skipped: {reasons}'
        + (f' (see {out / REPORT})' if skips else ''), flush=True)
  others = {path.stem for path in out.glob(f'segments-*{shards.SUFFIX}')} - {task.name for task in tasks}
  if others:
    print(f'segments: {out} also holds {len(others)} shards of other settings or inputs; they may be deleted', flush=True)
  return manifest


def select(data: Data, folder) -> tuple[list[corpus.Recording], list[corpus.Skip], dict]:
  """The recordings that split, exclusion and profile let in; skips; counts of what the first two left aside."""
  found, skips = corpus.recordings(folder, data.licence)
  splits = collections.Counter(one.split for one in found)
  if data.split and data.split not in splits:
    raise InputError(f'data.split: {folder} holds no split {data.split!r}; it has {", ".join(sorted(splits))}')
  chosen = [one for one in found if data.split in ('', one.split)]
  inside = [one for one in chosen if not (data.exclude and fnmatch.fnmatchcase(one.path, data.exclude))]
  left_out = {'split': len(found) - len(chosen), 'exclude': len(chosen) - len(inside)}
  allowed, result = licences.classes(data.profile), []
  for one in inside:
    letter = licences.licence_class(one.licence)
    if letter in allowed:
      result.append(one)
    else:
      skips.append(corpus.Skip(one.path, 'licence', f'{one.licence or "unknown"}, class {letter}, is not in '
                                                    f'profile {data.profile}'))
  return result, skips, left_out


def plan(data: Data, folder, out, recordings, hashes: dict) -> list[Task]:
  """Tasks of at most 256 files or about 128 MiB, in the order of the recordings. hashes: {path: sha256}."""
  folder, out = os.path.abspath(folder), os.path.abspath(out)       # workers may stand in another folder
  groups, size = [], 0
  for one in recordings:
    if not groups or len(groups[-1]) == SHARD_FILES or size + one.bytes > SHARD_BYTES:
      groups.append([])
      size = 0
    groups[-1].append(one)
    size += one.bytes
  tasks = []
  for group in groups:
    sha256 = tuple(hashes[one.path] for one in group)
    key = _digest([MAKER, segment.VERSION, _settings(data), [dataclasses.asdict(one) for one in group], sha256])
    tasks.append(Task(f'segments-{key[:16]}', folder, out, tuple(group), sha256, _settings(data)))
  return tasks


def make_shard(task: Task, done: Callable[[], None] = lambda: None) -> dict:
  """Writes one shard and returns its row, with `seconds`, `skipped` and `sources`; `done` is called for each file.

  Pure but for the files it writes: the same task gives the same bytes.
  """
  row = {'seconds': 0.0, 'skipped': [], 'sources': []}
  sources = {}

  def records():
    for one, sha256 in zip(task.recordings, task.sha256):
      for part in one_recording.segments(task.folder, one, f'sha256:{sha256[:16]}', **task.settings):
        if isinstance(part, corpus.Skip):
          row['skipped'].append(list(dataclasses.astuple(part)))
          continue
        row['seconds'] = round(row['seconds'] + part.seconds, 4)
        # Some corpora name the original file behind a semicolon.
        source = (part.source.split(';')[0].strip(), part.licence, part.custom.get('attribution', ''))
        seconds, speakers = sources.get(source, (0.0, set()))
        sources[source] = seconds + part.seconds, speakers | {part.speaker} - {''}
        yield segment.to_bytes(part)
      done()
    row['sources'] = [[*source, round(seconds, 4), sorted(speakers)]
                      for source, (seconds, speakers) in sorted(sources.items())]

  return shards.write(task.out, task.name, records(), row)


def _made(tasks, data, workers):
  """{name: row} of tasks, worked off in this process or by others."""
  alone = not workers or data.engine == 'local' and pool.count(workers, len(tasks)) < 2
  total = sum(len(task.recordings) for task in tasks)
  with tqdm.tqdm(total=total, unit='file', desc='segments', disable=not tasks) as bar:
    if alone:
      return {task.name: make_shard(task, bar.update) for task in tasks}
    rows = {}
    for task, row in engine.results(make_shard, tasks, workers, data.engine, data.address, 'data.workers'):
      rows[task.name] = row
      bar.update(len(task.recordings))
    return rows


def _hashed(folder, recordings, out, skips):
  """Recordings that can be read, and {path: sha256}; the others go to skips."""
  try:
    known = json.loads((out / INPUTS).read_bytes())
  except (OSError, ValueError):
    known = {}

  def fingerprint(path):
    try:
      stat = os.stat(folder / path)
      entry = known.get(path)
      if entry and entry[:2] == [stat.st_size, stat.st_mtime_ns]:
        return entry
      with open(folder / path, 'rb') as file:
        return [stat.st_size, stat.st_mtime_ns, hashlib.file_digest(file, 'sha256').hexdigest()]
    except OSError as error:
      return error.strerror

  paths = sorted({one.path for one in recordings})
  with concurrent.futures.ThreadPoolExecutor(min(8, pool.cores())) as threads:
    entries = dict(zip(paths, tqdm.tqdm(threads.map(fingerprint, paths), 'fingerprints', len(paths), unit='file', delay=2)))
  failed = {path: entry for path, entry in entries.items() if not isinstance(entry, list)}
  skips += [corpus.Skip(path, 'missing', detail) for path, detail in failed.items()]
  good = {path: entry for path, entry in entries.items() if path not in failed}
  if good != known:
    files.write(out / INPUTS, shards.canonical(good))
  return [one for one in recordings if one.path in good], {path: entry[2] for path, entry in good.items()}


def _settings(data):
  return {'shortest_s': data.shortest_s, 'longest_s': data.longest_s, 'clipped': data.clipped}


def _digest(value):
  return hashlib.sha256(shards.canonical(value)).hexdigest()


def _sources(rows):
  """What the notice tells of each source and licence, over all shards."""
  seconds, speakers = collections.Counter(), collections.defaultdict(set)
  for row in rows:
    for *source, part, names in row['sources']:
      seconds[tuple(source)] += part
      speakers[tuple(source)].update(names)
  return [{'source': source, 'licence': licence, 'attribution': attribution, 'seconds': round(total, 3),
           'speakers': len(speakers[source, licence, attribution])}
          for (source, licence, attribution), total in sorted(seconds.items())]
