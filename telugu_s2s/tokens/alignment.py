"""When each word and akshara of a transcript is said: the best path of an aligner through the transcript's graphemes."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import files, mel
from telugu_s2s.codec import aligner
from telugu_s2s.tokens import graphemes

HOP = 320                        # samples a frame: 20 ms, as short as the shortest sounds
RANGE_DB = 80                    # below a clip's loudest point all is silence
SCALE_DB = 20                    # makes features of about unit variance
ROWS, CHUNK = 16, 256            # clips of one batch, and the frames that its length is rounded up to


@dataclasses.dataclass(frozen=True)
class Span:
  """A word or an akshara."""
  text: str
  start_s: float
  end_s: float
  confidence: float              # geometric mean of its frames' probabilities; 0 where nothing of it could be aligned
  aksharas: tuple['Span', ...] = ()


@dataclasses.dataclass(frozen=True)
class Aligned:
  """A transcript against its audio."""
  words: tuple[Span, ...] = ()
  confidence: float = 0.0        # of all frames within words
  reason: str = ''               # why there are no words; '' where there are


def features(audio) -> np.ndarray:
  """f32[t 160], two log-mel spectra a frame, without what is the same in all of the clip. audio: f32[samples]."""
  count = frames(len(audio))
  spectrum = mel.log_mel(np.pad(audio, (0, count * HOP - len(audio))), hop=HOP // 2)[:2 * count]
  spectrum = np.maximum(spectrum, spectrum.max() - RANGE_DB)
  return ((spectrum - spectrum.mean(0)) / SCALE_DB).reshape(count, -1).astype(np.float32)


def frames(samples: int) -> int:
  """The frames of so many samples, the last one filled up with silence."""
  return max(2, -(-samples // HOP))


@dataclasses.dataclass(frozen=True)
class Path:
  """A transcript as the graphemes that have to come one after the other."""
  words: tuple[str, ...]
  labels: np.ndarray             # i32[s]
  word: np.ndarray               # i32[s], whose grapheme it is; -1 = a pause before, between or after words
  akshara: np.ndarray            # i32[s], counted through the transcript
  aksharas: tuple[str, ...]


def path(text: str, known) -> Path:
  """The way through a text; signs that are not among the `known` graphemes are passed over."""
  number = {sign: 1 + index for index, sign in enumerate(known)}
  rows, aksharas, words = [(graphemes.SPACE, -1, -1)], [], tuple(text.split())
  for index, word in enumerate(words):
    for part in graphemes.plain(word).split():
      for akshara in graphemes.aksharas(part):
        rows += [(sign, index, len(aksharas)) for sign in akshara]
        aksharas.append(akshara)
      rows.append((graphemes.SPACE, -1, -1))
  rows = [row for row in rows if row[0] in number]
  rows = [(number[row[0]], *row[1:]) for row, before in zip(rows, [None, *rows]) if row != before]      # one pause, not two
  labels, word, akshara = np.array(rows, np.int32).reshape(-1, 3).T
  return Path(words, labels, word, akshara, tuple(aksharas))


def best(scores, labels) -> np.ndarray:
  """Which label each frame belongs to, i32[t]: the best way through all labels in their order (Viterbi, 1967).

  Args:
    scores: f32[t c], log-probabilities; at least as many frames as labels.
    labels: i32[s].
  """
  given = scores[:, labels]                                                    # [t s]
  moved = np.zeros(given.shape, bool)
  total = np.full(len(labels), -np.inf)
  total[0] = given[0, 0]
  for t in range(1, len(given)):
    ahead = np.concatenate([[-np.inf], total[:-1]])
    moved[t] = ahead > total
    total = np.where(moved[t], ahead, total) + given[t]
  found = np.empty(len(given), np.int32)
  found[-1] = len(labels) - 1
  for t in range(len(given) - 1, 0, -1):
    found[t - 1] = found[t] - moved[t, found[t]]
  return found


def spans(way: Path, scores) -> Aligned:
  """Words and aksharas of a way through frames whose log-probabilities are `scores` f32[t c]."""
  taken = best(scores, way.labels)
  held = scores[np.arange(len(taken)), way.labels[taken]]
  word, akshara = way.word[taken], way.akshara[taken]
  seconds = lambda frame: round(int(frame) * HOP / files.SAMPLE_RATE, 3)

  def span(text, there, parts=()):
    return Span(text, seconds(there[0]), seconds(there[-1] + 1), round(float(np.exp(held[there].mean())), 3), parts)

  found, last = [], 0.0
  for index, text in enumerate(way.words):
    there = np.flatnonzero(word == index)
    if len(there):
      inside = [(way.aksharas[one], np.flatnonzero(akshara == one)) for one in np.unique(akshara[there])]
      found.append(span(text, there, tuple(span(*part) for part in inside)))
    else:                                            # digits and the like: where the word before it ends
      found.append(Span(text, last, last, 0.0))
    last = found[-1].end_s
  return Aligned(tuple(found), round(float(np.exp(held[word >= 0].mean())), 3))


class Forced:
  """An aligner at work.

  Args:
    trained: the aligner.
    least: the confidence below which an alignment is left out, since the transcript is probably not what is said.
  """

  def __init__(self, trained: aligner.Trained, least: float = 0.0):
    self.trained, self._least = trained, least

  def __call__(self, clips) -> list[Aligned]:
    """Of clips [(audio f32[samples], transcript)]; one that cannot be aligned comes back with a reason."""
    found: list[Aligned | None] = [None] * len(clips)
    waiting = []
    for index, (audio, text) in enumerate(clips):
      way = path(text, self.trained.graphemes)
      if not text.strip():
        found[index] = Aligned(reason='no transcript')
      elif not (way.word >= 0).any():
        found[index] = Aligned(reason='no known letters')
      elif len(way.labels) > frames(len(audio)):
        found[index] = Aligned(reason='more text than audio')
      else:
        waiting.append((frames(len(audio)), index, way))
    waiting.sort(key=lambda one: one[:2])
    for at in range(0, len(waiting), ROWS):
      group = waiting[at:at + ROWS]
      for (_, index, way), scores in zip(group, self.scores([clips[index][0] for _, index, _ in group])):
        one = spans(way, scores)
        if one.confidence < self._least:
          one = Aligned(confidence=one.confidence, reason='not what is said')
        found[index] = one
    return found

  def scores(self, audios) -> list[np.ndarray]:
    """f32[t c] of each clip, at most ROWS of them: log-probabilities of graphemes a frame."""
    rows = [features(audio) for audio in audios]
    t = -(-max(map(len, rows)) // CHUNK) * CHUNK
    x = np.zeros((ROWS, t, rows[0].shape[1]), np.float32)
    lengths = np.zeros(ROWS, np.int32)
    for index, row in enumerate(rows):
      x[index, :len(row)], lengths[index] = row, len(row)
    found = np.asarray(_scores(self.trained.config, len(self.trained.graphemes) + 1)(self.trained.params, x, lengths))
    return [found[index, :len(row)] for index, row in enumerate(rows)]


@functools.cache
def _scores(config, count):
  network = aligner.Aligner(config, count)
  return jax.jit(lambda params, x, frames: jax.nn.log_softmax(
      aligner.without_blank(network.apply({'params': params}, x, frames)).astype(jnp.float32)))
