"""Transcripts as numbers: the letters and signs of a text, one by one, and the blank of CTC in front."""
import collections
import unicodedata

import numpy as np

SPACE = ' '
VIRAMA = '\u0c4d'                # joins the consonant before it to the one after it


def plain(text: str) -> str:
  """A text as it is spoken: composed (NFC), case folded, letters, vowel signs and single spaces alone.

  Digits go, since how they are read is not written; so do signs without a width (Unicode's Cf), which change a glyph or where a line may
  break and no sound: the joiners of Indic scripts, soft hyphens, marks of byte order.
  """
  return parted(unicodedata.normalize('NFC', text).casefold(), 'LM')


def parted(text: str, kinds: str) -> str:
  """The signs of a text that are of some of Unicode's kinds, in words parted by single spaces; signs without a width part none."""
  named = ((sign, unicodedata.category(sign)) for sign in text)
  return SPACE.join(''.join(sign if kind[0] in kinds else '' if kind == 'Cf' else SPACE for sign, kind in named).split())


def table(texts, least: int = 5) -> list[str]:
  """The graphemes that occur at least so often, sorted; their numbers are 1 and up."""
  counts = collections.Counter(''.join(plain(text) for text in texts))
  return sorted(sign for sign, count in counts.items() if count >= least)


def encoded(text: str, known: list[str]) -> np.ndarray:
  """i32[s]: the numbers of a text's graphemes; those that the table lacks are left out."""
  number = {sign: 1 + index for index, sign in enumerate(known)}
  return np.array([number[sign] for sign in plain(text) if sign in number], np.int32)


def decoded(best: np.ndarray, known: list[str]) -> str:
  """The text of each frame's best number i32[t]: repeats are one, blanks go (the greedy path of CTC)."""
  first = np.concatenate([[True], best[1:] != best[:-1]])
  return ''.join(known[number - 1] for number in best[first] if number > 0)


def aksharas(word: str) -> list[str]:
  """A plain word cut into its syllables as they are written: consonants joined by viramas, with the signs behind them.

  Letters of other scripts stand alone, each with its marks.
  """
  found = []
  for sign in word:
    if found and (unicodedata.category(sign)[0] == 'M' or found[-1].endswith(VIRAMA) and '\u0c00' <= sign <= '\u0c7f'):
      found[-1] += sign
    else:
      found.append(sign)
  return found


def errors(true: str, found: str) -> int:
  """The least number of graphemes to insert, remove or change to make one text of the other (Levenshtein, 1966)."""
  row = np.arange(len(found) + 1)
  other = np.array([ord(sign) for sign in found], np.int64)
  for count, sign in enumerate(true, 1):
    changed = np.minimum(row[:-1] + (other != ord(sign)), row[1:] + 1)
    # An insertion costs one more than its left neighbour: a running minimum once the slope is taken off.
    row = np.minimum.accumulate(np.concatenate([[count], changed]) - np.arange(len(row))) + np.arange(len(row))
  return int(row[-1])
