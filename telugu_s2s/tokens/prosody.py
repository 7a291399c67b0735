"""Prosody codes: how a voice moves, 12.5 times a second, without labels.

A code is 8 x a pitch state + an energy state. Both are relative to the clip, so that they tell of the
manner and not of the speaker: Spirit LM (Nguyen et al., 2024) codes pitch at the same rate.
"""
import numpy as np

from telugu_s2s.audio import level, pitch
from telugu_s2s.tokens.record import ABSENT

CODES = 64
SILENT = 0                       # unvoiced, and nothing is softer
PITCH_EDGES = np.array([-4.0, -2.0, -0.7, 0.7, 2.0, 4.0])      # semitones from the clip's median
ENERGY_EDGES = np.array([-40.0, -30.0, -24.0, -18.0, -12.0, -7.0, -3.0])     # dB below the clip's loudest
FAINTEST = -55.0                 # dBFS; a clip whose loudest part is below it is silence
HOP = 160                        # samples between two values of pitch.track


def silent(frames: int) -> np.ndarray:
  """i32[frames], how silence moves: SILENT at every second frame and ABSENT between.

  A voice that is silent says so. Where nothing stood there, a code that is drawn would tell it to speak at once.
  """
  found = np.full(frames, ABSENT, np.int32)
  found[::2] = SILENT
  return found


def spaced(codes, frames: int) -> np.ndarray:
  """i32[.. frames], prosody codes [.. (frames + 1) // 2 or more] at every second frame and ABSENT between."""
  found = np.full((*np.shape(codes)[:-1], frames), ABSENT, np.int32)
  found[..., ::2] = codes[..., :(frames + 1) // 2]
  return found


def codes(samples, span: int, count: int) -> np.ndarray:
  """Prosody codes u8[count] of a clip.

  Pitch state 0 is unvoiced; 1 to 7 are steps of log F0 around the clip's median over voiced frames.

  Args:
    samples: f32[t] at 16 kHz.
    span: samples of one code (two codec frames).
    count: how many codes; past the end of the clip they are unvoiced and silent.
  """
  f0, voiced, energy = pitch.track(samples), np.zeros(count, bool), np.full(count, -np.inf)
  semitones = np.zeros(count)
  middle = np.median(f0[f0 > 0]) if (f0 > 0).any() else 1.0
  for index in range(count):
    part = f0[index * span // HOP:(index + 1) * span // HOP]
    if (part > 0).sum() * 2 >= max(len(part), 1):
      voiced[index] = True
      semitones[index] = 12 * np.log2(np.median(part[part > 0]) / middle)
    if index * span < len(samples):
      energy[index] = level.rms_dbfs(samples[index * span:(index + 1) * span])
  state = np.where(voiced, 1 + np.digitize(semitones, PITCH_EDGES), 0)
  return (8 * state + np.digitize(energy - max(energy.max(initial=-np.inf), FAINTEST), ENERGY_EDGES)).astype(np.uint8)
