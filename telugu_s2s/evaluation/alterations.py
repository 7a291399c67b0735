"""What is done to a recording so that only one thing differs: its level, floor, speed or pitch. Rooms and noises: tokens/views.py."""
import numpy as np
import soxr

from telugu_s2s.audio import level, tempo
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


def higher(audio, semitones) -> np.ndarray:
  """The samples at another pitch, with formants that move along, in the same time."""
  factor = 2 ** (semitones / 12)
  return soxr.resample(tempo.stretched(audio, 1 / factor), SAMPLE_RATE * factor, SAMPLE_RATE).astype(np.float32)
