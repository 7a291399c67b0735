"""Transcripts as numbers and back."""
from hypothesis import given, strategies as st
import numpy as np
import pytest

from telugu_s2s.tokens import graphemes

TEXT = st.text('తెలుగు అక్షరం పాట', max_size=12)


def test_a_text_is_its_letters_and_signs():
  assert graphemes.plain('  Namaste,\u200c ఇది 2 పాట! ') == 'namaste ఇది పాట'
  assert graphemes.plain('\u0c15\u0c4d\u200c\u0c37') == '\u0c15\u0c4d\u0c37'       # a joiner is not heard
  assert graphemes.plain('\ufeffన\u00adమ\u200bస్తే') == 'నమస్తే'


def test_rare_graphemes_have_no_number():
  table = graphemes.table(['అమ్మ', 'అమ్మ x'], least=2)
  assert table == sorted('అమ్')
  np.testing.assert_array_equal(graphemes.encoded('అx', table), [1 + table.index('అ')])


def test_the_greedy_path_merges_repeats_and_drops_blanks():
  assert graphemes.decoded(np.array([0, 1, 1, 0, 1, 2, 2, 0]), ['అ', 'మ']) == 'అఅమ'
  assert graphemes.decoded(np.array([1]), ['అ']) == 'అ'


@pytest.mark.parametrize('true, found, count', [('', '', 0), ('అమ్మ', '', 4), ('', 'అ', 1), ('kitten', 'sitting', 3)])
def test_errors_are_the_least_changes(true, found, count):
  assert graphemes.errors(true, found) == count


@given(TEXT, TEXT, TEXT)
def test_errors_are_a_distance(a, b, c):
  assert graphemes.errors(a, a) == 0
  assert graphemes.errors(a, b) == graphemes.errors(b, a) >= abs(len(a) - len(b))
  assert graphemes.errors(a, c) <= graphemes.errors(a, b) + graphemes.errors(b, c)
  assert (graphemes.errors(a, b) == 0) == (a == b)


@given(TEXT)
def test_what_is_encoded_can_be_spelled_again(text):
  plain = graphemes.plain(text)
  table = graphemes.table([plain], least=1)
  path = [number for one in graphemes.encoded(text, table) for number in (one, 0)]
  assert graphemes.decoded(np.array(path, int), table) == plain if path else plain == ''
