"""Discriminators of speech: multi-period on the waveform, multi-resolution and multi-band on complex spectra.

HiFi-GAN's (Kong et al., 2020, section 2.3) and DAC's (Kumar et al., 2023, 3.3), with DAC's sizes as the
defaults. Two deviations: the input is scaled by the level of speech and not by its own peak, so that a
wrong loudness is seen and silence is not blown up; what does not fill a period or a window is left out
and not padded, so that no made-up sample is judged.
"""
import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import constant, zeros

from telugu_s2s.codec.convolution import fan_in
from telugu_s2s.codec.losses import spectrum
from telugu_s2s.codec.model import SPEECH_RMS
from telugu_s2s.errors import InputError


@dataclasses.dataclass(frozen=True)
class Config:
  """Sizes of the discriminators; without periods or without windows that kind is left out."""
  periods: tuple[int, ...] = (2, 3, 5, 7, 11)                  # samples
  period_channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
  windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)       # samples
  bands: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # edges, as shares of the spectrum
  channels: int = 32                                           # of each band
  dtype: str = 'float32'                                       # of the activations

  def __post_init__(self):
    for name in ('periods', 'period_channels', 'windows', 'bands'):
      object.__setattr__(self, name, tuple(getattr(self, name)))   # JSON and config files give lists
    if not self.periods + self.windows:
      raise InputError('config.discriminators: neither periods nor windows; give at least one')
    if min(*self.periods, *self.period_channels, self.channels, 1) < 1:
      raise InputError(f'config.discriminators: periods {self.periods}, period_channels {self.period_channels}, channels {self.channels}: '
                       'give 1 or more')
    for window in self.windows:
      if window < 4 or window % 4:               # its hop is a quarter
        raise InputError(f'config.discriminators.windows: {window} is no multiple of 4')
      if not all(0 <= share <= 1 for share in self.bands) or len(self.bands) < 2 or min(np.diff(self.edges(window))) < 1:
        raise InputError(f'config.discriminators.bands {self.bands}: give two shares or more, from 0 to 1, each so much above the one before '
                         f'that one of the {window // 2 + 1} frequencies of window {window} lies between them')

  def edges(self, window) -> tuple[int, ...]:
    """Where the bands begin and end among the frequencies of a window."""
    return tuple(int(share * (window // 2 + 1)) for share in self.bands)

  @property
  def shortest(self) -> int:
    """Samples that every discriminator can judge: one window, one frame of a period's last layer."""
    return max(self.windows + self.periods)


class Discriminators(nn.Module):
  """All of them, side by side."""
  config: Config

  @nn.compact
  def __call__(self, audio):
    """Judges audio f32[b t].

    Returns:
      A list for each discriminator, of its layers' feature maps [b ...], the last being its logits:
      real speech is near 1.

    Raises:
      ValueError: the audio is shorter than the longest window or period.
    """
    c = self.config
    if audio.shape[1] < c.shortest:
      raise ValueError(f'{audio.shape[1]} samples are too short to judge: the longest window or period has {c.shortest}')
    audio = audio / SPEECH_RMS
    return [Period(period, c.period_channels, c.dtype, name=f'period{period}')(audio) for period in c.periods] + [
        Spectrogram(window, c.edges(window), c.channels, c.dtype, name=f'window{window}')(audio) for window in c.windows]


class Period(nn.Module):
  """Sees every `period`-th sample together: its convolutions run over periods, never across the phase."""
  period: int
  channels: tuple[int, ...]
  dtype: str

  @nn.compact
  def __call__(self, audio):
    """audio: f32[b t] -> feature maps [b t/.. period o]."""
    b, t = audio.shape
    x = audio[:, :t // self.period * self.period].reshape(b, -1, self.period, 1).astype(self.dtype)
    maps = []
    for layer, channels in enumerate(self.channels):
      stride = 1 if layer == len(self.channels) - 1 else 3
      x = leaky(Convolution(channels, (5, 1), (stride, 1))(x))
      maps.append(x)
    return maps + [logits(x, (3, 1))]


class Spectrogram(nn.Module):
  """Sees the real and imaginary parts of one window's spectrum, in bands that have their own filters."""
  window: int
  edges: tuple[int, ...]         # of the bands
  channels: int
  dtype: str

  @nn.compact
  def __call__(self, audio):
    """audio: f32[b t] -> feature maps [b frames bins/.. o]."""
    x = spectrum(audio, self.window) * (3 / 16 * self.window) ** -0.5          # white noise keeps its level
    x = jnp.stack([x.real, x.imag], -1).astype(self.dtype)                     # [b t v i]
    maps, ends = [], []
    for low, high in zip(self.edges, self.edges[1:]):
      band = x[:, :, low:high]
      for taps, stride in (((3, 9), 1), ((3, 9), 2), ((3, 9), 2), ((3, 9), 2), ((3, 3), 1)):
        band = leaky(Convolution(self.channels, taps, (1, stride))(band))
        maps.append(band)
      ends.append(band)
    return maps + [logits(jnp.concatenate(ends, 2), (3, 3))]


class Convolution(nn.Module):
  """A weight-normalised convolution (Salimans & Kingma, 2016) in NHWC, with half its taps of zeros at each end.

  The kernel's length is a parameter of its own, as in every published codec discriminator: no learning
  rate lets a filter grow without bound, and Adam's steps turn all filters at one pace.
  """
  channels: int
  taps: tuple[int, int]
  strides: tuple[int, int] = (1, 1)
  gain: float = (2 / 1.01) ** 0.5        # keeps the variance through `leaky` (He et al., 2015, eq. 15)

  @nn.compact
  def __call__(self, x):
    """x: [b h w i] -> [b h/stride w/stride o]."""
    kernel = self.param('kernel_wwio', fan_in, (*self.taps, x.shape[-1], self.channels))
    scale = self.param('scale_o', constant(self.gain), (self.channels,))
    kernel = kernel * scale * jax.lax.rsqrt(jnp.sum(kernel ** 2, (0, 1, 2)) + 1e-12)
    y = jax.lax.conv_general_dilated(
        x, kernel.astype(x.dtype), self.strides, [(taps // 2, taps // 2) for taps in self.taps],
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    return y + self.param('bias_o', zeros, (self.channels,)).astype(x.dtype)


def leaky(x):
  return nn.leaky_relu(x, 0.1)


def logits(x, taps):
  """One number a place, in float32, and small at the start: an untrained judge hardly pulls at the codec."""
  return Convolution(1, taps, gain=0.1)(x.astype(jnp.float32))
