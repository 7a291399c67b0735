"""What is learnt beside speaking: who speaks next, what will be said, and an ear that hears what is said and not whose voice it is."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.lm import losses, model, sampling
from telugu_s2s.training import lm_step, optimiser

from tests.lm.test_audio_lm import B, GREEDY, SMALL, T, made, spoken          # noqa: F401, a fixture

LM = dataclasses.replace(SMALL, floor_frames=2, plan_frames=4, ear=5)


@pytest.fixture(scope='module')
def params():
  return jax.tree.map(jnp.asarray, made(LM))


@pytest.fixture(scope='module')
def batch(spoken):
  codes, prosody = spoken
  rng = np.random.default_rng(2)
  weight = (np.arange(T) < np.array([[T], [9]])).astype(np.float32)
  return {'codes': codes, 'prosody': prosody, 'weight': weight, 'floor': rng.integers(-1, 2, (B, T, 8)).astype(np.int32),
          'said': rng.integers(0, 2, (B, T)).astype(np.int32)}


def test_a_plan_is_a0_of_the_next_turn_within_the_clip_told_while_nothing_is_said():
  codes = np.arange(2 * 13 * 3).reshape(2, 13, 3).astype(np.int32)
  weight = np.array([[1.0] * 13, [1.0] * 9 + [0.0] * 4], np.float32)
  segment = np.array([[0] * 7 + [1] * 6, [0] * 13])
  said = np.random.default_rng(0).integers(0, 2, (2, 13)).astype(np.int32)
  found, share = model.ahead(LM, *map(jnp.asarray, (codes, weight, said, segment)))
  for row in range(2):
    for place, start in enumerate(range(0, 13, LM.user_every)):
      for number in range(4):
        frame = start + 1 + number
        known = frame < 13 and weight[row, frame] > 0 and segment[row, frame] == segment[row, start] and said[row, frame] > said[row, start]
        assert share[row, place, number] == known
        if known:
          assert found[row, place, number] == codes[row, frame, 0]


def test_losses_of_heads_are_what_they_are_in_numpy(params, batch):
  total, parts = lm_step.parts_of(LM, params, batch)
  net, heads = model.AudioLM(LM), {}
  h, _ = net.apply({'params': params}, batch['codes'], batch['prosody'], method='hear')
  for name in ('floor', 'plan'):
    heads[name] = np.asarray(net.apply({'params': params}, h, method=name), np.float64)
  there = (batch['floor'] >= 0) * batch['weight'][..., None]
  likely = 1 / (1 + np.exp(-heads['floor']))
  floor = -np.sum(there * np.where(batch['floor'] == 1, np.log(likely), np.log(1 - likely))) / there.sum()
  log_p = heads['plan'] - np.log(np.exp(heads['plan']).sum(-1, keepdims=True))
  nats = [-log_p[row, start, batch['codes'][row, 0, frame, 0]] for row in range(B) for start in range(0, T, LM.user_every)
          for frame in range(start + 1, min(start + 5, T)) if batch['weight'][row, frame] and batch['said'][row, frame] > batch['said'][row, start]]
  assert float(parts['floor']) == pytest.approx(floor, rel=1e-5) and float(parts['plan']) == pytest.approx(np.mean(nats), rel=1e-5)
  plain = lm_step.parts_of(dataclasses.replace(LM, floor_frames=0, plan_frames=0), params, batch)[0]
  assert float(total) == pytest.approx(float(plain) + losses.FLOOR_WEIGHT * floor + losses.PLAN_WEIGHT * np.mean(nats), rel=1e-5)


@pytest.mark.slow
def test_a_batch_in_parts_and_chunks_has_the_same_heads(params, batch):
  gradients = lambda how: jax.jit(lambda params: lm_step.gradients(LM, params, batch, how))(params)
  (one, grads), (other, again) = gradients(lm_step.Update()), gradients(lm_step.Update(accumulate=2, loss_chunk=5))
  for name in one:
    assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-4), name
  for name in ('floor_dc', 'plan_dv', 'ear_zd'):
    np.testing.assert_allclose(grads[name], again[name], rtol=1e-4, atol=1e-6)
    assert np.abs(grads[name]).max() > 0


def test_the_ear_hears_level_0_by_vectors_that_no_step_changes(params, batch):
  hear = lambda codes, params=params: model.AudioLM(LM).apply({'params': params}, codes, batch['prosody'], method='hear')[0]
  other = batch['codes'].copy()
  other[:, 1, :, 1:] = (other[:, 1, :, 1:] + 1) % 11                         # of the user's levels
  np.testing.assert_array_equal(hear(batch['codes']), hear(other))
  other[:, 1, :, 0] = (other[:, 1, :, 0] + 1) % 11
  assert np.abs(hear(batch['codes']) - hear(other)).max() > 1e-3
  alike = {**params, 'heard_vz': np.ones_like(params['heard_vz'])}           # codes that sound alike are heard alike
  np.testing.assert_array_equal(hear(batch['codes'], alike), hear(other, alike))
  tx = optimiser.adamw(lambda step: 0.1)
  state = {'params': params, 'opt': tx.init(params), 'step': jnp.zeros((), jnp.int32)}
  after = jax.jit(lambda state: lm_step.step(LM, tx, state, batch))(state)[0]['params']
  np.testing.assert_array_equal(after['heard_vz'], params['heard_vz'])
  assert np.abs(after['ear_zd'] - params['ear_zd']).max() > 0.01


def test_a_stream_tells_step_by_step_who_speaks_next_as_offline(params, spoken):
  codes, prosody = spoken
  net = model.AudioLM(LM)
  h, slots = net.apply({'params': params}, codes, prosody, method='hear')
  want = net.apply({'params': params}, h, method='floor')
  step = jax.jit(lambda state, user, forced: sampling.step(LM, params, state, user, jax.random.key(0), GREEDY, forced)[0])
  state = sampling.empty_state(LM, B)
  for frame in range(T):
    state = step(state, codes[:, 1, frame], slots[:, frame])
    np.testing.assert_allclose(state['floor'], want[:, frame], rtol=1e-4, atol=1e-5)
  read = sampling.prefill(LM, params, sampling.empty_state(LM, B), slots, codes[:, 1])
  np.testing.assert_allclose(read['floor'], want[:, -1], rtol=1e-4, atol=1e-5)
  assert not np.asarray(sampling.reset(read, np.array([True, False]))['floor'])[0].any()
