"""Labels of clips as numbers: who speaks, with what emotion, how a phrase is delivered, what is between words, and another clip of the same voice.

A table stands beside the tokens. When clips are added it grows at its end, and bins stay where they are: what a model learnt
under a number keeps its number.
"""
import collections
import dataclasses
import functools
import json
from pathlib import Path

import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.corpora import labels as written
from telugu_s2s.errors import InputError
from telugu_s2s.tokens.record import ABSENT

FILE, VERSION = 'labels.json', 1
EMOTIONS = ('neutral', 'happy', 'sad', 'excited', 'angry', 'fear', 'surprise', 'calm', 'disgust')
UNKNOWN = ('', 'unknown')
# The measure that each knob is made of; pitch in semitones from the speaker's median.
KNOBS = {'pitch': 'f0_median_hz', 'range': 'f0_range_st', 'rate': 'syllables_per_s', 'energy': 'energy_range_db'}
NONVERBAL = {'breath': 'breaths', 'filler': 'fillers'}          # and how many of them there are


def speaker(labels: dict) -> str:
  """'source/speaker' of a clip, since corpora give the same names to others; '' where nobody is named."""
  return f'{labels.get("source", "")}/{labels["speaker"]}' if labels.get('speaker') else ''


def spoken_by(one) -> str:
  """`speaker` of a segment or a recording."""
  return speaker({'source': one.source, 'speaker': one.speaker})


def emotion(label: str) -> int:
  """The number of an emotion, ABSENT for one that is unknown or outside of EMOTIONS."""
  word = label.strip().lower()
  word = written.EMOTIONS.get(word, word)
  return EMOTIONS.index(word) if word in EMOTIONS else ABSENT


def named_emotion(label: str) -> str:
  """One of EMOTIONS, whatever its corpus calls it, '' for one that is unknown or outside of them."""
  number = emotion(label)
  return '' if number == ABSENT else EMOTIONS[number]


def nonverbal(labels: dict) -> dict[str, int]:
  """{breath, filler: 1 where there is one, 0 where none is heard, ABSENT where nobody listened and no transcript marks one}.

  Of a filler that is too short to be heard its mark tells. A breath that is marked may have been cut away as silence: there the ear decides.
  A transcript tells nothing where a recording was cut, since its marks belong to no one part.
  """
  raw = (labels.get('custom') or {}).get('text_raw') or '' if labels.get('text') else ''
  found = {}
  for name, measure in NONVERBAL.items():
    count, marked = (labels.get('quality') or {}).get(measure), bool(written.MARKS[name].search(raw))
    found[name] = int(marked) if marked and (name == 'filler' or count is None) else ABSENT if count is None else int(count > 0)
  return found


@dataclasses.dataclass(frozen=True)
class Table:
  """What the numbers of a folder of tokens mean."""
  speakers: tuple[str, ...] = ()
  pitch_hz: tuple[float | None, ...] = ()            # median of each speaker's clips, None where not measured
  edges: dict = dataclasses.field(default_factory=dict)      # {knob: limits between its bins}, of knobs that are measured
  clips: tuple[int, ...] = ()                        # the speaker of each clip of the folder
  strange: dict = dataclasses.field(default_factory=dict)    # {emotion outside of EMOTIONS: clips}
  between: dict = dataclasses.field(default_factory=dict)    # {breath, filler: [clips without, clips with]} of those of which it is known
  content: str = ''                                  # of the folder's manifest
  emotions: dict | None = None                       # {one of EMOTIONS: clips}, None where nobody counted

  @functools.cached_property
  def number(self) -> dict:
    """{speaker: number}."""
    return {name: number for number, name in enumerate(self.speakers)}

  @functools.cached_property
  def of_speaker(self) -> dict:
    """{speaker's number: i64[n], the clips}."""
    clips = np.array(self.clips, np.int64)
    order = np.argsort(clips, kind='stable')
    starts = np.flatnonzero(np.diff(clips[order], prepend=-2))
    return {int(clips[part[0]]): part for part in np.split(order, starts[1:]) if len(part)}

  @property
  def told_apart(self) -> tuple[str, ...]:
    """Those of NONVERBAL that there are clips without and with: only these can be learnt."""
    return tuple(name for name, count in self.between.items() if min(count))

  @property
  def felt(self) -> tuple[str, ...]:
    """Those of EMOTIONS that there are clips of: only these can be learnt."""
    return EMOTIONS if self.emotions is None else tuple(name for name in EMOTIONS if self.emotions.get(name))

  def feeling(self, name: str) -> int:
    """The number of an emotion that is asked for. Raises InputError where there is none, or nothing was learnt of it."""
    found = asked_emotion(name)
    if EMOTIONS[found] not in self.felt:
      raise InputError(f'emotion {name!r}: there were no clips of it to learn from; give {"one of " if self.felt else "none"}{", ".join(self.felt)}')
    return found

  def measured(self, labels: dict) -> dict:
    """{knob: number} of those that were measured."""
    quality = labels.get('quality') or {}
    found = {knob: quality.get(name) for knob, name in KNOBS.items()}
    number = self.number.get(speaker(labels), ABSENT)
    middle = self.pitch_hz[number] if number != ABSENT else None
    found['pitch'] = 12 * np.log2(found['pitch'] / middle) if found['pitch'] and middle else None
    return {knob: float(value) for knob, value in found.items() if value is not None}

  def knobs(self, labels: dict) -> np.ndarray:
    """i32[4], the bin of each knob, ABSENT where it was not measured."""
    found = self.measured(labels)
    return np.array([np.searchsorted(self.edges[knob], found[knob], side='right')
                     if knob in found and knob in self.edges else ABSENT for knob in KNOBS], np.int32)

  def named(self, name: str, size: int) -> int:
    """The number of a speaker who is asked for as 'source/speaker', or as 'speaker' where only one is called so.

    size: rows of the model's table.

    Raises:
      InputError: there is none, there are several, or the model's table ends before.
    """
    if not self.speakers:
      raise InputError(f'speaker {name!r}: the data of this run names no speakers; give a recording of the voice in the place of a name')
    found = [name] if name in self.number else [one for one in self.speakers if one.endswith(f'/{name}')]
    if len(found) == 1:
      if self.number[found[0]] >= size:
        raise InputError(f'speaker {name!r}: beyond the {size} speakers of this run')
      return self.number[found[0]]
    some = found or self.speakers[:8]
    raise InputError(f'speaker {name!r}: ' + ('several are called so' if found else 'there is no such speaker') +
                     f'; give one of {", ".join(some)}' + (', ..' if len(self.speakers) > len(some) and not found else ''))


