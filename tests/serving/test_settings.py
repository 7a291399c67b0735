"""Settings: what a speed asks of a model that knows bins of rates, and how a value is quoted."""
import numpy as np
import pytest

from telugu_s2s.serving import settings


@pytest.mark.parametrize('bins', [2, 3, 5, 8])
def test_a_greater_speed_never_asks_for_a_slower_bin_and_only_below_1_for_a_slow_one(bins):
  slow, fast = ([settings.rate_bin(speed, bins) for speed in speeds] for speeds in (np.linspace(0.25, 0.99, 60), np.linspace(1.01, 1.5, 60)))
  assert slow == sorted(slow) and fast == sorted(fast) and {*slow} == {*range(bins // 2)} and {*fast} == {*range(bins - bins // 2, bins)}
  assert settings.rate_bin(1, bins) == settings.rate_bin(0.5, 0) == -1


@pytest.mark.parametrize('value, quoted', [
    ('a', "'a'"), ('\u0c24\n', r"'\u0c24\n'"), (1.5, '1.5'), (None, 'None'), (['text', 1], '["text", 1]'), ({'a': [None]}, '{"a": [null]}'),
    ([], '[]'), ('a' * 78, f"'{'a' * 78}'"), ('a' * 79, f"'{'a' * 76}..."), ([[]] * 100, '[' + '[], ' * 19 + '...')])
def test_a_value_is_quoted_up_to_its_limit(value, quoted):
  assert settings.short(value) == quoted and len(quoted) <= 80


class Many(list):
  def __iter__(self):
    yield from [self[0]] * 100
    raise AssertionError('all of it was written out')


class Fields(dict):
  def items(self):
    yield from [('name', self['name'])] * 100
    raise AssertionError('all of it was written out')


@pytest.mark.parametrize('value', [Many([0]), [Many([[]])], Fields(name=0)])
def test_no_more_of_a_list_or_an_object_is_written_out_than_is_quoted(value):
  assert settings.short(value).endswith('...') and len(settings.short(value)) == 80
