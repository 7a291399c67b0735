"""The language model: causal, the same step by step as whole, and streams that do not disturb each other."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.lm import frames, model, sampling

SMALL = model.Config(width=24, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=16, depth_layers=2,
                     depth_heads=2, depth_ffn=12, codebooks=3, codes=11, prosody_codes=7, user_every=3, window=64,
                     sinks=2, dtype='float32')
SHORT = dataclasses.replace(SMALL, window=5, layers=1)
B, T = 2, 13
GREEDY, FREE = sampling.Sampling(temperature=0), sampling.Sampling(temperature=1.0, top_k=0)


def made(config):
  codes, prosody = jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32)
  shapes = jax.eval_shape(model.AudioLM(config).init, jax.random.key(0), codes, prosody)['params']
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32) / 4, shapes)
  return {**params, 'stream_cd': np.sign(params['stream_cd'])}


@pytest.fixture(scope='module')
def params():
  return made(SMALL)


@pytest.fixture(scope='module')
def spoken():
  """Codes i32[b 2 t q] and prosody i32[b t] of a dialogue."""
  rng = np.random.default_rng(1)
  prosody = np.where(np.arange(T) % 2 == 0, rng.integers(0, 7, (B, T)), -1)
  return rng.integers(0, 11, (B, 2, T, 3)).astype(np.int32), prosody.astype(np.int32)


whole = jax.jit(lambda params, codes, prosody: model.AudioLM(SMALL).apply({'params': params}, codes, prosody))


@jax.jit
def scored(params, slots, user):
  """Logits of each slot, a list of f32[t b v], and the memory, the true slots being forced step by step."""
  net = model.AudioLM(SMALL)

  def body(state, inputs):
    slots, user = inputs
    h, cache = net.apply({'params': params}, state['said'][:, None], user[:, None], state['position'][:, None],
                         state['cache'], method='think')
    depth, logits = model.empty_memory(SMALL, B)[1], []
    for slot in range(SMALL.slots):
      one, depth = net.apply({'params': params}, h[:, 0], slots[:, slot - 1] if slot else None, slot,
                             jnp.full((B, 1), slot), depth, method='slot_step')
      logits.append(one)
    return {**state, 'cache': cache, 'position': state['position'] + 1, 'said': slots}, logits

  state, logits = jax.lax.scan(body, sampling.empty_state(SMALL, B), (slots.swapaxes(0, 1), user.swapaxes(0, 1)))
  return logits, state


@jax.jit
def stepped(params, slots, user):
  """The state after `step` was forced to say i32[b t slots]."""
  def body(state, inputs):
    return sampling.step(SMALL, params, state, inputs[1], jax.random.key(0), GREEDY, inputs[0])
  return jax.lax.scan(body, sampling.empty_state(SMALL, B), (slots.swapaxes(0, 1), user.swapaxes(0, 1)))[0]


@jax.jit
def thought(params, slots, user):
  """What the temporal transformer of SHORT gives at each frame of a stream, f32[t b d]."""
  def body(carry, inputs):
    cache, position = carry
    h, cache = model.AudioLM(SHORT).apply({'params': params}, inputs[0][:, None], inputs[1][:, None], position, cache,
                                          method='think')
    return (cache, position + 1), h[:, 0]
  begun = model.empty_memory(SHORT, B)[0], jnp.zeros((B, 1), jnp.int32)
  return jax.lax.scan(body, begun, (slots.swapaxes(0, 1), user.swapaxes(0, 1)))[1]


prefill = jax.jit(lambda params, slots, user: sampling.prefill(SMALL, params, sampling.empty_state(SMALL, B), slots, user))


@functools.partial(jax.jit, static_argnames='how')
def generated(params, user, key, how):
  return sampling.generate(SMALL, params, sampling.empty_state(SMALL, len(user)), user, key, how)[1]


def slots_of(codes, prosody):
  return np.concatenate([prosody[..., None], frames.delayed(codes[:, 0], SMALL.delay)], -1)


def changed(codes, stream, time, level=slice(None)):
  """Codes with other ones at a time, or at all times of a slice."""
  codes = codes.copy()
  codes[:, stream, time, level] = (codes[:, stream, time, level] + 3) % 11
  return codes


def test_undelay_is_the_inverse_of_delay(spoken):
  codes = spoken[0][:, 0]
  for delay in (0, 1, 2):
    late = frames.delayed(codes, delay)
    np.testing.assert_array_equal(frames.undelayed(late, delay), codes[:, :T - delay])
    np.testing.assert_array_equal(late[:, :delay, 1:], -1)
    np.testing.assert_array_equal(late[:, :, 0], codes[:, :, 0])


@pytest.mark.parametrize('stream', [0, 1])
def test_future_frames_do_not_change_the_past(params, spoken, stream):
  codes, prosody = spoken
  later = prosody.copy()
  later[:, 8:] = -1
  a, _, _ = whole(params, codes, prosody)
  b, _, _ = whole(params, changed(codes, stream, slice(8, None)), later)
  for slot, (x, y) in enumerate(zip(a, b)):
    np.testing.assert_array_equal(x[:, :8], y[:, :8], err_msg=f'slot {slot}')
    assert not np.allclose(x[:, 9:], y[:, 9:])


def test_what_the_user_says_now_is_heard_at_once(params, spoken):
  codes, prosody = spoken
  a, _, _ = whole(params, codes, prosody)
  b, _, _ = whole(params, changed(codes, 1, 8), prosody)
  for x, y in zip(a, b):
    assert not np.allclose(x[:, 8], y[:, 8])


def test_a_slot_does_not_see_the_slots_after_it(params, spoken):
  codes, prosody = spoken
  a, _, _ = whole(params, codes, prosody)
  b, _, _ = whole(params, changed(codes, 0, T - 1, 0), prosody)             # a0 of the last step
  for slot in (0, 1):                                                       # prosody and a0 itself come before it
    np.testing.assert_array_equal(a[slot], b[slot])
  for slot in (2, 3):
    assert not np.allclose(a[slot][:, T - 1], b[slot][:, T - 1])


def test_the_user_is_predicted_from_the_frames_before(params, spoken):
  codes, prosody = spoken
  _, a, _ = whole(params, codes, prosody)
  _, b, _ = whole(params, changed(codes, 1, slice(8, None)), prosody)
  assert a[0].shape == (B, 4, 11)                                           # predicts frames 1, 4, 7 and 10
  np.testing.assert_array_equal(a[0][:, :3], b[0][:, :3])
  assert not np.allclose(a[0][:, 3], b[0][:, 3])


def test_swapping_the_streams_changes_what_is_heard(params, spoken):
  codes, prosody = spoken
  a, _, _ = whole(params, codes, prosody)
  b, _, _ = whole(params, codes[:, ::-1], prosody)
  assert not np.allclose(a[0][:, 2:], b[0][:, 2:])


def test_the_targets_are_the_prosody_and_the_delayed_codes(params, spoken):
  codes, prosody = spoken
  np.testing.assert_array_equal(whole(params, codes, prosody)[2], slots_of(codes, prosody))


def test_absent_slots_are_exactly_zero():
  table = jnp.ones((5, 4))
  np.testing.assert_array_equal(model.looked_up(table, jnp.array([-1, 2])), [[0] * 4, [1] * 4])


def test_cached_decoding_gives_the_logits_of_teacher_forcing(params, spoken):
  codes, prosody = spoken
  want, _, slots = whole(params, codes, prosody)
  got, _ = scored(params, slots, codes[:, 1])
  for slot in range(SMALL.slots):
    np.testing.assert_allclose(got[slot].swapaxes(0, 1), want[slot], atol=2e-5)   # float32, another order of sums


def test_a_stream_longer_than_the_window_forgets_all_but_the_sinks(spoken):
  params, (codes, prosody) = made(SHORT), spoken
  last = lambda codes: np.asarray(thought(params, slots_of(codes, prosody), codes[:, 1])[-1])
  base = last(codes)
  for time in (2, 5, 7):                                                    # 7 is 5 frames before the last one, 12
    np.testing.assert_array_equal(base, last(changed(codes, 1, time)))
  for time in (0, 1, 8, 12):
    assert not np.allclose(base, last(changed(codes, 1, time)))


def test_a_prompt_read_at_once_equals_a_prompt_read_step_by_step(params, spoken):
  codes, prosody = spoken
  slots = slots_of(codes, prosody)
  once, by_steps = prefill(params, slots, codes[:, 1]), stepped(params, slots, codes[:, 1])
  scoring = scored(params, slots, codes[:, 1])[1]
  for state in (by_steps, scoring):
    np.testing.assert_array_equal(once['position'], state['position'])
    np.testing.assert_array_equal(once['cache']['position'], state['cache']['position'])
    for name in ('k', 'v'):
      np.testing.assert_allclose(once['cache'][name], state['cache'][name], atol=2e-5)     # float32
  said = slots[:, -1, 1:]                                                   # prosody of the last step was left free
  np.testing.assert_array_equal(once['said'][:, 1:], said)
  np.testing.assert_array_equal(by_steps['said'][:, 1:], said)


def test_a_batch_says_what_each_stream_says_alone(params):
  user = np.random.default_rng(2).integers(0, 11, (3, T, 3)).astype(np.int32)
  together = generated(params, user, jax.random.key(5), GREEDY)
  for row in range(3):
    np.testing.assert_array_equal(together[row], generated(params, user[row:row + 1], jax.random.key(5), GREEDY)[0])
  assert (together[0] != together[1]).any()


def test_the_same_key_draws_the_same_codes_and_another_key_others(params, spoken):
  say = lambda seed: np.asarray(generated(params, spoken[0][:, 1], jax.random.key(seed), FREE))
  np.testing.assert_array_equal(say(1), say(1))
  assert (say(1) != say(2)).any()
  assert (say(1)[0] != say(1)[1]).any()


def test_each_slot_says_what_it_may_when_it_may(params, spoken):
  said = np.asarray(generated(params, spoken[0][:, 1], jax.random.key(0), FREE))
  prosody, first, later = said[..., 0], said[..., 1], said[..., 2:]
  np.testing.assert_array_equal(prosody >= 0, np.broadcast_to(np.arange(T) % 2 == 0, (B, T)))
  assert prosody.max() < 7 and 0 <= first.min() and first.max() < 11
  np.testing.assert_array_equal(later[:, :SMALL.delay], -1)                 # nothing has come yet
  assert 0 <= later[:, SMALL.delay:].min() and later.max() < 11


def test_a_bias_against_silence_keeps_its_code_from_being_said(params):
  user = jnp.zeros((1, 12, SMALL.codebooks), jnp.int32)
  said = lambda how: np.asarray(generated(params, user, jax.random.key(0), how))[0, :, 1]
  silence = int(np.bincount(said(GREEDY)).argmax())
  assert silence not in said(sampling.Sampling(temperature=0, silence=silence, silence_bias=1e9))


@pytest.mark.parametrize('field, value', [('head_width', 7), ('depth_width', 6), ('user_every', -1), ('delay', -1), ('dtype', 'bf16'), ('layers', 0),
                                          ('kv_heads', 3), ('window', 0), ('depth_ffn', 0)])
def test_sizes_that_cannot_be_are_named(field, value):
  with pytest.raises(InputError, match=f'config.model.*{field if field != "kv_heads" else "heads"}'):
    dataclasses.replace(SMALL, **{field: value})


def test_a_prompt_longer_than_the_window_is_read_as_step_by_step(params, spoken):
  """Beyond it a chunk's distances to the sinks are others than those of single frames."""
  codes, prosody = spoken
  slots = slots_of(codes, prosody)
  narrow = dataclasses.replace(SMALL, window=5)
  assert narrow.sinks and narrow.window < T - 1
  read = functools.partial(jax.jit(lambda params, slots, user, state: sampling.prefill(narrow, params, state, slots, user)), params)
  once = read(slots, codes[:, 1], sampling.empty_state(narrow, B))
  state = sampling.empty_state(narrow, B)
  for t in range(T):
    state = read(slots[:, t:t + 1], codes[:, 1, t:t + 1], state)
  assert jax.tree.structure(once) == jax.tree.structure(state)
  for one, other in zip(jax.tree.leaves(once), jax.tree.leaves(state)):
    np.testing.assert_allclose(one, other, atol=2e-5)


def test_a_model_that_learnt_no_prosody_says_none_and_is_told_none(params, spoken):
  silent = dataclasses.replace(SMALL, prosody=False)
  user = np.random.default_rng(2).integers(0, 11, (B, T, 3)).astype(np.int32)
  speak = jax.jit(lambda params, user: sampling.generate(silent, params, sampling.empty_state(silent, B), user, jax.random.key(5), GREEDY)[1])
  said = speak(params, user)
  assert (np.asarray(said)[..., 0] == frames.ABSENT).all() and (np.asarray(said)[..., 1] >= 0).all()
  codes, prosody = spoken
  assert (np.asarray(model.targets(silent, codes, prosody))[..., 0] == frames.ABSENT).all()
  assert (np.asarray(model.targets(SMALL, codes, prosody))[..., 0] >= 0).any()
