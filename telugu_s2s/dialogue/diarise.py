"""Who speaks when in a recording of two: voice activity, a vector for each window, two clusters, and the best path between them.

The windows give a first guess. Each speaker is then a Gaussian over the cepstra of their frames, frames go to the speaker who
explains them better along a path that seldom changes (Viterbi), and both are repeated.
"""
import numpy as np

from telugu_s2s.audio import activity
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.level import HOP
from telugu_s2s.dialogue import voiceprint
from telugu_s2s.dialogue.timing import Span
from telugu_s2s.errors import InputError

WINDOW_S, STEP_S = 1.6, 0.4
SWITCH = 60.0                    # nats that a change of speaker costs, of Gaussians over 10 ms frames that are not independent
SWITCH_VECTORS = 3.2             # likewise of cosines, summed over frames
ROUNDS = 12
JOINED_S = 0.5                   # a pause of one speaker that does not end a turn
SHORTEST_S = 0.3
PITCH = 3.0                      # its weight among the numbers of a window's vector: it is one of 39, and tells most
STEPS = round(WINDOW_S / STEP_S) # from a window to the next one that shares nothing with it
FEW = 100                        # frames of a speaker, of which no Gaussian is made
BLOCK = 1024                     # vectors that are compared with all at a time
RIDGE = 1e-2                     # of a covariance's mean variance


def turns(samples, by: str = 'plain', vad: str = 'energy') -> list[Span]:
  """The turns of speakers '0' and '1' in a recording f32[samples] at 16 kHz, in the order of time; '0' speaks first.

  Args:
    by: 'plain' or 'ge2e', see voiceprint.py.
    vad: what tells speech from pauses, 'energy' or 'silero'.

  Raises:
    InputError: `by` is none of these, or its package is missing.
  """
  if by not in voiceprint.BY:
    raise InputError(f'config.voiceprint {by!r}: choose one of {", ".join(voiceprint.BY)}')
  speech = activity.speech(samples, vad)
  # Little speech, or so thinly strewn that no window is half full: nothing tells two voices apart.
  if speech.sum() * HOP < 2 * WINDOW_S * SAMPLE_RATE or not (windows := _windows(speech)):
    return [Span(start, end, '0') for start, end in _joined(np.zeros(len(speech), int), speech)]
  if by == 'ge2e':
    who = _refined(_features(samples, speech), speech, _by_vectors(samples, speech, windows))[1]
  else:
    who = _by_frames(samples, speech, windows)
  first = who[np.flatnonzero(speech)[0]]
  return _spans(who != first, speech)


def _spans(who, speech):
  """Runs of one speaker as spans; a pause under JOINED_S within one speaker's speech is closed."""
  found = []
  for side in (0, 1):
    found += [Span(start, end, str(side)) for start, end in _joined(who.astype(int), speech, side)]
  return sorted(found, key=lambda one: (one.start_s, one.end_s))


def _joined(who, speech, side=0):
  """[(start, end)] in s of what a speaker says, without crumbs."""
  joined = []
  for start, end in activity.runs(speech & (who == side)):
    other = joined and (speech & (who != side))[joined[-1][1]:start].any()
    if joined and not other and start - joined[-1][1] <= JOINED_S * SAMPLE_RATE / HOP:
      start = joined.pop()[0]
    joined.append((start, end))
  seconds = HOP / SAMPLE_RATE
  return [(round(start * seconds, 3), round(end * seconds, 3)) for start, end in joined if (end - start) * seconds >= SHORTEST_S]


