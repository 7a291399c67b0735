"""Folders of recordings to shards of 16 kHz segments, one task a shard, a selection of them, and what was left out.

What a shard is called follows from what goes into it: the settings, and the labels and bytes of its recordings.
So a rerun makes what is missing, any number of workers on any engine writes the same bytes, and a changed file or
setting touches no other shard.
"""
import collections
import dataclasses
import hashlib
import itertools
import math
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import ml_collections
import tqdm

import telugu_s2s
from telugu_s2s.audio import decoding, files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import fetch, licences, splits
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import recording as one_recording
from telugu_s2s.preparation import engine, faults, fingerprints, inputs, measures, segment, selection, shards, table

SAMPLE = Path(telugu_s2s.__file__).parent / 'corpora' / 'sample'
MAKER = 5                      # raised whenever the same input would give other segments
SHARD_FILES = 256
BEGINNINGS = 256         # one path in so many begins a shard, wherever it stands
REPORT = 'report.tsv'


@dataclasses.dataclass(frozen=True)
class Data:
  """Which recordings go in, and how they are cut. A stage embeds the same fields as `config.data`."""
  audio: str | tuple[str, ...] = ''        # a folder, or several; '' = the sample corpus in the package
  split: str = 'train'         # '' = all
  profile: str = 'commercial_attribution'
  exclude: str = ''            # a glob on paths below the folder, such as 'radio/*'; '' = nothing
  licence: str = licences.OWN  # of recordings whose manifest names none
  shortest_s: float = 1.0
  longest_s: float = 20.0
  clipped: float = 0.01        # the greatest share of clipped samples
  activity: str = 'energy'     # what tells speech from pauses; 'silero' = Silero VAD, which leaves out music and noise
  mos: str = ''                # 'p808' or 'p835' = DNSMOS, what listeners would say; see audio/opinion.py
  measures: str = 'basic'      # 'full' = pitch, energy and speaking rate too; see preparation/measures.py
  workers: int = -1            # processes; -1 = one a core, 0 = this one
  engine: str = 'local'        # 'ray' = Ray Core, which spreads the work over a cluster
  address: str = ''            # of the Ray cluster, 'auto' or 'host:port'; '' = a Ray on this machine
  eval_share: float = 0.0      # of speakers and sentences held out of what no corpus holds out itself; see corpora/splits.py
  seed: int = 0                # of that choice
  filters: Mapping = dataclasses.field(default_factory=dict)      # {measure: (lowest, highest)}; see preparation/selection.py
  near_duplicates: bool = False            # leaves out copies that sound alike; the same files and samples never stay twice
  text_cap: int = 0            # most segments of one sentence; 0 = any number
  shard_mb: float = 128.0      # of the original files in a shard, at most; less of it spreads work more evenly
  report: bool = False         # writes report.html too

  def __post_init__(self):
    licences.classes(self.profile)
    if not 0 < self.shortest_s < self.longest_s < math.inf or self.longest_s < 2:
      raise InputError(f'data.shortest_s {self.shortest_s}, data.longest_s {self.longest_s}: '
                       'the first is above 0 and below the second, the second at least 2')
    if not 0 <= self.clipped <= 1:
      raise InputError(f'data.clipped {self.clipped}: a share is between 0 and 1')
    if self.workers < -1:
      raise InputError(f'data.workers {self.workers}: give -1 for one a core, 0 for none, or a number')
    if not self.shard_mb > 0:
      raise InputError(f'data.shard_mb {self.shard_mb}: give MiB of original files in a shard, such as 128')
    engine.check(self.engine, self.address)
    measures.check(self.activity, self.mos, self.measures)
    splits.check_share(self.eval_share)
    filters = self.rules().filters
    there = measures.names(self.mos, self.measures) if filters else ()
    for name in filters:
      if name not in there:
        raise InputError(f'data.filters.{name}: segments will have no such measure, they have {", ".join(sorted(there))}; data.mos and '
                         'data.measures give more')

  def folders(self) -> list[Path]:
    given = (self.audio,) if isinstance(self.audio, str) else self.audio
    return [Path(one or SAMPLE) for one in given]

  def rules(self) -> selection.Rules:
    return selection.Rules({name: tuple(limits) for name, limits in self.filters.items() if len(limits)}, self.near_duplicates, self.text_cap)


