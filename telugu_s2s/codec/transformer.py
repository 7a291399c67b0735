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
from telugu_s2s.errors import InputError

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
  attention: str = 'xla'         # of whole streams; 'cudnn', or 'auto': cuDNN's on a GPU where it can do it


def rms_norm(x, scale):
  """Root-mean-square norm in float32 (Zhang & Sennrich, 2019), returned in x's dtype."""
  x32 = x.astype(jnp.float32)
  y = x32 * jax.lax.rsqrt(jnp.mean(x32**2, -1, keepdims=True) + 1e-6)
  return (y * (1 + scale)).astype(x.dtype)


def turns(position, head_width, theta):
  """Sine and cosine by which a head's pairs turn at i32[b t] frames (RoPE, Su et al., 2021): two f32[b t 1 h/2]."""
  half = head_width // 2
  angle = position[..., None] * theta ** (-jnp.arange(half) / half)            # [b t h/2]
  return jnp.sin(angle)[:, :, None], jnp.cos(angle)[:, :, None]


def turned(x, turn):
  """x [b t n h] with its pairs of channels rotated by `turns`."""
  (sin, cos), half = turn, x.shape[-1] // 2
  a, b = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
  return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1).astype(x.dtype)


def empty_cache(c: Sizes, batch: int, dtype='float32'):
  """A stack's memory before anything was heard: {k, v: [l b s k h], position: i32[b s]}."""
  slots = c.sinks + c.window
  shape = (c.layers, batch, slots, c.kv_heads, c.head_width)
  return {'k': jnp.zeros(shape, dtype), 'v': jnp.zeros(shape, dtype),
          'position': jnp.full((batch, slots), EMPTY, jnp.int32)}


def view(position, cached, c: Sizes):
  """What all layers share of a chunk: turns, masks and the ring's slots.

  A distance beyond the window (to a sink) turns like `window`.

  Args:
    position: i32[b t], frames since each stream began.
    cached: i32[b s], positions of the ring's slots, or None where the chunk is the whole stream.

  Returns:
    {here, back: turns of the chunk and of the cache; seen: bool[b t s+t]; slot: i32[b t], where the chunk
    goes, behind the ring for what is not kept}.
  """
  first = position[:, :1]
  where = position if cached is None else jnp.concatenate([cached, position], 1)
  behind = position[:, :, None] - where[:, None]                               # [b t s]
  sink = (0 <= where) & (where < c.sinks)
  slot = jnp.where(position < c.sinks, position, c.sinks + (position - c.sinks) % c.window)
  # Of a chunk longer than the window only the end is kept: which of two writes to one slot wins is not defined.
  slot = jnp.where((position >= c.sinks) & (position <= position[:, -1:] - c.window), c.sinks + c.window, slot)
  back = None if cached is None else turns(jnp.clip(cached - first, -c.window, 0), c.head_width, c.theta)
  return {'here': turns(position - first, c.head_width, c.theta), 'back': back,
          'seen': (0 <= behind) & ((behind < c.window) | sink[:, None]),
          'slot': slot}


