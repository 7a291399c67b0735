"""Speech at another pitch with its own formants and tempo, a piece at a time and some 50 ms late.

By pitch-synchronous overlap-add (Moulines and Charpentier, 1990, 'Pitch-synchronous waveform processing techniques for text-to-speech
synthesis using diphones', section 3): windows of two periods, each where it is most like the one before, are set closer together or
further apart. Where there is no voice nothing is changed. Whatever the pieces, the samples are the same to the bit. Packages that do
this want the whole recording, or move the formants along.
"""
import math

import numpy as np

from telugu_s2s.audio import pitch
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.errors import InputError

SEMITONES = -6.0, 6.0            # that are taken
STEP = pitch.HOP                 # samples that come out together, 10 ms: a hop of mark.py
VOICELESS = 160                  # samples from window to window where there is no voice
REACH = 0.15                     # of a period, by which the next one may be longer or shorter
_PERIOD = SAMPLE_RATE / pitch.LOWEST_HZ + 2
LONGEST = math.ceil(1.5 * _PERIOD)                           # samples from window to window: a voice may begin late in its first period
BEHIND = max(LONGEST, pitch.SIZE // 2 + pitch.HOP)           # samples before a window that are looked at
AHEAD = math.ceil((1.5 + REACH) * _PERIOD) + 2               # samples behind a window by which the next one is found
VOICED = 0.7                     # as of audio/pitch.py, and larger: what little voice stays behind is heard beside the rest
QUIET = 1e-3                     # root of the mean square, -60 dBFS, below which no voice is looked for


def check(semitones: float, name: str = 'shift') -> None:
  """Raises InputError, which names the field, where semitones are not in SEMITONES."""
  if not SEMITONES[0] <= semitones <= SEMITONES[1]:
    raise InputError(f'{name} {semitones}: give {SEMITONES[0]:g} to {SEMITONES[1]:g} semitones')


class Shifter:
  """A stream that is spoken `semitones` higher.

  Raises:
    InputError: the semitones are not in SEMITONES.
  """

  def __init__(self, semitones: float):
    check(semitones)
    self._factor, self._taken = 2 ** (semitones / 12), 0
    self._held, self._start = np.zeros(BEHIND, np.float32), -BEHIND        # what is still to be looked at, and where it begins
    self._before, self._at, self._voiced = -VOICELESS, 0, False            # the middles of two windows, and whether the first is of a voice
    self._hertz = -1, 0.0                                    # the last frame that was looked at, and its F0
    self._place = 0.0                                        # where the next window comes to stand
    self._made, self._out = np.zeros(4 * LONGEST, np.float32), 0           # what windows may still be added to, and where it begins

  def __call__(self, samples) -> np.ndarray:
    """f32[some], the next samples; whole steps of STEP. samples: f32[any]."""
    self._taken += len(samples)
    if self._factor == 1:
      return np.asarray(samples, np.float32)
    self._held = np.concatenate([self._held, np.asarray(samples, np.float32)])
    ready = []
    while self._at + AHEAD <= self._start + len(self._held):
      after, voiced = self._next()
      self._lay(after, voiced)
      self._before, self._at, self._voiced = self._at, after, voiced
      ready.append(self._ready())
    done = self._at - BEHIND - self._start
    self._held, self._start = self._held[done:], self._start + done
    return np.concatenate([np.zeros(0, np.float32), *ready])

  def rest(self) -> np.ndarray:
    """f32[some], what was held back: all together as many samples came out as went in."""
    if self._factor == 1:
      return np.zeros(0, np.float32)
    left = self._taken - self._out
    return self(np.zeros(left + AHEAD + 3 * LONGEST, np.float32))[:left]

  def _next(self):
    """(the middle of the next window, whether this one is of a voice)."""
    hertz = self._f0((self._at + pitch.HOP // 2) // pitch.HOP)
    if not hertz:
      return self._at + VOICELESS, False
    period = SAMPLE_RATE / hertz
    half = round(period / 2)
    if not self._voiced:         # the second window of a voice stands where it is loudest
      return self._at + half + int(np.argmax(np.abs(self._window(self._at + half, 2 * half)))), True
    least, most = round(period * (1 - REACH)), round(period * (1 + REACH))
    near = self._window(self._at + least - half, most - least + 2 * half)
    power = np.cumsum(np.concatenate([[0.0], np.square(near, dtype=np.float64)]))
    alike = np.correlate(near, self._window(self._at - half, 2 * half)) / np.sqrt(power[2 * half:] - power[:-2 * half] + 1e-12)
    return self._at + least + int(np.argmax(alike)), True

  def _f0(self, frame):
    """Hz, 0 where there is no voice."""
    if frame != self._hertz[0]:
      around = self._window(frame * pitch.HOP - pitch.SIZE // 2, pitch.SIZE)
      self._hertz = frame, pitch.at(around, VOICED) if np.sqrt(np.mean(around * around)) > QUIET else 0.0
    return self._hertz[1]

  def _lay(self, after, voiced):
    """Sets this window down wherever no other one is nearer."""
    rise, fall = self._at - self._before, after - self._at
    factor = self._factor if voiced else 1.0
    window = self._window(self._before, rise + fall) * np.concatenate([_rising(rise), 1 - _rising(fall)])
    window *= np.float32(factor ** -0.5)                     # as many more as come in a second, as much more power they bring
    while self._place <= (self._at + after) / 2:
      start = round(self._place) - rise - self._out
      self._made[max(0, start):start + len(window)] += window[max(0, -start):]
      self._place += fall / factor

  def _ready(self):
    """f32[some], to which no window is added any more."""
    done = max(0, math.floor(self._place) - LONGEST - 1 - self._out) // STEP * STEP
    ready = self._made[:done].copy()
    self._made = np.concatenate([self._made[done:], np.zeros(done, np.float32)])
    self._out += done
    return ready

  def _window(self, at, size):
    return self._held[at - self._start:at - self._start + size]


def _rising(size):
  return (0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / size)).astype(np.float32)


def shifted(audio, semitones: float) -> np.ndarray:
  """f32[samples], a whole recording `semitones` higher. Raises InputError as Shifter does."""
  stream = Shifter(semitones)
  return np.concatenate([stream(audio), stream.rest()])
