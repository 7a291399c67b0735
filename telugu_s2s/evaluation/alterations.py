"""What is done to a recording so that only one thing differs: its level, floor, speed or pitch. Rooms and noises: tokens/views.py."""
import numpy as np
import soxr

from telugu_s2s.audio import level
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.tokens import views

PINK = 0.5                       # of 6 dB an octave, by which its power falls
SPEECH_DBFS = -25.0              # of the loud frames, those within 25 dB of the loudest


def levelled(audio, dbfs=SPEECH_DBFS) -> np.ndarray:
  """The samples with their spoken frames at a level."""
  frames = level.frame_dbfs(audio)
  loud = frames[frames > frames.max() - 25]
  return audio * np.float32(10 ** ((dbfs - 10 * np.log10(np.mean(10 ** (loud / 10)))) / 20))


def floored(parts, rng) -> list[np.ndarray]:
  """The same parts with noise that brings each one's floor to the highest of them (10th percentile of the frames' level)."""
  powers = [10 ** (np.percentile(level.frame_dbfs(part), 10) / 10) for part in parts]
  return [part + (max(max(powers) - power, 0) ** 0.5 * views.noise(len(part), PINK, rng)).astype(np.float32)
          for part, power in zip(parts, powers)]


def faster(audio, factor) -> np.ndarray:
  """The samples spoken `factor` times as fast at the same pitch, by waveform similarity (Verhelst and Roelands, 1993)."""
  size, step, reach = 512, 256, 160
  window = np.hanning(size + 1)[:-1].astype(np.float32)
  count = -(-round(len(audio) / factor) // step)
  x = np.pad(audio, (reach, 2 * size + 2 * reach + round(step * factor))).astype(np.float32)
  made, at = np.zeros(count * step + size, np.float32), reach
  for number in range(count):
    if number:
      wanted, ideal = x[at + step:at + step + size], reach + round(number * step * factor)
      near = np.lib.stride_tricks.sliding_window_view(x[ideal - reach:ideal + reach + size], size)
      alike = near @ wanted / (np.linalg.norm(near, axis=1) + 1e-6)
      at = ideal - reach + int(np.argmax(alike))
    made[number * step:number * step + size] += window * x[at:at + size]
  return made[:round(len(audio) / factor)]


def higher(audio, semitones) -> np.ndarray:
  """The samples at another pitch, with formants that move along, in the same time."""
  factor = 2 ** (semitones / 12)
  return soxr.resample(faster(audio, 1 / factor), SAMPLE_RATE * factor, SAMPLE_RATE).astype(np.float32)
