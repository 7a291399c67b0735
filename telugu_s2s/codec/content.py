"""The heads that teach the first level what is said; training only, no part of a codec's file."""
import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import zeros
import optax

from telugu_s2s.codec.transformer import fan_in

BLANK = 0                        # of the graphemes, as CTC has it


class Content(nn.Module):
  """From the few dimensions that level 0 rounds to a code, before it does, to units and graphemes.

  Before the rounding: the gradient of a class reaches the encoder as it is, and both sides gain (LitCodec). The
  heads see a frame alone, so that what they know of it has to be in its code.
  """
  units: int                     # of a teacher, 0 = none
  graphemes: int                 # the blank included, 0 = none
  hidden: int = 256

  @nn.compact
  def __call__(self, x):
    """x: f32[b t z] -> logits of the units f32[b t c] and of the graphemes f32[b t c]."""
    z = x.shape[-1]
    x = nn.silu(3 * x @ self.param('into_zf', fan_in, (z, self.hidden)) + self.param('bias_f', zeros, (self.hidden,)))

    def head(name, count):
      if not count:                                  # no parameters: an array without elements cannot be saved
        return jnp.zeros((*x.shape[:2], 0))
      return x @ self.param(f'{name}_fc', fan_in, (self.hidden, count)) + self.param(f'{name}_c', zeros, (count,))

    return head('units', self.units), head('graphemes', self.graphemes)


def unit_loss(logits, units):
  """Cross-entropy in nats a frame, and the share of frames that are right.

  Args:
    logits: f32[b t c].
    units: i32[b t], -1 where there is none.
  """
  known = units >= 0
  found = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(units, 0))
  frames = jnp.maximum(known.sum(), 1)
  return jnp.sum(found * known) / frames, jnp.sum((logits.argmax(-1) == units) & known) / frames


def grapheme_loss(logits, frames, graphemes):
  """Connectionist temporal classification (Graves et al., 2006) in nats a grapheme.

  Args:
    logits: f32[b t c].
    frames: i32[b], of each row.
    graphemes: i32[b s], 0 behind a row's last.
  """
  silent = (jnp.arange(logits.shape[1]) >= frames[:, None]).astype(jnp.float32)
  empty = (graphemes == BLANK).astype(jnp.float32)
  loss = optax.ctc_loss(logits, silent, graphemes, empty, blank_id=BLANK)
  return jnp.sum(loss) / jnp.maximum(jnp.sum(1 - empty), 1)