def _windows(speech):
  """[(start, end)] of windows in frames, each at least half speech."""
  size, step = (round(s * SAMPLE_RATE / HOP) for s in (WINDOW_S, STEP_S))
  starts = range(0, max(1, len(speech) - size // 2), step)
  return [(start, min(start + size, len(speech))) for start in starts if speech[start:start + size].mean() >= 0.5]


def _by_frames(samples, speech, windows):
  """i64[frames], 0 or 1, by Gaussians over cepstra: of several first guesses the one from which they explain the frames best."""
  features = _features(samples, speech, pitch=True)
  vectors = np.array([voiceprint.plain(features[start:end][speech[start:end]]) for start, end in windows])
  pitch = vectors[:, -1]
  pitch = np.where(np.isnan(pitch), np.nanmedian(pitch) if not np.isnan(pitch).all() else 0.0, pitch)
  vectors = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)
  spread = (pitch - pitch.mean()) / (pitch.std() + 1e-6)
  vectors[:, -1] = PITCH * spread
  guesses = [halves(vectors), halves(vectors[:, :-1]), halves(spread[:, None]), halves(_sphered(vectors[:, :-1]))]
  refined = [_refined(features[:, :-1], speech, _spread(guess, windows, len(speech))) for guess in guesses if len(set(guess)) == 2]
  return max(refined, key=lambda one: one[0])[1] if refined else np.zeros(len(speech), int)


def _features(samples, speech, pitch=False):
  """f32[frames, 20], cepstra and pitch of each frame of `speech`; with `pitch` also whether there is any."""
  found = voiceprint.cepstra(samples)
  found = np.pad(found, ((0, max(0, len(speech) - len(found))), (0, 0)), mode='edge')[:len(speech)]
  return found if pitch else found[:, :-1]


def _sphered(vectors):
  """Vectors in axes in which those of neighbours, mostly one speaker, vary alike: what differs between speakers then stands out."""
  apart = vectors[STEPS:] - vectors[:-STEPS]
  if len(apart) < 2:
    return vectors
  cov = np.cov(apart.T)
  cov = 0.7 * cov + 0.3 * np.trace(cov) / len(cov) * np.eye(len(cov))
  return np.linalg.solve(np.linalg.cholesky(cov), vectors.T).T


def _refined(use, speech, who):
  """(how well two Gaussians explain the frames of speech, i64[frames] of the path by them), from a first guess."""
  few = lambda who: min(np.sum(speech & (who == side)) for side in (0, 1)) < FEW
  best = -np.inf, who
  for _ in range(ROUNDS):
    if few(who):
      break
    scores = np.stack([_log_density(use, use[speech & (who == side)]) for side in (0, 1)], 1)
    scores[~speech] = 0
    before, who = who, path(scores, SWITCH)
    value = float(scores[np.arange(len(who)), who].sum() - SWITCH * np.sum(who[1:] != who[:-1]))
    if value > best[0] and not few(who):
      best = value, who
    if (who == before).all():
      break
  return best


def _by_vectors(samples, speech, windows):
  """i64[frames], 0 or 1, by the cosine of each window's vector with two centres."""
  vectors = np.array([voiceprint.ge2e(samples[start * HOP:end * HOP]) for start, end in windows])
  side = halves(vectors)
  for _ in range(ROUNDS):
    centres = np.stack([vectors[side == one].mean(0) for one in (0, 1)])
    cosine = vectors @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T
    before, side = side, np.argmax(cosine, 1)
    if (side == before).all() or len(set(side)) < 2:
      break
  total, count = np.zeros((len(speech), 2)), np.zeros(len(speech))
  for (start, end), one in zip(windows, cosine):
    third = (end - start) // 3       # its middle tells most
    total[start + third:end - third] += one
    count[start + third:end - third] += 1
  return path(total / np.maximum(count, 1)[:, None], SWITCH_VECTORS)


def halves(vectors) -> np.ndarray:
  """i64[n], 0 or 1: two clusters of vectors f32[n d], by k-means from the most distant pairs."""
  best, result = np.inf, np.zeros(len(vectors), int)
  distance, furthest = _furthest(vectors)
  for start in np.argsort(-distance, kind='stable')[:8]:          # from the most distant pairs: nothing is drawn, so the same comes out again
    centres = vectors[[start, furthest[start]]]
    for _ in range(50):
      far = np.stack([np.sum((vectors - centre) ** 2, 1) for centre in centres], 1)
      side = np.argmin(far, 1)
      if len(set(side)) < 2:
        break
      moved = np.stack([vectors[side == one].mean(0) for one in (0, 1)])
      if np.allclose(moved, centres):
        break
      centres = moved
    if (cost := far.min(1).sum()) < best:
      best, result = cost, side
  return result


def _furthest(vectors):
  """(squared distance, index) of the vector that is furthest from each; in blocks, as all pairs of three hours would be 6 GB."""
  squared, distance, index = np.sum(vectors ** 2, 1), [], []
  for at in range(0, len(vectors), BLOCK):
    block = squared[at:at + BLOCK, None] + squared - 2 * vectors[at:at + BLOCK] @ vectors.T
    index.append(block.argmax(1))
    distance.append(np.take_along_axis(block, index[-1][:, None], 1)[:, 0])
  return np.concatenate(distance), np.concatenate(index)


def _spread(side, windows, frames):
  """The side of each frame: that of the window whose middle is nearest."""
  middle = np.array([(start + end) / 2 for start, end in windows])
  # Searched for, since frames by windows would be 24 GiB for an hour. Between two that are as near the first one has it.
  return side[np.searchsorted((middle[1:] + middle[:-1]) / 2, np.arange(frames))]


def _log_density(x, of):
  """f64[frames], the log density of frames by the Gaussian of `of`, less its constant."""
  mean, cov = of.mean(0), np.cov(of.T)
  cov += RIDGE * np.trace(cov) / len(cov) * np.eye(len(cov))
  lower = np.linalg.cholesky(cov)
  z = np.linalg.solve(lower, (x - mean).T)
  return -0.5 * np.sum(z ** 2, 0) - np.sum(np.log(np.diag(lower)))


def path(scores, switch: float) -> np.ndarray:
  """i64[frames], the best path through scores f64[frames 2] where each change costs `switch` (Viterbi, 1967)."""
  # Of two paths only by how much the first is better matters, a number a frame: arrays of two take longer.
  better, total = [], 0.0
  for step in np.subtract(scores[:, 0], scores[:, 1], dtype=np.float64).tolist():
    total = min(max(total, -switch), switch) + step
    better.append(total)
  result, side = np.empty(len(scores), int), int(total < 0)
  for frame in range(len(scores) - 1, -1, -1):
    if abs(better[frame]) > switch:
      side = int(better[frame] < 0)
    result[frame] = side
  return result
