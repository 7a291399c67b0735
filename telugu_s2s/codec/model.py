"""The neural codec: 16 kHz audio to 25 frames a second of 8 codes, and back; causal, no look-ahead.

SoundStream's layout (Zeghidour et al., 2021) with Mimi's transformers (Defossez et al., 2024, 3.3).
"""
import dataclasses
import math

import flax.linen as nn
import jax.numpy as jnp

from telugu_s2s.codec.convolution import Down, Residual, Up
from telugu_s2s.codec.quantizer import Quantizer
from telugu_s2s.codec import transformer
from telugu_s2s.errors import InputError


SPEECH_RMS = 0.05                        # -26 dBFS: brings speech to the scale that the layers are made for


@dataclasses.dataclass(frozen=True)
class Config:
  """Sizes of the codec; they travel with its weights and name its codes."""
  rate: int = 16_000                    # samples a second
  strides: tuple[int, ...] = (20, 16)   # waveform to the transformers' frames, 50 a second
  channels: tuple[int, ...] = (64, 256)                # after each stride; the last is the transformers' width
  decoder_channels: tuple[int, ...] = ()               # () = as the encoder's
  latent_stride: int = 2                # transformers' frames to code frames, 25 a second
  encoder_layers: int = 2
  decoder_layers: int = 3
  heads: int = 4
  ffn: int = 512
  window: int = 64                      # transformers' frames seen back: 1.28 s, the length of a training crop
  codebooks: int = 8
  codes: int = 1024
  split: bool = False                   # level 0 stands beside the others, see Quantizer

  def __post_init__(self):
    for name in ('strides', 'channels', 'decoder_channels'):
      object.__setattr__(self, name, tuple(getattr(self, name)))   # JSON and config files give lists
    for name in ('channels', 'decoder_channels'):
      if getattr(self, name) and len(self.strides) != len(getattr(self, name)):
        raise InputError(f'config.model: {len(self.strides)} strides but {len(getattr(self, name))} {name}')
    if self.decoder_channels and self.decoder_channels[-1] != self.width:
      raise InputError(f'config.model: decoder_channels end in {self.decoder_channels[-1]}, channels in {self.width}; '
                       'both are the width of the transformers')
    sizes = (self.rate, self.latent_stride, self.heads, self.codebooks, self.window, self.ffn, self.encoder_layers, self.decoder_layers)
    if min(*sizes, *self.strides, *self.channels, *self.decoder_channels) < 1 or self.codes < 2:
      raise InputError(f'config.model: {self}: sizes are 1 or more, and codes 2 or more')
    if self.width % (2 * self.heads):
      raise InputError(f'config.model: heads {self.heads} do not divide {self.width} channels into even parts')

  @property
  def hop(self) -> int:
    """Samples of one code frame."""
    return math.prod(self.strides) * self.latent_stride

  @property
  def frame_rate(self) -> float:
    """Code frames a second."""
    return self.rate / self.hop

  @property
  def width(self) -> int:
    return self.channels[-1]

  @property
  def up_channels(self) -> tuple[int, ...]:
    """Channels of the decoder after each of its strides up, which go backwards through `strides`."""
    return (self.decoder_channels or self.channels)[-2::-1] + (1,)

  def sizes(self, layers) -> transformer.Sizes:
    """The shape of the encoder's or the decoder's transformer."""
    return transformer.Sizes(width=self.width, layers=layers, heads=self.heads, kv_heads=self.heads,
                             head_width=self.width // self.heads, ffn=self.ffn, window=self.window)


class Encoder(nn.Module):
  """Audio to latent frames."""
  config: Config
  unrolled: bool = False         # see Transformer

  @nn.compact
  def __call__(self, audio, state=None):
    """audio: f32[b t], t a multiple of the hop -> f32[b t/hop d] and the stream's state."""
    c, x, tails = self.config, audio[..., None] / SPEECH_RMS, []
    before = iter(state['tails'] if state else [])
    for stride, channels in zip(c.strides, c.channels):
      for layer in (Down(channels, stride), Residual()):
        x, tail = layer(x, next(before, None))
        tails.append(tail)
    x, cache, position = _transform(self, c.encoder_layers, x, state)
    x, tail = Down(c.width, c.latent_stride)(x, next(before, None))
    return x, {'tails': tails + [tail], 'cache': cache, 'position': position}


class Decoder(nn.Module):
  """Latent frames to audio."""
  config: Config
  unrolled: bool = False         # see Transformer

  @nn.compact
  def __call__(self, x, state=None):
    """x: f32[b t d] -> f32[b t*hop] and the stream's state."""
    c, tails = self.config, []
    before = iter(state['tails'] if state else [])
    x, tail = Up(c.width, c.latent_stride)(x, next(before, None))
    tails.append(tail)
    x, cache, position = _transform(self, c.decoder_layers, x, state)
    for stride, channels in zip(c.strides[::-1], c.up_channels):
      variance = 0.5 if channels > 1 else 0.05           # start near silence
      for layer in (Residual(), Up(channels, stride, variance)):
        x, tail = layer(x, next(before, None))
        tails.append(tail)
    return x[..., 0].astype(jnp.float32) * SPEECH_RMS, {'tails': tails, 'cache': cache, 'position': position}


def _transform(module, layers, x, state):
  """Runs a half's transformer over a chunk; the state's position counts its frames."""
  sizes = module.config.sizes(layers)
  cache, start = (state['cache'], state['position']) if state else (None, jnp.zeros(x.shape[:1], jnp.int32))
  position = start[:, None] + jnp.arange(x.shape[1])
  x, cache = transformer.Transformer(sizes, module.unrolled, name='transformer')(x, position, cache)
  return x, cache, start + x.shape[1]


class Codec(nn.Module):
  """Encoder, residual vector quantizer and decoder."""
  config: Config
  unrolled: bool = False         # see Transformer

  def setup(self):
    c = self.config
    self.encoder, self.decoder = Encoder(c, self.unrolled), Decoder(c, self.unrolled)
    self.quantizer = Quantizer(c.codebooks, c.codes, c.width, split=c.split)

  def __call__(self, audio, levels=None, exact=None):
    """Audio f32[b t] through the codec: audio f32[b t] and the quantizer's dict (training).

    levels: i32[b], levels decoded, or None for all. exact: bool[b], rows that are not rounded to codes.
    """
    latent, _ = self.encoder(audio)
    coded, info = self.quantizer(latent, levels, exact)
    return self.decoder(coded)[0], info

  def first_latent(self, audio):
    """What level 0 rounds to its codes: unit vectors f32[b t/hop z] of audio f32[b t]."""
    return self.quantizer.first_latent(self.encoder(audio)[0])

  def encode(self, audio, state=None):
    """Audio f32[b t], t a multiple of the hop, to codes i32[b t/hop q] and the stream's state."""
    latent, state = self.encoder(audio, state)
    return self.quantizer(latent)[1]['codes'], state

  def decode(self, codes, state=None):
    """Codes i32[b t q], of all or only the first levels, to audio f32[b t*hop] and the state."""
    return self.decoder(self.quantizer.decode(codes), state)


def empty_states(c: Config, batch: int):
  """The states of an encoder and a decoder that have heard nothing: (encoder's, decoder's)."""
  def state(layers, widths):
    return {'tails': [jnp.zeros((batch, taps, channels)) for taps, channels in widths],
            'cache': transformer.empty_cache(c.sizes(layers), batch),
            'position': jnp.zeros((batch,), jnp.int32)}
  down, inputs = [], (1,) + c.channels[:-1]
  for stride, before, channels in zip(c.strides, inputs, c.channels):
    down += [(1, stride * before), (2, channels)]
  up = [(1, c.latent_stride * c.width)]
  for stride, before, channels in zip(c.strides[::-1], (c.width,) + c.up_channels, c.up_channels):
    up += [(2, before), (1, stride * channels)]
  return state(c.encoder_layers, down + [(1, c.latent_stride * c.width)]), state(c.decoder_layers, up)