def asked_emotion(name: str) -> int:
  """The number of an emotion that is asked for. Raises InputError where there is no such emotion."""
  if (found := emotion(name)) == ABSENT:
    raise InputError(f'emotion {name!r}: give one of {", ".join(EMOTIONS)}')
  return found


def met(before: Table, every) -> Table:
  """A table with all speakers of `every`, dicts of labels, and the median pitch of those that it had none of."""
  names = [speaker(one) for one in every]
  speakers = before.speakers + tuple(sorted(set(names) - set(before.speakers) - {''}))
  hertz = collections.defaultdict(list)
  for name, one in zip(names, every):
    if value := (one['quality'] or {}).get('f0_median_hz'):
      hertz[name].append(value)
  known = dict(zip(before.speakers, before.pitch_hz))
  pitch_hz = tuple(known.get(name) or (round(float(np.median(hertz[name])), 2) if hertz[name] else None) for name in speakers)
  return dataclasses.replace(before, speakers=speakers, pitch_hz=pitch_hz)


def made(clips, before: Table = Table(), bins: int = 5) -> Table:
  """The table of all clips of a batches.Clips, which goes on where `before` ended."""
  every, counts = [], {name: [0, 0] for name in NONVERBAL}
  for index in range(len(clips)):
    one = clips[index].labels                  # all of them would be gigabytes of a large folder
    measured = one.get('quality') or {}
    every.append({name: one.get(name) for name in ('source', 'speaker', 'emotion')} | {
        'quality': {name: measured.get(name) for name in KNOBS.values()}})
    for name, value in nonverbal(one).items():
      if value != ABSENT:
        counts[name][value] += 1
  grown = met(before, every)
  strange = collections.Counter(one['emotion'] for one in every if one['emotion'] and one['emotion'].strip().lower()
                                not in UNKNOWN and emotion(one['emotion']) == ABSENT)
  felt = collections.Counter(name for one in every if (name := named_emotion(one['emotion'] or '')))
  felt |= collections.Counter(before.emotions)
  counted = before.emotions is not None or not before.speakers         # of an older table nobody knows what was learnt by it
  table = dataclasses.replace(grown, clips=tuple(grown.number.get(speaker(one), ABSENT) for one in every), strange=dict(sorted(strange.items())),
                              content=clips.manifest['content'], emotions=dict(sorted(felt.items())) if counted else None)
  measured, edges = [table.measured(one) for one in every], dict(before.edges)
  for knob in KNOBS:
    values = [one[knob] for one in measured if knob in one]
    if knob not in edges and len(values) >= bins:
      edges[knob] = np.round(np.quantile(values, np.arange(1, bins) / bins), 4).tolist()
  return dataclasses.replace(table, edges=edges, between=counts)


def save(path, table: Table) -> None:
  files.write(path, to_bytes(table))


def to_bytes(table: Table) -> bytes:
  return (json.dumps({'version': VERSION, **dataclasses.asdict(table)}, ensure_ascii=False) + '\n').encode()


def table(found: dict) -> Table:
  """The table of what `dataclasses.asdict` gave and JSON kept."""
  return Table(**found | {name: tuple(found[name]) for name in ('speakers', 'pitch_hz', 'clips')})


def load(path) -> Table:
  """The table in a file. Raises InputError where there is none, or it is no such file."""
  try:
    found = json.loads(Path(path).read_bytes())
    if found.pop('version') != VERSION:
      raise ValueError(f'of another version than {VERSION}')
    return table(found)
  except FileNotFoundError:
    raise InputError(f'{path}: no such table of labels') from None
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
    raise InputError(f'{path}: no table of labels ({problem}); delete it, and it is made again') from None


