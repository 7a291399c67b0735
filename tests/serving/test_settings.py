"""Settings: how a value is quoted."""
import pytest

from telugu_s2s.serving import settings


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
