"""Schedules, the optimiser, and the guard that skips a step whose gradient is not finite."""
import math

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from telugu_s2s.errors import InputError

ADAMW_RMS = 0.2                  # of a step of AdamW at a rate of 1, as measured by Liu et al.
GIVEN = ('heard_vz',)            # parameters that no gradient reaches, see lm/model.py


def warmup_stable_decay(peak, warmup, steps, decay=0.2):
  """A learning rate that rises for `warmup` steps, stays, and falls to a hundredth over the last `decay` share.

  WSD (Hu et al., 2024): the decay may be added to any checkpoint of the stable part.

  Raises:
    InputError: a number is out of its range.
  """
  if not (0 <= peak < math.inf and warmup >= 0 and 0 <= decay <= 1):
    raise InputError(f'config.lr {peak}, warmup {warmup}, decay {decay}: give numbers from 0, and a share of the steps from 0 to 1')
  falls = max(warmup, steps - max(1, int(steps * decay)))          # not before it has risen, and then in what is left
  return optax.join_schedules(
      [optax.linear_schedule(peak / max(warmup, 1), peak, warmup), optax.constant_schedule(peak),
       optax.cosine_decay_schedule(peak, max(1, steps - falls), 0.01)], [warmup, falls])


def adamw(schedule, *, b1=0.9, b2=0.95, weight_decay=0.1, clip=1.0):
  """AdamW behind a clip of the global gradient norm; decay on matrices alone, and on none that is GIVEN."""
  return optax.chain(optax.clip_by_global_norm(clip), unclipped(schedule, b1, b2, weight_decay))


def unclipped(schedule, b1, b2, weight_decay):
  """What `adamw` does behind its clip."""
  def matrices(params):             # by their names: a norm's scales have two axes where layers are stacked
    name = lambda path: jax.tree_util.keystr(path[-1:], simple=True)
    return jax.tree_util.tree_map_with_path(lambda path, x: x.ndim > 0 and len(name(path).rpartition('_')[2]) > 1 and name(path) not in GIVEN, params)
  return optax.adamw(schedule, b1=b1, b2=b2, weight_decay=weight_decay, mask=matrices)


def muon(schedule, *, b1=0.9, b2=0.95, weight_decay=0.1, clip=1.0):
  """As `adamw`, but the matrices of transformer blocks move by orthogonalised momentum: Muon (Jordan et al., 2024).

  Their steps are as long as AdamW's, so that one rate does for both (Liu et al., Muon is Scalable for LLM Training, 2025, section 2.2).
  """
  kinds = lambda params: jax.tree_util.tree_map_with_path(lambda path, x: 'muon' if as_matrix(path, x) else 'adamw', params)
  blocks = optax.chain(orthogonalised(), optax.add_decayed_weights(weight_decay), optax.scale_by_learning_rate(schedule))
  return optax.chain(optax.clip_by_global_norm(clip), optax.partition(
      {'muon': blocks, 'adamw': unclipped(schedule, b1, b2, weight_decay)}, kinds))


def orthogonalised() -> optax.GradientTransformation:
  """Nesterov momentum of which each matrix gets singular values near one, at the root mean square that AdamW's steps have."""
  numbers = lambda params: jax.tree_util.tree_map_with_path(as_matrix, params)
  tx = optax.contrib.scale_by_muon(weight_dimension_numbers=numbers)
  coefficients = tx.init({}).ns_coeffs           # constants; a state has arrays that name their axes and no others

  def update(updates, state, params=None):
    moved, state = tx.update(updates, state._replace(ns_coeffs=coefficients), params)
    sides = lambda x, of: max(math.prod(x.shape[axis] for axis in axes) for axes in of)
    scaled = jax.tree.map(lambda x, of: ADAMW_RMS * math.sqrt(sides(x, of)) * x, moved, numbers(moved))
    return scaled, state._replace(ns_coeffs=())
  return optax.GradientTransformation(lambda params: tx.init(params)._replace(ns_coeffs=()), update)


def as_matrix(path, x):
  """Which axes of a parameter of stacked transformer blocks a product sums over, and which it puts out, by its name; None for any other one."""
  *_, above, name = ['', *(jax.tree_util.keystr((key,), simple=True) for key in path)]
  axes = name.rpartition('_')[2]
  if above != 'blocks' or len(axes) < 2:
    return None
  into = tuple(range(1, x.ndim - 1)) if axes[-1] == 'd' else (1,)          # axis 0: layers, each with a matrix of its own
  return optax.contrib.MuonDimensionNumbers(into, tuple(axis for axis in range(1, x.ndim) if axis not in into))


def apply(tx, state, grads):
  """The next {params, opt} and the gradient's norm; a gradient that is not finite changes nothing.

  Args:
    tx: an optax optimiser.
    state: {params, opt, ...}.
    grads: as params.

  Returns:
    {params, opt}, and metrics {grad_norm, skipped: 1 where the step was skipped}.
  """
  norm = optax.tree.norm(grads)
  good = jnp.isfinite(norm)
  updates, opt = tx.update(grads, state['opt'], state['params'])
  new = {'params': optax.apply_updates(state['params'], updates), 'opt': opt}
  old = {name: state[name] for name in new}
  return (jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old),
          {'grad_norm': norm, 'skipped': 1.0 - good})


def average(mean, params, step, decay):
  """A running mean of the weights, whose memory grows with the steps up to `decay`."""
  decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
  return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, mean, params)


KINDS = {'adamw': adamw, 'muon': muon}


def at(kind: str, rate):
  """An optimiser of KINDS at the rate f32[] of this step. Its state is that of one with a schedule of its own."""
  return KINDS[kind](lambda count: rate)