def kept(folder) -> Table:
  """The table in a folder, of a run or of tokens, an empty one where there is none. Raises as `load` does."""
  path = Path(folder) / FILE
  return load(path) if path.exists() else Table()


def of(folder, clips, before: str = '', bins: int = 5) -> Table:
  """The table of a folder of tokens, from its file; made or continued, and saved there, where the folder has changed.

  Args:
    clips: the folder's batches.Clips.
    before: a table whose numbers go on here, even where another run numbered the folder otherwise; '' = none.

  Raises:
    InputError: a file is no table, or is one of another number of bins.
  """
  path = Path(folder) / FILE
  table = kept(folder)
  first = load(before) if before else table
  for found, where in ((table, path), (first, before)):
    wrong = [len(limits) + 1 for limits in found.edges.values() if len(limits) + 1 != bins]
    if wrong:
      raise InputError(f'{where}: its knobs have {wrong[0]} bins; set config.model.knob_bins to that')
  base = table if goes_on(table, first) else first
  if base is not table or table.content != clips.manifest['content']:
    table = made(clips, base, bins)
    save(path, table)
  return table


def goes_on(table: Table, before: Table) -> bool:
  """Whether all that a number means in one table it means in another that may have more."""
  count = len(before.speakers)
  return (table.speakers[:count] == before.speakers and all(table.edges.get(knob) == edges for knob, edges in before.edges.items()) and
          all(then in (None, now) for now, then in zip(table.pitch_hz, before.pitch_hz)))


@dataclasses.dataclass(frozen=True)
class Asked:
  """What rows of a folder's clips say of their voice."""
  table: Table                   # that the model's numbers are of
  clips: object                  # the batches.Clips that recordings are taken from
  own: Table                     # of that folder
  speakers: int = 0              # rows of the model's table; a speaker beyond it is absent
  emotions: bool = False
  knobs: bool = False
  moves: bool = True             # what knobs say is told; False = they are there, and ABSENT
  nonverbal: bool = False
  frames: int = 0                # of a recording of the same voice; 0 = none

  def row(self, tokens, mine: bool, rng=None) -> dict:
    """{speaker, emotion, breath, filler: i32[], knobs: i32[4], reference: i32[frames q]}, those that are asked for.

    Args:
      tokens: the clip, in any view.
      mine: it is the assistant who says it. Of a silent assistant nothing is known.
      rng: chooses the recording; None = the speaker's first other clip, from its start.
    """
    found, labels = {}, tokens.labels
    if self.speakers:
      number = self.table.number.get(speaker(labels), ABSENT) if mine else ABSENT
      found['speaker'] = np.int32(number if number < self.speakers else ABSENT)
    if self.emotions:
      found['emotion'] = np.int32(emotion(labels.get('emotion') or '') if mine else ABSENT)
    if self.knobs:
      found['knobs'] = self.table.knobs(labels) if mine and self.moves else np.full(len(KNOBS), ABSENT, np.int32)
    if self.nonverbal:
      found |= {name: np.int32(value if mine else ABSENT) for name, value in nonverbal(labels).items()}
    if self.frames:
      found['reference'] = np.full((self.frames, tokens.codes.shape[1]), ABSENT, np.int32)
      if mine and (other := self._other(labels, rng)) is not None:
        spare = len(other) - self.frames
        part = other[int(rng.integers(spare + 1)) if rng and spare > 0 else 0:][:self.frames]
        found['reference'][:len(part)] = part
    return found

  def _other(self, labels, rng):
    """Codes of another clip of the speaker, since one of this clip would tell what is to be said; None where there is none."""
    same = self.own.of_speaker.get(self.own.number.get(speaker(labels), -2), ())
    if len(same) < 2:
      return None
    start = int(rng.integers(len(same))) if rng else 0
    for at in range(2):
      other = self.clips[int(same[(start + at) % len(same)])]
      if other.labels.get('id') != labels.get('id'):
        return other.codes.astype(np.int32)
    return None

  def said(self) -> str:
    """What is known of the clips, in a line, with a warning of what the model cannot be told."""
    clips = np.array(self.own.clips)
    beyond = int(np.sum(clips >= self.speakers)) if self.speakers else 0
    line = f'labels: {len(self.own.speakers)} speakers'
    if self.knobs and self.moves:
      line += f'; knobs {", ".join(self.table.edges) or "not measured"}'
    if self.nonverbal:
      line += ''.join(f'; a {name} in {found[1]} of {sum(found)} clips' for name, found in self.own.between.items())
    if nobody := int(np.sum(clips == ABSENT)):
      line += f'; {nobody} clips name no speaker'
    if beyond:
      line += f'; warning: {beyond} clips are of speakers beyond config.model.speakers = {self.speakers}'
    if self.emotions and self.own.strange:
      names = ', '.join(f'{name} ({count})' for name, count in list(self.own.strange.items())[:8])
      line += f'; warning: {sum(self.own.strange.values())} clips have an emotion that there is no number for: {names}'
    return line
