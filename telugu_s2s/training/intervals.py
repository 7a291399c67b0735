"""How sure a share or a mean is: Wilson's interval over items, and bootstrap over what items have in common."""
import collections

import numpy as np

Z = 1.96                         # of a 95 % interval
RESAMPLES = 2000
# Of Student's t, by degrees of freedom from 1 on, of a 95 % interval; groups that it is there for are too few to be resampled.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306)


def share(right) -> dict:
  """{n, share, interval} of f[n] in [0, 1], right or not (a tie is half): the 95 % interval of Wilson (1927)."""
  n, found = len(right), float(np.mean(right))
  middle = (found + Z**2 / (2 * n)) / (1 + Z**2 / n)
  half = Z / (1 + Z**2 / n) * (found * (1 - found) / n + Z**2 / (4 * n**2)) ** 0.5
  return {'n': n, 'share': found, 'interval': [max(0.0, middle - half), min(1.0, middle + half)]}


def by_group(values, groups, rng) -> list[float]:
  """[low, high], the 95 % interval of the mean of f[n] over resampled groups, since items of one speaker are no independent ones.

  Of up to 9 groups it is Student's, of the mean as a ratio over groups: resampled, 3 of them would hold the truth 72 times in 100.
  One group tells nothing: [nan, nan].

  groups: [n], names, or tuples of one; of two where items are of two speakers each, see `by_pair`.
  """
  groups = _tuples(groups)
  if max(map(len, groups)) > 1:
    return by_pair(values, groups)
  names, place = np.unique([name for name, in groups], return_inverse=True)
  total, count = np.bincount(place, values), np.bincount(place)
  mean, n = total.sum() / count.sum(), len(names)
  if n == 1:
    return [float('nan')] * 2
  if n <= len(STUDENT) + 1:
    half = STUDENT[n - 2] * (n / (n - 1) * np.square(total - mean * count).sum()) ** 0.5 / count.sum()
    return [float(mean - half), float(mean + half)]
  drawn = rng.integers(len(names), size=(RESAMPLES, len(names)))
  return np.percentile(total[drawn].sum(1) / count[drawn].sum(1), [2.5, 97.5]).tolist()


def by_pair(values, groups) -> list[float]:
  """As `by_group`, of items of two speakers each: pairs that share one are no independent ones either.

  The variance that is robust to that (Fafchamps and Gubert, 2007, equation 2.5), at least what pairs or items alone would give, and for
  few speakers widened by n / (n - 2) and Student's t of n - 2: with 4 speakers it holds the truth 96 times in 100, with 10 92 times.

  groups: tuples of one or two names.
  """
  off = np.asarray(values, float) - np.mean(values)
  speakers, pairs = collections.Counter(), collections.Counter()
  for value, names in zip(off, groups):
    pairs[names] += value
    for name in names:
      speakers[name] += value
  n, squares = len(speakers), lambda found: float(np.sum(np.square(list(found))))
  if n < 3:
    return [float('nan')] * 2
  shared = squares(speakers.values()) - squares(value for names, value in pairs.items() if len(names) > 1)
  spread = (max(shared, squares(pairs.values()), squares(off)) * n / (n - 2)) ** 0.5
  half = (STUDENT[n - 3] if n - 2 <= len(STUDENT) else Z) * spread / len(off)
  return [float(np.mean(values) - half), float(np.mean(values) + half)]


def share_by_group(right, groups, rng) -> dict:
  """As `share`, of items that come in groups: {n, groups, share, interval}, the interval from `by_group`.

  Where all groups agree there is no spread to tell from, and it is Wilson's of so many groups.
  """
  groups = _tuples(groups)
  low, high = by_group(np.asarray(right, float), groups, rng)
  count, mean = len({name for one in groups for name in one}), float(np.mean(right))
  if high - low < 1e-9:
    low, high = share(np.full(count, mean))['interval']
  return {'n': len(right), 'groups': count, 'share': mean, 'interval': [max(0.0, low), min(1.0, high)]}


def _tuples(groups) -> list[tuple]:
  return [one if isinstance(one, tuple) else (one,) for one in groups]
