"""The answer to a question among recordings: by the letters of the transcripts, or by codes where there is no text."""
import collections
import unicodedata
from collections.abc import Sequence

import numpy as np

from telugu_s2s.tokens import graphemes

LETTERS = 3                      # of a gram
K1, B = 1.2, 0.75                # Robertson and Zaragoza (2009), section 3.4


def plain(text: str) -> str:
  """The letters of a text, their vowel signs and digits, words parted by one space: what two spellings of a sentence share."""
  return graphemes.parted(unicodedata.normalize('NFC', text).lower(), 'LMN')


def grams(text: str) -> collections.Counter:
  """The grams of LETTERS letters of a text, counted; words are parted by spaces, which begin and end it too."""
  padded = f' {plain(text)} '
  return collections.Counter(padded[start:start + LETTERS] for start in range(max(1, len(padded) - LETTERS + 1)))


def pairs_of_codes(codes) -> collections.Counter:
  """The codes of level 0 i32[t] of a recording, each and with the one before it, counted."""
  codes = [int(code) for code in codes]
  return collections.Counter(codes) + collections.Counter(zip(codes, codes[1:]))


class Index:
  """Documents that are bags of features, scored by BM25 (Robertson and Zaragoza, 2009)."""

  def __init__(self, bags: Sequence[collections.Counter]):
    self._lengths = np.array([sum(bag.values()) for bag in bags], float)
    inside = collections.defaultdict(list)
    for number, bag in enumerate(bags):
      for feature, count in bag.items():
        inside[feature].append((number, count))
    self._inside = {feature: np.array(found).T for feature, found in inside.items()}           # its documents, and how often in each

  def scores(self, bag: collections.Counter) -> np.ndarray:
    """f64[documents], how well each fits a bag, 0 where it shares nothing."""
    total, n = np.zeros(len(self._lengths)), len(self._lengths)
    normal = K1 * (1 - B + B * self._lengths / max(self._lengths.mean(), 1e-9)) if n else total
    for feature, times in bag.items():
      if feature in self._inside:
        number, count = self._inside[feature]
        rare = np.log(1 + (n - len(number) + 0.5) / (len(number) + 0.5))
        total[number] += times * rare * count * (K1 + 1) / (count + normal[number])
    return total


def best(scores, allowed) -> int | None:
  """The document of the highest score above 0 among those allowed, the first of equals; None where there is none."""
  scores = np.where(allowed, scores, 0)
  number = int(np.argmax(scores))
  return number if scores[number] > 0 else None
