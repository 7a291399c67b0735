"""Which segments a build keeps: filters on measured quality, copies, and sentences said too often.

Decided on the tables and fingerprints of all shards together, and written into the manifest as numbers of records: no
audio is moved, and other limits decode nothing again.
"""
import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tqdm

from telugu_s2s.audio import fingerprint
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import duplicates, engine, segment, shards, table

KIND = 'fingerprint'
VERSION = 1
PRINTS = 'prints'              # the folder of fingerprints below the segments'


@dataclasses.dataclass(frozen=True)
class Rules:
  """What stays. Measures are those of `Segment.quality`, and `seconds`."""
  filters: Mapping[str, Sequence[float]]   # {measure: (lowest, highest)}
  near_duplicates: bool = False
  text_cap: int = 0                        # most segments with one sentence; 0 = any number

  def __post_init__(self):
    for name, limits in self.filters.items():
      if len(limits) != 2 or not limits[0] <= limits[1]:
        raise InputError(f'data.filters.{name}: {limits} is not (lowest, highest)')
    if self.text_cap < 0:
      raise InputError(f'data.text_cap {self.text_cap}: give 0 for any number, or a number')


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
  """A segment that may stay: what is asked of it."""
  shard: int                     # the number of its shard, in the order of reading
  index: int                     # of its record there
  id: str
  seconds: float
  speaker: str
  source: tuple[str, str, str]   # corpus, licence, attribution
  text: str                      # '' where no cap asks for it
  worth: tuple                   # what makes one copy better than another


def select(rules: Rules, folder, rows: Sequence[Mapping],
           prints: Sequence[str] = ()) -> tuple[list[Candidate], list[dict[str, list[int]]]]:
  """The segments that stay, in the order of reading, and what to leave out of each shard, as {reason: numbers of records}.

  In this order: 'filter MEASURE', 'duplicate' (the same samples as an earlier one), 'near duplicate' (the best one of a
  group stays), 'text cap'.

  Args:
    folder: of the segments.
    rows: of its shards, in the order of reading.
    prints: files of `fingerprints`, one a row; needed for near duplicates only.

  Raises:
    InputError: a filter names a measure that a segment does not have, or a table is damaged.
  """
  dropped = [collections.defaultdict(list) for _ in rows]
  seen, left, sources = set(), [], {}
  for number, row in enumerate(rows):
    for index, labels in enumerate(table.shard(folder, row['file'])):
      reason = _filtered(rules.filters, labels)
      key = bytes.fromhex(labels['sha256'])
      if not reason and key in seen:
        reason = 'duplicate'
      if reason:
        dropped[number][reason].append(index)
        continue
      seen.add(key)
      # Some corpora name the original file behind a semicolon.
      source = labels['source'].split(';')[0].strip(), labels['licence'], labels['custom'].get('attribution', '')
      left.append(Candidate(number, index, labels['id'], labels['seconds'], labels['speaker'], sources.setdefault(source, source),
                            labels['text'] if rules.text_cap else '', _worth(labels)))
  if rules.near_duplicates:
    left = _drop(dropped, left, 'near duplicate', _copies(left, prints))
  if rules.text_cap:
    stay = set(duplicates.text_cap([one.text for one in left], rules.text_cap, [one.id for one in left]))
    left = _drop(dropped, left, 'text cap', set(range(len(left))) - stay)
  return left, [{reason: sorted(indices) for reason, indices in sorted(one.items())} for one in dropped]


def reasons(dropped: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, int]:
  """How many segments `select` left out for each reason, in the order of the alphabet."""
  counts = collections.Counter()
  for one in dropped:
    counts.update({reason: len(indices) for reason, indices in one.items()})
  return dict(sorted(counts.items()))


def _drop(dropped, left, reason, gone):
  """Notes the places `gone` of `left` as dropped; the others."""
  for place in gone:
    dropped[left[place].shard][reason].append(left[place].index)
  return [one for place, one in enumerate(left) if place not in gone]


def _filtered(filters, labels):
  """'filter NAME' for the first measure that lies outside its limits, or ''. One that could not be taken (None) passes."""
  for name, (low, high) in filters.items():
    value = labels['seconds'] if name == 'seconds' else labels['quality'].get(name, '')
    if value == '':
      raise InputError(f'data.filters.{name}: {labels["id"]} has no such measure; it has seconds, '
                       f'{", ".join(sorted(labels["quality"]))}')
    if value is not None and not low <= value <= high:
      return f'filter {name}'
  return ''


def _worth(labels):
  """A transcript counts first, then bandwidth."""
  return labels['text_provenance'] == 'human', labels['quality'].get('bandwidth_hz', 0)


def _copies(left, prints):
  """Places in `left` of all but the best of each group of near duplicates; of equals the first is the best."""
  gone = set()
  for group in duplicates.near_duplicates(_Words(left, prints)):
    best = max(group, key=lambda place: (left[place].worth, -place))
    gone |= set(group) - {best}
  return gone


class _Words(Sequence):
  """The fingerprints of candidates, read when they are asked for: of 5000 h they are 6 GB."""

  def __init__(self, left, prints):
    self._left, self._files = left, [shards.Records(path) if path else None for path in prints]

  def __len__(self):
    return len(self._left)

  def __getitem__(self, place):
    one = self._left[place]
    return np.frombuffer(shards.unpack(self._files[one.shard][one.index], KIND, VERSION)[2], '<u4')


def fingerprints(folder, rows: Sequence[Mapping], workers: int, name: str = 'local', address: str = '') -> list[str]:
  """Makes the fingerprints of shards that are not there yet; the file of each row, '' for one without records."""
  out = Path(folder) / PRINTS
  out.mkdir(exist_ok=True)
  shards.sweep(out)
  tasks = [(str(Path(folder).absolute() / row['file']), str(out.absolute()), f'prints-{VERSION}-{row["content"][:16]}')
           for row in rows]
  missing = [task for task, row in zip(tasks, rows) if row['records'] and shards.finished(out, task[2]) is None]
  done = (map(_prints, missing) if engine.alone(workers, len(missing), name) else
          engine.results(_prints, missing, workers, name, address, 'data.workers'))
  for _ in tqdm.tqdm(done, total=len(missing), unit='shard', desc='fingerprints of segments', disable=not missing):
    pass
  return [str(out / (task[2] + shards.SUFFIX)) if row['records'] else '' for task, row in zip(tasks, rows)]


def _prints(task):
  """Writes the fingerprints of one shard of segments; of a damaged record an empty one, so that numbers stay in step."""
  path, out, name = task

  def records():
    source = shards.Records(path)
    for index in range(len(source)):
      try:
        words = fingerprint.fingerprint(segment.from_bytes(source[index]).audio)
      except (ValueError, RuntimeError):
        words = np.zeros(0)
      yield shards.pack(KIND, VERSION, {}, words.astype('<u4').tobytes())

  return shards.write(out, name, records())
