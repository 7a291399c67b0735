"""Dialogues of recordings that do not belong together: a question, and the turn of another speaker that fits it best."""
import collections
import functools
import itertools
from pathlib import Path

import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.codec import weights
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import licences
from telugu_s2s.dialogue import found, pairs, retrieval, sample, timing
from telugu_s2s.dialogue.pairs import Aside, Dialogue, Turn, Unit
from telugu_s2s.errors import InputError
from telugu_s2s.tokens import encoding

BY = ('', 'text', 'codes')
QUESTION = 'question'
AT_ONCE = 64                     # recordings that are decoded and coded together


def units(config, table: timing.Timing, out) -> tuple[list[Unit], list[corpus.Skip]]:
  """A unit for each question of `config.folder`, in an order drawn from the seed, `config.count` at most; and the recordings that cannot be used.

  By text a question is a row of style question, or one that ends in a question mark; what answers is any other row. By codes
  every recording asks, and every other one may answer. A recording answers `config.reuse` questions at most.

  Raises:
    InputError: there is nothing to choose from.
  """
  folder = Path(config.folder or sample.sample.folder())
  rows, skips = corpus.recordings(folder, config.licence, 'config.folder')
  recordings = [one for one in rows if one.speaker]
  if config.reuse < 1:
    raise InputError(f'config.reuse {config.reuse}: give the questions that a recording may answer, from 1')
  if config.by not in BY:
    raise InputError(f'config.by {config.by!r}: choose text or codes, or leave it empty')
  by = config.by or ('text' if sum(bool(one.text) for one in recordings) > len(recordings) / 2 else 'codes')
  if by == 'text':
    asking = [asks(one) for one in recordings]
    bags = [retrieval.grams(one.text) if one.text else collections.Counter() for one in recordings]
  else:
    asking = [True] * len(recordings)
    bags = coded(folder, recordings, weights.load(config.codec))
  chosen = matches(recordings, asking, bags, np.random.default_rng(config.seed), config.reuse, config.count, answers_ask=by == 'codes')
  if not chosen:
    raise InputError(f'config.folder: {folder} has no question with an answer by another speaker, by {by}; of {len(recordings)} recordings '
                     f'with a speaker {sum(asking)} ask')
  names = pairs.named(f'r-{found.stem(recordings[asked].path)}-{asked:06}' for asked, _ in chosen)
  sides = [(recordings[asked], recordings[answer]) for asked, answer in chosen]
  content = pairs.contents(folder, itertools.chain(*sides), out)
  return [Unit(name, functools.partial(_alone, folder, *both, table, config.seed, name), pairs.hashed([(one, content[one.path]) for one in both]))
          for name, both in zip(names.values(), sides)], skips


def _alone(*given):
  return [paired(*given)]


def asks(one: corpus.Recording) -> bool:
  """Whether a recording is a question, by its label or the end of its text."""
  return bool(one.text) and (one.style == QUESTION or one.text.rstrip(' "\'”’').endswith('?'))


def coded(folder, recordings, trained) -> list[collections.Counter]:
  """The level 0 of each recording as a bag of codes; an empty one of what cannot be read."""
  encoder, bags = encoding.Encoder(trained), []
  for first in range(0, len(recordings), AT_ONCE):
    clips = []
    for one in recordings[first:first + AT_ONCE]:
      try:
        clips.append(corpus.samples(folder, one))
      except files.Unreadable:
        clips.append(np.zeros(0, np.float32))
    bags += [retrieval.pairs_of_codes(codes[:, 0]) for codes in encoder(clips)]
  return bags


def matches(recordings, asking, bags, rng, reuse: int, count: int, answers_ask: bool = False) -> list[tuple[int, int]]:
  """[(question, answer)] by their numbers, `count` at most: of another speaker and sentence, and of the same split."""
  index = retrieval.Index(bags)
  speaker, split, text = (np.array([getattr(one, name) for one in recordings]) for name in ('speaker', 'split', 'text'))
  free = np.full(len(recordings), reuse)
  may = np.ones(len(recordings), bool) if answers_ask else ~np.array(asking)
  result = []
  for number in rng.permutation(np.flatnonzero(asking)):
    if len(result) == count:
      break
    allowed = may & (free > 0) & (speaker != speaker[number]) & (split == split[number]) & ((text != text[number]) | (text == ''))
    allowed[number] = False
    answer = retrieval.best(index.scores(bags[number]), allowed)
    if answer is not None:
      free[answer] -= 1
      result.append((int(number), answer))
  return result


def paired(folder, asked, answered, table, seed, name) -> Dialogue:
  """A question with its answer after a drawn gap.

  Raises:
    Aside: their licences may not stand side by side, or one of them is silent.
    Unreadable: one of them cannot be decoded.
  """
  if licences.combined(asked.licence, answered.licence) is None:
    raise Aside('licence', f'{asked.licence or "unknown"} and {answered.licence or "unknown"} may not be in one dialogue')
  clips = []
  for one in (asked, answered):
    samples = corpus.samples(folder, one)
    if not samples.any():
      raise Aside('silent', f'{one.path} holds no sound')
    clips.append(sample.finished(samples))
  seconds = [len(clip) / files.SAMPLE_RATE - 2 * sample.END_S for clip in clips]
  starts = timing.laid([('a', seconds[0]), ('b', seconds[1])], table, pairs.rng_of(seed, name))
  turns = [Turn(start, clip, one.speaker, **pairs.told(one, style=style))
           for start, clip, one, style in zip(starts, clips, (asked, answered), (QUESTION, 'answer'))]
  return Dialogue(name, asked.split, turns)
