"""Rates between which a stream's audio goes, a piece at a time and with hardly a delay.

A resampler for files holds 12 to 75 ms back, which a conversation has no time for; this one 1.5 ms. Whatever the pieces, the
samples are the same to the bit.
"""
import functools
import math

import numpy as np

REACH = 24                       # samples of the lower rate on either side of one: 1.5 ms at 16 kHz
ATTENUATION_BETA = 8.0           # of Kaiser's window: 80 dB (Kaiser, 1974)
PASSED = 0.94                    # of the lower rate's band


@functools.cache
def taps(source: int, target: int) -> np.ndarray:
  """f32[phases taps], a low-pass filter for each place that a sample of the target has between two of the source."""
  factor = math.gcd(source, target)
  up, lower = target // factor, min(source, target)
  half = math.ceil(REACH * source / lower)                 # samples of the source
  at = np.arange(-half + 1, half + 1)[None] - np.arange(up)[:, None] / up      # [phases taps], samples of the source
  cutoff = PASSED * lower / source
  h = cutoff * np.sinc(cutoff * at) * np.i0(ATTENUATION_BETA * np.sqrt(np.maximum(0, 1 - (at / half) ** 2))) / np.i0(ATTENUATION_BETA)
  return (h / h.sum(1, keepdims=True)).astype(np.float32)


class Resampler:
  """A stream at one rate, as it goes to another."""

  def __init__(self, source: int, target: int):
    factor = math.gcd(source, target)
    self._up, self._down = target // factor, source // factor
    self._taps = taps(source, target)
    # The first sample of the target falls on the first one of the source.
    self._held = np.zeros(self._taps.shape[1] // 2 - 1, np.float32)
    self._at = 0                 # of the next sample of the target, in 1/up of a sample of the source, from the first one held

  def __call__(self, samples) -> np.ndarray:
    """f32[some], the next samples at the target's rate. samples: f32[any]."""
    width = self._taps.shape[1]
    held = np.concatenate([self._held, np.asarray(samples, np.float32)])
    count = max(0, -(-((len(held) - width + 1) * self._up - self._at) // self._down))
    at = self._at + self._down * np.arange(count)
    if count:
      windows = np.lib.stride_tricks.sliding_window_view(held, width)[at // self._up]
      result = np.einsum('nw,nw->n', windows, self._taps[at % self._up])
    else:
      result = np.zeros(0, np.float32)
    done = (self._at + self._down * count) // self._up
    self._at += self._down * count - done * self._up
    self._held = held[done:]
    return result

  def rest(self) -> np.ndarray:
    """f32[some], what was held back; silence follows."""
    return self(np.zeros(self._taps.shape[1] // 2, np.float32))
