"""What the segments of a folder are, counted in one pass: labels, distributions, and a few segments to show.

Memory does not grow with the segments: bins are fixed, labels and reasons have a greatest number, examples are few.
"""
import bisect
import collections
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from telugu_s2s.preparation import checklist, read

LABELS = ('source', 'style', 'gender', 'emotion', 'language', 'split', 'licence', 'speaker', 'text_provenance', 'native_rate')
MOST_LABELS = 50_000     # of a kind; further ones share one entry
MOST_REASONS = 30
LABEL_SIGNS = 200        # of a label or id that are kept
TEXT_SIGNS = 400
EXAMPLES = 10            # a reason
SHOWN = 6                # segments that were kept, with picture and sound
OTHERS = 'others'
BINS = 40


class Measure(NamedTuple):
  """A number that a segment has, and the range that is drawn; what lies outside is counted in the first or last bin."""
  title: str
  unit: str
  low: float
  high: float


MEASURES = {
    'seconds': Measure('Length', 's', 0, 30),
    'snr_db': Measure('Speech over background', 'dB', 0, 80),
    'rms_dbfs': Measure('Level', 'dBFS', -60, 0),
    'bandwidth_hz': Measure('Bandwidth', 'Hz', 0, 8000),
    'clipped': Measure('Clipped', 'share of samples', 0, 0.02),
    'mos': Measure('DNSMOS P.808', '', 1, 5),
    'ovr': Measure('DNSMOS P.835, overall', '', 1, 5),
    'sig': Measure('DNSMOS P.835, speech', '', 1, 5),
    'bak': Measure('DNSMOS P.835, background', '', 1, 5),
    'energy_range_db': Measure('Loud over soft', 'dB', 0, 60),
    'f0_median_hz': Measure('Pitch, median', 'Hz', 50, 450),
    'f0_range_st': Measure('Pitch, range', 'semitones', 0, 30),
    'voiced': Measure('Voiced', 'share of time', 0, 1),
    'syllables_per_s': Measure('Speaking rate', 'syllables a second', 0, 12),
}


class Hours:
  """Segments and seconds by label, {label: [segments, seconds]}; labels beyond the greatest number share OTHERS."""

  def __init__(self, most: int = MOST_LABELS):
    self.most, self.by = most, {}

  def add(self, label: str, seconds: float | None) -> str:
    """Counts one segment, whose seconds may be unknown; returns the label that it is counted under."""
    if label not in self.by and len(self.by) >= self.most:
      label = OTHERS
    entry = self.by.setdefault(label, [0, 0.0])
    entry[0] += 1
    entry[1] += seconds or 0.0
    return label

  def ordered(self) -> list[tuple[str, int, float]]:
    """(label, segments, seconds), most seconds first, then by segments and label."""
    return sorted(((label, *entry) for label, entry in self.by.items()), key=lambda one: (-one[2], -one[1], one[0]))

  @property
  def known(self) -> int:
    """How many labels there are, '' apart."""
    return len(self.by) - ('' in self.by)


class Histogram:
  """Counts of kept and dropped values in equal bins of [low, high]; mean, least and greatest of the kept ones."""

  def __init__(self, low: float, high: float):
    self.edges = [low + (high - low) * bin / BINS for bin in range(1, BINS)]
    self.low, self.high = low, high
    self.kept, self.dropped = [0] * BINS, [0] * BINS
    self.count, self.total, self.least, self.most = 0, 0.0, math.inf, -math.inf

  def add(self, value: float, kept: bool) -> None:
    (self.kept if kept else self.dropped)[bisect.bisect_right(self.edges, value)] += 1
    if kept:
      self.count += 1
      self.total += value
      self.least, self.most = min(self.least, value), max(self.most, value)

  @property
  def mean(self) -> float:
    """Of the kept values; nan for none."""
    return self.total / self.count if self.count else math.nan

  @property
  def outside(self) -> tuple[bool, bool]:
    """Whether kept values lie below the range, and above it."""
    return self.least < self.low, self.most > self.high


