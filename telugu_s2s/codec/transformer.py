"""The causal transformer of the codec and of the language model: one block, whole or chunk by chunk.

A stream's memory is a ring of keys and values. Keys are kept before rotation and are turned by
their distance to the chunk being read, so that a stream may run for days: no angle grows with it.
"""
import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import normal, zeros

from telugu_s2s import axes

EMPTY = -(2 ** 30)               # position of a ring slot that holds nothing yet


def fan_in(key, shape, dtype=jnp.float32):
  """Normal weights that keep the variance of what is summed over their first axis."""
  return normal(shape[0] ** -0.5)(key, shape, dtype)


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Shape of one stack of blocks."""
  width: int
  layers: int
  heads: int
  kv_heads: int
  head_width: int
  ffn: int
  window: int                    # frames seen back, the newest included
  sinks: int = 0                 # first frames of a stream, never forgotten (Xiao et al., 2023)
  theta: float = 10_000.0        # RoPE base
  remat: str = 'none'            # 'none', or a name of jax.checkpoint_policies


def rms_norm(x, scale):
  """Root-mean-square norm in float32 (Zhang & Sennrich, 2019), returned in x's dtype."""
  x32 = x.astype(jnp.float32)
  y = x32 * jax.lax.rsqrt(jnp.mean(x32**2, -1, keepdims=True) + 1e-6)
  return (y * (1 + scale)).astype(x.dtype)


def rope(x, position, theta):
  """Rotates pairs of head channels by position (Su et al., 2021).

  Args:
    x: [b t n h].
    position: i32[b t] or i32[1 t], in frames.
    theta: base of the wavelengths.
  """
  half = x.shape[-1] // 2
  angle = position[..., None] * theta ** (-jnp.arange(half) / half)            # [b t h/2]
  sin, cos = jnp.sin(angle)[:, :, None], jnp.cos(angle)[:, :, None]            # [b t 1 h/2]
  a, b = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
  return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1).astype(x.dtype)


def empty_cache(c: Sizes, batch: int, dtype='float32'):
  """A stack's memory before anything was heard: {k, v: [l b s k h], position: i32[l b s]}."""
  slots = c.sinks + c.window
  shape = (c.layers, batch, slots, c.kv_heads, c.head_width)
  return {'k': jnp.zeros(shape, dtype), 'v': jnp.zeros(shape, dtype),
          'position': jnp.full((c.layers, batch, slots), EMPTY, jnp.int32)}


def remember(cache, key, value, position, c: Sizes):
  """The cache of one layer after a chunk. key, value: [b t k h]; position: i32[b t]."""
  slot = jnp.where(position < c.sinks, position, c.sinks + (position - c.sinks) % c.window)
  row = jnp.arange(key.shape[0])[:, None]
  return {'k': cache['k'].at[row, slot].set(key.astype(cache['k'].dtype)),
          'v': cache['v'].at[row, slot].set(value.astype(cache['v'].dtype)),
          'position': cache['position'].at[row, slot].set(position)}


def attend(query, key, value, cache, position, c: Sizes):
  """Grouped-query attention of a chunk over its stream's memory and itself, softmax in float32.

  Args:
    query: [b t n h]; key, value: [b t k h]; none rotated.
    cache: one layer of `empty_cache`, or None where the chunk is the whole stream.
    position: i32[b t], frames since the stream began. Without a cache at most `window` frames
      reach back; a distance beyond it (to a sink) counts as `window`.

  Returns:
    [b t n h].
  """
  b, t, n, h = query.shape
  first = position[:, :1]
  here = position - first                                                      # [b t]
  q = rope(query, here, c.theta).reshape(b, t, c.kv_heads, n // c.kv_heads, h)
  groups = [(rope(key, here, c.theta), value, position)]
  if cache is not None:
    back = jnp.clip(cache['position'] - first, -c.window, 0)
    groups.insert(0, (rope(cache['k'], back, c.theta).astype(query.dtype),
                      cache['v'].astype(query.dtype), cache['position']))
  scores = []
  for k, _, where in groups:
    behind = position[:, :, None] - where[:, None]                             # [b t s]
    recent = (0 <= behind) & (behind < c.window)
    sink = (0 <= where[:, None]) & (where[:, None] < c.sinks) & (0 <= behind)
    score = jnp.einsum('btkgh,bskh->bkgts', q, k, preferred_element_type=jnp.float32) * h ** -0.5
    scores.append(jnp.where((recent | sink)[:, None, None], score, -jnp.inf))
  weight = jax.nn.softmax(jnp.concatenate(scores, -1), -1).astype(query.dtype)  # [b k g t s]
  y, start = 0, 0
  for k, v, _ in groups:
    y += jnp.einsum('bkgts,bskh->btkgh', weight[..., start:start + k.shape[1]], v)
    start += k.shape[1]
  return y.reshape(b, t, n, h)


class Block(nn.Module):
  """Attention with QK-norm, then SwiGLU; both read an RMS norm and add to the stream."""
  sizes: Sizes

  @nn.compact
  def __call__(self, carry, cache):
    """carry: (x [b t d], position i32[b t]); cache: this layer's memory or None."""
    c, (x, position) = self.sizes, carry
    d, n, k, h, f = c.width, c.heads, c.kv_heads, c.head_width, c.ffn
    weight = lambda name, shape, init=fan_in: self.param(name, init, shape).astype(x.dtype)
    small = normal(0.02 / (2 * c.layers) ** 0.5)         # GPT-2's scaled residual initialisation

    y = rms_norm(x, self.param('norm_attention_d', zeros, (d,)))
    query = jnp.einsum('btd,dnh->btnh', y, weight('wq_dnh', (d, n, h)))
    key = jnp.einsum('btd,dkh->btkh', y, weight('wk_dkh', (d, k, h)))
    value = jnp.einsum('btd,dkh->btkh', y, weight('wv_dkh', (d, k, h)))
    query = rms_norm(query, self.param('norm_query_h', zeros, (h,)))
    key = rms_norm(key, self.param('norm_key_h', zeros, (h,)))
    y = attend(query, key, value, cache, position, c)
    if cache is not None:
      cache = remember(cache, key, value, position, c)
    x = x + jnp.einsum('btnh,nhd->btd', y, weight('wo_nhd', (n, h, d), small))

    y = rms_norm(x, self.param('norm_ffn_d', zeros, (d,)))
    gate, up = (jnp.einsum('btd,df->btf', y, weight(f'{z}_df', (d, f))) for z in ('gate', 'up'))
    y = axes.constrain(nn.silu(gate) * up, 'btf')
    x = x + jnp.einsum('btf,fd->btd', y, weight('down_fd', (f, d), small))
    return (axes.constrain(x, 'btd'), position), cache


class Transformer(nn.Module):
  """A stack of blocks, compiled once whatever its depth; the last norm is the caller's."""
  sizes: Sizes

  @nn.compact
  def __call__(self, x, position=None, cache=None):
    """Reads a chunk of frames.

    Args:
      x: [b t d].
      position: i32[b t], frames since each stream began; None: from 0.
      cache: from `empty_cache` (t at most `window`), or None where x is the whole stream.

    Returns:
      [b t d] and the cache after the chunk (None if none came in).
    """
    if position is None:
      position = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
    block = Block
    if self.sizes.remat != 'none':
      block = nn.remat(Block, prevent_cse=False, policy=getattr(jax.checkpoint_policies, self.sizes.remat))
    stack = nn.scan(block, variable_axes={'params': 0}, split_rngs={'params': True}, length=self.sizes.layers)
    (x, _), cache = stack(self.sizes, name='blocks')((x, position), cache)
    return x, cache
