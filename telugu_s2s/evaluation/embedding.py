"""Voices as vectors, so that their cosine says how alike they are: by a network where there is one, by spectra everywhere."""
import numpy as np

from telugu_s2s.audio.mel import log_mel
from telugu_s2s.dialogue import voiceprint

BANDS = 40


def of(parts) -> dict[str, np.ndarray]:
  """{name: f64[n d] of length 1} of recordings f32[samples].

  `ge2e` is Resemblyzer's (Wan et al., 2018) and is left out where the package is missing. `mel` is no network: the mean and
  the spread of each mel band, each taken relative to what these recordings have together.
  """
  found = {'mel': _standardised(np.array([spectrum(part) for part in parts]))}
  if voiceprint.available():
    found['ge2e'] = np.array([voiceprint.ge2e(part) for part in parts])
  return found


def spectrum(samples) -> np.ndarray:
  """f64[2 x BANDS]: mean and standard deviation in dB of each mel band over the frames within 40 dB of the loudest."""
  bands = log_mel(samples, bands=BANDS)
  loud = bands[bands.max(1) > bands.max() - 40]
  return np.concatenate([loud.mean(0), loud.std(0)])


def _standardised(x):
  x = (x - x.mean(0)) / (x.std(0) + 1e-6)
  return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-9)