@dataclasses.dataclass(frozen=True)
class Task:
  """All that makes one shard."""
  name: str
  folder: str
  out: str
  recordings: tuple[corpus.Recording, ...]
  sha256: tuple[str, ...]      # of the original files
  settings: dict               # arguments of recording.segments
  careful: bool = False        # one of the recordings may take the process with it: each is tried in another one before


def run(config, workdir) -> dict:
  """The job 'prepare': shards of segments in the folder `config.out` of workdir. Returns their manifest."""
  data, workdir = Data(**config.data), Path(workdir)
  if config.sources:
    if data.audio:
      raise InputError('config.sources and data.audio: give one of the two; a folder may stand among the sources')
    names = [name.strip() for name in config.sources.split(',') if name.strip()]
    if not names:
      raise InputError(f'config.sources {config.sources!r}: give sources with commas between them')
    data = dataclasses.replace(data, audio=tuple(_source(name, config, workdir) for name in names))
  return prepare(data, workdir / config.out)


def _source(name, config, workdir):
  """The folder of a source: a folder as it is, one of the catalogue fetched, if it is not there yet."""
  if Path(name).is_dir():
    return name
  asked = ml_collections.ConfigDict({**config.fetch, 'source': name, 'folder': '', 'layout': '', 'out': 'corpora'})
  return fetch.run(asked, workdir)['folder']


def prepare(data: Data, out, workers: int | None = None) -> dict:
  """Makes the shards that are not there yet, the manifest, the report and the notice.

  Args:
    data: what goes in.
    out: the folder of the shards; made if missing.
    workers: takes the place of data.workers.

  Returns:
    The manifest, see `shards.write_manifest`; with `skipped`, counts by reason of files and parts, `dropped`, counts by
    reason of segments, and `left_out`, counts of what the split and the exclusion left aside.

  Raises:
    InputError: a folder or its manifest cannot be used, or nothing usable is in it; the report says why.
  """
  out, workers = Path(out), data.workers if workers is None else workers
  out.mkdir(parents=True, exist_ok=True)
  shards.sweep(out)
  gathered = inputs.gather(data, data.folders(), out)
  tasks, held, skips = plan(data, out, gathered.chosen), plan(data, out, gathered.held), gathered.skips
  left_out, unheard = gathered.left_out, gathered.unheard
  where = {task.name: f'{Path(task.folder).resolve().name}/' if len(data.folders()) > 1 else '' for task in tasks}
  again = {decoding.PASSING} | ({decoding.NO_DECODER} if decoding.complete() else set())
  rows = {task.name: _finished(out, task.name, again) for task in tasks}
  missing = [task for task in tasks if rows[task.name] is None]
  if tasks:
    print(f'segments: {len(tasks) - len(missing)} of {len(tasks)} shards are there already, in {out}', flush=True)
  rows |= _made(missing, data, workers)
  del tasks, missing, gathered     # millions of recordings, whose place in memory the candidates of selection take
  skips += [corpus.Skip(folder + path, *rest) for name, folder in where.items() for path, *rest in rows[name]['skipped']]
  rows = [rows[name] for name in where]
  if passing := corpus.reasons(skips).get(decoding.PASSING):
    print(f'segments: {passing} files could not be read now; the same command tries them again', flush=True)
  corpus.report(out / REPORT, sorted(skips, key=lambda one: (one.path, one.start_s or 0, one.reason)))
  manifest = _selected(data, out, rows, workers, skips, held, left_out, unheard, again)
  others = {path.stem for path in out.glob(f'segments-*{shards.SUFFIX}')} - set(where)
  if others:
    print(f'segments: {out} also holds {len(others)} shards of other settings or inputs; they may be deleted', flush=True)
  if data.report:
    from telugu_s2s.preparation import report      # draws pictures: workers need not load what does
    print(f'report: {report.write(out)}', flush=True)
  return manifest


