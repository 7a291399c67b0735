"""What listeners would say of a recording, by DNSMOS: networks that learnt it (Reddy et al., 2021 and 2022; MIT).

P.808 gives one score of the whole, P.835 one of the speech, of the background and of both, all 1 to 5. They come in
the package speechmos, whose own caller hears each second nine times and brings librosa.
"""
import functools

import numpy as np

from telugu_s2s.audio import networks
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.mel import mel_filters

WINDOW = int(9.01 * SAMPLE_RATE)     # samples that the networks hear at a time
FRAME = 321                          # samples; one more than 20 ms, as P.808 learnt it
HOP = 160
# P.835's raw outputs to opinion scores (Reddy et al., 2022, the authors' published polynomials).
OPINION = {'sig': (-0.08397278, 1.22083953, 0.0052439), 'bak': (-0.13166888, 1.60915514, -0.39604546),
           'ovr': (-0.06766283, 1.11546468, 0.04602535)}
REMEDY = 'pip install -e .[preparation] -c constraints.txt'
NETWORKS = {'p808': ('model_v8.onnx', '9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91'),
            'p835': ('sig_bak_ovr.onnx', '269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd')}


def network(name: str):
  """The session of 'p808' or 'p835'; see `networks.session` for the errors."""
  file, sha256 = NETWORKS[name]
  return networks.session('speechmos', f'dnsmos_models/{file}', sha256, REMEDY)


def p808(samples, most: int | None = None) -> float:
  """The opinion score of f32[samples] in [-1, 1] at 16 kHz, at least one: the mean over its `windows`."""
  return float(np.mean([network('p808').run(None, {'input_1': _bands(window)[None]})[0][0, 0]
                        for window in windows(samples, most)], dtype=np.float64))


def p835(samples, most: int | None = None) -> dict[str, float]:
  """The opinion scores sig (speech), bak (background) and ovr (both) of samples as in `p808`."""
  raw = np.concatenate([network('p835').run(None, {'input_1': window[None]})[0] for window in windows(samples, most)])
  return {name: float(np.polyval(curve, raw[:, index].astype(np.float64)).mean())
          for index, (name, curve) in enumerate(OPINION.items())}


def windows(samples, most: int | None = None) -> np.ndarray:
  """f32[windows, 144160]: as few as hear every sample, spread evenly; a shorter signal is repeated until it fills one.

  most: so many at most, of 2 the first and the last; None = any number.
  """
  samples = np.asarray(samples, np.float32)
  count = min(-(-len(samples) // WINDOW), most or len(samples))
  if count == 1:
    return np.tile(samples, -(-WINDOW // len(samples)))[None, :WINDOW]
  return np.stack([samples[start:start + WINDOW] for start in np.linspace(0, len(samples) - WINDOW, count).astype(int)])


def _bands(window):
  """f32[900, 120]: mel power of frames every 10 ms, in dB below the loudest; 0 dB is 1, -40 dB is 0."""
  frames = np.lib.stride_tricks.sliding_window_view(np.pad(window[:-HOP], FRAME // 2), FRAME)[::HOP]
  real, imaginary = np.split(frames @ _fourier(), 2, axis=1)
  power = (real**2 + imaginary**2) @ mel_filters(SAMPLE_RATE, FRAME, 120).T
  log = 10 * np.log10(np.maximum(power, 1e-10))
  log -= log.max()
  return ((np.maximum(log, -80) + 40) / 40).astype(np.float32)


@functools.cache
def _fourier():
  """f32[321, 322]: what makes a Hann-windowed spectrum of a frame, real parts first. 321 = 3 x 107 has no fast transform."""
  wave = np.exp(-2j * np.pi / FRAME * np.outer(np.arange(FRAME), np.arange(FRAME // 2 + 1)))
  wave *= np.hanning(FRAME + 1)[:-1, None]
  return np.concatenate([wave.real, wave.imag], axis=1).astype(np.float32)
