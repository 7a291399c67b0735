"""Speech at another tempo and its own pitch, a piece at a time and some 20 ms late.

By waveform similarity (Verhelst and Roelands, 1993, 'An overlap-add technique based on waveform similarity'): windows are taken from the
input at the asked tempo, each from where it best goes on from the one before, and are overlapped. Whatever the pieces, the samples are the
same to the bit. Packages that do this well want the whole recording, and a conversation has no time for that.
"""
import math

import numpy as np

from telugu_s2s.errors import InputError

SPEEDS = 0.25, 1.5               # that are taken: the range of the Realtime protocol
STEP = 160                       # samples of the output that a window brings, 10 ms: a hop of mark.py
SIZE = 2 * STEP                  # of a window: a period of a voice of 50 Hz
REACH = 160                      # samples on either side of its place that a window is looked for in: another one
QUIET = 1e-3                     # root of the sum of squares of a window, -85 dBFS, below which every place is as good
_TAPER = (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(SIZE) + 0.5) / SIZE)).astype(np.float32)        # adds up to one


def check(speed: float, name: str = 'speed') -> None:
  """Raises InputError, which names the field, where a speed is not in SPEEDS."""
  if not SPEEDS[0] <= speed <= SPEEDS[1]:
    raise InputError(f'{name} {speed}: give {SPEEDS[0]:g} to {SPEEDS[1]:g} times as fast')


class Stretcher:
  """A stream that is spoken `speed` times as fast.

  Raises:
    InputError: the speed is not in SPEEDS.
  """

  def __init__(self, speed: float):
    check(speed)
    self._speed, self._taken, self._made = speed, 0, 0       # samples that came and went
    self._held, self._start = np.zeros(REACH, np.float32), -REACH         # what is still to be looked at, and where it begins
    self._at, self._open = -STEP, None                       # of the last window, and its second half

  def __call__(self, samples) -> np.ndarray:
    """f32[some], the next samples; whole steps of STEP. samples: f32[any]."""
    self._taken += len(samples)
    if self._speed == 1:
      return np.asarray(samples, np.float32)
    self._held = np.concatenate([self._held, np.asarray(samples, np.float32)])
    made = []
    while (step := self._step()) is not None:
      made.append(step)
    return np.concatenate([np.zeros(0, np.float32), *made])

  def rest(self) -> np.ndarray:
    """f32[some], what was held back: all together, round(samples / speed) came out."""
    if self._speed == 1:
      return np.zeros(0, np.float32)
    total = round(self._taken / self._speed)
    more = math.ceil((total - self._made) * self._speed) + SIZE + 2 * REACH + STEP       # of silence, so that every window is full
    before = self._made
    return self(np.zeros(more, np.float32))[:total - before]

  def _step(self):
    """f32[STEP], or None where a window is not there yet."""
    ideal = round(self._made * self._speed)
    if max(ideal + REACH, self._at + STEP) + SIZE > self._start + len(self._held):
      return None
    if self._open is None:       # the first one stands where it is, as if another one came before it
      at, self._open = 0, self._window(0, STEP) * _TAPER[STEP:]
    else:
      near = np.lib.stride_tricks.sliding_window_view(self._window(ideal - REACH, 2 * REACH + SIZE), SIZE)
      alike = near @ self._window(self._at + STEP, SIZE) / (np.sqrt(np.einsum('ns,ns->n', near, near)) + np.float32(1e-6))
      best = int(np.argmax(alike))
      at = ideal + (best - REACH if alike[best] > QUIET else 0)
    window = self._window(at, SIZE) * _TAPER
    made, self._open = self._open + window[:STEP], window[STEP:]
    self._at, self._made = at, self._made + STEP
    done = min(at + STEP, round(self._made * self._speed) - REACH) - self._start
    self._held, self._start = self._held[max(0, done):], self._start + max(0, done)
    return made

  def _window(self, at, size):
    return self._held[at - self._start:at - self._start + size]


def stretched(audio, speed: float) -> np.ndarray:
  """f32[round(samples / speed)], a whole recording at `speed` times its tempo. Raises InputError as Stretcher does."""
  stream = Stretcher(speed)
  return np.concatenate([stream(audio), stream.rest()])