class Spread:
  """A few of the things that are added, evenly spread and the first among them, whatever their number."""

  def __init__(self, count: int):
    self.count, self.seen, self.step, self.things = count, 0, 1, []

  def wants(self) -> bool:
    """Whether the next thing is one of those; it is counted either way."""
    self.seen += 1
    return (self.seen - 1) % self.step == 0

  def add(self, thing) -> None:
    """Takes a thing that was wanted."""
    self.things.append(thing)
    if len(self.things) > 4 * self.count:
      self.things, self.step = self.things[::2], 2 * self.step

  def chosen(self) -> list:
    return [self.things[index] for index in read.spread(len(self.things), self.count)] if self.things else []


class Left:
  """What was left out, by reason: counts, seconds where they are known, and examples."""

  def __init__(self):
    self.hours, self._examples = Hours(MOST_REASONS), collections.defaultdict(lambda: Spread(EXAMPLES))

  def add(self, reason: str, seconds: float | None, example) -> None:
    """example: a function that gives it, called only when it is wanted."""
    examples = self._examples[self.hours.add(reason[:LABEL_SIGNS], seconds)]
    if examples.wants():
      examples.add(example())

  def examples(self, reason: str) -> list:
    return self._examples[reason].chosen() if reason in self._examples else []


class Tally:
  """All that the report says of the segments."""

  def __init__(self):
    self.segments, self.seconds = 0, 0.0                     # that were kept
    self.dialogue_s = 0.0
    self.clean_s = self.judged_s = 0.0                       # clean; of those whose noise was measured
    self.natural_s = self.paced_s = 0.0                      # at a natural rate; of those whose rate was measured
    self.labels = {name: Hours() for name in LABELS}
    self.licence_class = {}        # of each licence
    self.histograms = {}           # {name of a measure: Histogram}
    self.other_measures = {}       # {name: Histogram}, of measures that have no range here: only their numbers are shown
    self.shown = Spread(SHOWN)
    self.dropped = Left()

  def add(self, row: Mapping) -> None:
    seconds, kept, quality = row['seconds'], not row['dropped'], row['quality']
    self._measure('seconds', seconds, kept)
    for name, value in quality.items():
      if name != 'native_rate' and isinstance(value, (int, float)) and math.isfinite(value):
        self._measure(name, value, kept)
    if not kept:
      self.dropped.add(row['dropped'], seconds, lambda: example(row))
      return
    self.segments += 1
    self.seconds += seconds
    self.dialogue_s += seconds if row['dialogue'] else 0
    if (clean := checklist.clean(quality)) is not None:
      self.judged_s += seconds
      self.clean_s += seconds if clean else 0
    if (natural := checklist.natural(quality)) is not None:
      self.paced_s += seconds
      self.natural_s += seconds if natural else 0
    for name in LABELS[:-1]:
      self.labels[name].add(row[name][:LABEL_SIGNS], seconds)
    self.labels['native_rate'].add(f'{quality["native_rate"]} Hz' if quality.get('native_rate') else '', seconds)
    if len(self.licence_class) < MOST_LABELS:
      self.licence_class[row['licence'][:LABEL_SIGNS]] = row['licence_class']
    if self.shown.wants():
      self.shown.add(example(row))

  def _measure(self, name, value, kept):
    if name in MEASURES:
      if name not in self.histograms:
        self.histograms[name] = Histogram(*MEASURES[name][2:])
      self.histograms[name].add(value, kept)
    elif name in self.other_measures or len(self.other_measures) < MOST_REASONS:
      self.other_measures.setdefault(name, Histogram(0, 1)).add(value, kept)


def example(row: Mapping) -> dict:
  """What is shown of a segment, cut to what a page can hold; `shard` and `index` say where its audio is."""
  short = {name: str(row[name])[:LABEL_SIGNS] for name in ('id', 'path', 'source', 'language', 'speaker', 'style', 'emotion')}
  return {**short, 'text': row['text'][:TEXT_SIGNS], 'dropped': row['dropped'][:LABEL_SIGNS], 'start_s': row['start_s'],
          'seconds': row['seconds'], 'shard': row['shard'], 'index': row['index']}


def tally(rows: Iterable[Mapping]) -> Tally:
  """The counts of rows as `table.rows` gives them."""
  result = Tally()
  for row in rows:
    result.add(row)
  return result
