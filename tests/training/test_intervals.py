"""Intervals: they hold the truth as often as they say, however few groups there are."""
import itertools

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


@pytest.mark.parametrize('speakers', [4, 6, 10, 26])
def test_the_interval_over_pairs_of_speakers_allows_for_the_speakers_that_they_share(speakers):
  rng, held = np.random.default_rng(speakers), []
  pairs = list(itertools.combinations(range(speakers), 2))
  for _ in range(300):
    own, chosen = 0.08 * rng.normal(size=speakers), [pairs[number] for number in rng.integers(len(pairs), size=400)]
    right = [rng.random() < 0.6 + own[one] + own[other] for one, other in chosen]
    low, high = intervals.by_group(np.array(right, float), chosen, rng)
    held.append(low <= 0.6 <= high)
  assert 0.88 < np.mean(held) <= 1


def test_groups_that_all_agree_are_as_sure_as_so_many_items():
  found = intervals.share_by_group([True] * 48, ['a', 'b'] * 24, np.random.default_rng(0))
  assert found['interval'] == intervals.share([True, True])['interval'] and found['interval'][0] < 0.5
  assert np.isnan(intervals.by_group([1.0, 0.0], [('a', 'b')] * 2, np.random.default_rng(0))).all()
