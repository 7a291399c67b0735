"""Segment shards to token shards, one task for each and for each view of it; what is there already is kept.

What a shard is called follows from the segments, the codec and the view. So a rerun makes what is missing, more views
make nothing anew, and any number of workers on any engine writes the same bytes.
"""
import concurrent.futures
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import jax
import tqdm

from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import engine, pool, segment, shards
from telugu_s2s.tokens import prosody, record, views
from telugu_s2s.tokens.encoding import Encoder

MAKER = 1                        # raised whenever the same segments would give other tokens
GROUP_S = 3600                   # of audio that is encoded at a time: 230 MB
READ = 64                        # clips that threads read at a time
BAR = '{desc}: {percentage:3.0f}%|{bar}| {n:.2f} of {total:.2f} h{postfix} [{elapsed}<{remaining}]'


@dataclasses.dataclass(frozen=True)
class Options:
  """How the work is spread, and how many views of a clip there are."""
  workers: int = 0               # -1 = one a GPU, or where there is none one a core; 0 = this process
  engine: str = 'local'          # 'ray' = Ray Core, see preparation/engine.py
  address: str = ''
  ranges: views.Ranges = views.Ranges()
  views: int = 1                 # 1 = the audio as it is
  seed: int = 0                  # of the views

  def __post_init__(self):
    if self.workers < -1:
      raise InputError(f'config.workers {self.workers}: give -1 for one a core, 0 for none, or a number')
    if self.views < 1:
      raise InputError(f'config.views {self.views}: give 1 for the audio as it is, or more')
    if self.seed < 0:
      raise InputError(f'config.seed {self.seed}: give 0 or more')
    engine.check(self.engine, self.address, 'config')


@dataclasses.dataclass(frozen=True)
class Task:
  """All that makes one shard."""
  name: str
  segments: str                  # the path of the shard of segments
  kept: tuple[int, ...]          # which of its records
  out: str
  view: int
  ranges: views.Ranges
  seed: int
  codec: str                     # a released codec or a codec's file
  codec_name: str
  threads: int                   # that read clips and measure prosody beside the encoder


def run(config, workdir) -> dict:
  """The job 'tokenize': the segments in `config.segments` to token shards in the folder `config.out` of workdir."""
  if not config.segments:
    raise InputError('config.segments is empty: give the folder that configs/prepare.py made')
  options = Options(config.workers, config.engine, config.address, views.Ranges(**config.view), config.views, config.seed)
  if options.workers and (options.engine == 'ray' or len(pool.gpus()) > 1):
    jax.config.update('jax_platforms', 'cpu')            # the workers have the GPUs
  return tokenize(Path(config.segments), Path(workdir) / config.out, weights.load(config.codec), options=options,
                  codec=config.codec)


def tokenize(segments, out, trained: weights.Trained, encoder: Encoder | None = None, options: Options = Options(),
             codec='') -> dict:
  """Makes the token shards of prepared segments that are not there yet, and their manifest; returns it.

  Args:
    segments: the folder of the segments.
    out: the folder of the tokens; made if missing.
    encoder: one of `trained` that is compiled already.
    options: views and workers.
    codec: the released codec or the file that `trained` came from, for workers.

  Raises:
    InputError: the folder holds no segments, or a shard is missing or truncated.
  """
  segments, out = Path(segments), Path(out)
  out.mkdir(parents=True, exist_ok=True)
  shards.sweep(out)
  manifest = shards.check(segments, segment.KIND)
  planned = plan(manifest, segments, out, trained, options, codec)
  found = {task.name: shards.finished(out, task.name) for task, _ in planned}
  missing = [(task, seconds) for task, seconds in planned if found[task.name] is None or _mended(task, found[task.name])]
  print(f'tokens: {len(planned) - len(missing)} of {len(planned)} shards are there already, in {out}', flush=True)
  encoder = encoder or Encoder(trained)
  found |= _made(missing, encoder, options)
  rows = [found[task.name] for task, _ in planned]
  before = _before(out, trained)
  silence = before if before is not None else encoder.silence().tolist()
  made_from = {'segments': manifest['content'], 'codec': trained.name}
  several = {}
  if options.views > 1:
    several = {'views': options.views}
    made_from |= {'seed': options.seed, 'ranges': dataclasses.asdict(options.ranges)}
  result = shards.write_manifest(
      out, record.KIND, record.VERSION, made_from, rows, codec=trained.name, frame_rate=trained.config.frame_rate,
      codebooks=trained.config.codebooks, codes=trained.config.codes, silence=silence, **several)
  damaged = sum(len(row['damaged']) for row in rows)
  print(f'tokens: {result["records"]} clips, {result["seconds"] / 3600:.2f} h'
        + (f' in {options.views} views' if several else '') + f', codec {trained.name}'
        + (f'; {damaged} damaged records left out, see {out / shards.MANIFEST}' if damaged else ''), flush=True)
  return result


