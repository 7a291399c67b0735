"""At which frames of a row the depth transformer learns in a step: at fewer than all a step costs less.

Compute amortisation (CSM: Schalkwyk et al., Sesame, 2025), which draws frames evenly. Half of a conversation is silence of one side,
each frame of which says what the frame before said and is learnt soon: frames that say something else come first here, and others are
drawn for what is left. A frame that is drawn counts for those of its kind that are not, so that the expected gradient is that of all.
"""
import math

import jax
import jax.numpy as jnp

STILL = 8                        # of the frames drawn, one in so many at least says what the frame before said, where there is one


def moving(codes):
  """bool[b t], where codes i32[b t q] are others than in the frame before."""
  return jnp.pad((codes[:, 1:] != codes[:, :-1]).any(-1), ((0, 0), (1, 0)), constant_values=True)


def chosen(key, moves, there, fraction: float):
  """The frames of each row that are drawn, and for how many each of them counts.

  Args:
    key: of the draw.
    moves: bool[b t], from `moving`.
    there: bool[b t], frames that count at all.
    fraction: of the frames of a row, how many are drawn, rounded up.

  Returns:
    i32[b k] and f32[b k], which is 0 where a row has fewer frames that count.
  """
  t = moves.shape[1]
  k = min(t, max(2, math.ceil(fraction * t)))     # one of each kind at least
  moves, still = moves & there, ~moves & there
  many = lambda mask: jnp.sum(mask, 1, keepdims=True)
  moved = jnp.minimum(many(moves), k - jnp.minimum(many(still), -(-k // STILL)))
  rest = jnp.minimum(many(still), k - moved)
  draw = jax.random.uniform(key, moves.shape)
  rank = lambda mask: jnp.argsort(jnp.argsort(jnp.where(mask, draw, jnp.inf), 1), 1)
  drawn = moves & (rank(moves) < moved) | still & (rank(still) < rest)
  frames = jnp.argsort(~drawn, 1, stable=True)[:, :k]
  stands_for = drawn * jnp.where(moves, many(moves) / jnp.maximum(moved, 1), many(still) / jnp.maximum(rest, 1))
  return frames.astype(jnp.int32), jnp.take_along_axis(stands_for, frames, 1)


def taken(of, frames, stands_for):
  """(x f[b t d], slots i32[b t slots], weight f32[b t] or [b t slots]) at the chosen frames alone, weighed by what they stand for."""
  at = lambda x: jnp.take_along_axis(x, jnp.expand_dims(frames, range(2, x.ndim)), 1)
  x, slots, weight = map(at, of)
  return x, slots, weight * jnp.expand_dims(stands_for, range(2, weight.ndim))
