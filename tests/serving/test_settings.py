"""Settings: what a speed asks of a model that knows bins of rates."""
import numpy as np
import pytest

from telugu_s2s.serving import settings


@pytest.mark.parametrize('bins', [2, 3, 5, 8])
def test_a_greater_speed_never_asks_for_a_slower_bin_and_only_below_1_for_a_slow_one(bins):
  slow, fast = ([settings.rate_bin(speed, bins) for speed in speeds] for speeds in (np.linspace(0.25, 0.99, 60), np.linspace(1.01, 1.5, 60)))
  assert slow == sorted(slow) and fast == sorted(fast) and {*slow} == {*range(bins // 2)} and {*fast} == {*range(bins - bins // 2, bins)}
  assert settings.rate_bin(1, bins) == settings.rate_bin(0.5, 0) == -1