def plan(manifest, segments, out, trained, options: Options, codec='') -> list[tuple[Task, float]]:
  """[(task, seconds of audio)], all shards of view 0 first, then those of view 1, in the order of the segments."""
  segments, out = os.path.abspath(segments), os.path.abspath(out)         # workers may stand in another folder
  codec = str(weights.file(codec).absolute())
  workers = pool.cores() if options.workers == -1 else options.workers
  gpus = len(pool.gpus())
  threads = max(1, pool.cores() // max(1, min(gpus, workers) if gpus else workers))
  rows = [(row, tuple(shards.kept(row))) for row in manifest['shards']]
  return [(Task(_name(row, trained, view, options), os.path.join(segments, row['file']), kept, out, view, options.ranges,
                options.seed, codec, trained.name, threads), row.get('seconds', 0.0))
          for view in range(options.views) for row, kept in rows if kept]


def _name(row, trained, view, options):
  key = f'{MAKER} {record.VERSION} {trained.name} {shards.content(row)}'
  if view:
    key += f' {shards.canonical([view, options.seed, dataclasses.asdict(options.ranges)]).decode()}'
  return f'tokens-{hashlib.sha256(key.encode()).hexdigest()[:16]}'


def _before(out, trained):
  """The silence of a manifest of the same codec that stands in `out`, or None."""
  try:
    manifest = shards.read_manifest(out, record.KIND)
  except InputError:
    return None
  return manifest['silence'] if manifest.get('codec') == trained.name else None


def _made(planned, encoder, options):
  """{name: row} of tasks, worked off in this process or by others."""
  tasks, rows = [task for task, _ in planned], {}
  hours = {task.name: seconds / 3600 for task, seconds in planned}
  with tqdm.tqdm(total=sum(hours.values()), desc='tokens', bar_format=BAR, disable=not tasks) as bar:
    def done(hours):
      bar.update(min(hours, bar.total - bar.n))          # a clip's last frame is counted whole
      bar.set_postfix_str(f'{bar.n * 3600 / max(bar.format_dict["elapsed"], 1e-3):.0f} x real time', refresh=False)

    if engine.alone(options.workers, len(tasks), options.engine, programs=True):
      return {task.name: make_shard(task, encoder, lambda seconds: done(seconds / 3600)) for task in tasks}
    for task, row in engine.results(_shard, tasks, options.workers, options.engine, options.address, 'config.workers',
                                    programs=True):
      rows[task.name] = row
      done(hours[task.name])
    return rows


def _mended(task: Task, row: dict) -> bool:
  """Whether a shard of segments of which records could not be read was written again since."""
  return bool(row['damaged']) and os.stat(task.segments).st_mtime_ns > (Path(task.out) / f'{task.name}.json').stat().st_mtime_ns


def make_shard(task: Task, encoder: Encoder, done: Callable[[float], None] = lambda seconds: None) -> dict:
  """Writes one shard and returns its row, with `seconds` and `damaged`: [record, reason] of what could not be read.

  Pure but for the files it writes: the same task gives the same bytes. `done` is called with each clip's seconds.
  """
  c = encoder.codec.config
  row = {'seconds': 0.0, 'damaged': [], **({'view': task.view} if task.view else {})}
  source = shards.Records(task.segments)

  def clip(index):
    try:
      found = segment.from_bytes(source[index])
    except (ValueError, RuntimeError) as problem:
      return [index, str(problem).splitlines()[0]]
    return views.view(found, task.view, task.ranges, task.seed, c.hop)

  def moves(one):
    return prosody.codes(one.audio, 2 * c.hop, (-(-len(one.audio) // c.hop) + 1) // 2)

  def records():
    with concurrent.futures.ThreadPoolExecutor(task.threads) as threads:
      apply = map if task.threads == 1 else threads.map
      ahead = (task.kept[at:at + READ] for at in range(0, len(task.kept), READ))
      for group in _groups((one for part in ahead for one in apply(clip, part)), row['damaged']):
        measured = apply(moves, [one for one, _ in group])       # while the encoder has the GPU
        for (one, view), codes, found in zip(group, encoder([one.audio for one, _ in group]), measured):
          labels = {field: getattr(one, field) for field in record.LABELS} | ({'view': view} if view else {})
          row['seconds'] = round(row['seconds'] + len(codes) / c.frame_rate, 4)
          yield record.to_bytes(record.Tokens(codes, found, encoder.codec.name, c.codes, c.frame_rate, labels))
          done(len(codes) / c.frame_rate)

  return shards.write(task.out, task.name, records(), row)


def _groups(clips, damaged):
  """Lists of (segment, view) of about GROUP_S seconds; what was damaged goes to `damaged`."""
  group, seconds = [], 0.0
  for one in clips:
    if isinstance(one, list):
      damaged.append(one)
      continue
    group.append(one)
    seconds += one[0].seconds
    if seconds >= GROUP_S:
      yield group
      group, seconds = [], 0.0
  if group:
    yield group


def _shard(task: Task) -> dict:
  """`make_shard` in a worker."""
  return make_shard(task, _encoder(task.codec, task.codec_name))


@functools.cache
def _encoder(path, name):
  trained = weights.load(path)
  if trained.name != name:
    raise InputError(f'config.codec: {path} is {trained.name} here, and {name} where the job began')
  return Encoder(trained)
