"""What a server counts and measures, as text that Prometheus reads."""
import bisect
import collections
import itertools

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)       # seconds
RECENT = 10_000                  # times that percentiles are taken of
COUNTED = {'reply': 'replies begun', 'barge_in': 'replies that the user broke off', 'session': 'sessions let in'}
FIRSTS = {'first_audio_s': "from the end of a turn to its reply's first audio, which may be silent",
          'first_sound_s': "from the end of a turn to its reply's first sound"}


class Times:
  """How long something took, each time."""

  def __init__(self):
    self.recent, self.buckets, self.sum = collections.deque(maxlen=RECENT), [0] * (len(BUCKETS) + 1), 0.0

  def add(self, seconds: float) -> None:
    self.recent.append(seconds)
    self.buckets[bisect.bisect_left(BUCKETS, seconds)] += 1
    self.sum += seconds


def _number(value) -> str:
  """Counts whole, as six digits of one would move in steps."""
  return f'{value:d}' if isinstance(value, int) else f'{value:g}'


class Metrics:
  """Counts since the start."""

  def __init__(self):
    self.counts = collections.Counter()
    self.errors, self.refused, self.closed = collections.Counter(), collections.Counter(), collections.Counter()
    self._firsts = {name: Times() for name in FIRSTS}

  def note(self, what: str, value) -> None:
    """Takes something that a session tells."""
    if what in FIRSTS:
      self._firsts[what].add(value)
    elif what == 'error':
      self.errors[value] += 1
    else:
      self.counts[what] += value

  def text(self, engine) -> str:
    """All of it, with what the engine counts. engine: an engine.Engine."""
    lines = []

    def add(name, kind, about, values):
      lines.extend([f'# HELP telugu_s2s_{name} {about}', f'# TYPE telugu_s2s_{name} {kind}'])
      lines.extend(f'telugu_s2s_{name}{labels} {_number(value)}' for labels, value in values)
    one = lambda value: [('', value)]
    by = lambda label, counter: [(f'{{{label}="{name}"}}', count) for name, count in sorted(counter.items())]
    add('sessions_active', 'gauge', 'sessions that have a place', one(engine.sessions))
    add('places', 'gauge', 'places for sessions', one(engine.places))
    add('ready', 'gauge', 'whether the model is compiled and warm', one(engine.ready.is_set()))
    for name, about in COUNTED.items():
      add(f'{name}s_total' if name != 'reply' else 'replies_total', 'counter', about, one(self.counts[name]))
    add('refused_total', 'counter', 'connections that got no session', by('reason', self.refused))
    add('closed_total', 'counter', 'sessions that the server ended', by('reason', self.closed))
    add('errors_total', 'counter', 'error events', by('code', self.errors))
    add('ticks_total', 'counter', 'steps of all sessions together', one(engine.ticks))
    add('ticks_late_total', 'counter', 'frames of running replies in whose time no tick began', one(engine.late))
    add('underruns_total', 'counter', 'frames of replies that were made after their time', one(engine.underruns))
    add('engine_failures_total', 'counter', 'faults after which the engine began anew', one(engine.failures))
    add('programs', 'gauge', 'compiled programs of a tick; more than one: something was compiled again', one(engine.programs))
    took = sorted(engine.tick_s) or [0.0]
    add('tick_seconds', 'gauge', f'how long the last {len(took)} ticks took',
        [(f'{{quantile="{q}"}}', took[min(len(took) - 1, int(q * len(took)))]) for q in (0.5, 0.95, 0.99)])
    for name, times in self._firsts.items():
      recent, name = sorted(times.recent), name.removesuffix('_s')
      add(f'{name}_recent_seconds', 'gauge', f'of the last {len(recent)} replies',
          [(f'{{quantile="{q}"}}', recent[min(len(recent) - 1, int(q * len(recent)))]) for q in (0.5, 0.95, 0.99) if recent])
      totals = list(itertools.accumulate(times.buckets))
      add(f'{name}_seconds', 'histogram', FIRSTS[f'{name}_s'],
          [(f'_bucket{{le="{limit}"}}', total) for limit, total in zip((*BUCKETS, '+Inf'), totals)] + [('_sum', times.sum), ('_count', totals[-1])])
    return '\n'.join(lines) + '\n'
