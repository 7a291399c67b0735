"""The text slot of a row: what the assistant says in words, frame by frame, and how far ahead of its voice or behind.

A word's pieces stand from its first frame on, EPAD just before them, PAD elsewhere (inner monologue, Moshi, Defossez et
al., 2024, 3.4.4). Text ahead of the voice is speech synthesis, text behind it is recognition (delayed streams modelling).
"""
import dataclasses

import numpy as np

from telugu_s2s.errors import InputError
from telugu_s2s.tokens.record import ABSENT
from telugu_s2s.tokens.vocabulary import EPAD, PAD, Vocabulary

DIALOGUE, SYNTHESIS, RECOGNITION = range(3)


@dataclasses.dataclass(frozen=True)
class Mode:
  """What the text slot is to the voice of a row."""
  task: int                      # DIALOGUE, SYNTHESIS or RECOGNITION; ABSENT = the clip has no words
  ahead: int                     # frames by which text comes before the voice; below 0: after it


NOTHING = Mode(ABSENT, 0)


def beside(tokens) -> Mode:
  """Text with the voice, where the clip has words."""
  return NOTHING if tokens.words is None else Mode(DIALOGUE, 0)


@dataclasses.dataclass(frozen=True)
class Text:
  """How the text slot is filled."""
  vocabulary: Vocabulary
  shares: tuple = (0.5, 0.3, 0.2)          # of dialogue, synthesis and recognition among rows whose clip has words
  ahead: tuple = (25, 50)                  # frames, in synthesis: drawn evenly, even numbers
  behind: tuple = (12, 50)                 # frames, in recognition: likewise

  def __post_init__(self):
    if len(self.shares) != 3 or min(self.shares) < 0 or not sum(self.shares) > 0:
      raise InputError(f'text.shares: {self.shares} are not the shares of dialogue, synthesis and recognition')
    for name in ('ahead', 'behind'):
      limits = getattr(self, name)
      if not (len(limits) == 2 and 0 <= limits[0] and -(-limits[0] // 2) <= limits[1] // 2):
        raise InputError(f'text.{name}: {limits} is not (fewest, most) frames with an even number between them')

  def apart(self) -> float:
    """Frames that text and voice are apart on average."""
    return (self.shares[1] * sum(self.ahead) + self.shares[2] * sum(self.behind)) / 2 / sum(self.shares)

  def mode(self, tokens, rng) -> Mode:
    """The mode of a row of a clip."""
    task = min(int(np.searchsorted(np.cumsum(self.shares), rng.random() * sum(self.shares), side='right')), RECOGNITION)
    # Even, so that moving the voice keeps prosody at every second frame.
    ahead, behind = (2 * int(rng.integers(-(-low // 2), high // 2 + 1)) for low, high in (self.ahead, self.behind))
    if tokens.words is None:
      return NOTHING
    return Mode(task, (0, ahead, -behind)[task])

  def slot(self, tokens, mode: Mode, mine: bool, frames: int, start: int) -> np.ndarray:
    """i32[frames], the text slot of a row; ABSENT where the clip has no words.

    In recognition it is what either side says; else what the assistant says, which is nothing while it listens.

    Args:
      mine: the clip is the assistant's.
      start: the clip's frame that is the first to be heard.
    """
    if mode.task == ABSENT:
      return np.full(frames, ABSENT, np.int32)
    said = [word for word in tokens.words if word.start >= start] if mine or mode.task == RECOGNITION else []
    return laid([(word.start - start - min(mode.ahead, 0), self.vocabulary.encode(word.text)) for word in said], frames)


def laid(words, frames: int) -> np.ndarray:
  """i32[frames] of [(first frame, numbers of the pieces)]. Where a word's pieces end after the next one's start, that waits."""
  slot, free = np.full(frames, PAD, np.int32), 0
  for start, pieces in words:
    start = max(start, free)
    if start >= frames:
      break
    if start > free:
      slot[start - 1] = EPAD
    slot[start:start + len(pieces)] = pieces[:frames - start]
    free = start + len(pieces)
  return slot
