"""How loud, how clean and how wide a signal is: one number each, by formulas that fit on a line."""
import numpy as np

from telugu_s2s.audio.files import SAMPLE_RATE

FLOOR_DB = -100.0   # digital silence; 16-bit quantisation noise lies near -98 dBFS
FRAME = 400         # 25 ms
HOP = 160           # 10 ms


def rms_dbfs(samples) -> float:
  """The root mean square in dB; a full-scale square wave is 0, silence is -100."""
  power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
  return max(10 * np.log10(power + 1e-20), FLOOR_DB)


def clipped_ratio(samples) -> float:
  """The share of samples in [0, 1] within 0.1% of full scale."""
  return float(np.mean(np.abs(samples) >= 0.999)) if len(samples) else 0.0


def frame_dbfs(samples, frame: int = FRAME, hop: int = HOP) -> np.ndarray:
  """f32[frames], the RMS in dBFS of each frame of `frame` samples, every `hop` samples.

  The last frame is filled with silence, so that every sample lies in a frame.
  """
  x = np.asarray(samples, np.float32)
  frames = max(1, -(-(len(x) - frame) // hop) + 1)
  x = np.pad(x, (0, (frames - 1) * hop + frame - len(x)))
  # Sums by differences of a running sum: 20 times quicker than a window each.
  power = np.concatenate([[0.0], np.cumsum(np.square(x, dtype=np.float64))])
  start = np.arange(frames) * hop
  mean = (power[start + frame] - power[start]) / frame
  return np.maximum(10 * np.log10(np.maximum(mean, 0) + 1e-20), FLOOR_DB).astype(np.float32)


def centred(samples) -> np.ndarray:
  """f32[samples] less their mean: the offset of a converter is no sound, and would drown the background."""
  x = np.asarray(samples, np.float32)
  return x - np.mean(x, dtype=np.float64).astype(np.float32) if len(x) else x


def snr_db(samples) -> float:
  """The level of speech over that of the background, in dB from 0 to 100.

  The frames' 10th percentile of power is taken for the noise, the 90th for speech and noise together:
  10 log10((p90 - p10) / p10). Speech without a pause is underestimated.
  """
  low, high = 10 ** (np.percentile(frame_dbfs(centred(samples)), [10, 90]) / 10)
  return float(np.clip(10 * np.log10(max(high - low, 1e-20) / low), 0, 100))


def bandwidth_hz(samples, rate: int = SAMPLE_RATE) -> float:
  """The highest frequency that carries sound: 8000 for true 16 kHz, near 4000 for a telephone.

  It is the top of the power spectrum, averaged over the louder half of the 64 ms frames and over
  125 Hz, that lies less than 65 dB below its peak and above the noise of 16 bits. Speech falls by 45 dB
  from its peak to 8 kHz (Byrne et al., 1994), the stop band of a resampler by 90 dB and more.
  """
  size = 1024
  x = np.asarray(samples, np.float32)
  x = np.pad(x, (0, max(0, size - len(x))))
  frames = np.lib.stride_tricks.sliding_window_view(x, size)[::size]
  energy = np.square(frames).sum(1)
  frames = frames[energy >= np.median(energy)]
  power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=1))).mean(0)
  width = max(1, round(125 * size / rate))
  power = np.convolve(power, np.ones(width) / width, 'same')
  quantisation = np.square(np.hanning(size)).sum() / 12 / 32768**2
  limit = max(power.max() * 10**-6.5, 4 * quantisation)
  above = np.flatnonzero(power > limit)
  return float((above[-1] + 1) * rate / size) if len(above) else 0.0
