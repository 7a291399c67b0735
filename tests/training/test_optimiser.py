"""The schedule, the decay, the guard and the running mean."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from telugu_s2s import axes
from telugu_s2s.training import optimiser


def test_the_rate_rises_stays_and_falls():
  rate = optimiser.warmup_stable_decay(2.0, 10, 100, 0.3)
  values = np.array([rate(step) for step in range(101)])
  assert values[0] == pytest.approx(0.2)
  assert (np.diff(values[:11]) > 0).all()
  np.testing.assert_allclose(values[10:71], 2.0)
  assert (np.diff(values[71:100]) < 0).all()
  assert values[100] == pytest.approx(0.02)


def test_a_rate_that_rises_for_most_of_a_run_falls_all_the_way_in_what_is_left():
  rate = optimiser.warmup_stable_decay(1.0, 80, 100, 0.5)
  assert rate(80) == pytest.approx(1) and rate(90) < 0.6 and rate(100) == pytest.approx(0.01)


@pytest.mark.parametrize('warmup, steps', [(0, 10), (10, 5), (1, 1)])
def test_the_rate_is_positive_however_short_the_run(warmup, steps):
  rate = optimiser.warmup_stable_decay(1.0, warmup, steps)
  assert all(0 < rate(step) <= 1 for step in range(steps))


def test_only_matrices_decay():
  params = {'blocks': {'wq_dnh': jnp.ones((2, 4, 3, 2)), 'norm_d': jnp.ones((2, 4))}, 'bias_o': jnp.ones(3), 'mix_io': jnp.ones((4, 3)), 'sharp': jnp.ones(())}
  tx = optimiser.adamw(0.1, weight_decay=0.5)
  updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
  decays = jax.tree.map(lambda x: bool((x != 0).all()), updates)
  assert decays == {'blocks': {'wq_dnh': True, 'norm_d': False}, 'bias_o': False, 'mix_io': True, 'sharp': False}


def test_a_gradient_is_clipped_to_its_norm():
  params = {'mix_io': jnp.zeros((3, 2))}
  tx = optax.chain(optimiser.adamw(1.0, clip=1.0))
  big = {'mix_io': jnp.full((3, 2), 1e6)}
  _, state = tx.update(big, tx.init(params), params)
  mu = next(leaf for leaf in jax.tree.leaves(state) if leaf.shape == (3, 2))
  assert float(jnp.linalg.norm(mu)) == pytest.approx(0.1, rel=1e-4)         # (1 - b1) of a gradient of length 1


@pytest.mark.parametrize('wrong', [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(wrong):
  tx = optimiser.adamw(0.1)
  params = {'mix_io': jnp.ones((3, 2)), 'bias_o': jnp.ones(2)}
  state = {'params': params, 'opt': tx.init(params), 'step': 0}
  good = jax.tree.map(lambda x: 0.1 * x, params)
  state, metrics = optimiser.apply(tx, state, good)
  assert metrics['skipped'] == 0 and (state['params']['mix_io'] != 1).all()
  bad = {**good, 'bias_o': good['bias_o'].at[1].set(wrong)}
  after, metrics = optimiser.apply(tx, state, bad)
  assert metrics['skipped'] == 1 and not np.isfinite(metrics['grad_norm'])
  jax.tree.map(np.testing.assert_array_equal, after, {name: state[name] for name in ('params', 'opt')})


def test_the_running_mean_follows_and_remembers_longer_with_time():
  mean, params = {'mix_io': jnp.zeros((3, 2))}, {'mix_io': jnp.ones((3, 2))}
  at = lambda step: float(optimiser.average(mean, params, step, 0.99)['mix_io'][0, 0])
  assert at(0) == pytest.approx(0.9) and at(10) == pytest.approx(0.45)
  assert at(100_000) == pytest.approx(0.01)


def stacked():
  """Parameters of two stacked blocks and of others, and their gradient."""
  shapes = {'blocks': {'wq_dnh': (2, 8, 3, 4), 'wo_nhd': (2, 3, 4, 8), 'norm_d': (2, 8)}, 'said_vd': (5, 8), 'sharp': ()}
  rng = np.random.default_rng(0)
  return [jax.tree.map(lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32), shapes, is_leaf=lambda x: isinstance(x, tuple)) for _ in range(2)]


def test_muon_moves_each_layers_matrices_alike_in_all_directions_and_everything_else_as_adamw():
  params, grads = stacked()
  of = lambda tx: tx.update(grads, tx.init(params), params)[0]
  ours, plain = of(optimiser.muon(1.0, weight_decay=0.0)), of(optimiser.adamw(1.0, weight_decay=0.0))
  assert np.sqrt(np.mean(np.square(ours['blocks']['wq_dnh']))) == pytest.approx(0.2, rel=0.3)          # AdamW's first step would be 1
  for name, sides in (('wq_dnh', (8, 12)), ('wo_nhd', (12, 8))):
    for layer, gradient in zip(ours['blocks'][name], grads['blocks'][name]):
      scaled = -np.asarray(layer).reshape(sides) / (0.2 * np.sqrt(12))
      u, _, v = np.linalg.svd(np.asarray(gradient).reshape(sides), full_matrices=False)
      values = np.diag(u.T @ scaled @ v.T)                                  # the gradient's directions, none of which is much longer
      assert 0.6 < values.min() and values.max() < 1.3
      assert np.abs(scaled - u @ np.diag(values) @ v).max() < 1e-3
  for name in ('said_vd', 'sharp'):
    np.testing.assert_allclose(ours[name], plain[name], rtol=1e-6)
  np.testing.assert_allclose(ours['blocks']['norm_d'], plain['blocks']['norm_d'], rtol=1e-6)


def test_muon_lets_matrices_decay_and_bears_a_gradient_of_zeros():
  params, grads = stacked()
  tx = optimiser.muon(0.1, weight_decay=0.5)
  updates = tx.update(jax.tree.map(jnp.zeros_like, grads), tx.init(params), params)[0]
  np.testing.assert_allclose(updates['blocks']['wq_dnh'], -0.05 * params['blocks']['wq_dnh'], rtol=1e-5)
  assert (updates['blocks']['norm_d'] == 0).all()


@pytest.mark.sharding
def test_muon_on_a_mesh_moves_as_on_one_device():
  params, grads = stacked()
  tx, mesh = optimiser.muon(0.1), axes.mesh(1, 2, 2, devices=jax.devices()[:4])
  state = {'params': params, 'opt': tx.init(params)}
  where = axes.shardings(jax.eval_shape(lambda: state), mesh)
  one = optimiser.apply(tx, state, grads)[0]
  with jax.set_mesh(mesh):
    many = jax.jit(lambda state, grads: optimiser.apply(tx, state, grads)[0], in_shardings=(where, where['params']))(
        jax.device_put(state, where), jax.device_put(grads, where['params']))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), one, jax.device_get(many))
