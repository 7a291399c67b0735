"""Whose turn it is, by the sound alone: where the user begins and ends to speak, and where a reply is over.

The level of each 20 ms is compared with a noise floor that falls at once and rises slowly. What was heard just before the
beginning belongs to the turn, as onsets are soft.
"""
import collections
import dataclasses

import numpy as np

from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.level import rms_dbfs

BLOCK = 320                      # samples, 20 ms
ONSET = 3                        # of the last 4 blocks are loud: 60 ms; a click is shorter
LEAST_FLOOR_DBFS = -65.0         # of a quiet room; digital silence is none to wait from until a noise is known
RISE_DB = 0.06, 0.04             # of the floor in a block, between turns and within: 3 and 2 dB a second
QUIET = 10 ** (-45 / 20)         # root mean square below which a frame of a reply says nothing, -45 dBFS


class Turns:
  """The user's turns in a stream of audio.

  Args:
    threshold: from 0, everything is speech, to 1, nothing soft is.
    prefix_ms: of what was heard before its beginning that belongs to a turn.
    silence_ms: how long a pause ends a turn.
  """

  def __init__(self, threshold: float = 0.5, prefix_ms: int = 300, silence_ms: int = 500):
    self.set(threshold, prefix_ms, silence_ms)
    self._held, self._before, self._before_size = np.zeros(0, np.float32), collections.deque(), 0
    self._loud = collections.deque(maxlen=ONSET + 1)
    self._floor, self._at, self._last_loud = LEAST_FLOOR_DBFS, 0, 0
    self.speaking, self._spoken = False, False     # now; since `unanswered`

  def set(self, threshold: float = 0.5, prefix_ms: int = 300, silence_ms: int = 500) -> None:
    """Other settings from the next block on; a turn that has begun goes on."""
    self._margin_db, self._least_dbfs = 6 + 12 * threshold, -60 + 20 * threshold
    self._prefix, self._silence = max(0, prefix_ms * SAMPLE_RATE // 1000), max(1, silence_ms * SAMPLE_RATE // 1000)

  def __call__(self, samples) -> list[tuple]:
    """What happens in the next f32[samples] at 16 kHz.

    Returns:
      ('started', sample), ('audio', f32[samples] of the turn) and ('stopped', sample), in their order; samples are counted from
      the stream's beginning.
    """
    found, x = [], np.concatenate([self._held, samples])
    end = len(x) // BLOCK * BLOCK
    for block in x[:end].reshape(-1, BLOCK):
      found += self._block(block)
    self._held = x[end:]
    return found

  def unanswered(self, now: float) -> float | None:
    """When the user was last heard, if that was since this was last asked, else None. now: the time, in seconds."""
    spoken, self._spoken = self._spoken, False
    return now - (self._at + len(self._held) - self._last_loud) / SAMPLE_RATE if spoken else None

  def clear(self) -> None:
    """What was heard was not said: no turn begins with it."""
    self.rest()
    self._before.clear()
    self._before_size = 0

  def rest(self) -> np.ndarray:
    """f32[samples] of a turn that is broken off, which did not make a block; the stream is as between turns."""
    rest = self._held if self.speaking else self._held[:0]
    self._at += len(self._held)                    # it was heard, whoever reads it: the stream's clock goes on
    self.speaking, self._held = False, np.zeros(0, np.float32)
    self._loud.clear()
    return rest

  def _block(self, block):
    level = rms_dbfs(block)
    is_loud = level > max(self._floor + self._margin_db, self._least_dbfs)
    self._floor = max(LEAST_FLOOR_DBFS, min(level, self._floor + RISE_DB[self.speaking]))
    self._at += BLOCK
    if is_loud:
      self._last_loud = self._at
    if self.speaking:
      self._spoken |= is_loud
      found = [('audio', block)]
      if self._at - self._last_loud >= self._silence:
        self.speaking = False
        self._loud.clear()
        found.append(('stopped', self._at))
      return found
    self._loud.append(is_loud)
    self._before.append(block)
    self._before_size += BLOCK
    if sum(self._loud) >= ONSET:
      self.speaking = self._spoken = True
      heard = np.concatenate(self._before)[-(self._prefix + len(self._loud) * BLOCK):]
      self._before.clear()
      self._before_size = 0
      return [('started', max(0, self._at - len(heard))), ('audio', heard)]
    while self._before_size - BLOCK >= self._prefix + len(self._loud) * BLOCK:
      self._before.popleft()
      self._before_size -= BLOCK
    return []


@dataclasses.dataclass(frozen=True)
class Endings:
  """When replies are over, see `Ending`."""
  quiet_s: float = 0.8
  waits_s: float = 2.0
  longest_s: float = 20.0


class Ending:
  """Where a reply is over: a while after the last sound of it, or where there was none for longer, or at its limit.

  Args:
    frame_s: of a frame.
    quiet_s: silence after something was said.
    waits_s: silence before anything is said.
    longest_s: of a reply.
  """

  def __init__(self, frame_s: float, quiet_s: float, waits_s: float, longest_s: float):
    self._quiet, self._waits, self._longest = (max(1, round(s / frame_s)) for s in (quiet_s, waits_s, longest_s))
    self._frames, self._last = 0, None
    self.cut = False             # it ended at its limit

  def over(self, rms: float) -> bool:
    """Whether the reply ends with the next frame, of this root mean square."""
    self._frames += 1
    if rms > QUIET:
      self._last = self._frames
    self.cut = self._frames >= self._longest
    return self.cut or (self._frames >= self._waits if self._last is None else self._frames - self._last >= self._quiet)