def _finished(out, name, again: set[str]) -> dict | None:
  """The row of a shard that need not be made: it is whole, and nothing was left out of it for a reason that may be over, `again`."""
  row = shards.finished(out, name) if table.exists(out, name) else None
  return None if row and any(corpus.Skip(*skip).reason in again for skip in row['skipped']) else row


def _selected(data, out, rows, workers, skips, held, left_out, unheard, again):
  """Chooses among the segments of all shards, writes the notice and the manifest, and returns that."""
  skipped, where = corpus.reasons(skips), ', '.join(map(str, data.folders()))
  reasons = corpus.counted(skipped) or 'nothing'
  prints, outside, where_run = (), (), (workers, data.engine, data.address)
  if data.near_duplicates:
    prints, (outside, more) = fingerprints.of_shards(out, rows, *where_run), fingerprints.of_recordings(out, held, again, *where_run)
    if unheard + more:
      print(f'segments: {unheard + more} recordings that are held out could not be read, so copies of them may have come in', flush=True)
  left, dropped = selection.select(data.rules(), out, rows, prints, outside)
  lean = [{name: value for name, value in row.items() if name != 'skipped'} for row in rows]
  for row, gone in zip(lean, dropped):
    if gone:
      row['dropped'] = {reason: shards.ranges(indices) for reason, indices in gone.items()}
  seconds = collections.Counter()
  for one in left:
    seconds[one.shard] += one.seconds
  for number, row in enumerate(lean):
    row['seconds'] = round(float(seconds[number]), 4)
  sources = _sources(left)
  if not left:
    gone = corpus.counted(selection.reasons(dropped))
    raise InputError(f'data.audio: nothing usable in {where}; left out: {reasons}{", " * bool(gone)}{gone}; see {out / REPORT}')
  files.write(out / 'DATA_NOTICE.md', licences.notice(sources).encode())
  made_from = {'settings': _settings(data), 'profile': data.profile, 'split': data.split, 'exclude': data.exclude,
               'eval_share': data.eval_share, 'seed': data.seed, **dataclasses.asdict(data.rules()),
               'source': ', '.join(folder.resolve().name for folder in data.folders()),
               'tasks': _digest([row['file'].partition('.')[0] for row in rows])}
  manifest = shards.write_manifest(out, segment.KIND, segment.VERSION, made_from, lean, skipped=skipped,
                                   left_out=left_out, dropped=selection.reasons(dropped), sources=sources)
  print(f'segments: {manifest["records"]} from {where}, {manifest["seconds"] / 3600:.2f} h; skipped: {reasons}'
        + (f' (see {out / REPORT})' if skips else '')
        + (f'; left out: {corpus.counted(manifest["dropped"])}' if manifest['dropped'] else ''), flush=True)
  return manifest


def plan(data: Data, out, chosen: list[inputs.Input]) -> list[Task]:
  """Tasks of at most 256 recordings or about data.shard_mb of one folder, in the order of the recordings; see `_begins`."""
  out, groups, size = os.path.abspath(out), [], 0
  for one in chosen:
    if (not groups or len(groups[-1]) == SHARD_FILES or size + one.recording.bytes > data.shard_mb * 2**20
        or groups[-1][0].folder != one.folder or _begins(one, groups[-1][-1])):
      groups.append([])
      size = 0
    groups[-1].append(one)
    size += one.recording.bytes
  tasks = []
  for group in groups:
    recordings, sha256 = tuple(one.recording for one in group), tuple(one.sha256 for one in group)
    key = _digest([MAKER, segment.VERSION, _settings(data), [dataclasses.asdict(one) for one in recordings], sha256])
    tasks.append(Task(f'segments-{key[:16]}', group[0].folder, out, recordings, sha256, _settings(data)))
  return tasks


