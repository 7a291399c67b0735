"""What was said and what was answered: adjacent turns of a dialogue as rows of two streams, the user's and the assistant's."""
import collections
import dataclasses

import numpy as np

from telugu_s2s.errors import InputError
from telugu_s2s.tokens import batches, labels
from telugu_s2s.tokens.batches import ASSISTANT, USER, Clips, Window
from telugu_s2s.tokens.census import Census
from telugu_s2s.tokens.epochs import Epochs, Mixture
from telugu_s2s.tokens.record import ABSENT

EXCHANGES, CLIPS = 'exchanges', 'clips'
PAUSE_S = 0.08, 0.48             # between the end of a question and its answer: drawn evenly


@dataclasses.dataclass(frozen=True)
class Exchange:
  """Two clips of a dialogue, by their numbers."""
  asked: int
  answered: int


def exchanges(clips: Clips) -> list[Exchange]:
  """Where a speaker follows another one in a dialogue, in the order of the clips that answer.

  Of turns that were cut into several clips these are the last one of the first and the first one of the second.
  """
  dialogues = collections.defaultdict(list)
  for number in range(len(clips)):
    one = clips[number].labels
    if one.get('dialogue') and one.get('turn') is not None:
      dialogues[one.get('source'), one['dialogue']].append((one['turn'], one.get('start_s') or 0.0, number, labels.speaker(one)))
  found = []
  for turns in dialogues.values():
    turns.sort()
    found += [Exchange(first[2], second[2]) for first, second in zip(turns, turns[1:]) if first[0] != second[0] and first[3] != second[3]]
  return sorted(found, key=lambda one: one.answered)


def row(asked, answered, pause: int, window: Window, silence) -> dict:
  """An exchange as a row: the user asks, and after a pause the assistant answers; both are silent otherwise.

  Args:
    asked, answered: record.Tokens. Of a question that is too long the beginning is left out, of an answer its end.
    pause: frames between them; one more where prosody would not come at an even frame.
    window: the row's length.
    silence: i32[q].

  Returns:
    As `batches.row` without text, and answer: bool[t], the frames of the answer.
  """
  t, answer = window.frames, answered.codes.astype(np.int32)
  question = asked.codes.astype(np.int32)[-max(1, t - min(len(answer), t // 2) - pause - 1):]
  start = len(question) + pause + (len(question) + pause) % 2
  answer = answer[:t - start]
  codes = np.tile(silence.astype(np.int32), (2, t, 1))
  codes[USER, :len(question)], codes[ASSISTANT, start:start + len(answer)] = question, answer
  prosody = np.full(t, ABSENT, np.int32)
  moves = answered.prosody[:(len(answer) + 1) // 2]
  prosody[start:start + 2 * len(moves):2] = moves
  frame = np.arange(t)
  return {'codes': codes, 'prosody': prosody, 'weight': (frame < start + len(answer) + window.trailing).astype(np.float32),
          'answer': (start <= frame) & (frame < start + len(answer))}


class Cast(batches.Cast):
  """Exchanges as they are, and clips with one silent side, as in stage 2."""

  def __init__(self, window, silence, asked, pause):
    super().__init__(window, silence, None, asked)
    self._pause = pause

  def _one(self, tokens, rng, window):
    if not isinstance(tokens, tuple):
      return super()._one(tokens, rng, window)
    known = self._asked.row(tokens[1], True, rng) if self._asked else {}
    found = row(*tokens, int(rng.integers(self._pause[0], self._pause[1] + 1)), window, self._silence)
    return {name: value for name, value in found.items() if name != 'answer'} | known


def make(clips: Clips, found: list[Exchange], window: Window, rate: float, *, batch, seed, replay: float, process=0, processes=1,
         views='turns', asked: labels.Asked | None = None, counted: Census):
  """Endless batches of exchanges and of single clips, as `batches.make`.

  Args:
    rate: frames a second.
    replay: how often each clip comes an epoch, alone, while each exchange comes once.
    counted: the clips' census.

  Raises:
    InputError: there are no exchanges.
  """
  if not found:
    raise InputError(f'{clips!r}: no turn follows another one: no two clips have the same label `dialogue`, another `turn` and another '
                     '`speaker`')
  pause = tuple(max(1, round(seconds * rate)) for seconds in PAUSE_S)
  both = np.array([counted.frames[one.asked] + counted.frames[one.answered] for one in found]) + pause[1] + 1
  frames = np.concatenate([both, counted.frames])
  source = np.repeat(np.array([0, 1], np.int32), [len(found), len(clips)])
  items = Census(frames, source, np.zeros(len(frames), np.uint64), (EXCHANGES, CLIPS))
  epochs = Epochs(items, batches.needs(frames, window), window.frames, window.clips, Mixture({CLIPS: replay}), clips.views, views, seed)

  def read(item, view):
    if item >= len(found):
      return clips.view(item - len(found), view)
    return clips.view(found[item].asked, view), clips.view(found[item].answered, view)

  return batches.endless(epochs, read, Cast(window, clips.silence, asked, pause), batch, seed, process, processes)


def tests(clips: Clips, found: list[Exchange], window: Window, rate: float, batch: int, shift: int = 0,
          asked: labels.Asked | None = None) -> list[dict]:
  """Every exchange once, in batches whose weight is on the answers alone; the last is filled with rows of weight 0.

  shift: the answer of each exchange comes after the question of the exchange so many further on; 0 = its own.
  """
  window = dataclasses.replace(window, trailing=0)
  pause = round(sum(PAUSE_S) / 2 * rate)

  def one(number):
    question, answer = clips[found[(number + shift) % len(found)].asked], clips[found[number].answered]
    made = row(question, answer, pause, window, clips.silence)
    return {name: value for name, value in made.items() if name != 'answer'} | {'weight': made['answer'].astype(np.float32)} | (
        asked.row(answer, True) if asked else {})

  return batches.stacked([one(number) for number in range(len(found))], batch)
