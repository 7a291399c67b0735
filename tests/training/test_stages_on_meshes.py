"""One step of each stage: on every mesh what one device gives, and a codec that learns."""
import functools
import os
import runpy

import jax
import numpy as np
import pytest

from telugu_s2s import axes, usage
from telugu_s2s.codec import discriminator, weights
from telugu_s2s.codec.content import Content
from telugu_s2s.codec.discriminator import Discriminators
from telugu_s2s.codec.model import Codec
from telugu_s2s.lm.model import Config
from telugu_s2s.training import codec_step, lm_step, loop, stage2

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
    self.batch = batch
    self.state = jax.device_get(jax.jit(stage.init)(jax.random.key(0)))
    self._compiled = functools.cache(lambda over: loop.compiled(stage, over, 0)[1:])

  def __call__(self, mesh, steps=1, batch=None):
    """The state and the metrics of each step."""
    over = axes.mesh(*mesh, devices=jax.devices()[:int(np.prod(mesh))])
    with jax.set_mesh(over):
      phases, shapes = self._compiled(over)
      step, = phases.values()
      state = jax.tree.map(lambda x, where: jax.device_put(x, where.sharding), self.state, shapes)
      batch = jax.tree.map(lambda x: jax.device_put(x, jax.NamedSharding(over, axes.BATCH)), batch or self.batch)
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
  return Steps(loop.Stage(lambda key: stage2.init(LM, tx, key), ((0, lambda state, batch, key: lm_step.step(LM, tx, state, batch)),),
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


JUDGES = Discriminators(discriminator.Config(periods=(3,), period_channels=(2, 3), windows=(128,), channels=2))
HEADS = Content(units=7, graphemes=5, hidden=6)


def listening_in(phase, codec_file, speech):
  """The codec in a phase on eight stretches of real speech, with units and transcripts."""
  trained = weights.load(codec_file)
  config = config_of('stage1', warmup=5, restart_every=1, exact_steps=0)
  config.steps = dict(reconstruction=1000, adversarial=1000, decoder=1000)
  rng = np.random.default_rng(0)
  batch = {'audio': np.stack([clip[start:start + 4160] for clip in speech for start in (4000, 9000, 14000)][:8]),
           'units': rng.integers(-1, 7, (8, 13)).astype(np.int32),
           'spoken': np.stack([clip[start:start + 4800] for clip in speech for start in (4000, 9000, 14000)][:8]),
           'spoken_frames': np.full(8, 15, np.int32), 'graphemes': rng.integers(0, 5, (8, 4)).astype(np.int32)}
  batch['graphemes'] = -np.sort(-batch['graphemes'])                       # zeros behind
  net, txs = Codec(trained.config), codec_step.optimisers(config)

  def init(key):
    state = codec_step.init(net, HEADS, JUDGES, txs, key, trained.params)
    return {**state, 'usage_qv': state['usage_qv'].at[:, 3].set(0.0)}                # a dead code, due at once

  step = functools.partial(codec_step.step, net, HEADS, JUDGES, txs, config, phase)
  return Steps(loop.Stage(init, ((0, step),), None, 1.0, {}), batch)


@pytest.fixture(scope='module')
def listening(codec_file, speech):
  return listening_in('reconstruction', codec_file, speech)


@pytest.fixture(scope='module')
def listening_alone(listening):
  return listening((1, 1, 1), 1), listening((1, 1, 1), 30)[1]


@pytest.mark.parametrize('mesh', SLOW, ids=str)
def test_a_sharded_step_of_the_codec_is_that_of_one_device(listening, listening_alone, mesh):
  # Float32 sums in another order; logarithms of faint bands magnify them.
  assert_alike(listening(mesh), listening_alone[0], lambda state: state['opt'][1][0].mu, 1e-4)


def test_the_codec_learns_real_speech(listening_alone):
  assert np.isfinite([metrics['loss'] for metrics in listening_alone[1]]).all()
  distances = [metrics['mel'] for metrics in listening_alone[1]]           # the loss itself: its weights move at first
  assert np.mean(distances[-5:]) < 0.9 * np.mean(distances[:5])
  assert not any(metrics['skipped'] for metrics in listening_alone[1])


def test_a_dead_code_starts_again(listening, listening_alone):
  (state, _), before = listening_alone[0], listening.state
  moved = np.abs(state['params']['quantizer']['table_qvz'] - before['params']['quantizer']['table_qvz']).max(-1)
  assert (moved[:, 3] > 0.1).all() and (np.delete(moved, 3, 1) < 0.01).all()
  np.testing.assert_allclose(state['usage_qv'][:, 3], 1 / 11, rtol=1e-6)


def test_a_codec_that_hears_nan_learns_nothing_from_it(listening):
  """Not even where dead codes are due to start again from what was heard."""
  after, (metrics,) = listening((1, 1, 1), batch={**listening.batch, 'audio': np.full((8, 4160), np.nan, np.float32)})
  assert metrics['skipped'] == 1
  for name in ('params', 'usage_qv', 'opt', 'judges'):
    jax.tree.map(np.testing.assert_array_equal, after[name], listening.state[name])
  assert after['step'] == 1


def test_level_0_learns_what_it_is_taught(listening_alone):
  for name in ('units', 'graphemes'):
    losses = [metrics[name] for metrics in listening_alone[1]]
    assert losses[-1] < 0.95 * losses[0], name


@pytest.fixture(scope='module')
def judged(codec_file, speech):
  return listening_in('adversarial', codec_file, speech)


@pytest.mark.parametrize('mesh', SLOW, ids=str)
def test_a_sharded_step_with_discriminators_is_that_of_one_device(judged, mesh):
  assert_alike(judged(mesh), judged((1, 1, 1)), lambda state: (state['opt'][1][0].mu, state['judges']['opt'][1][0].mu), 1e-3)


@pytest.mark.slow
def test_discriminators_and_codec_learn_from_each_other(judged):
  state, metrics = judged((1, 1, 1), 20)
  assert np.isfinite([one['loss'] for one in metrics]).all()
  assert not any(one['skipped'] or one['discriminator_skipped'] for one in metrics)
  assert metrics[-1]['feature'] < metrics[0]['feature']
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max() > 0, state['judges']['params'], judged.state['judges']['params'])
  assert all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_the_last_phase_moves_the_decoder_alone(codec_file, speech):
  """So that codes that were made before it stay what they are."""
  last = listening_in('decoder', codec_file, speech)
  state, _ = last((1, 1, 1), 3)
  for name in ('encoder', 'quantizer', 'content'):
    jax.tree.map(np.testing.assert_array_equal, state['params'][name], last.state['params'][name])
  for name in ('encoder', 'quantizer'):              # the running mean began there
    jax.tree.map(np.testing.assert_array_equal, state['mean'][name], last.state['mean'][name])
  assert all(np.abs(a - b).max() > 0 for a, b in zip(*(jax.tree.leaves(x['params']['decoder']) for x in (state, last.state))))
