"""What tells one voice from another: a vector for each short window of speech.

`ge2e` is the network of Resemblyzer (GE2E, Wan et al., 2018), an extra that brings torch. `plain` needs nothing: means and
spreads of cepstra and the pitch, which tells two voices of one recording apart, but not voices among many.
"""
import functools

import numpy as np

from telugu_s2s.audio import pitch, quality
from telugu_s2s.audio.mel import log_mel
from telugu_s2s.errors import InputError

BY = ('plain', 'ge2e')
REMEDY = ('pip install -e .[perceptual] -c constraints.txt && pip install --no-deps resemblyzer==0.1.4')
CEPSTRA = 20
DBFS = -25.0                     # the level at which the network hears a voice


def available() -> bool:
  """Whether the network can be had."""
  return network() is not None


@functools.cache
def network():
  """Resemblyzer's network on one thread, or None where it is not installed."""
  package, torch = quality.optional('resemblyzer', REMEDY), quality.optional('torch', REMEDY)
  if package is None or torch is None:
    return None
  torch.set_num_threads(1)
  return package.VoiceEncoder('cpu', verbose=False)


def ge2e(samples) -> np.ndarray:
  """f32[256] of unit length, of speech f32[samples] at 16 kHz.

  Raises:
    InputError: Resemblyzer is not installed.
  """
  if not available():
    raise InputError(f'config.voiceprint ge2e: resemblyzer is not installed; run: {REMEDY}; or take plain')
  x = np.asarray(samples, np.float32)
  level = np.sqrt(np.mean(np.square(x))) + 1e-9
  return network().embed_utterance((x * 10 ** (DBFS / 20) / level).astype(np.float32))


def cepstra(samples) -> np.ndarray:
  """f32[frames, 21], one a 10 ms: cepstra 1 to 19 of 40 mel bands, F0 in semitones and whether there is any."""
  power = log_mel(samples, bands=40, window=400)
  bands = np.arange(power.shape[1]) + 0.5
  basis = np.cos(np.pi / power.shape[1] * np.arange(1, CEPSTRA)[:, None] * bands)
  f0 = pitch.track(samples)[:len(power)]
  voiced = f0 > 0
  semitones = 12 * np.log2(np.where(voiced, f0, 1) / 100)
  middle = float(np.median(semitones[voiced])) if voiced.any() else 0.0
  return np.column_stack([power @ basis.T / power.shape[1], np.where(voiced, semitones, middle), voiced]).astype(np.float32)


def plain(features) -> np.ndarray:
  """f32[39]: 19 means and 19 spreads of a window of `cepstra`, and the median F0 of its voiced frames (nan where there are none)."""
  voiced = features[:, -1] > 0
  return np.concatenate([features[:, :CEPSTRA - 1].mean(0), features[:, :CEPSTRA - 1].std(0),
                         [np.median(features[voiced, -2]) if voiced.any() else np.nan]])


def similarity(first, second) -> float:
  """Cosine of two vectors."""
  return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second) + 1e-9))


