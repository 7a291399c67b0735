"""How sure a share or a mean is: Wilson's interval over items, and bootstrap over what items have in common."""
import numpy as np

Z = 1.96                         # of a 95 % interval
RESAMPLES = 2000


def share(right) -> dict:
  """{n, share, interval} of f[n] in [0, 1], right or not (a tie is half): the 95 % interval of Wilson (1927)."""
  n, found = len(right), float(np.mean(right))
  middle = (found + Z**2 / (2 * n)) / (1 + Z**2 / n)
  half = Z / (1 + Z**2 / n) * (found * (1 - found) / n + Z**2 / (4 * n**2)) ** 0.5
  return {'n': n, 'share': found, 'interval': [max(0.0, middle - half), min(1.0, middle + half)]}


def by_group(values, groups, rng) -> list[float]:
  """[low, high], the 95 % interval of the mean of f[n] over resampled groups, since items of one speaker are no independent ones.

  groups: [n], any names.
  """
  names, place = np.unique(np.asarray(groups), return_inverse=True)
  total, count = np.bincount(place, values), np.bincount(place)
  drawn = rng.integers(len(names), size=(RESAMPLES, len(names)))
  return np.percentile(total[drawn].sum(1) / count[drawn].sum(1), [2.5, 97.5]).tolist()