def attend(query, key, value, memory, shared):
  """Grouped-query attention of a chunk over its stream's memory and itself, softmax in float32.

  Args:
    query: [b t n h]; key, value: [b t k h]; none rotated.
    memory: {k, v: [b s k h]} of this layer, keys not rotated, or None.
    shared: from `view`.

  Returns:
    [b t n h].
  """
  b, t, n, h = query.shape
  q = turned(query, shared['here']).reshape(b, t, key.shape[2], n // key.shape[2], h)
  parts = [(turned(key, shared['here']), value)]
  if memory is not None:
    parts.insert(0, (turned(memory['k'].astype(query.dtype), shared['back']), memory['v'].astype(query.dtype)))
  score = jnp.concatenate([jnp.einsum('btkgh,bskh->bkgts', q, k, preferred_element_type=jnp.float32)
                           for k, _ in parts], -1) * h ** -0.5
  score = jnp.where(shared['seen'][:, None, None], score, -jnp.inf)
  weight = jax.nn.softmax(score, -1).astype(query.dtype)                       # [b k g t s]
  y, start = 0, 0
  for k, v in parts:
    y += jnp.einsum('bkgts,bskh->btkgh', weight[..., start:start + k.shape[1]], v)
    start += k.shape[1]
  return y.reshape(b, t, n, h)


def fused(query, key, value, shared, implementation='cudnn'):
  """`attend` for whole streams no longer than the window, without scores in memory (FlashAttention, Dao et al., 2022)."""
  return jax.nn.dot_product_attention(turned(query, shared['here']), turned(key, shared['here']), value, is_causal=True,
                                      implementation=implementation)


def kind_of_attention(c: Sizes, frames: int, dtype) -> str:
  """'cudnn' or 'xla' for whole streams of so many frames. cuDNN takes 16-bit heads of 8, 16, ... 128 channels.

  Raises:
    InputError: cuDNN is asked for and cannot do it.
  """
  fits = (frames <= c.window and jnp.dtype(dtype).itemsize == 2 and c.head_width % 8 == 0 and c.head_width <= 128)
  if c.attention == 'cudnn' and not (fits and jax.default_backend() == 'gpu'):
    raise InputError(f"config.model.attention 'cudnn' takes a GPU, dtype 'bfloat16', heads of 8, 16, .. 128 channels and "
                     f'at most {c.window} frames (the window); here are {jax.default_backend()}, {jnp.dtype(dtype)}, '
                     f"{c.head_width} channels, {frames} frames: set 'auto' or 'xla'")
  return 'cudnn' if fits and c.attention != 'xla' and jax.default_backend() == 'gpu' else 'xla'


def remember(memory, key, value, slot):
  """The memory {k, v: [b s k h]} of a layer after a chunk [b t k h] that goes to the slots i32[b t]."""
  row = jnp.arange(key.shape[0])[:, None]
  return {'k': memory['k'].at[row, slot].set(key.astype(memory['k'].dtype), mode='drop'),
          'v': memory['v'].at[row, slot].set(value.astype(memory['v'].dtype), mode='drop')}


class Block(nn.Module):
  """Attention with QK-norm, then SwiGLU; both read an RMS norm and add to the stream."""
  sizes: Sizes

  @nn.compact
  def __call__(self, x, memory, shared):
    """x: [b t d]; memory: this layer's {k, v} or None; shared: from `view`."""
    c = self.sizes
    d, n, k, h, f = c.width, c.heads, c.kv_heads, c.head_width, c.ffn
    weight = lambda name, shape, init=fan_in: self.param(name, init, shape).astype(x.dtype)
    small = normal(0.02 / (2 * c.layers) ** 0.5)         # GPT-2's scaled residual initialisation

    y = rms_norm(x, self.param('norm_attention_d', zeros, (d,)))
    query = jnp.einsum('btd,dnh->btnh', y, weight('wq_dnh', (d, n, h)))
    key = jnp.einsum('btd,dkh->btkh', y, weight('wk_dkh', (d, k, h)))
    value = jnp.einsum('btd,dkh->btkh', y, weight('wv_dkh', (d, k, h)))
    query = rms_norm(query, self.param('norm_query_h', zeros, (h,)))
    key = rms_norm(key, self.param('norm_key_h', zeros, (h,)))
    if c.attention == 'cudnn':
      y = fused(query, key, value, shared)
    else:
      y = attend(query, key, value, memory, shared)
    if memory is not None:
      memory = remember(memory, key, value, shared['slot'])
    x = x + jnp.einsum('btnh,nhd->btd', y, weight('wo_nhd', (n, h, d), small))

    y = rms_norm(x, self.param('norm_ffn_d', zeros, (d,))).reshape(-1, d)      # two axes: XLA's CPU code is 1.7 x as quick
    gate, up = (y @ weight(f'{z}_df', (d, f)) for z in ('gate', 'up'))
    y = axes.constrain(nn.silu(gate) * up, 'bf')
    x = x + (y @ weight('down_fd', (f, d), small)).reshape(x.shape)
    return axes.constrain(x, 'btd'), memory


class Transformer(nn.Module):
  """A stack of blocks, compiled once whatever its depth; the last norm is the caller's."""
  sizes: Sizes

  @nn.compact
  def __call__(self, x, position=None, cache=None):
    """Reads a chunk of frames.

    Args:
      x: [b t d].
      position: i32[b t], frames since each stream began; None: from 0.
      cache: from `empty_cache`, or None where x is the whole stream.

    Returns:
      [b t d] and the cache after the chunk (None if none came in).
    """
    whole = position is None and cache is None
    sizes = dataclasses.replace(
        self.sizes, attention=kind_of_attention(self.sizes, x.shape[1], x.dtype) if whole else 'xla')
    if position is None:
      position = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
    block = Block
    if self.sizes.remat != 'none':
      block = nn.remat(Block, prevent_cse=False, policy=getattr(jax.checkpoint_policies, self.sizes.remat))
    stack = nn.scan(block, variable_axes={'params': 0}, split_rngs={'params': True}, in_axes=(0, nn.broadcast),
                    length=self.sizes.layers)(sizes, name='blocks')
    if cache is None:
      return stack(x, None, view(position, None, self.sizes))[0], None
    shared = view(position, cache['position'], self.sizes)
    x, memory = stack(x, {'k': cache['k'], 'v': cache['v']}, shared)
    row = jnp.arange(x.shape[0])[:, None]
    return x, {**memory, 'position': cache['position'].at[row, shared['slot']].set(position, mode='drop')}
