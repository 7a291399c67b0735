"""The causal transformer of the codec and of the language model: one block, whole or chunk by chunk.

A stream's memory is a ring of keys and values. Keys are kept turned by their frame, in angles that
wrap around exactly, so that a stream may run for days: only distances count.
"""
import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
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
  """Sine and cosine by which a head's pairs turn at i32[b t] frames (RoPE, Su et al., 2021): two f32[b t 1 h/2].

  Angles are 32-bit fractions of a turn, whose overflow is the turn itself: exact at any frame.
  """
  half = head_width // 2
  a_frame = np.round(theta ** (-np.arange(half) / half) / (2 * np.pi) * 2.0 ** 32).astype(np.int64).astype(np.uint32)
  turn = jax.lax.bitcast_convert_type(position.astype(jnp.uint32)[..., None] * a_frame, jnp.int32)     # [b t h/2]
  angle = turn.astype(jnp.float32) * np.float32(2 * np.pi / 2 ** 32)
  return jnp.sin(angle)[:, :, None], jnp.cos(angle)[:, :, None]


def turned(x, turn):
  """x [b t n h] with its pairs of channels rotated by `turns`."""
  (sin, cos), half = turn, x.shape[-1] // 2
  a, b = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
  return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1).astype(x.dtype)


def empty_cache(c: Sizes, batch: int, dtype='float32'):
  """A stack's memory before anything was heard: {k: [l b k s h], v: [l b k h s], position: i32[b s]}."""
  slots = c.sinks + c.window
  rows = (c.layers, batch, c.kv_heads)
  # What a product sums over comes last: the other way round, each layer would be copied first.
  return {'k': jnp.zeros((*rows, slots, c.head_width), dtype), 'v': jnp.zeros((*rows, c.head_width, slots), dtype),
          'position': jnp.full((batch, slots), EMPTY, jnp.int32)}


def view(position, cached, c: Sizes, segment=None):
  """What all layers share of a chunk: turns, masks and the ring's slots.

  A sink is kept unturned, since a distance to it beyond the window turns like `window`.

  Args:
    position: i32[b t], frames since each stream began.
    cached: i32[b s], positions of the ring's slots, or None where the chunk is the whole stream.
    segment: i32[b t] where the chunk is several whole streams, one behind the other: which one a frame is of.

  Returns:
    {here, kept, sunk: turns of the chunk, of its keys as they are kept, and of the cache's sinks; seen: bool[b t s+t];
    slot: i32[b t], where the chunk goes, behind the ring for what is not kept}.
  """
  where = position if cached is None else jnp.concatenate([cached, position], 1)
  behind = position[:, :, None] - where[:, None]                               # [b t s]
  sink = (0 <= where) & (where < c.sinks)
  slot = jnp.where(position < c.sinks, position, c.sinks + (position - c.sinks) % c.window)
  # Of a chunk longer than the window only the end is kept: which of two writes to one slot wins is not defined.
  slot = jnp.where((position >= c.sinks) & (position <= position[:, -1:] - c.window), c.sinks + c.window, slot)
  angles = lambda position: turns(position, c.head_width, c.theta)
  kept = sunk = None
  if cached is not None:
    kept = angles(jnp.where(position < c.sinks, 0, position))
    sunk = angles(jnp.maximum(cached[:, :c.sinks], position[:, :1] - c.window)) if c.sinks else None
  seen = (0 <= behind) & ((behind < c.window) | sink[:, None])
  if segment is not None:
    seen &= segment[:, :, None] == segment[:, None]
  return {'here': angles(position), 'kept': kept, 'sunk': sunk, 'seen': seen, 'slot': slot}


