"""A session's place in the engine: what its user said and was not yet read, and the reply that is made."""
import collections
import dataclasses

import jax
import numpy as np

from telugu_s2s.lm import drawing
from telugu_s2s.serving.turn import Ending


@dataclasses.dataclass
class Wanted:
  """A reply that is to be made."""
  id: str
  ending: Ending
  speed: float = 1.0             # at which it is played
  steps: int = 0                 # of the model
  made: int = 0                  # frames that can be heard
  began: int | None = None       # the beat of the first one
  skipped: int = 0               # silent frames before it that were left out
  held: tuple | None = None      # the last of them, (f32[hop], its root mean square)

  def ahead(self, beat: int) -> float:
    """Frames' times that it was made ahead of a beat."""
    return -1 if self.began is None else self.made / self.speed - (beat - self.began)


class Slot:
  """A session's place. Its methods may be called from any thread; `tell` is called from the engine's.

  tell(kind, reply, value): ('audio', the reply's id or None in full duplex, (f32[hop], its root mean square)); ('over', id,
  whether it ended at its limit); ('word', id or None, the number of a piece of the vocabulary), before the audio that says it;
  ('failed', None, None), after which the slot is of no use.
  """

  def __init__(self, engine, row: int, tell):
    self._engine, self.row, self.tell = engine, row, tell
    self.inbox, self.part, self.part_size = collections.deque(), [], 0       # of frames and replies, in their order
    self.reply, self.duplex, self.hushed = None, False, 0
    self.last_beat, self.missed = None, 0          # of a full-duplex step; frames of silence that stood for late ones
    self._late = engine.late                       # before this session
    self.back, self.read = False, 0                # whether to forget what was read of this turn; its frames so far
    self.key = np.zeros(2, np.uint32)

  @property
  def late(self) -> int:
    """Beats without a tick since the session began."""
    return self._engine.late - self._late

  def fits(self, samples: int) -> bool:
    """Whether so many more would be taken, or too much is waiting."""
    with self._engine.changed:
      return len(self.inbox) + samples / self._engine.hop <= self._engine.longest_inbox

  def hear(self, samples) -> bool:
    """What the user says, f32[any] at 16 kHz; False, and nothing is taken, where it does not fit."""
    hop = self._engine.hop
    with self._engine.changed:
      if not self.fits(len(samples)):
        return False
      self.part.append(samples)
      self.part_size += len(samples)
      if self.part_size >= hop:
        x = np.concatenate(self.part)
        whole = len(x) // hop * hop
        self.inbox.extend(x[:whole].reshape(-1, hop))
        self.part, self.part_size = [x[whole:]], len(x) - whole
        self._engine.changed.notify()
      return True

  def commit(self) -> None:
    """The user's turn is over: its last frame is filled up with silence."""
    with self._engine.changed:
      if self.part_size:
        x = np.concatenate(self.part)
        self.inbox.append(np.pad(x, (0, self._engine.hop - len(x))))
      self.part, self.part_size = [], 0
      self.inbox.append(None)

  def clear(self) -> None:
    """What the user said since the last turn was not said."""
    with self._engine.changed:
      kept = len(self.inbox)
      while kept and isinstance(self.inbox[kept - 1], np.ndarray):
        kept -= 1
      # Where a turn or a reply still waits, nothing of the turn after it has been read.
      self.back = self.back or (kept == 0 and self.read > 0)
      self.read = 0 if kept == 0 else self.read
      while len(self.inbox) > kept:
        self.inbox.pop()
      self.part, self.part_size = [], 0

  def ask(self, reply: str, ending: Ending, owed: bool = False, speed: float = 1.0) -> None:
    """A reply is wanted, after what was said. owed: after the last turn that is over, whatever of the next one waits to be read.

    speed: at which it is played, and so made ahead of.
    """
    with self._engine.changed:
      at = len(self.inbox)
      while owed and at and isinstance(self.inbox[at - 1], np.ndarray):
        at -= 1
      self.inbox.insert(at, Wanted(reply, ending, speed))
      self._engine.changed.notify()

  def cancel(self, reply: str) -> None:
    """Nothing more of this reply is made or told."""
    with self._engine.changed:
      if self.reply and self.reply.id == reply:
        self.reply = None
      self.inbox = collections.deque(one for one in self.inbox if not (isinstance(one, Wanted) and one.id == reply))
      self._engine.changed.notify()

  def hush(self, frames: int) -> None:
    """A full-duplex assistant says silence for so many frames."""
    self.hushed = frames

  def speak_as(self, told: dict, how: drawing.Sampling, seed: int | None = None) -> None:
    """Who speaks (Voice.given) and how it is drawn, from the next frame on; seed: of the draws, None = as before."""
    with self._engine.changed:
      self._engine.change(self.row, told, how)
      if seed is not None:
        self.key = key_of(seed)

  def listen(self, duplex: bool) -> None:
    """Whether the assistant may speak at any time, full duplex, or when asked to. What is waiting is forgotten."""
    with self._engine.changed:
      self.inbox.clear()
      self.part, self.part_size, self.reply, self.duplex, self.last_beat = [], 0, None, duplex, None
      self.read = self.missed = 0

  def leave(self) -> None:
    """The place is free for another session."""
    self._engine.free(self)


def key_of(seed: int) -> np.ndarray:
  """u32[2], the key of a stream's draws: that of a batch of one, as sampling.each makes it."""
  return np.asarray(jax.random.key_data(jax.random.split(jax.random.key(seed), 1)[0]))
