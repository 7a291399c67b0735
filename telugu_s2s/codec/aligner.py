"""A small network that says which grapheme each 20 ms of a recording is; it sees both ways, and is no part of a codec.

Beside the codec since it shares its parts and the form of its file, and is as pure: arrays in, arrays out.
"""
import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import normal, zeros
import safetensors

from telugu_s2s.codec import weights
from telugu_s2s.codec.content import BLANK
from telugu_s2s.codec.convolution import fan_in
from telugu_s2s.codec.transformer import rms_norm
from telugu_s2s.errors import InputError

TAPS = 5                         # frames that a layer sees, the middle one its own
NEVER = -30.0                    # logit of what must not be said


@dataclasses.dataclass(frozen=True)
class Config:
  """Sizes of an aligner."""
  features: int = 160            # of a frame: two log-mel spectra
  width: int = 128
  layers: int = 4


class Aligner(nn.Module):
  """Residual convolutions over frames, in each layer twice as wide apart."""
  config: Config
  graphemes: int                 # CTC's blank included

  @nn.compact
  def __call__(self, x, frames):
    """f32[b t c], logits of each frame's grapheme.

    Args:
      x: f32[b t i], features of about unit variance.
      frames: i32[b], of each row; what stands behind them changes nothing before.
    """
    c = self.config
    inside = (jnp.arange(x.shape[1]) < frames[:, None])[..., None]
    x = x * inside @ self.param('into_io', normal(c.features ** -0.5), (c.features, c.width))
    for layer in range(c.layers):
      y = nn.silu(rms_norm(x, self.param(f'norm{layer}_d', zeros, (c.width,)))) * inside
      x = x + 0.5 * apart(y, 2 ** layer) @ self.param(f'mix{layer}_wio', fan_in, (TAPS, c.width, c.width)).reshape(-1, c.width)
    x = rms_norm(x, self.param('norm_d', zeros, (c.width,)))
    return x @ self.param('out_dc', normal(c.width ** -0.5), (c.width, self.graphemes))


def apart(x, step):
  """Each frame of x [b t i] with those before and after it, `step` apart: [b t taps*i], zeros outside."""
  reach, t = TAPS // 2 * step, x.shape[1]
  x = jnp.pad(x, ((0, 0), (reach, reach), (0, 0)))
  return jnp.concatenate([x[:, tap * step:tap * step + t] for tap in range(TAPS)], -1)


def without_blank(logits):
  """Logits by which every frame is a grapheme: a path of CTC then says when each begins and ends, not where its peak is."""
  return logits.at[..., BLANK].set(NEVER)


@dataclasses.dataclass(frozen=True)
class Trained:
  """An aligner that can be used."""
  config: Config
  params: dict
  graphemes: tuple[str, ...]     # their numbers are 1 and up
  name: str                      # a hash of all that it is


def to_bytes(params, config: Config, graphemes, facts: dict) -> bytes:
  """The file of an aligner. facts: {str: str} of how it was trained."""
  return weights.safetensors_bytes(params, {
      'format': 'telugu_s2s aligner 1', 'config': json.dumps(dataclasses.asdict(config)),
      'graphemes': json.dumps(list(graphemes), ensure_ascii=False), **facts})


def load(path) -> Trained:
  """The aligner in a file.

  Raises:
    InputError: there is no such file, or it is not an aligner's, or is damaged.
  """
  try:
    metadata, flat = weights.opened(path)
    config, graphemes = Config(**json.loads(metadata['config'])), tuple(json.loads(metadata['graphemes']))
    made = jax.eval_shape(Aligner(config, len(graphemes) + 1).init, jax.random.key(0),
                          jnp.zeros((1, 1, config.features)), jnp.ones(1, jnp.int32))['params']
    weights.fit_shapes({name: x.shape for name, x in flat.items()}, made)
  except FileNotFoundError:
    raise InputError(f'{path}: no such aligner; train one with configs/aligner.py') from None
  except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
    raise InputError(f'{path}: not an aligner ({problem}); train one with configs/aligner.py') from problem
  found = weights.digest(metadata['config'] + metadata['graphemes'], flat)
  return Trained(config, weights.tree(flat), graphemes, f'aligner-{len(graphemes)}-{found}')
