"""Answers found by letters, or by codes."""
import collections
import math

import numpy as np
import pytest

from telugu_s2s.corpora import sample
from telugu_s2s.dialogue import retrieval
from telugu_s2s.evaluation import dialogues


def test_a_text_is_its_letters_and_vowel_signs():
  assert retrieval.plain(' నమస్కారం,  మీరు — ఎలా ఉన్నారు? ') == 'నమస్కారం మీరు ఎలా ఉన్నారు'
  assert retrieval.plain('సాఫ్ట్\u200cవేర్\ufeff') == 'సాఫ్ట్వేర్'                  # signs without a width part no words
  assert set(retrieval.grams('అమ్మ')) == {' అమ', 'అమ్', 'మ్మ', '్మ '}


def test_scores_are_those_of_the_formula():
  bags = [collections.Counter('aab'), collections.Counter('bc'), collections.Counter('ddddd')]
  found = retrieval.Index(bags).scores(collections.Counter('aab'))
  for bag, score in zip(bags, found):
    expected = 0.0
    for letter, times in collections.Counter('aab').items():
      n = sum(letter in one for one in bags)
      length = sum(bag.values()) / (10 / 3)
      expected += times * math.log(1 + (3 - n + 0.5) / (n + 0.5)) * bag[letter] * 2.2 / (bag[letter] + 1.2 * (0.25 + 0.75 * length))
    assert score == pytest.approx(expected)


def test_the_best_is_allowed_and_shares_something():
  assert retrieval.best(np.array([3.0, 5.0, 5.0]), np.array([True, False, True])) == 2
  assert retrieval.best(np.array([0.0, 5.0]), np.array([True, False])) is None


def test_the_own_answer_is_found_far_more_often_than_by_chance():
  found = dialogues.by_text(sample.folder())
  assert found['of'] == 160 and found['top1'] > 10 * found['chance'] and found['top5'] > found['top1']


def test_accuracy_of_bags_that_share_nothing_is_that_of_an_order():
  bags = [collections.Counter([number]) for number in range(10)]
  assert dialogues.accuracy(bags, bags)['top1'] == 1
  assert dialogues.accuracy(bags, bags[::-1])['top1'] == 0


def test_codes_count_with_the_one_before_them():
  assert retrieval.pairs_of_codes(np.array([1, 2, 1, 2])) == collections.Counter({1: 2, 2: 2, (1, 2): 2, (2, 1): 1})
