"""Audio fingerprints that survive gain, noise and codecs (Haitsma and Kalker, 2002, "A highly robust audio
fingerprinting system", ISMIR, section 4): 32 bits a frame, the signs of how band energies differ in time and frequency.

Copies of one recording share most bits; other recordings differ in half of them.
"""
import functools

import numpy as np

from telugu_s2s.audio.files import SAMPLE_RATE

# The paper takes 5 kHz, frames of 0.37 s, 31/32 of them shared with the next, and 33 bands from 300 to 2000 Hz.
# A third of our rate is 5.3 kHz; 2048 samples of it are 0.384 s, and a step is 12 ms.
DECIMATION = 3
WINDOW = 2048
STEP = WINDOW // 32
BANDS = 33
LOWEST_HZ, HIGHEST_HZ = 300.0, 2000.0
TAPS = 61                    # of the filter before decimation: 60 dB down from 3.3 kHz on, whose images reach 2 kHz
FRAMES = 512                 # transformed at a time: bounds the memory of a long file
STEP_S = STEP * DECIMATION / SAMPLE_RATE
SILENT = 0                   # the word of a frame of nothing, which is like every other one and says nothing


def fingerprint(audio) -> np.ndarray:
  """u32[frames], one word every 12 ms; bit 31 is of the lowest band. A frame of digital silence is 0.

  Args:
    audio: f32[samples], 16 kHz mono. Below 0.4 s it has no frames; n samples give (ceil(n / 3) - 2048) // 64 words.
  """
  x = np.asarray(audio, np.float32)
  low = _decimated(x) if len(x) else x
  if len(low) < WINDOW + STEP:
    return np.zeros(0, np.uint32)
  frames = np.lib.stride_tricks.sliding_window_view(low, WINDOW)[::STEP]
  taper, bands, (first, last) = _analysis()
  energy = np.concatenate([
      np.square(np.abs(np.fft.rfft(frames[start:start + FRAMES] * taper, axis=1)[:, first:last])) @ bands
      for start in range(0, len(frames), FRAMES)])                    # [frames, bands]
  # The paper's equation 1: F(n, m) = 1 where E(n, m) - E(n, m + 1) grew since frame n - 1.
  slope = energy[:, :-1] - energy[:, 1:]
  bits = np.diff(slope, axis=0) > 0
  return np.packbits(bits, axis=1).view('>u4')[:, 0].astype(np.uint32)


def error_rate(a, b, shift: int) -> tuple[float, int]:
  """The bit error rate of a[shift + n] against b[n], and the frames compared: those where neither is silent."""
  a, b = a[max(shift, 0):shift + len(b)], b[max(-shift, 0):]
  a, b = a[:len(b)], b[:len(a)]
  live = (a != SILENT) & (b != SILENT)
  frames = int(np.count_nonzero(live))
  return int(np.bitwise_count((a ^ b)[live]).sum()) / (32 * max(frames, 1)), frames


def _decimated(x):
  """Every third sample of x, once it is free of what would fold onto the bands."""
  return np.convolve(x, _lowpass(), 'same')[::DECIMATION] if len(x) >= TAPS else x[::DECIMATION]


@functools.cache
def _lowpass():
  """f32[taps], a sinc of 2.65 kHz under a Blackman window."""
  time = np.arange(TAPS) - TAPS // 2
  taps = np.sinc(time * 2 * 2650 / SAMPLE_RATE) * np.blackman(TAPS + 2)[1:-1]
  return (taps / taps.sum()).astype(np.float32)


@functools.cache
def _analysis():
  """Hann window f32[window], band sums f32[bins, bands] of equal width on a log scale, and the (first, last) bin."""
  edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1) * DECIMATION * WINDOW / SAMPLE_RATE
  bins = np.arange(int(edges[0]), int(edges[-1]) + 2)
  # The share of each bin, which is one wide, that lies in each band: the lowest bands are 7 bins wide.
  bands = np.clip(np.minimum(bins[:, None] + 0.5, edges[1:]) - np.maximum(bins[:, None] - 0.5, edges[:-1]), 0, None)
  return np.hanning(WINDOW + 1)[:-1].astype(np.float32), bands.astype(np.float32), (bins[0], bins[-1] + 1)
