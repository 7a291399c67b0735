"""Which clips an epoch has, in which view, and which of them share a row of a batch: a function of seed and epoch alone."""
import dataclasses
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from telugu_s2s.errors import InputError
from telugu_s2s.tokens.census import Census

VIEWS = ('turns', 'all', 'first')
OPEN = 64            # rows that are filled at a time


@dataclasses.dataclass(frozen=True)
class Mixture:
  """How often clips come in an epoch."""
  weights: Mapping[str, float] = dataclasses.field(default_factory=dict)     # {source: times}; 1 for one that is not named
  text_cap: int = 0                                                          # most takes of one sentence; 0 = any number


def weights(text: str) -> dict[str, float]:
  """{source: times an epoch} of 'SOURCE=TIMES,..'. Raises InputError for anything else."""
  found = {}
  for part in filter(None, (part.strip() for part in text.split(','))):
    name, sign, times = part.rpartition('=')
    try:
      found[name.strip()] = float(times)
    except ValueError:
      sign = ''
    if not (sign and name and 0 <= found[name.strip()] < float('inf')):
      raise InputError(f"config.mixture: {part!r} is not SOURCE=TIMES, such as 'slr66=2, fleurs=0.5'")
  return found


class Epochs:
  """Rows of clips, without end.

  Args:
    census: of the clips.
    needs: i64[n], the frames that each clip takes of a row, at most `frames`.
    frames: of a row.
    most: clips of a row; 1 = none is packed with others.
    views: how many each clip has; how = 'turns': each epoch another one, 'all': an epoch is every view once, 'first':
      the clips as they are.
    seed: of the order, and of which views come together.
    times: f[n], how often each clip comes beside what the mixture says of its source; None = once.

  Raises:
    InputError: the mixture names a source that is not there, or leaves no clip.
  """

  def __init__(self, census: Census, needs, frames: int, most: int = 1, mixture: Mixture = Mixture(), views: int = 1,
               how: str = 'turns', seed: int = 0, times=None):
    if how not in VIEWS:
      raise InputError(f'config.views {how!r}: give one of {", ".join(VIEWS)}')
    if strange := sorted(set(mixture.weights) - set(census.sources)):
      raise InputError(f'config.mixture: there is no source {", ".join(strange)}; there are {", ".join(sorted(census.sources))}')
    if most < 1 or mixture.text_cap < 0:
      raise InputError(f'config.packed {most}, config.text_cap {mixture.text_cap}: give clips from 1, a number from 0')
    self._census, self._needs, self._frames, self._most = census, needs, frames, most
    self._times = np.array([mixture.weights.get(name, 1.0) for name in census.sources])[census.source]
    self._times = self._times if times is None else self._times * times
    self._cap, self._views, self._how, self._seed = mixture.text_cap, views, how, seed
    self._kept, self._lock, self._begun = {}, threading.Lock(), 0
    if not self._times.any():
      raise InputError(f'config.mixture: every clip has weight 0; give {", ".join(sorted(census.sources))} more')
    self.rows = len(self._rows(0)[1]) - 1
    if not self.rows:
      raise InputError('config.mixture: its weights leave no clip in the first epoch; give greater ones')

  def row(self, index: int) -> list[tuple[int, int]]:
    """(clip, view) of each clip of the row `index`, from 0 without end.

    All epochs count as many rows as the first: of those that have more the emptiest are left out, others begin anew.
    """
    epoch, place = divmod(index, self.rows)
    clips, ends, view = self._rows(epoch)
    if 2 * place >= self.rows and epoch >= self._begun:          # of millions of clips it takes minutes: the next one is made meanwhile
      self._begun = epoch + 1
      threading.Thread(target=self._rows, args=(epoch + 1,), daemon=True).start()
    place %= len(ends) - 1
    return [(int(clips[at]), int(view[at])) for at in range(ends[place], ends[place + 1])]

  def filled(self) -> tuple[int, float]:
    """How many clips the rows of the first epoch hold, and the share of their frames that clips take."""
    clips = self._rows(0)[0]
    return len(clips), float(self._needs[clips].sum() / (self.rows * self._frames))

  def _rows(self, epoch):
    """`_made`, of the last two epochs kept. Who wants one that is there never waits for one that is being made."""
    if (found := self._kept.get(epoch)) is None:
      with self._lock:             # readers come at once, and each would make it
        if (found := self._kept.get(epoch)) is None:
          found = self._made(epoch)
          self._kept = dict([*self._kept.items()][-1:]) | {epoch: found}
    return found

  def _made(self, epoch):
    """(clips i64[m], where each row begins among them and the last one ends i64[rows + 1], views i64[m]) of an epoch."""
    rng = np.random.default_rng([self._seed, epoch])
    count = len(self._times)
    times = np.floor(self._times + rng.random(count)).astype(np.int64)
    if epoch and not times.any():
      return self._made(0)         # a few clips of small weight
    if self._cap:
      times = _capped(times, self._census.text, self._cap, rng.permutation(count))
    clips = np.repeat(np.arange(count), times)
    # Not all in one view at a time, nor a clip that comes several times in the same one.
    again = np.arange(len(clips)) - np.repeat(np.cumsum(times) - times, times)
    view = (clips + epoch + again) % self._views if self._how == 'turns' else np.zeros_like(clips)
    if self._how == 'all':
      view, clips = np.repeat(np.arange(self._views), len(clips)), np.tile(clips, self._views)
    order = rng.permutation(len(clips))
    clips, view = clips[order], view[order]
    if self._most == 1 or not len(clips):
      return clips, np.arange(len(clips) + 1), view
    rows = packed(self._needs[clips], self._frames, self._most)
    order = np.concatenate(rows)
    return clips[order], np.cumsum([0] + [len(row) for row in rows]), view[order]


def _capped(times, text, cap, order):
  """times, so that no sentence comes more often than `cap`: those that come first in `order` stay."""
  repeated = np.repeat(order, times[order])                                   # each take, in the order in which they may stay
  by_text = np.argsort(text[repeated], kind='stable')
  sentence = text[repeated][by_text]
  first = np.flatnonzero(np.concatenate([[True], sentence[1:] != sentence[:-1]]))
  rank = np.arange(len(sentence)) - np.repeat(first, np.diff(np.append(first, len(sentence))))
  return np.bincount(repeated[by_text][(rank < cap) | (sentence == 0)], minlength=len(times))


def packed(needs: Sequence[int], frames: int, most: int) -> list[list[int]]:
  """Places of clips by row, each with the fullest of the open rows that it fits in (best fit, Johnson et al., 1974).

  needs: frames of each clip, at most `frames`; most: clips of a row.
  """
  rows, left, held = [], np.zeros(0, np.int64), []
  for place, size in enumerate(needs):
    fits = np.flatnonzero(left >= size)
    if len(fits):
      at = fits[np.argmin(left[fits])]
    elif len(held) < OPEN:
      left, at = np.append(left, frames), len(held)
      held.append([])
    else:
      at = int(np.argmin(left))
      rows.append(held[at])
      held[at], left[at] = [], frames
    held[at].append(place)
    left[at] = left[at] - size if len(held[at]) < most else -1
  return rows + [held[at] for at in np.argsort(left, kind='stable')]
