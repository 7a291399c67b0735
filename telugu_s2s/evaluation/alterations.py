"""What is done to a recording so that only one thing differs: its level, floor, background, room, speed or pitch."""
import numpy as np
import soxr

from telugu_s2s.audio import level
from telugu_s2s.audio.files import SAMPLE_RATE

SPEECH_DBFS = -25.0              # of the loud frames, those within 25 dB of the loudest


def levelled(audio, dbfs=SPEECH_DBFS) -> np.ndarray:
  """The samples with their spoken frames at a level."""
  frames = level.frame_dbfs(audio)
  loud = frames[frames > frames.max() - 25]
  return audio * np.float32(10 ** ((dbfs - 10 * np.log10(np.mean(10 ** (loud / 10)))) / 20))


def floored(parts, rng) -> list[np.ndarray]:
  """The same parts with noise that brings each one's floor to the highest of them (10th percentile of the frames' level)."""
  powers = [10 ** (np.percentile(level.frame_dbfs(part), 10) / 10) for part in parts]
  return [part + (max(max(powers) - power, 0) ** 0.5 * coloured(len(part), -1.0, rng)).astype(np.float32)
          for part, power in zip(parts, powers)]


def coloured(count, slope, rng) -> np.ndarray:
  """f64[count] of noise with root mean square 1 whose power goes with frequency ** slope, above 50 Hz."""
  hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
  spectrum = np.fft.rfft(rng.normal(size=count)) * np.where(hz > 50, np.maximum(hz, 50) ** (slope / 2), 0)
  noise = np.fft.irfft(spectrum, count)
  return noise / np.sqrt(np.mean(noise ** 2))


def reverberant(audio, reverberation_s, direct_db, seed) -> np.ndarray:
  """The samples in a room: noise that decays by 60 dB in reverberation_s follows the direct sound (Polack, 1988).

  seed: of the room; the same one gives the same room.
  """
  t = np.arange(round(reverberation_s * SAMPLE_RATE)) / SAMPLE_RATE
  tail = np.random.default_rng(seed).normal(size=len(t)) * 10 ** (-3 * t / reverberation_s) * (t > 0.003)
  response = tail / np.sqrt(np.sum(tail ** 2)) * 10 ** (-direct_db / 20)
  response[0] = 1.0
  points = len(audio) + len(response)
  return np.fft.irfft(np.fft.rfft(audio, points) * np.fft.rfft(response, points), points)[:len(audio)].astype(np.float32)


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
