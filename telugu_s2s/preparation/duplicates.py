"""The same recording twice, and the same sentence too often: what a corpus put together from many places has."""
import collections
import hashlib
import itertools
import json
from collections.abc import Sequence

import numpy as np

from telugu_s2s.audio import fingerprint
from telugu_s2s.corpora import splits

LINKS = 8            # of a word, to its next occurrences: a word that all of speech has costs no more than this
BLOCK = 256          # frames that the paper compares at a time
WORDS = 24 * 2**20   # looked up in memory at a time: about 3 GB, for 80 h of speech
AROUND = np.array([*range(-128, 0, 16), *range(16, 129, 16)])            # frames before and after a word whose words are looked at with it
FEWEST = 4           # of them, that tell anything
OVERLAP = 0.5        # the part of the shorter recording that a copy has to hold


def near_duplicates(prints: Sequence[np.ndarray], limit: float = 0.35, most_words: int = WORDS) -> list[list[int]]:
  """Groups of segments that are copies of one recording, found through words of 32 bits that they share.

  Haitsma and Kalker (2002), section 5: where two recordings share a word is tried whether the rest fits as well. A
  copy that shares no word whole, as after Opus at 8 kbit/s or noise at 10 dB, may be missed.

  Args:
    prints: u32[frames] of each segment, see audio/fingerprint.py. Indexed again and again: it may read them from disk.
    limit: the greatest bit error rate of a copy over 256 frames, 3 s, or more; see `allowed` for shorter ones.
    most_words: sorted in memory at a time, at about 130 bytes each. More are looked up in several rounds, by the same words.

  Returns:
    Groups of two or more indices, each sorted, in the order of their first.
  """
  leader = list(range(len(prints)))

  def found(index):
    while leader[index] != index:
      leader[index] = leader[leader[index]]
      index = leader[index]
    return index

  sizes = [len(words) for words in prints]
  rounds = max(1, -(-sum(sizes) // most_words))
  for first, second, shift in itertools.chain.from_iterable(_candidates(prints, part, rounds, limit) for part in range(rounds)):
    one, other = found(first), found(second)
    if one != other:
      a, b = prints[first], prints[second]
      rate, frames = fingerprint.error_rate(a, b, shift)
      if frames >= OVERLAP * min(len(a), len(b)) and rate <= allowed(frames, limit):
        leader[max(one, other)] = min(one, other)
  groups = collections.defaultdict(list)
  for index in range(len(prints)):
    groups[found(index)].append(index)
  return [group for group in groups.values() if len(group) > 1]


def allowed(frames: int, limit: float = 0.35) -> float:
  """The greatest bit error rate at which so many frames are a copy; below 0 for less than 0.3 s.

  The paper's 0.35 is for 256 frames, so many standard deviations below 0.5 that chance does not get there (section
  4.3). The deviation grows with one over the root of the number of frames, and the limit keeps its distance: at one
  second it is 0.24.
  """
  return 0.5 - (0.5 - limit) * max(1.0, BLOCK / max(frames, 1)) ** 0.5


def text_cap(texts: Sequence[str], most: int, ids: Sequence[str] | None = None) -> list[int]:
  """Sorted indices of the texts to keep, so that no sentence, however it is written, stays more than `most` times.

  Which ones stay is decided by a hash, so that no source is preferred for coming first.

  Args:
    texts: '' is no sentence, and is kept.
    most: 0 or more.
    ids: of the texts, such as segment ids: then the choice does not depend on the order. None: their numbers.
  """
  occurrences = collections.defaultdict(list)
  for index, text in enumerate(texts):
    occurrences[splits.plain(text)].append(index)
  kept = occurrences.pop('', [])
  for indices in occurrences.values():
    kept += sorted(indices, key=lambda index: (_hash(index if ids is None else ids[index], texts[index]), index))[:most]
  return sorted(kept)


def _candidates(prints, part, rounds, limit):
  """Yields each (first, second, shift) at which prints[first][shift + n] is prints[second][n] for some n, once.

  Those that share the most words come first. A word is linked with its next LINKS occurrences only; copies of one
  recording are then linked in a chain. Of several rounds each takes the words that a hash gives it. Chance shares words too, and with the
  square of the hours: what lies around them is compared before anything is read again.
  """
  words, segment, frame, around = (np.concatenate(arrays) for arrays in zip(*_words(prints, part, rounds)))
  order = np.argsort(words, kind='stable')
  words, segment, frame = words[order], segment[order], frame[order]
  links = []
  for lag in range(1, min(LINKS, len(words) - 1) + 1):
    same = np.flatnonzero((words[lag:] == words[:-lag]) & (segment[lag:] != segment[:-lag]))
    same = same[_alike(around, order[same], order[same + lag], (2 * limit + 0.5) / 3)]
    links.append(np.stack([segment[same], segment[same + lag], frame[same] - frame[same + lag]]))
  links = np.concatenate([np.zeros((3, 0), np.int32), *links], axis=1)
  links = links[:, np.lexsort(links[::-1])]
  starts = np.flatnonzero(np.concatenate([[True], (links[:, 1:] != links[:, :-1]).any(0)])[:links.shape[1]])
  votes = np.diff(np.append(starts, links.shape[1]))
  for place in starts[np.argsort(-votes, kind='stable')]:
    yield tuple(int(number) for number in links[:, place])


def _alike(around, first, second, most, batch=2**16):
  """bool[n], whether no more bits than this share differ around the words `first` and `second`, i64[n]; also where too few tell."""
  found = [np.zeros(0, bool)]
  for start in range(0, len(first), batch):
    a, b = (around[side[start:start + batch]] for side in (first, second))
    live = (a != fingerprint.SILENT) & (b != fingerprint.SILENT)
    bits, frames = np.sum(np.bitwise_count(a ^ b), axis=1, where=live, dtype=np.int32), live.sum(1)
    found.append((bits <= most * 32 * frames) | (frames < FEWEST))
  return np.concatenate(found)


def _words(prints, part, rounds):
  """Yields (words, numbers of their segments, their frames, the words AROUND), a round's share; a run of one word is one, at its start."""
  yield np.zeros(0, np.uint32), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, len(AROUND)), np.uint32)
  for number, words in enumerate(prints):
    fresh = words != fingerprint.SILENT
    fresh[1:] &= words[1:] != words[:-1]
    # Knuth's multiplicative hash: neighbouring words differ in few bits, and would fill the rounds unevenly.
    fresh &= (words * np.uint32(2654435761) >> np.uint32(16)) % np.uint32(rounds) == part
    frame = np.flatnonzero(fresh).astype(np.int32)
    wide = np.pad(words, (-AROUND[0], AROUND[-1]), constant_values=fingerprint.SILENT)
    yield words[frame], np.full(len(frame), number, np.int32), frame, wide[frame[:, None] + (AROUND - AROUND[0])]


def _hash(*names):
  return hashlib.sha256(json.dumps(names).encode()).digest()
