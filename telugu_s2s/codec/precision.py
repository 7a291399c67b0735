"""Parameters of a codec or a language model in fewer bits, for inference: bfloat16, or int8 with a scale a channel.

Only matrices are narrowed. The codec's layers compute in their matrices' dtype, the language model's in its
config's; vectors (norms, biases, snakes), what tells streams and slots apart (`cd`) and the quantizer stay
float32, and so do norms, softmax, distances and the state of a stream.
"""
import functools

import jax
import jax.numpy as jnp

from telugu_s2s.errors import InputError

PRECISIONS = ('float32', 'bfloat16', 'int8')
# The axes that a matrix product sums over, where not the first alone; of tables, from which rows are taken, the row.
CONTRACTED = {'wio': 'wi', 'nhd': 'nh', 'vd': 'd', 'qvd': 'd', 'cdf': 'd'}


def converted(params, precision: str):
  """Float32 parameters in another precision.

  bfloat16: matrices, and with them the activations, in 8 bits of mantissa: half the memory.
  int8: each matrix as {'int8': i8, 'scale': f32}, symmetric, one scale an output channel; `dense` makes them
    float32 again inside the compiled program, where they are used: a quarter of the memory.

  Raises:
    InputError: there is no such precision.
  """
  check(precision)
  return params if precision == 'float32' else _narrowed(params, precision)


def check(precision: str) -> None:
  """Raises InputError where there is no such precision."""
  if precision not in PRECISIONS:
    raise InputError(f'config.precision {precision!r}: give one of {", ".join(PRECISIONS)}')


def dense(params):
  """Parameters as the modules take them: int8 matrices become float32, others are left as they are."""
  is_int8 = lambda x: isinstance(x, dict) and x.keys() == {'int8', 'scale'}
  return jax.tree.map(lambda x: x['int8'] * x['scale'] if is_int8(x) else x, params, is_leaf=is_int8)


def megabytes(params) -> float:
  """The memory that parameters take, in units of 10^6 bytes."""
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(params)) / 1e6


@functools.partial(jax.jit, static_argnames='precision')
def _narrowed(params, precision):
  def one(path, x):
    letters = jax.tree_util.keystr(path[-1:], simple=True).rpartition('_')[2]
    if path[0].key == 'quantizer' or len(letters) == 1 or letters == 'cd':
      return x
    if precision == 'bfloat16':
      return x.astype(jnp.bfloat16)
    stacked = x.ndim - len(letters)              # layers in front
    return _int8(x, tuple(stacked + letters.index(letter) for letter in CONTRACTED.get(letters, letters[0])))
  return jax.tree_util.tree_map_with_path(one, params)


def _int8(x, axes):
  scale = jnp.max(jnp.abs(x), axes, keepdims=True) / 127 + 1e-12         # a channel of zeros stays one
  return {'int8': jnp.round(x / scale).astype(jnp.int8), 'scale': scale}
