"""When turns begin, and with what: gaps, overlaps, backchannels, fillers and breaths, measured from conversations and drawn from.

A gap is from the end of a turn to the beginning of the next one by another speaker, below 0 where they overlap. A
backchannel is a short sound of the listener within a turn of the other, which takes no turn.
"""
import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.corpora import conversation
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora.labels import MARKS
from telugu_s2s.errors import InputError

TURN, BACKCHANNEL = 'turn', 'backchannel'
BACKCHANNEL_S = 1.0              # a longer sound within the other's turn is one that breaks in
SHORTEST_S = 1.5                 # of a turn in which backchannels are counted and put
GAP_S, GAP_STEP_S = (-1.0, 2.0), 0.1
SHARE_STEP = 0.1
AUDIBLE_DB = -40.0              # below the peak of a turn
MOST_OVERLAP = 0.5               # of the shorter of two turns, when one is drawn
SHARES = ('fillers', 'breaths')            # of turns


@dataclasses.dataclass(frozen=True)
class Histogram:
  """How often a value lies in each of the steps from `first` on."""
  first: float
  step: float
  counts: tuple

  def __post_init__(self):
    if not (self.step > 0 and self.counts and min(self.counts) >= 0 and 0 < sum(self.counts) < math.inf):
      raise InputError(f'a histogram of timing has step {self.step} and counts {self.counts}: give counts, not all of them 0')
    if not math.isfinite(self.first + self.step):
      raise InputError(f'a histogram of timing begins at {self.first} in steps of {self.step}: give numbers')

  def drawn(self, rng) -> float:
    """A value: a step by its count, and evenly within it."""
    share = np.array(self.counts, float) / sum(self.counts)
    return float(self.first + self.step * (rng.choice(len(share), p=share) + rng.random()))

  @classmethod
  def of(cls, values, low, high, step) -> 'Histogram':
    """Of values from low to high; what lies beyond is left out."""
    counts = np.histogram([value for value in values if low <= value <= high], round((high - low) / step), (low, high))[0]
    return cls(low, step, tuple(int(count) for count in counts))


@dataclasses.dataclass(frozen=True)
class Timing:
  """The timing of conversations."""
  origin: str                    # where it was measured
  gap_s: Histogram               # between two speakers
  pause_s: Histogram             # between two turns of one speaker
  backchannels_per_s: float      # of the other's turns of SHORTEST_S and more
  backchannel_at: Histogram      # where in the turn they begin, 0 to 1
  fillers: float                 # share of turns that have one; those that are made begin with it
  breaths: float                 # likewise


def _bell(centre, spread):
  edges = np.arange(*GAP_S, GAP_STEP_S) + GAP_STEP_S / 2
  return tuple(round(1000 * math.exp(-0.5 * ((edge - centre) / spread) ** 2)) for edge in edges)


# Where nothing was measured. That gaps lie around 0.2 s is what studies of many corpora agree on (Levinson and Torreira, Timing
# in turn-taking, 2015). The spread and all other numbers here are our choice and no measurement; none of it is of Telugu.
ASSUMED = Timing('assumed: centre of gaps by Levinson and Torreira (2015), the rest chosen', Histogram(GAP_S[0], GAP_STEP_S, _bell(0.2, 0.35)),
                 Histogram(0.2, 0.1, (1, 2, 2, 1, 1)), 0.12, Histogram(0.3, 0.1, (1, 1, 1, 1, 1, 1)), 0.1, 0.1)


@dataclasses.dataclass(frozen=True)
class Span:
  """Somebody speaks, and when."""
  start_s: float
  end_s: float
  speaker: str
  act: str = TURN
  text: str = ''                 # with the transcriber's marks, where there are any


def measured(dialogues: Iterable[Sequence[Span]], origin: str) -> Timing:
  """The timing of dialogues. What they do not show (no mark of a filler or breath in any text) is as in ASSUMED.

  Raises:
    InputError: no turn follows one of another speaker.
  """
  gaps, pauses, at, heard_s, backchannels, texts = [], [], [], 0.0, 0, []
  for spans in dialogues:
    spans = sorted(spans, key=lambda one: (one.start_s, one.end_s))
    acts = [act(one, spans) if one.act == TURN else one.act for one in spans]
    turns, short = ([one for one, what in zip(spans, acts) if what == wanted] for wanted in (TURN, BACKCHANNEL))
    for before, after in zip(turns, turns[1:]):
      (pauses if before.speaker == after.speaker else gaps).append(after.start_s - before.end_s)
    long = [one for one in turns if one.end_s - one.start_s >= SHORTEST_S]
    heard_s += sum(one.end_s - one.start_s for one in long)
    for turn in long:
      inside = [one for one in short if one.speaker != turn.speaker and turn.start_s <= one.start_s < turn.end_s]
      backchannels += len(inside)
      at += [(one.start_s - turn.start_s) / (turn.end_s - turn.start_s) for one in inside]
    texts += [one.text for one in turns if one.text]
  if not any(GAP_S[0] <= gap <= GAP_S[1] for gap in gaps):
    raise InputError(f'{origin}: no turn follows one of another speaker within {GAP_S[1]:g} s, so no timing can be measured')
  share = lambda mark, assumed: sum(bool(mark.search(text)) for text in texts) / len(texts) if any(map(mark.search, texts)) else assumed
  pauses = [pause for pause in pauses if 0 <= pause <= GAP_S[1]]
  return Timing(
      origin, Histogram.of(gaps, *GAP_S, GAP_STEP_S), Histogram.of(pauses, 0.0, GAP_S[1], GAP_STEP_S) if pauses else ASSUMED.pause_s,
      backchannels / heard_s if heard_s else ASSUMED.backchannels_per_s,
      Histogram.of(at, 0.0, 1.0, SHARE_STEP) if at else ASSUMED.backchannel_at,
      share(MARKS['filler'], ASSUMED.fillers), share(MARKS['breath'], ASSUMED.breaths))


