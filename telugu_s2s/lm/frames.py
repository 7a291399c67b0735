"""What one step of the model reads and says: the delay of the acoustic codes, laid out and undone.

At step s the model has heard user frame s and says assistant code a0 of frame s with a1..a7 of frame
s - delay (Moshi, Defossez et al., 2024, 3.4.2: one frame of delay pays, more hardly).
"""
import jax
import jax.numpy as jnp

from telugu_s2s import axes

ABSENT = -1                      # an empty slot: its embedding is exactly zero
SILENT = 0                       # prosody's code of silence, see tokens/prosody.py
PAD = 0                          # the text slot's number where no word is said, see tokens/vocabulary.py


def positions(segment):
  """Frames since each clip of a packed row began, i32[b t]. segment: i32[b t], the number of the clip, see tokens/batches.py."""
  frame = jnp.arange(segment.shape[1])
  first = jnp.pad(segment[:, 1:] != segment[:, :-1], ((0, 0), (1, 0)), constant_values=True)
  return frame - jax.lax.cummax(jnp.where(first, frame, 0), axis=1)


def delayed(codes, delay: int, position=None):
  """Codes i32[b t q] with levels 1.. moved `delay` frames later; ABSENT where nothing has come yet.

  position: from `positions`, or None for rows of one clip.
  """
  if delay == 0:
    return codes
  late = jnp.pad(codes[:, :-delay, 1:], ((0, 0), (delay, 0), (0, 0)), constant_values=ABSENT)
  if position is not None:
    late = jnp.where(position[..., None] < delay, ABSENT, late)
  return jnp.concatenate([codes[..., :1], late], -1)


def undelayed(codes, delay: int):
  """The inverse of `delayed`, without its last `delay` frames, whose levels 1.. are not known: i32[b t-delay q]."""
  if delay == 0:
    return codes
  return jnp.concatenate([codes[:, :-delay, :1], codes[:, delay:, 1:]], -1)


def before(x, position=None):
  """x i32[b t ...] one step later, ABSENT at the first of each clip: what the last step said. position: as in `delayed`."""
  x = jnp.pad(x[:, :-1], ((0, 0), (1, 0)) + ((0, 0),) * (x.ndim - 2), constant_values=ABSENT)
  return x if position is None else jnp.where(jnp.expand_dims(position, range(2, x.ndim)) == 0, ABSENT, x)


def looked_up(table, value):
  """Rows of a table [v d] at i32[...], and exact zeros where the value is ABSENT (-1)."""
  return jnp.where(value[..., None] >= 0, axes.whole(table)[jnp.maximum(value, 0)], 0)
