"""Fundamental frequency of speech by YIN, in NumPy: 10 ms frames, 0 where there is no voice.

Of the libraries that track pitch, pyworld and pysptk have no wheels, Praat's is GPL, swift-f0 brings an ONNX
runtime, librosa brings numba and its yin has no voicing. YIN over all frames at once is three FFTs.
"""
import numpy as np

from telugu_s2s.audio import activity
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.level import frame_dbfs

HOP = 160               # 10 ms
LOWEST_HZ = 60.0
HIGHEST_HZ = 500.0
WINDOW = 400            # 25 ms of integration: longer blurs glides, shorter loses low voices
THRESHOLD = 0.15        # a dip this deep is taken at once; de Cheveigné and Kawahara (2002), table I step 4: 0.1
VOICED = 0.45           # a frame whose deepest dip is shallower has no voice; agrees best with Praat on read speech
CHUNK = 3000            # frames at a time, 30 s: bounds the memory
LAGS = int(SAMPLE_RATE / LOWEST_HZ) + 2
SIZE = WINDOW + LAGS    # samples that a frame looks at


def track(samples) -> np.ndarray:
  """F0 in Hz, f32[frames], frame i centred on sample 160 i; 0 where the frame has no voice.

  samples: f32[samples] at 16 kHz; there are 1 + samples // 160 frames.
  """
  x = np.asarray(samples, np.float32)
  frames = 1 + len(x) // HOP
  padded = np.pad(x, (SIZE // 2, SIZE // 2 + SIZE))
  result = np.concatenate([_chunk(padded[first * HOP:], min(CHUNK, frames - first)) for first in range(0, frames, CHUNK)])
  level = frame_dbfs(padded[SIZE // 2 - 200:][:(frames - 1) * HOP + 400])[:frames]
  result[level < max(level.max() - 45, -80)] = 0      # breath and reverberation are periodic at times
  return _steady(result)


def at(samples, voiced: float = VOICED) -> float:
  """F0 in Hz in the middle of f32[SIZE], 0 where no dip is below `voiced`: what `track` begins with, for streams."""
  return float(_chunk(np.asarray(samples, np.float32), 1, voiced)[0])


def _chunk(padded, frames, voiced=VOICED):
  """f32[frames], F0 of frames of SIZE samples every HOP, 0 where the dip is shallow."""
  x = np.lib.stride_tricks.sliding_window_view(padded[:(frames - 1) * HOP + SIZE], SIZE)[::HOP]   # [frames, SIZE]
  points = 1 << (SIZE - 1).bit_length()
  whole = np.fft.rfft(x, points, axis=1)
  correlation = np.fft.irfft(whole * np.fft.rfft(x[:, :WINDOW], points, axis=1).conj(), points, axis=1)[:, :LAGS]
  power = np.cumsum(np.pad(np.square(x, dtype=np.float64), ((0, 0), (1, 0))), axis=1)
  energy = power[:, WINDOW:WINDOW + LAGS] - power[:, :LAGS]                  # of x[lag:lag + WINDOW]
  difference = np.maximum(energy[:, :1] + energy - 2 * correlation, 0)       # equation 6
  lag = np.arange(1, LAGS)
  total = np.cumsum(difference[:, 1:], axis=1)
  dip = np.ones_like(difference)
  dip[:, 1:] = difference[:, 1:] * lag / (total + 1e-12)                     # equation 8
  first = int(SAMPLE_RATE / HIGHEST_HZ)
  inner = dip[:, first:-1]
  bottom = (inner <= dip[:, first - 1:-2]) & (inner < dip[:, first + 1:])
  depth = np.where(bottom, inner, 2.0)
  deepest = depth.min(1, keepdims=True)
  chosen = np.argmax(depth <= np.maximum(deepest, np.minimum(THRESHOLD, deepest + 0.1)), axis=1)
  row = np.arange(frames)
  before, at, after = (difference[row, first + chosen + step] for step in (-1, 0, 1))
  curve = before - 2 * at + after
  shift = np.where(curve > 0, (before - after) / (2 * np.where(curve > 0, curve, 1)), 0.0)
  f0 = SAMPLE_RATE / (first + chosen + np.clip(shift, -0.5, 0.5))
  return np.where(depth[row, chosen] < voiced, f0, 0).astype(np.float32)


def _steady(f0):
  """F0 without leaps: a frame 40% off the median of the voiced frames around it, and a voice under 30 ms, are dropped."""
  around = np.lib.stride_tricks.sliding_window_view(np.pad(np.where(f0 > 0, f0, np.nan), 7, constant_values=np.nan), 15)
  voiced = f0 > 0
  if not voiced.any():
    return f0
  median = np.zeros(len(f0))
  median[voiced] = np.nanmedian(around[voiced], axis=1)
  kept = voiced & (np.abs(f0 / np.where(voiced, median, 1) - 1) < 0.4)
  for start, end in activity.runs(kept):
    kept[start:end] = end - start >= 3
  return np.where(kept, f0, 0).astype(np.float32)