def _begins(one, before) -> bool:
  """Whether a path begins a shard by itself: a file that is added or taken away moves no shard but those up to the next such path."""
  path = one.recording.path
  return path != before.recording.path and zlib.crc32(path.encode()) % BEGINNINGS == 0


def make_shard(task: Task, done: Callable[[], None] = lambda: None) -> dict:
  """Writes one shard and its table and returns its row, with `seconds` and `skipped`; `done` is called for each file.

  Pure but for the files it writes: the same task gives the same bytes.
  """
  row, labels = {'seconds': 0.0, 'skipped': []}, []
  passing = {}      # by what was said of a file: all turns behind a break say the same, and it is decoded from its beginning to judge one

  def records():
    for one, sha256, lives in zip(task.recordings, task.sha256, _survived(task)):
      if not lives:
        row['skipped'].append(list(dataclasses.astuple(corpus.Skip(one.path, faults.KILLS, 'a process that reads it dies; look at it with other tools'))))
        continue
      for part in one_recording.segments(task.folder, one, f'sha256:{sha256[:16]}', **task.settings):
        if isinstance(part, corpus.Skip):
          fault = one.path, part.reason, part.detail
          if part.reason in faults.OF_A_FILE and fault not in passing:
            passing[fault] = faults.passing(task.folder, one, sha256)
          if passing.get(fault):
            part = dataclasses.replace(part, reason=decoding.PASSING)      # the disk it is on, not the recording
          row['skipped'].append(list(dataclasses.astuple(part)))
          continue
        row['seconds'] = round(row['seconds'] + part.seconds, 4)
        packed, samples = segment.packed(part)
        labels.append(table.of(part, samples))
        yield packed
      done()
    # The row, which says that the shard is finished, comes after this.
    table.write(task.out, task.name, labels)

  return shards.write(task.out, task.name, records(), row)


def _survived(task):
  return faults.survived(task.folder, task.recordings, task.settings) if task.careful else itertools.repeat(True)


def careful(task: Task) -> Task:
  return dataclasses.replace(task, careful=True)


def _made(tasks, data, workers):
  """{name: row} of tasks, worked off in this process or by others."""
  alone = engine.alone(workers, len(tasks), data.engine)
  rows, total = {}, sum(len(task.recordings) for task in tasks)
  with tqdm.tqdm(total=total, unit='file', desc='segments', disable=not tasks) as bar:
    done = (((task, make_shard(task, bar.update)) for task in tasks) if alone else
            engine.results(make_shard, tasks, workers, data.engine, data.address, 'data.workers', careful=careful))
    hours = 0.0
    for task, row in done:
      rows[task.name] = row
      hours += row['seconds'] / 3600
      bar.set_postfix_str(f'{hours:.2f} h', refresh=False)
      if not alone:
        bar.update(len(task.recordings))
  return rows


def _settings(data):
  return {name: getattr(data, name) for name in ('shortest_s', 'longest_s', 'clipped', 'activity', 'mos', 'measures')}


def _digest(value):
  return hashlib.sha256(shards.canonical(value)).hexdigest()


def _sources(left):
  """What the notice tells of each source and licence, over the segments that stay."""
  seconds, speakers = collections.Counter(), collections.defaultdict(set)
  for one in left:
    seconds[one.source] += one.seconds
    speakers[one.source] |= {one.speaker} - {''}
  return [{'source': source, 'licence': licence, 'attribution': attribution, 'seconds': round(total, 3),
           'speakers': len(speakers[source, licence, attribution])}
          for (source, licence, attribution), total in sorted(seconds.items())]
