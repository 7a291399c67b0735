"""A unit a frame: which of a few hundred kinds of sound each frame of a segment is, by clusters of a teacher's features.

The targets of HuBERT (Hsu et al., 2021): k-means over a teacher's frames. Shards of units stand beside the shards of
segments, one for one and record for record.
"""
import dataclasses
import functools
import hashlib
from pathlib import Path

import grain
import numpy as np
import safetensors.numpy
import tqdm

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import pool, read, segment, shards, teacher

KIND = 'units'
VERSION = 1
FITTED = 600                     # segments whose frames the clusters are made of, spread over the corpus
ROUNDS = 30                      # of k-means


@dataclasses.dataclass(frozen=True)
class Teacher:
  """Which units. The hop is the codec's."""
  name: str                      # mel or whisper, see preparation/teacher.py
  hop: int                       # samples
  units: int = 256
  seed: int = 0
  workers: int = -1              # processes; -1 = one a core; the units are the same with any number


class Units:
  """The units of a folder of segments: `[index]` is u16[frames] of segment `index`."""

  def __init__(self, folder):
    self._folder, self.manifest = str(folder), shards.check(folder, KIND)
    self.units = self.manifest['units']
    self._records = grain.sources.ArrayRecordDataSource(shards.files(folder, self.manifest))

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index) -> np.ndarray:
    try:
      return np.frombuffer(shards.unpack(self._records[index], KIND, VERSION)[2], '<u2')
    except (ValueError, RuntimeError) as problem:
      raise read.damaged(self._folder, index, problem) from problem


def label(asked: Teacher, segments, out) -> dict:
  """Makes the shards of units of prepared segments that are not there yet, and their manifest; returns it.

  Raises:
    InputError: the folder holds no segments, or the teacher is not installed.
  """
  segments, out = Path(segments), Path(out)
  out.mkdir(parents=True, exist_ok=True)
  shards.sweep(out)
  manifest = shards.check(segments, segment.KIND)
  made_from = {'segments': manifest['content'], 'teacher': asked.name, 'hop': asked.hop, 'units': asked.units,
               'seed': asked.seed}
  key = hashlib.sha256(repr(sorted(made_from.items())).encode()).hexdigest()[:16]
  clusters = out / f'clusters-{key}.safetensors'
  if not clusters.exists():
    files.write(clusters, safetensors.numpy.save(fit(asked, read.Segments(segments))))
  tasks = [(str(segments / row['file']), str(out), f'units-{key}-{shards.content(row)[:16]}', asked, str(clusters),
            tuple(shards.kept(row))) for row in manifest['shards'] if shards.kept(row)]
  rows = {task: shards.finished(out, task[2]) for task in tasks}
  missing = [task for task in tasks if rows[task] is None]
  workers = pool.count(asked.workers, len(missing))
  done = ((task, _shard(task)) for task in missing) if workers < 2 else pool.results(
      _shard, missing, workers, field='config.teacher.workers')
  for task, row in tqdm.tqdm(done, total=len(missing), unit='shard', desc=f'units by {asked.name}', disable=not missing):
    rows[task] = row
  return shards.write_manifest(out, KIND, VERSION, made_from, [rows[task] for task in tasks],
                               units=asked.units, teacher=asked.name, hop=asked.hop)


def fit(asked: Teacher, segments) -> dict[str, np.ndarray]:
  """Clusters of a spread of segments: {mean, deviation: f32[c], centres: f32[units c]} of standardised features."""
  features = teacher.features(asked.name, asked.hop)
  chosen = read.spread(len(segments), FITTED)
  frames = np.concatenate([features(segments[index].audio)
                           for index in tqdm.tqdm(chosen, unit='clip', desc=f'clusters by {asked.name}')])
  if len(frames) < asked.units:
    raise InputError(f'config.teacher.units: {asked.units} units of {len(frames)} frames; take fewer units or more speech')
  mean, deviation = frames.mean(0), frames.std(0) + 1e-5
  return {'mean': mean, 'deviation': deviation,
          'centres': kmeans((frames - mean) / deviation, asked.units, np.random.default_rng(asked.seed))}


def kmeans(points, count: int, rng) -> np.ndarray:
  """Centres f32[count c] of points f32[n c] after Lloyd's rounds; an empty one moves to a random point."""
  centres = points[rng.permutation(len(points))[:count]]
  for _ in range(ROUNDS):
    of = nearest(points, centres)
    order = np.argsort(of, kind='stable')
    filled, starts, sizes = np.unique(of[order], return_index=True, return_counts=True)
    centres = points[rng.integers(len(points), size=count)]
    centres[filled] = np.add.reduceat(points[order], starts, 0) / sizes[:, None]
  return centres.astype(np.float32)


def nearest(points, centres) -> np.ndarray:
  """The index of the nearest centre of each point: i64[n]."""
  half = 0.5 * np.square(centres).sum(1)
  return np.concatenate([np.argmax(part @ centres.T - half, 1)
                         for part in np.split(points, range(4096, len(points), 4096))])


@functools.cache
def _loaded(asked, clusters):
  """The teacher and the clusters, once a process."""
  return teacher.features(asked.name, asked.hop), safetensors.numpy.load_file(clusters)


def _shard(task):
  """Writes the units of one shard of segments; a damaged record gets none, so that the records stay in step."""
  path, out, name, asked, clusters, kept = task
  features, found = _loaded(asked, clusters)
  row = {'damaged': 0}

  def records():
    source = shards.Records(path)
    for index in kept:
      try:
        clip = segment.from_bytes(source[index])
        units = nearest((features(clip.audio) - found['mean']) / found['deviation'], found['centres'])
        header = {'id': clip.id}
      except (ValueError, RuntimeError):
        row['damaged'] += 1
        units, header = np.zeros(0), {'id': ''}
      yield shards.pack(KIND, VERSION, header, units.astype('<u2').tobytes())

  return shards.write(out, name, records(), row)