def act(one, spans) -> str:
  """BACKCHANNEL for a short sound within what another speaker says, else TURN; of anything that has start_s, end_s and a speaker."""
  return BACKCHANNEL if one.end_s - one.start_s <= BACKCHANNEL_S and any(
      other.speaker != one.speaker and other.start_s <= one.start_s and one.end_s <= other.end_s for other in spans) else TURN


def spans(folder, rows: Iterable[corpus.Recording], skips: Sequence[corpus.Skip] = ()) -> list[list[Span]]:
  """The dialogues of a folder's recordings that say who speaks when: start_s and end_s in a shared file, or at_s.

  That is when a file of its own begins. Of a file of its own the silence at its ends is no speech. Recordings that cannot be
  decoded are counted with the skips and passed over, as those are that tell no time.
  """
  dialogues, skips = {}, [*skips]
  for one in rows:
    if not (one.dialogue and one.speaker) or 'at_s' not in one.custom and one.end_s is None:
      continue
    at_s, limits = None, (one.start_s or 0.0, one.end_s)
    if 'at_s' in one.custom:
      if (at_s := conversation.seconds(one.custom['at_s'])) is None:
        skips.append(corpus.Skip(one.path, 'bad row', f'at_s {one.custom["at_s"]!r} is no number of seconds'))
        continue
      try:
        limits = tuple(at_s + limits[0] + edge for edge in heard(files.read(Path(folder) / one.path, one.channel, *limits)[0]))
      except files.Unreadable as problem:
        skips.append(corpus.Skip(one.path, problem.reason, problem.detail))
        continue
    text = one.custom.get('text_raw') or one.text
    dialogues.setdefault((one.source if at_s is None else '', one.dialogue), []).append(
        Span(*limits, one.speaker, one.custom.get('act', TURN), text))
  if skips:
    print(f'{folder}: passed over: {corpus.counted(corpus.reasons(skips))}')
  return list(dialogues.values())


def heard(samples) -> tuple[float, float]:
  """Where the sound of a recording begins and ends, in s: the silence at its ends is AUDIBLE_DB below its peak."""
  level = np.abs(samples)
  loud = np.flatnonzero(level > level.max() * 10 ** (AUDIBLE_DB / 20))
  return (float(loud[0]) / files.SAMPLE_RATE, float(loud[-1] + 1) / files.SAMPLE_RATE) if len(loud) else (0.0, 0.0)


def save(path, timing: Timing) -> None:
  """Writes timing as JSON."""
  files.write(path, (json.dumps(dataclasses.asdict(timing), indent=1) + '\n').encode())


def load(path) -> Timing:
  """The timing in a JSON file; ASSUMED for ''.

  Raises:
    InputError: the file is missing, or is none.
  """
  if not path:
    return ASSUMED
  try:
    found = json.loads(Path(path).read_bytes())
    made = {name: Histogram(value['first'], value['step'], tuple(value['counts'])) if isinstance(value, dict) else value
            for name, value in found.items()}
    timing = Timing(**made)
    for field in dataclasses.fields(Timing):
      value = getattr(timing, field.name)
      if not isinstance(value, int | float if field.type is float else field.type):
        raise ValueError(f'{field.name} is {value!r}')
      if field.type is float and not (0 <= value < math.inf and (value <= 1 or field.name not in SHARES)):
        raise ValueError(f'{field.name} is {value!r}, not a number from 0' + ' to 1' * (field.name in SHARES))
    if timing.backchannel_at.first < 0:
      raise ValueError(f'backchannel_at begins at {timing.backchannel_at.first}, before the turn')
    return timing
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
    raise InputError(f'config.timing: {path} holds no timing ({problem}); make one with configs/pairs.py:timing') from None


def laid(turns: Sequence[tuple[str, float]], timing: Timing, rng) -> list[float]:
  """When each of [(speaker, seconds)] begins, in s, the first at 0. No turn begins before the one that precedes it is half over."""
  starts, floor = [], 0.0
  for number, (speaker, seconds) in enumerate(turns):
    if not number:
      starts.append(0.0)
    else:
      before, before_s = turns[number - 1]
      gap = (timing.pause_s if before == speaker else timing.gap_s).drawn(rng)
      gap = max(gap, -MOST_OVERLAP * min(seconds, before_s))
      own = max((start + length for (who, length), start in zip(turns, starts) if who == speaker), default=0.0)
      starts.append(max(floor + gap, own))       # nobody overlaps themselves
    floor = max(floor, starts[-1] + seconds)
  return starts


def backchannels(seconds: float, timing: Timing, rng) -> list[float]:
  """When the listener makes itself heard in a turn of so many seconds, from its beginning; seldom, or never, in a short one."""
  count = rng.poisson(timing.backchannels_per_s * seconds) if seconds >= SHORTEST_S else 0
  found = sorted(seconds * min(timing.backchannel_at.drawn(rng), 1.0) for _ in range(count))
  return [at for number, at in enumerate(found) if not number or at - found[number - 1] >= BACKCHANNEL_S]
