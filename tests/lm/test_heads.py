"""What is learnt beside speaking: who speaks next, which answer a question has, and an ear that hears what is said and not whose voice it is."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.lm import drawing, losses, model, sampling
from telugu_s2s.tokens import prosody
from telugu_s2s.training import lm_step, optimiser

from tests.lm.test_audio_lm import B, GREEDY, SMALL, T, made, spoken          # noqa: F401, a fixture

LM = dataclasses.replace(SMALL, floor_frames=2, match=6, ear=5)


@pytest.fixture(scope='module')
def params():
  return jax.tree.map(jnp.asarray, made(LM))


@pytest.fixture(scope='module')
def batch(spoken):
  codes, prosody = spoken
  rng = np.random.default_rng(2)
  weight = (np.arange(T) < np.array([[T], [9]])).astype(np.float32)
  return {'codes': codes, 'prosody': prosody, 'weight': weight, 'floor': rng.integers(-1, 2, (B, T, 8)).astype(np.int32),
          'asked': np.array([[4, 11, 5], [3, 9, 6]], np.int32)}


def meeting(params, h, batch):
  """What is heard before each answer and the answers, as the model has them, in numpy. asked: i[b 3]."""
  unit = lambda x: x / np.linalg.norm(x)
  table, heard, answers = np.asarray(params['answer_cvz'], np.float64), [[] for _ in model.LISTENED], []
  for row, (first, end, _) in enumerate(batch['asked']):
    for place, told in zip(model.LISTENED, heard):
      told.append(np.exp(float(params['sharp'])) * unit(np.asarray(h[row, first + place], np.float64) @ np.asarray(params['asked_dz'])))
    answers.append(unit(sum(table[3 * (frame - first) // (end - first), batch['codes'][row, 0, frame, 0]] for frame in range(first, end))))
  return np.array(heard), np.array(answers)


def graded(params, batch, how=lm_step.Update()):
  """Compiled: one after another the operations of a gradient take three times as long."""
  return jax.jit(lm_step.gradients, static_argnums=(0, 3))(LM, params, batch, how)


def test_losses_of_heads_are_what_they_are_in_numpy(params, batch):
  parts_of = jax.jit(lm_step.parts_of, static_argnums=0)
  total, parts = parts_of(LM, params, batch)
  net = model.AudioLM(LM)
  h, _ = net.apply({'params': params}, batch['codes'], batch['prosody'], method='hear')
  logits = np.asarray(net.apply({'params': params}, h, method='floor'), np.float64)
  there = (batch['floor'] >= 0) * batch['weight'][..., None]
  likely = 1 / (1 + np.exp(-logits))
  floor = -np.sum(there * np.where(batch['floor'] == 1, np.log(likely), np.log(1 - likely))) / there.sum()
  heard, answers = meeting(params, h, batch)
  scores = [one @ answers.T for one in heard]
  match = -np.mean([np.diag(score - np.log(np.exp(score).sum(axis, keepdims=True))) for score in scores for axis in (0, 1)])
  assert float(parts['floor']) == pytest.approx(floor, rel=1e-5) and float(parts['match']) == pytest.approx(match, rel=1e-5)
  plain = parts_of(dataclasses.replace(LM, floor_frames=0, match=0), params, batch)[0]
  assert float(total) == pytest.approx(float(plain) + losses.FLOOR_WEIGHT * floor + losses.MATCH_WEIGHT * match, rel=1e-5)


def test_a_turn_is_begun_where_the_user_is_silent_and_given_up_where_he_speaks():
  says = lambda *spans: [4.0 if span else -4.0 for span in spans]
  turn = lambda mine, theirs: [float(one) for one in model.whose_turn(jnp.array(says(*mine) + says(*theirs)))]
  silent, speaks = (0, 0, 0, 0), (1, 1, 1, 1)
  mine, theirs = turn((0, 1, 1, 1), silent)
  assert mine > 0.9 and theirs < 0.1
  assert turn(speaks, speaks)[0] < 0.1 and turn(speaks, speaks)[1] > 0.9, 'who is spoken over gives way, whatever he meant to say'
  assert turn(speaks, (0, 1, 1, 1))[1] < 0.1, 'and not before'
  assert max(turn(silent, silent)) < 0.1


def test_rows_without_an_exchange_and_other_takes_of_one_answer_are_no_wrong_answers():
  rng = np.random.default_rng(0)
  heard, answer = rng.normal(size=(2, 5, 3))
  there, same = np.array([1, 1, 0, 1, 1], bool), np.eye(5, dtype=bool)
  same[0, 3] = same[3, 0] = True
  value, gradient = jax.value_and_grad(lambda x: losses.match_sum(x, answer, there, same))(heard)
  score, total = heard @ answer.T, 0.0
  for one in np.flatnonzero(there):
    others = [other for other in np.flatnonzero(there) if other == one or not same[one, other]]
    total += (np.log(np.exp(score[one, others]).sum()) + np.log(np.exp(score[others, one]).sum())) / 2 - score[one, one]
  assert float(value) == pytest.approx(total, rel=1e-5) and not gradient[2].any() and np.isfinite(gradient).all()
  nobody = jax.value_and_grad(lambda x: losses.match_sum(x, answer, np.zeros(5, bool), same))(heard)
  assert float(nobody[0]) == 0 and not nobody[1].any()


def test_what_meets_in_packed_rows_is_what_meets_alone(params, batch):
  hear = lambda codes, prosody, segment=None: model.AudioLM(LM).apply({'params': params}, codes, prosody, segment=segment, method='hear')[0]
  alone = lm_step.match_sum(LM, params, hear(batch['codes'], batch['prosody']), batch['codes'][:, 0, :, 0], batch['asked'])
  joined = np.concatenate(batch['codes'], 1)[None]
  segment = np.repeat([0, 1], T)[None].astype(np.int32)
  asked = np.stack([batch['asked'][0], batch['asked'][1] + [T, T, 0], [-1] * 3])[None]
  h = hear(joined, np.concatenate(batch['prosody'])[None], segment)
  assert float(lm_step.match_sum(LM, params, h, joined[:, 0, :, 0], asked)) == pytest.approx(float(alone), rel=1e-4)


def test_what_comes_behind_a_short_answer_does_not_count_as_heard_in_it(params, batch):
  meet = lambda h: model.AudioLM(LM).apply({'params': params}, h, batch['codes'][:, 0, :, 0], np.array([[[4, 6, 5]], [[3, 4, 6]]], np.int32), method='match')
  h = np.random.default_rng(3).normal(size=(B, T, LM.width)).astype(np.float32)
  other = h.copy()
  other[0, 6:], other[1, 4:] = 0, 0
  for one, same in zip(meet(h), meet(other)):
    np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize('absent', [[1], [0, 1]])
def test_a_row_without_an_exchange_leaves_every_gradient_finite(params, batch, absent):
  batch = {**batch, 'asked': batch['asked'].copy()}
  batch['asked'][absent] = -1
  parts, grads = graded(params, batch)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((parts, grads)))


@pytest.mark.slow
def test_a_batch_in_parts_and_chunks_has_the_same_heads(params, batch):
  (one, grads), (other, again) = graded(params, batch), graded(params, batch, lm_step.Update(accumulate=2, loss_chunk=5))
  for name in one.keys() - {'match', 'loss'}:                                # an answer is told from those of its part
    assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-4), name
  for name in ('floor_dc',):
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


def test_a_stream_that_is_asked_to_waits_for_its_turn(params, spoken):
  user, silence = np.tile(spoken[0][:, 1], (1, 4, 1)), 3
  frame = jax.jit(lambda state, user, how: sampling.step(LM, params, state, user, jax.random.key(0), how))

  def said(floor):
    """i32[b t slots], and how likely it is the stream's turn at each frame f64[b t]."""
    how, state, found, turns = drawing.settings(LM, [drawing.Sampling(1.0, 0, silence, floor=floor)] * B), sampling.empty_state(LM, B), [], []
    for time in range(user.shape[1]):
      state, slots = frame(state, user[:, time], how)
      found.append(slots)
      likely = 1 / (1 + np.exp(-np.asarray(state['floor'], np.float64)))         # of the assistant in four spans, then of the user
      turns.append(likely[:, 1] * (1 - likely[:, 4]))
    return np.stack(found, 1), np.stack(turns, 1)

  slots, turns = said(1.0)
  np.testing.assert_array_equal(slots[..., 1], silence)
  assert set(slots[..., 0].ravel()) == {prosody.SILENT, -1}
  floor = float(np.quantile(turns.max(1), 0.5)) - 1e-3
  slots, turns = said(floor)
  first = [int(np.flatnonzero((turns[row, ::2] >= floor))[0] * 2) if (turns[row, ::2] >= floor).any() else None for row in range(B)]
  assert any(first), 'none of them waits first and begins then: nothing is tested'
  for row, begins in enumerate(first):
    np.testing.assert_array_equal(slots[row, :begins, 1], silence)
    if begins is not None:
      assert slots[row, begins, 1] != silence and slots[row, begins, 0] != prosody.SILENT
  free = said(0.0)[0][..., 1]
  assert (free != silence).mean() > 0.5, 'where nothing is asked for it speaks as it likes'
