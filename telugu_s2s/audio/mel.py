"""Spectra on the mel scale: filters for losses and measures, log-mel spectrograms for pictures."""
import functools

import numpy as np

from telugu_s2s.audio.files import SAMPLE_RATE

# Slaney's Auditory Toolbox (1998): linear to 1 kHz, 15 mels; above it, 27 mels for a factor of 6.4.
LINEAR_HZ = 200 / 3
KNEE_HZ = 1000.0
LOG_STEP = np.log(6.4) / 27


def mel(hz):
  """Mels of frequencies in Hz."""
  hz = np.asarray(hz, np.float64)
  above = KNEE_HZ / LINEAR_HZ + np.log(np.maximum(hz, KNEE_HZ) / KNEE_HZ) / LOG_STEP
  return np.where(hz < KNEE_HZ, hz / LINEAR_HZ, above)


def hertz(mels):
  """Frequencies in Hz of mels."""
  mels = np.asarray(mels, np.float64)
  knee = KNEE_HZ / LINEAR_HZ
  return np.where(mels < knee, mels * LINEAR_HZ, KNEE_HZ * np.exp(LOG_STEP * (np.maximum(mels, knee) - knee)))


@functools.cache
def mel_filters(rate: int, fft: int, bands: int) -> np.ndarray:
  """f32[bands, fft // 2 + 1], triangles of equal area from 0 Hz to half the rate, spaced on Slaney's scale.

  The same array as librosa.filters.mel(norm='slaney'), which would bring numba and SciPy along for this one
  function. A band narrower than a bin may be empty. Read-only, since it is shared.
  """
  edges = hertz(np.linspace(0, mel(rate / 2), bands + 2))
  low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
  bins = np.arange(fft // 2 + 1) * rate / fft
  rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
  result = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
  result = result.astype(np.float32)
  result.setflags(write=False)
  return result


def magnitudes(samples, window: int, hop: int) -> np.ndarray:
  """f32[frames, window / 2 + 1]: a Hann-windowed spectrum every `hop` samples, centred, ends mirrored.

  samples: more than window / 2 of them.
  """
  x = np.pad(np.asarray(samples, np.float32), window // 2, mode='reflect')
  taper = np.hanning(window + 1)[:-1].astype(np.float32)
  return np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, window)[::hop] * taper, axis=1)).astype(np.float32)


def log_mel(samples, rate: int = SAMPLE_RATE, bands: int = 80, window: int = 512, hop: int = 160) -> np.ndarray:
  """f32[frames, bands] in dB: mel power of frames of 32 ms every 10 ms; -100 is the floor."""
  power = np.square(magnitudes(samples, window, hop)) @ mel_filters(rate, window, bands).T
  return 10 * np.log10(np.maximum(power, 1e-10))