def attend(query, key, value, memory, shared):
  """Grouped-query attention of a chunk over its stream's memory and itself, softmax in float32.

  Args:
    query: [b t n h]; key, value: [b t k h]; none rotated.
    memory: {k: [b k s h], v: [b k h s]} of this layer, keys rotated but for the sinks, or None.
    shared: from `view`.

  Returns:
    [b t n h].
  """
  b, t, n, h = query.shape
  q = turned(query, shared['here']).reshape(b, t, key.shape[2], n // key.shape[2], h)
  scored = lambda k: jnp.einsum('btkgh,bskh->bkgts', q, k, preferred_element_type=jnp.float32)
  score = scored(turned(key, shared['here']))
  if memory is not None:
    k, v = memory['k'].astype(query.dtype), memory['v'].astype(query.dtype)
    back = jnp.einsum('btkgh,bksh->bkgts', q, k, preferred_element_type=jnp.float32)
    if shared['sunk'] is not None:
      sinks = shared['sunk'][0].shape[1]
      back = jnp.concatenate([scored(turned(k[:, :, :sinks].swapaxes(1, 2), shared['sunk'])), back[..., sinks:]], -1)
    score = jnp.concatenate([back, score], -1)
  score = jnp.where(shared['seen'][:, None, None], score * h ** -0.5, -jnp.inf)
  weight = jax.nn.softmax(score, -1).astype(query.dtype)                       # [b k g t s]
  y = jnp.einsum('bkgts,bskh->btkgh', weight[..., -t:], value)
  if memory is not None:
    y += jnp.einsum('bkgts,bkhs->btkgh', weight[..., :-t], v)
  return y.reshape(b, t, n, h)


def fused(query, key, value, shared, segmented=False, implementation='cudnn'):
  """`attend` for whole streams no longer than the window, without scores in memory (FlashAttention, Dao et al., 2022).

  segmented: the chunk is several streams. The mask that keeps them apart takes b n t s numbers of memory, in one layer.
  """
  mask = shared['seen'][:, None] if segmented else None
  return jax.nn.dot_product_attention(turned(query, shared['here']), turned(key, shared['here']), value, mask=mask, is_causal=True,
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


def remembered(cache, keys, values, position, slot):
  """The cache after a chunk, keys and values [l b t k h] of frames i32[b t], that goes to the slots i32[b t].

  All layers are written at once, behind the last one: inside the scan over layers each would be copied.
  """
  row = jnp.arange(position.shape[0])[:, None]
  new = lambda name, x: jnp.moveaxis(x, 0, 2).astype(cache[name].dtype)        # [b t l k h]
  return {'k': cache['k'].at[:, row, :, slot].set(new('k', keys), mode='drop'),
          'v': cache['v'].at[:, row, :, :, slot].set(new('v', values), mode='drop'),
          'position': cache['position'].at[row, slot].set(position, mode='drop')}


class Block(nn.Module):
  """Attention with QK-norm, then SwiGLU; both read an RMS norm and add to the stream."""
  sizes: Sizes
  segmented: bool = False        # a chunk is several streams

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
      y = fused(query, key, value, shared, self.segmented)
    else:
      y = attend(query, key, value, memory, shared)
    kept = None if memory is None else (turned(key, shared['kept']), value)
    x = x + jnp.einsum('btnh,nhd->btd', y, weight('wo_nhd', (n, h, d), small))

    y = rms_norm(x, self.param('norm_ffn_d', zeros, (d,))).reshape(-1, d)      # two axes: XLA's CPU code is 1.7 x as quick
    gate, up = (y @ weight(f'{z}_df', (d, f)) for z in ('gate', 'up'))
    y = axes.constrain(nn.silu(gate) * up, 'bf')
    x = x + (y @ weight('down_fd', (f, d), small)).reshape(x.shape)
    return axes.constrain(x, 'btd'), kept


def apart(params):
  """Parameters whose blocks are tuples of layers instead of stacked: so a step of few frames wants them.

  A loop over stacked layers copies each one's weights before it reads them, which takes three times as long as the reading.
  """
  of_blocks = lambda path: any(getattr(key, 'key', None) == 'blocks' for key in path)
  return jax.tree_util.tree_map_with_path(lambda path, x: tuple(x[layer] for layer in range(len(x))) if of_blocks(path) else x, params)


def are_apart(params) -> bool:
  """Whether `apart` took them apart. Their layers are to be unrolled, and no others: each would copy all the stack."""
  return any(map(_is_layers, jax.tree.leaves(params, is_leaf=_is_layers)))


def together(params):
  """The parameters that `apart` took apart. Where layers are unrolled XLA sees through it, and nothing is copied."""
  return jax.tree.map(lambda x: jnp.stack(x) if _is_layers(x) else x, params, is_leaf=_is_layers)


def _is_layers(x):
  return isinstance(x, tuple)


class Transformer(nn.Module):
  """A stack of blocks, compiled once whatever its depth, unless unrolled; the last norm is the caller's."""
  sizes: Sizes
  unrolled: bool = False         # each block is compiled for itself: for weights that come `apart`

  @nn.compact
  def __call__(self, x, position=None, cache=None, segment=None):
    """Reads a chunk of frames.

    Args:
      x: [b t d].
      position: i32[b t], frames since each stream began; None: from 0.
      cache: from `empty_cache`, or None where x is the whole stream.
      segment: i32[b t] where x is several whole streams, one behind the other: which one a frame is of. They do not hear
        each other, and `position` starts anew with each.

    Returns:
      [b t d] and the cache after the chunk (None if none came in).
    """
    whole = (position is None or segment is not None) and cache is None
    sizes = dataclasses.replace(
        self.sizes, attention=kind_of_attention(self.sizes, x.shape[1], x.dtype) if whole else 'xla')
    if position is None:
      position = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
    block = Block
    if self.sizes.remat != 'none':
      block = nn.remat(Block, prevent_cse=False, policy=getattr(jax.checkpoint_policies, self.sizes.remat))
    stack = nn.scan(block, variable_axes={'params': 0}, split_rngs={'params': True}, in_axes=(0, nn.broadcast),
                    length=self.sizes.layers, unroll=self.sizes.layers if self.unrolled else 1)(sizes, segment is not None, name='blocks')
    if cache is None:
      return stack(x, None, view(position, None, self.sizes, segment))[0], None
    shared = view(position, cache['position'], self.sizes)
    x, kept = stack(x, {'k': cache['k'], 'v': cache['v']}, shared)
    return x, remembered(cache, *kept, position, shared['slot'])
