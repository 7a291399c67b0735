"""Whether a question gets its answer: what a model says is matched with all answers that there are, whoever's voice they are in.

Matched by dynamic time warping of cepstra whose mean was taken off, which tells sentences apart and hardly voices (Sakoe and
Chiba, 1978; Furui, 1981). Beside it stands retrieval: the answer of the question whose codes are most like those of the asked one.
"""
import collections
from collections.abc import Sequence

import numpy as np

from telugu_s2s.audio import activity, files, mel
from telugu_s2s.training.metrics import wilson

BANDS, CEPSTRA = 40, 12
WINDOW, HOP = 512, 320           # 32 ms every 20 ms
SHORTEST = 10                    # frames of speech, below which nothing was said


def cepstra(samples) -> np.ndarray:
  """f32[frames 24]: cepstra 1 to 12 with their slopes, each dimension of mean 0 and deviation 1 over what is spoken; may be empty."""
  if len(samples) <= WINDOW:
    return np.zeros((0, 2 * CEPSTRA), np.float32)
  spoken = np.flatnonzero(activity.speech(samples))
  if not len(spoken):
    return np.zeros((0, 2 * CEPSTRA), np.float32)
  ten_ms = files.SAMPLE_RATE // 100
  part = samples[spoken[0] * ten_ms:(spoken[-1] + 1) * ten_ms]
  if len(part) <= WINDOW:
    return np.zeros((0, 2 * CEPSTRA), np.float32)
  bands = np.maximum(mel.log_mel(part, bands=BANDS, window=WINDOW, hop=HOP), -60)
  number = np.arange(1, CEPSTRA + 1)[:, None]
  x = bands @ np.cos(np.pi * number * (np.arange(BANDS) + 0.5) / BANDS).T
  x = np.concatenate([x, np.gradient(x, axis=0)], 1) if len(x) > 1 else np.concatenate([x, np.zeros_like(x)], 1)
  return ((x - x.mean(0)) / np.maximum(x.std(0), 1e-3)).astype(np.float32)


def warped(one: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
  """f64[k], the distance of a recording to each of others along the best path, by the frames of both. one: f32[n d]; others: f32[m d]."""
  longest = max(map(len, others))
  far = np.full((len(others), len(one), longest), np.inf)
  for place, other in enumerate(others):
    far[place, :, :len(other)] = np.sqrt(np.maximum(
        (one ** 2).sum(1)[:, None] + (other ** 2).sum(1) - 2 * one @ other.T, 0))
  total = np.full((len(others), len(one) + 1, longest + 1), np.inf)
  total[:, 0, 0] = 0
  for diagonal in range(2, len(one) + longest + 1):          # all cells i + j of one sum at once
    i = np.arange(max(1, diagonal - longest), min(len(one), diagonal - 1) + 1)
    j = diagonal - i
    steps = np.minimum(np.minimum(total[:, i - 1, j], total[:, i, j - 1]), total[:, i - 1, j - 1])
    total[:, i, j] = far[:, i - 1, j - 1] + steps
  ends = np.array([total[place, len(one), len(other)] for place, other in enumerate(others)])
  return ends / (len(one) + np.array([len(other) for other in others]))


def matched(said: Sequence[np.ndarray], answers: Sequence[np.ndarray], sentences: Sequence[str]) -> list[str]:
  """The sentence of the nearest answer of what was said each time, '' where nothing was. said, answers: f32[samples] at 16 kHz."""
  known = [cepstra(answer) for answer in answers]
  found = []
  for one in map(cepstra, said):
    found.append(sentences[int(np.argmin(warped(one, known)))] if len(one) >= SHORTEST else '')
  return found


def retrieved(asked: Sequence[np.ndarray], questions: Sequence[np.ndarray], sentences: Sequence[str]) -> list[str]:
  """The sentence that answers the question whose codes are most like those asked, by how often pairs of codes follow each other.

  asked, questions: i[t q], codes; level 0 counts. sentences: of the answer of each question.
  """
  def profile(codes):
    level = codes[:, 0].tolist()
    return collections.Counter(level) + collections.Counter(zip(level, level[1:]))

  every = [profile(codes) for codes in questions]
  rare = collections.Counter(one for each in every for one in each)
  weigh = lambda counts: {one: count * np.log(len(every) / rare[one]) for one, count in counts.items() if one in rare}
  norm = lambda values: max(1e-9, sum(value * value for value in values.values()) ** 0.5)
  known = [(one, norm(one)) for one in map(weigh, every)]
  found = []
  for one in map(weigh, map(profile, asked)):
    found.append(sentences[int(np.argmax([sum(value * other.get(name, 0.0) for name, value in one.items()) / size for other, size in known]))])
  return found


def score(found: Sequence[str], right: Sequence[str]) -> dict:
  """{share: how many are right, interval: its 95 % interval, n}."""
  hits = [one == other for one, other in zip(found, right, strict=True)]
  return {'share': float(np.mean(hits)), 'interval': wilson(float(np.mean(hits)), len(hits)), 'n': len(hits)}
