"""Answers beside worse ones: the answer of another question, the same voice drifted into another, another emotion than asked for."""
import collections
import dataclasses

import numpy as np

from telugu_s2s.tokens import batches, labels, turns
from telugu_s2s.tokens.census import Census
from telugu_s2s.tokens.epochs import Epochs
from telugu_s2s.tokens.record import ABSENT

KINDS = ('reply', 'speaker', 'emotion')
TRIES = 8
WORSE = 'worse_'                 # before the names of the arrays of the worse row
BOTH = ('codes', 'prosody', 'answered', 'text')          # of which there is a worse one, where there is any


class Worse:
  """For each exchange the clips that would be worse answers than its own, by kind.

  Of another speaker or emotion a clip of the same sentence is taken where there is one: then only that is wrong.
  """

  def __init__(self, found: list[turns.Exchange], text):
    self._found, self._text = found, text
    self._of = {name: collections.defaultdict(list) for name in ('speaker', 'voice', 'text')}
    self._emotions = collections.defaultdict(set)          # of each speaker
    for one in found:
      self._emotions[one.voice[0]] |= {one.voice[1]} - {''}
      self._of['speaker'][one.voice[0]].append(one)
      self._of['voice'][one.voice].append(one)
      self._of['text'][int(text[one.answered])].append(one)

  def clip(self, exchange: turns.Exchange, kind: str, rng, alike: bool = False) -> int | None:
    """A clip that is worse in that way; None where there is none. alike: one of another speaker or emotion has to be of the same sentence."""
    speaker, emotion = exchange.voice
    said = int(self._text[exchange.answered])
    same = self._of['text'][said] if said else []
    if kind == 'reply':
      another = lambda one: int(self._text[one.answered]) != said or not said and one is not exchange
      other = drawn(self._of['voice'][exchange.voice], another, rng)
    elif kind == 'speaker':
      another = lambda one: one.voice[0] != speaker
      other = drawn(same, another, rng) or drawn(() if alike else self._found, another, rng, len(self._of['speaker']) > 1)
    else:
      another = lambda one: one.voice[0] == speaker and emotion and one.voice[1] and one.voice[1] != emotion
      others = () if alike else self._of['speaker'][speaker]
      other = drawn(same, another, rng) or drawn(others, another, rng, len(self._emotions[speaker]) > 1)
    return other.answered if other else None


def drawn(many, fits, rng, there: bool = True):
  """One of those that fit, each as likely; None where none does. Most fit as a rule, and then not all are looked at. there: some may."""
  for _ in range(TRIES if many else 0):
    if fits(one := many[int(rng.integers(len(many)))]):
      return one
  left = [one for one in many if fits(one)] if there else []
  return left[int(rng.integers(len(left)))] if left else None


def pair(scenes: turns.Scenes, exchange: turns.Exchange, clip: int, window, seed: int | None, view: int = 0, most: int = 0) -> dict:
  """An exchange as a row with its answer, and with another clip instead: arrays of `turns`' rows, those of the worse one named WORSE...

  answered and worse_answered are i32[most], the frames of the answer, ABSENT behind its end; of one that is longer the first ones.
  0 = as many as a row has. The same pause, view and noise are drawn for both, from seed; None = the mean pause. What comes before the answer
  is the same too, and so leaves room for the longer one.
  """
  drawn = lambda: None if seed is None else np.random.default_rng(seed)
  last = dataclasses.replace(exchange.turns[exchange.second], clip=clip)
  other = dataclasses.replace(exchange, turns=exchange.turns[:exchange.second] + (last,) + exchange.turns[exchange.second + 1:])
  most = most or window.frames
  longer = max(len(scenes.clips.view(number, view).codes) for number in (exchange.answered, clip))

  def row(one):
    found = scenes.row(one, window, view, drawn(), led=False, reserve=longer)
    frames = np.flatnonzero(found.pop('answer'))[:most]
    return found | {'answered': np.pad(frames, (0, most - len(frames)), constant_values=ABSENT).astype(np.int32)}

  better, worse = row(exchange), row(other)
  return better | {WORSE + name: worse[name] for name in BOTH if name in worse}


def longest(found: list[turns.Exchange], counted: Census, window) -> int:
  """Frames of the longest of the answers, as the clips are: of views that are spoken slower the last frames are not compared."""
  return min(window.frames, int(counted.frames[[one.answered for one in found]].max()))


class Cast(batches.Cast):
  """Exchanges with a worse answer of a drawn kind beside their own."""

  def __init__(self, window, scenes, found, worse: Worse, longest: int, asked):
    super().__init__(window, scenes.clips.silence, scenes.text, asked)
    self._scenes, self._found, self._worse, self._longest = scenes, found, worse, longest

  def _one(self, item, rng, window):
    number, view = item
    exchange, clip, kind = self._found[number], None, 0
    for kind in rng.permutation(len(KINDS)):
      clip = self._worse.clip(exchange, KINDS[kind], rng)
      if clip is not None:
        break
    weight = np.float32(clip is not None)        # an only exchange has nothing worse
    row = pair(self._scenes, exchange, exchange.answered if clip is None else clip, window, int(rng.integers(2 ** 31)), view, self._longest)
    known = self._asked.row(self._scenes.clips.view(exchange.answered, view), True, rng) if self._asked else {}
    return row | {'compared': weight} | known


def make(scenes: turns.Scenes, found: list[turns.Exchange], window, *, batch, seed, process=0, processes=1, views='turns',
         asked: labels.Asked | None = None, counted: Census, often=None):
  """Endless batches of exchanges beside worse ones, as `turns.make`; one exchange a row."""
  window = dataclasses.replace(window, clips=1)
  answers = np.array([one.answered for one in found])
  items = Census(counted.frames[answers], np.zeros(len(found), np.int32), np.zeros(len(found), np.uint64), (turns.EXCHANGES,))
  epochs = Epochs(items, np.full(len(found), window.frames), window.frames, 1, views=scenes.clips.views, how=views, seed=seed, times=often)
  cast = Cast(window, scenes, found, Worse(found, counted.text), longest(found, counted, window), asked)
  return batches.endless(epochs, lambda item, view: (item, view), cast, batch, seed, process, processes)


def tests(scenes: turns.Scenes, found: list[turns.Exchange], window, kind: str, counted: Census, batch: int, seed: int,
          asked: labels.Asked | None = None) -> tuple[list[dict], list[int]]:
  """(batches of each exchange beside one that is worse in that way, a number for what the question of each of them says), in their order.

  Of another speaker or emotion the worse one says the same sentence: another one might be likelier for what it says. Training has both.
  """
  window = dataclasses.replace(window, clips=1, trailing=0)
  worse, most, rows, says = Worse(found, counted.text), longest(found, counted, window), [], []
  for number, one in enumerate(found):
    clip = worse.clip(one, kind, np.random.default_rng([seed, number]), alike=True)
    if clip is not None:
      says.append(turns.sentence(scenes.clips, counted.text, one.asked))
      rows.append(pair(scenes, one, clip, window, None, most=most) | (asked.row(scenes.clips[one.answered], True) if asked else {}))
  return (batches.stacked(rows, batch) if rows else []), says
