"""Conditions: absent ones are exactly nothing, they come and go without a word more, and guidance keeps its promises."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s import axes
from telugu_s2s.lm import conditions, model, sampling

from tests.lm.test_audio_lm import B, GREEDY, SMALL, T, made, spoken

ASKED = dataclasses.replace(SMALL, speakers=5, reference=True, voice_width=12, emotions=4, knob_bins=5, tasks=3, guidances=8, nonverbal=True)
GIVEN = {'speaker': np.array([3, 1]), 'emotion': np.array([0, 2]), 'task': np.array([1, -1]), 'guidance': np.array([2, 2]), 'breath': np.array([1, 0]), 'filler': np.array([0, -1]),
         'knobs': np.array([[0, 4, -1, 2], [1, 1, 1, 1]])}
FREE = sampling.Sampling(temperature=1.0, top_k=0)


@pytest.fixture(scope='module')
def params():
  return made(ASKED)


def condition(params, given, keep=None):
  return model.AudioLM(ASKED).apply({'params': params}, given, keep, method='condition')


@functools.partial(jax.jit, static_argnames=('how', 'guided'))
def said(params, given, user, key, how=FREE, guided=False):
  state = sampling.conditioned(ASKED, params, sampling.empty_state(ASKED, len(user), guided), given)
  return sampling.generate(ASKED, params, state, user, key, how)[1]


def test_what_is_absent_adds_exactly_zero(params):
  for name, value in GIVEN.items():
    none = np.full_like(value, conditions.ABSENT)
    assert not np.any(condition(params, {name: none})[0]) and np.any(condition(params, {name: value})[0][0])


def test_breaths_that_no_data_told_of_change_nothing():
  fresh = jax.jit(model.AudioLM(ASKED).init)(jax.random.key(0), jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params']
  for name in conditions.NONVERBAL:
    assert not np.any(condition(fresh, {name: np.array([1, 0])})[0])


def test_conditions_are_added_one_by_one(params):
  together = condition(params, GIVEN)[0]
  alone = sum(condition(params, {name: value})[0] for name, value in GIVEN.items())
  np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_model_without_conditions_has_their_parameters_no_more_than_before():
  shapes = lambda c: jax.eval_shape(model.AudioLM(c).init, jax.random.key(0), jnp.zeros((1, 2, 4, 3), jnp.int32),
                                    jnp.zeros((1, 4), jnp.int32))['params']
  assert set(shapes(ASKED)) - set(shapes(SMALL)) == {'conditions'} and 'condition' not in sampling.empty_state(SMALL, 2)


def test_each_parameter_names_its_axes(params):
  mesh = axes.mesh(data=2, fsdp=2, tensor=2)
  assert jax.tree.structure(axes.shardings(params['conditions'], mesh)) == jax.tree.structure(params['conditions'])


def test_conditions_are_dropped_alone_and_together_as_often_as_they_say():
  b = 20_000
  given = conditions.filled(ASKED.conditions, {'speaker': np.zeros(b, np.int32)}, 3)
  given['reference'] = np.full((b, 1, 3), -1)
  keep = conditions.kept(jax.random.key(0), ASKED.conditions, given)
  share = (1 - conditions.DROP) * (1 - conditions.DROP_ALL)
  for name in ('speaker', 'emotion', 'task', 'guidance', 'breath', 'filler'):
    assert np.mean(keep[name]) == pytest.approx(share, abs=0.02), name
  # A row drops each knob as often as a number of its own says, between DROP and 1.
  told = 1 - conditions.DROP
  assert np.allclose(np.mean(keep['knobs'], 0), told / 2 * (1 - conditions.DROP_ALL), atol=0.02)
  one = np.linspace(0, told, 1001)
  alone = 4 * np.mean(one * (1 - one) ** 3) * (1 - conditions.DROP_ALL)
  assert np.mean(np.sum(keep['knobs'], 1) == 1) == pytest.approx(alone, abs=0.02) and np.any(np.all(keep['knobs'], 1))
  both = np.mean(np.asarray(keep['speaker']) & np.asarray(keep['emotion']))
  assert both == pytest.approx((1 - conditions.DROP) ** 2 * (1 - conditions.DROP_ALL), abs=0.02)
  again = conditions.kept(jax.random.key(0), ASKED.conditions, given)
  assert all(np.array_equal(keep[name], again[name]) for name in keep)
  # A run without breaths and fillers draws what it drew before there were any.
  fewer = dataclasses.replace(ASKED, nonverbal=False).conditions
  without = conditions.kept(jax.random.key(0), fewer, {name: value for name, value in given.items() if name not in conditions.NONVERBAL})
  assert without.keys() == keep.keys() - set(conditions.NONVERBAL) and all(np.array_equal(keep[name], without[name]) for name in without)


def test_half_of_the_rows_with_a_knob_do_without_their_emotion():
  b = 20_000
  given = conditions.filled(ASKED.conditions, {'knobs': np.tile([3, -1, -1, -1], (b, 1))}, 3) | {'reference': np.full((b, 1, 3), -1)}
  keep = {name: np.asarray(value) for name, value in conditions.kept(jax.random.key(0), ASKED.conditions, given).items()}
  told = keep['knobs'][:, 0]                                                 # the others are not known
  assert np.mean(keep['emotion'][told]) == pytest.approx((1 - conditions.DROP) / 2, abs=0.02)
  some = keep['task'] | keep['speaker'] | keep['guidance']                     # not every condition is dropped
  assert np.mean(keep['emotion'][~told & some]) > np.mean(keep['emotion'][told]) + 0.25


def test_a_dropped_condition_is_an_absent_one(params):
  on = {name: np.ones((B, 4) if name == 'knobs' else B, bool) for name in GIVEN}
  found = condition(params, GIVEN, {**on, 'emotion': np.zeros(B, bool)})[0]
  np.testing.assert_array_equal(found, condition(params, {name: GIVEN[name] for name in GIVEN if name != 'emotion'})[0])


def test_a_voice_is_heard_from_a_recording_wherever_it_ends(params):
  recording = np.random.default_rng(0).integers(0, 11, (B, 6, 3))
  longer = np.concatenate([recording, np.full((B, 4, 3), -1)], 1)
  voice, tie = condition(params, {'reference': recording})
  np.testing.assert_allclose(condition(params, {'reference': longer})[0], voice, atol=1e-5)
  assert np.any(voice[0] != voice[1]) and not np.any(tie)
  assert np.all(np.asarray(condition(params, {'reference': recording, 'speaker': GIVEN['speaker']})[1]) > 0)


def test_streaming_with_conditions_equals_reading_at_once(params, spoken):
  codes, prosody = spoken
  net, rows = model.AudioLM(ASKED), condition(params, GIVEN)[0]
  h, slots = net.apply({'params': params}, codes, prosody, None, rows, method='hear')
  cache, at = model.empty_memory(ASKED, B)[0], []
  read = np.concatenate([np.full((B, 1, slots.shape[-1]), -1), slots[:, :-1]], 1)
  think = jax.jit(functools.partial(net.apply, method='think'))
  for t in range(T):
    y, cache = think({'params': params}, read[:, t:t + 1], codes[:, 1, t:t + 1], jnp.full((B, 1), t), cache, rows)
    at.append(y[:, 0])
  np.testing.assert_allclose(np.stack(at, 1), h, atol=1e-4)            # float32


def test_a_batch_says_what_each_stream_says_alone(params):
  user = np.random.default_rng(0).integers(0, 11, (B, 9, 3))
  keys = jax.random.split(jax.random.key(5), B)
  for guided in (False, True):
    how = dataclasses.replace(FREE, guidance=1.5)
    together = said(params, GIVEN, user, keys, how, guided)
    for row in range(B):
      alone = said(params, {name: value[row:row + 1] for name, value in GIVEN.items()}, user[row:row + 1], keys[row:row + 1],
                   how, guided)
      np.testing.assert_array_equal(alone[0], together[row])


def test_guidance_of_one_says_what_no_guidance_says_and_more_says_else(params):
  user = np.random.default_rng(1).integers(0, 11, (B, 12, 3))
  plain = said(params, GIVEN, user, jax.random.key(0), GREEDY)
  at = lambda coefficient: said(params, GIVEN, user, jax.random.key(0), dataclasses.replace(GREEDY, guidance=coefficient), True)
  np.testing.assert_array_equal(at(1.0), plain)
  assert np.any(at(4.0) != plain)
  nothing = said(params, {'speaker': np.full(B, -1)}, user, jax.random.key(0), GREEDY)
  np.testing.assert_array_equal(at(0.0), nothing)
  assert np.any(plain != nothing)


def test_a_stream_changes_its_conditions_and_leaves_the_others_alone(params):
  state = sampling.conditioned(ASKED, params, sampling.empty_state(ASKED, B), GIVEN)
  changed = sampling.conditioned(ASKED, params, state, {'speaker': np.array([4, 4])}, np.array([True, False]))
  assert np.any(changed['condition'][0] != state['condition'][0])
  np.testing.assert_array_equal(changed['condition'][1], state['condition'][1])
  assert not np.any(sampling.reset(changed, np.array([True, False]))['condition'][0])


def test_a_coefficient_is_named_by_the_nearest_that_was_learnt():
  assert [conditions.COEFFICIENTS[conditions.guidance(value, 8)] for value in (1.0, 1.6, 9.0)] == [1.0, 1.5, 4.0]
