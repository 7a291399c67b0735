"""What stages are tested on: a net of two layers that learns a fixed map of random numbers, and a folder of sentences."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from telugu_s2s.training import loop, optimiser

from tests.corpora.excerpt import excerpt

D, F = 16, 12


class Numbers:
  """batches[step] -> {'x': f32[8 d]}, of a seed and the step; NaN at the steps in `broken`."""

  def __init__(self, broken=(), before=lambda step: None):
    self._broken, self._before = broken, before

  def __getitem__(self, step):
    self._before(step)
    x = np.random.default_rng([7, step]).normal(size=(8, D)).astype(np.float32)
    return {'x': np.where(step in self._broken, np.float32(np.nan), x)}


def init(key):
  first, second = jax.random.split(key)
  params = {'up_df': jax.random.normal(first, (D, F)) / 4, 'down_fd': jax.random.normal(second, (F, D)) / 4,
            'bias_d': jnp.zeros(D)}
  return {'params': params, 'opt': TX.init(params), 'step': jnp.zeros((), jnp.int32)}


def step(state, batch, key):
  def loss_of(params):
    y = jnp.tanh(batch['x'] @ params['up_df']) @ params['down_fd'] + params['bias_d']
    return jnp.mean((y - batch['x'][:, ::-1] - 0.01 * jax.random.normal(key, y.shape)) ** 2)
  loss, grads = jax.value_and_grad(loss_of)(state['params'])
  new, guard = optimiser.apply(TX, state, grads)
  return {**new, 'step': state['step'] + 1}, {'loss': loss, **guard}


TX = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2))


@pytest.fixture
def toy():
  """toy(...) is the Stage, with a Stage's fields or those of Numbers changed."""
  def make(broken=(), before=lambda step: None, **fields):
    return loop.Stage(**{'init': init, 'phases': ((0, step),), 'batches': Numbers(broken, before), 'audio_s': 2.0,
                         'facts': {'data': 'abc', 'seed': 5}, **fields})
  return make


@pytest.fixture(scope='session')
def audio(tmp_path_factory):
  """A folder of eight spoken sentences, three of them held out, with their manifest."""
  return excerpt(tmp_path_factory.mktemp('audio'), 5, 3)
