"""One step of each stage: on every mesh what one device gives, and a codec that learns."""
import functools
import os
import runpy

import jax
import numpy as np
import pytest

from telugu_s2s import axes, usage
from telugu_s2s.codec import weights
from telugu_s2s.codec.model import Codec
from telugu_s2s.lm.model import Config
from telugu_s2s.training import loop, stage1, stage2

SLOW = [pytest.param(mesh, marks=pytest.mark.slow) for mesh in ((8, 1, 1), (4, 2, 1), (2, 2, 2))]
FAST = [*SLOW[:2], (2, 2, 2)]
LM = Config(width=16, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=8, depth_layers=1, depth_heads=2,
            depth_ffn=12, codebooks=3, codes=12, prosody_codes=10, window=64, dtype='float32')


def config_of(stage, **fields):
  config = runpy.run_path(os.path.join(usage.ROOT, f'configs/{stage}.py'))['get_config']()
  config.update(fields)
  return config


class Steps:
  """A stage's step, compiled for a mesh, always from the same state."""

  def __init__(self, stage, batch):
    self._batch = batch
    self.state = jax.device_get(jax.jit(stage.init)(jax.random.key(0)))
    self._compiled = functools.cache(lambda over: loop.compiled(stage, over, 0)[1:])

  def __call__(self, mesh, steps=1, batch=None):
    """The state and the metrics of each step."""
    over = axes.mesh(*mesh, devices=jax.devices()[:int(np.prod(mesh))])
    with jax.set_mesh(over):
      step, shapes = self._compiled(over)
      state = jax.tree.map(lambda x, where: jax.device_put(x, where.sharding), self.state, shapes)
      batch = jax.tree.map(lambda x: jax.device_put(x, jax.NamedSharding(over, axes.BATCH)), batch or self._batch)
      every = []
      for _ in range(steps):
        state, metrics = step(state, batch)
        every.append(jax.device_get(metrics))
    return state, every


def assert_alike(found, want, moments, tolerance):
  """Metrics and gradients (the first moments are a part of them) of one step."""
  (state, (metrics,)), (wanted_state, (wanted, *_)) = found, want
  assert metrics.keys() == wanted.keys()
  for name in metrics:
    assert float(metrics[name]) == pytest.approx(float(wanted[name]), rel=tolerance, abs=1e-6), name
  pairs = zip(jax.tree.leaves_with_path(moments(state)), jax.tree.leaves(moments(wanted_state)))
  for (path, a), b in pairs:
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(), 1e-3), err_msg=str(path))


@pytest.fixture(scope='module')
def talking():
  rng = np.random.default_rng(0)
  tx = stage2.optimiser_of(config_of('stage2'))
  prosody = np.where(np.arange(10) % 2 == 0, rng.integers(0, 10, (8, 10)), -1)
  batch = {'codes': rng.integers(0, 12, (8, 2, 10, 3)).astype(np.int32), 'prosody': prosody.astype(np.int32),
           'weight': (rng.random((8, 10)) < 0.8).astype(np.float32)}
  return Steps(loop.Stage(lambda key: stage2.init(LM, tx, key), lambda state, batch, key: stage2.step(LM, tx, state, batch),
                          None, 1.0, {}), batch)


@pytest.fixture(scope='module')
def talking_alone(talking):
  return talking((1, 1, 1))


@pytest.mark.parametrize('mesh', FAST, ids=str)
def test_a_sharded_step_of_the_language_model_is_that_of_one_device(talking, talking_alone, mesh):
  found = talking(mesh)
  assert_alike(found, talking_alone, lambda state: state['opt'][1][0].mu, 1e-5)     # float32, another order of sums
  wq = found[0]['params']['temporal']['blocks']['wq_dnh']                           # f32[2 16 4 6]
  assert {shard.data.shape for shard in wq.addressable_shards} == {(2, 16 // mesh[1], 4 // mesh[2], 6)}


@pytest.fixture(scope='module')
def listening(codec_file, speech):
  """The codec on eight stretches of real speech."""
  trained = weights.load(codec_file)
  config = config_of('stage1', steps=1000, warmup=5, restart_every=1)
  batch = {'audio': np.stack([clip[start:start + 4160] for clip in speech for start in (4000, 9000, 14000)][:8])}
  net, tx = Codec(trained.config), stage1.optimiser_of(config)

  def init(key):
    state = stage1.init(net, tx, key, trained.params)
    return {**state, 'usage_qv': state['usage_qv'].at[:, 3].set(0.0)}                # a dead code, due at once

  return Steps(loop.Stage(init,
                          lambda state, batch, key: stage1.step(net, tx, config, state, batch['audio'], key),
                          None, 1.0, {}), batch)


@pytest.fixture(scope='module')
def listening_alone(listening):
  return listening((1, 1, 1), 1), listening((1, 1, 1), 30)[1]


@pytest.mark.parametrize('mesh', SLOW, ids=str)
def test_a_sharded_step_of_the_codec_is_that_of_one_device(listening, listening_alone, mesh):
  # Float32 sums in another order; logarithms of faint bands magnify them.
  assert_alike(listening(mesh), listening_alone[0], lambda state: state['opt'][1][0].mu, 1e-4)


def test_the_codec_learns_real_speech(listening_alone):
  losses = [metrics['loss'] for metrics in listening_alone[1]]
  assert np.isfinite(losses).all()
  assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
  assert not any(metrics['skipped'] for metrics in listening_alone[1])


def test_a_dead_code_starts_again(listening, listening_alone):
  (state, _), before = listening_alone[0], listening.state
  moved = np.abs(state['params']['quantizer']['table_qvz'] - before['params']['quantizer']['table_qvz']).max(-1)
  assert (moved[:, 3] > 0.1).all() and (np.delete(moved, 3, 1) < 0.01).all()
  np.testing.assert_allclose(state['usage_qv'][:, 3], 1 / 11, rtol=1e-6)


def test_a_codec_that_hears_nan_learns_nothing_from_it(listening):
  """Not even where dead codes are due to start again from what was heard."""
  after, (metrics,) = listening((1, 1, 1), batch={'audio': np.full((8, 4160), np.nan, np.float32)})
  assert metrics['skipped'] == 1
  for name in ('params', 'usage_qv', 'opt'):
    jax.tree.map(np.testing.assert_array_equal, after[name], listening.state[name])
  assert after['step'] == 1
