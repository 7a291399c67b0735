"""Intervals: they hold the truth as often as they say, however few groups there are."""
import numpy as np
import pytest

from telugu_s2s.training import intervals


@pytest.mark.parametrize('groups', [2, 3, 5, 9, 12, 30])
def test_the_interval_over_groups_holds_the_mean_as_often_as_it_says(groups):
  rng, held = np.random.default_rng(groups), []
  place = np.repeat(np.arange(groups), 6)
  for _ in range(300):
    low, high = intervals.by_group(rng.normal(size=groups)[place] + 0.5 * rng.normal(size=len(place)), place, rng)
    held.append(low <= 0 <= high)
  assert 0.88 < np.mean(held) <= 1


def test_one_group_tells_nothing_and_shares_stay_shares():
  assert np.isnan(intervals.by_group([1.0, 0.0], ['a', 'a'], np.random.default_rng(0))).all()
  found = intervals.share_by_group([True, True, False, True], ['a', 'a', 'b', 'b'], np.random.default_rng(0))
  assert (found['n'], found['groups'], found['share']) == (4, 2, 0.75) and found['interval'] == [0.0, 1.0]
