"""Which segments a build keeps: filters on measured quality, copies, and sentences said too often.

Decided on the tables and fingerprints of all shards together, and written into the manifest as numbers of records: no
audio is moved, and other limits decode nothing again.
"""
import collections
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence

from telugu_s2s.corpora import splits
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import duplicates, fingerprints, inputs, table


@dataclasses.dataclass(frozen=True)
class Rules:
  """What stays. Measures are those of `Segment.quality`, and `seconds`."""
  filters: Mapping[str, Sequence[float]]   # {measure: (lowest, highest)}
  near_duplicates: bool = False
  text_cap: int = 0                        # most segments with one sentence; 0 = any number

  def __post_init__(self):
    for name, limits in self.filters.items():
      if len(limits) != 2 or not -math.inf < limits[0] <= limits[1] < math.inf:
        raise InputError(f'data.filters.{name}: {limits} is not (lowest, highest)')
    if self.text_cap < 0:
      raise InputError(f'data.text_cap {self.text_cap}: give 0 for any number, or a number')


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
  """A segment that may stay: what is asked of it. Millions of them are in memory at once."""
  shard: int                     # the number of its shard, in the order of reading
  index: int                     # of its record there
  id: str                        # '' where no cap asks for it
  seconds: float
  speaker: str
  source: tuple[str, str, str]   # corpus, licence, attribution
  text: str                      # '' where no cap asks for it
  held: bool                     # whether its split is another than 'train'
  worth: tuple                   # what makes one copy better than another
  turn: str                      # of which dialogue; '' = of none


def select(rules: Rules, folder, rows: Sequence[Mapping],
           prints: Sequence[str] = (), held: Sequence[str] = ()) -> tuple[list[Candidate], list[dict[str, list[int]]]]:
  """The segments that stay, in the order of reading, and what to leave out of each shard, as {reason: numbers of records}.

  In this order: 'filter MEASURE', 'duplicate' (the same samples as an earlier one, and no turn of another dialogue), 'held out'
  (sounds like what another split has), 'near duplicate' (the best one of a group stays), 'text cap'.

  Args:
    folder: of the segments.
    rows: of its shards, in the order of reading.
    prints: files of `fingerprints.of_shards`, one a row; needed for near duplicates only.
    held: files of `fingerprints.of_recordings`, of what is held out.

  Raises:
    InputError: a filter names a measure that a segment does not have, or a table is damaged.
  """
  dropped = [collections.defaultdict(list) for _ in rows]
  seen, left, sources = set(), [], {}
  for number, row in enumerate(rows):
    for index, labels in enumerate(table.shard(folder, row['file'])):
      reason = _filtered(rules.filters, labels)
      # A turn is also what it answers: one recording may be the answer in several dialogues.
      turn = f'{labels["dialogue"]} {labels["turn"]}' if labels['dialogue'] else ''
      key = bytes.fromhex(labels['sha256']) + turn.encode()
      if not reason and key in seen:
        reason = 'duplicate'
      if reason:
        dropped[number][reason].append(index)
        continue
      seen.add(key)
      # Some corpora name the original file behind a semicolon.
      source = labels['source'].split(';')[0].strip(), labels['licence'], labels['custom'].get('attribution', '')
      left.append(Candidate(number, index, labels['id'] if rules.text_cap else '', labels['seconds'], sys.intern(labels['speaker']),
                            sources.setdefault(source, source), labels['text'] if rules.text_cap else '',
                            labels['split'] != splits.TRAIN, _worth(labels) if rules.near_duplicates else (), sys.intern(turn)))
  if rules.near_duplicates:
    copied, gone = _copies(left, prints, held)
    left = _drop(dropped, left, {inputs.HELD_OUT: copied, 'near duplicate': gone})
  if rules.text_cap:
    stay = set(duplicates.text_cap([one.text for one in left], rules.text_cap, [one.id for one in left]))
    left = _drop(dropped, left, {'text cap': set(range(len(left))) - stay})
  return left, [{reason: sorted(indices) for reason, indices in sorted(one.items())} for one in dropped]


def reasons(dropped: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, int]:
  """How many segments `select` left out for each reason, in the order of the alphabet."""
  counts = collections.Counter()
  for one in dropped:
    counts.update({reason: len(indices) for reason, indices in one.items()})
  return dict(sorted(counts.items()))


def _drop(dropped, left, gone):
  """Notes the places of `left` in gone[reason] as dropped; the others."""
  for reason, places in gone.items():
    for place in places:
      dropped[left[place].shard][reason].append(left[place].index)
  return [one for place, one in enumerate(left) if not any(place in places for places in gone.values())]


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


def _copies(left, prints, held):
  """Places in `left` of copies of what is held out, and of all but the best of each other group of near duplicates.

  Of equals the first is the best. A turn is also what it answers: it is a copy of the same turn of its dialogue alone, and of others none.
  """
  words = fingerprints.Words([*prints, *held], [(one.shard, one.index) for one in left], len(prints))
  copied, gone = set(), set()
  for group in duplicates.near_duplicates(words):
    inside = [place for place in group if place < len(left)]
    if len(inside) < len(group) or any(left[place].held for place in inside):
      copied |= {place for place in inside if not left[place].held}
    inside = [place for place in inside if place not in copied]
    best = {}
    for place in inside:
      turn = left[place].turn
      best[turn] = max(best.get(turn, place), place, key=lambda one: (left[one].worth, -one))
    if len(best) > 1:
      best.pop('', None)
    gone |= set(inside) - set(best.values())
  return copied, gone
