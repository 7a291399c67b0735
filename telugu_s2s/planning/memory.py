"""How much memory and storage a training takes."""
import math

import jax

from telugu_s2s.lm.model import Config


def of_state(state) -> dict:
  """{part: bytes on one device} of an abstract train state, whose arrays carry their sharding."""
  def held(tree):
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))
  found = {'parameters': held(state['params']), 'gradients': held(state['params']), 'optimiser': held(state['opt'])}
  return found | ({'running mean': held(state['mean'])} if 'mean' in state else {})


def activations(c: Config, rows: int, frames: int, chunk: int, fused: bool, tensor: int = 1, fraction: float = 1.0) -> dict:
  """{part: bytes on one device} kept for the backward pass of a part of a batch, `rows` rows of one device; an estimate.

  chunk: frames whose logits exist at once, 0 = all. fused: attention keeps no scores. tensor: devices that share heads,
  feed-forward channels and codes. fraction: of frames, see lm/amortised.py.
  """
  def kept(s):                   # numbers a place, of a block
    inside = 2 * s.width + (s.head_width * (2 * s.heads + 2 * s.kv_heads) + 2 * s.ffn) / tensor      # outputs of a block's matrices
    return {'none': s.width + 2 * inside, 'nothing_saveable': s.width}.get(s.remat, s.width + inside)

  size, t = (2 if c.dtype == 'bfloat16' else 4), rows * frames
  scores = 0 if fused else rows * c.heads / tensor * frames**2 * (4 + size)     # of one layer: the others are made again
  if c.remat == 'none':
    scores *= c.layers
  spoken = rows * (chunk or frames * (fraction + c.predicted_share))
  return {'temporal': t * c.layers * kept(c.temporal) * size, 'scores': scores,
          'depth': spoken * c.slots * c.depth_layers * kept(c.depth) * size,
          'logits': spoken * sum(c.vocabularies) / tensor * 4 * 2}          # and their gradients


def storage(c: Config, parameters: int, hours: float, rate: float, mean: bool) -> dict:
  """{what: bytes} on a disk: tokens of so many hours in one view; one checkpoint (float32 weights, two moments, mean)."""
  frames = hours * 3600 * rate
  return {'tokens': frames * (2 * c.codebooks + 0.5), 'checkpoint': 4 * parameters * (4 if mean else 3)}
