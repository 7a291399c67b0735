"""Causal strided convolutions as matrix products over patches, whole or chunk by chunk.

A filter is twice its stride long, so a step down reads the patch before and the patch itself, and a
step up writes its patch and adds to the next one: no look-ahead, and one patch of memory.

Each step computes in the dtype of its kernel; the tails that it carries on keep theirs.
"""
import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import normal, ones, variance_scaling, zeros

from telugu_s2s.codec.transformer import rms_norm

fan_in = variance_scaling(1.0, 'fan_in', 'normal', in_axis=(0, 1), out_axis=-1)


def causal_taps(x, taps, tail):
  """Each sample with the `taps - 1` before it, oldest first.

  Args:
    x: [b t i].
    taps: filter length.
    tail: [b taps-1 i], the samples before x, or None for silence.

  Returns:
    [b t taps*i] and the tail for the next chunk.
  """
  if tail is None:
    tail = jnp.zeros((x.shape[0], taps - 1, x.shape[2]), x.dtype)
  x = jnp.concatenate([tail.astype(x.dtype), x], axis=1)
  t = x.shape[1] - (taps - 1)
  return jnp.concatenate([x[:, tap:tap + t] for tap in range(taps)], -1), x[:, t:].astype(tail.dtype)


class Down(nn.Module):
  """A causal convolution of stride `stride` over 2 x stride samples."""
  channels: int
  stride: int

  @nn.compact
  def __call__(self, x, tail=None):
    """x: [b t i], t a multiple of the stride -> [b t/stride o] and the next tail [b 1 stride*i]."""
    b, t, i = x.shape
    kernel = self.param('kernel_wio', fan_in, (2 * self.stride, i, self.channels))
    x = x.astype(kernel.dtype).reshape(b, t // self.stride, self.stride * i)
    patches, tail = causal_taps(x, 2, tail)
    bias = self.param('bias_o', zeros, (self.channels,)).astype(x.dtype)
    return patches @ kernel.reshape(-1, self.channels) + bias, tail


class Up(nn.Module):
  """A transposed convolution of stride `stride` over 2 x stride samples, its overhang carried on."""
  channels: int
  stride: int
  variance: float = 0.5          # of the outputs at the start; two patches overlap

  @nn.compact
  def __call__(self, x, tail=None):
    """x: [b t i] -> [b t*stride o] and the next tail [b 1 stride*o]."""
    b, t, i = x.shape
    size = self.stride * self.channels
    init = variance_scaling(self.variance, 'fan_in', 'normal', in_axis=0, out_axis=(1, 2))
    kernel = self.param('kernel_iwo', init, (i, 2 * self.stride, self.channels))
    y = x.astype(kernel.dtype) @ kernel.reshape(i, 2 * size)
    if tail is None:
      tail = jnp.zeros((b, 1, size), y.dtype)
    behind = jnp.concatenate([tail.astype(y.dtype), y[..., size:]], 1)
    y = (y[..., :size] + behind[:, :t]).reshape(b, t * self.stride, self.channels)
    return y + self.param('bias_o', zeros, (self.channels,)).astype(y.dtype), behind[:, t:].astype(tail.dtype)


class Residual(nn.Module):
  """x plus a three-tap causal convolution, a periodic activation (snake, Ziyin et al., 2020) and a mix."""
  @nn.compact
  def __call__(self, x, tail=None):
    """x: [b t i] -> [b t i] and the next tail [b 2 i]."""
    i = x.shape[-1]
    y = rms_norm(x, self.param('norm_i', zeros, (i,)))
    y, tail = causal_taps(y, 3, tail)
    y = y @ self.param('kernel_wio', fan_in, (3, i, 2 * i)).reshape(3 * i, 2 * i)
    alpha = self.param('snake_o', ones, (2 * i,))
    y = (y + jnp.sin(alpha * y) ** 2 / (jnp.abs(alpha) + 1e-6)).astype(x.dtype)
    return x + y @ self.param('mix_io', normal(0.01), (2 * i, i)), tail
