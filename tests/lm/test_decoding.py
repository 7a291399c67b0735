"""Decoding: streams that come and go in one program, and say the same alone, among others, and in bursts."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import precision
from telugu_s2s.lm import drawing, model, sampling
from telugu_s2s.lm.drawing import Draw, Sampling

C = model.Config(width=24, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=16, depth_layers=2,
                 depth_heads=2, depth_ffn=12, codebooks=3, codes=11, prosody_codes=7, window=9, sinks=2, dtype='float32')
B, T = 3, 21                     # T beyond the window
STREAMS = [Sampling(1.0, 0, repetition=2), Sampling(0.9, 8, silence=4, silence_bias=1.0, a0=Draw(0.7, 5)),
           Sampling(1.2, 0, top_p=0.9)]


@pytest.fixture(scope='module')
def params():
  shapes = jax.eval_shape(model.AudioLM(C).init, jax.random.key(0), jnp.zeros((1, 2, 4, 3), jnp.int32),
                          jnp.zeros((1, 4), jnp.int32))['params']
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) / 2, jnp.float32), shapes)
  return {**params, 'stream_cd': jnp.sign(params['stream_cd'])}


@pytest.fixture(scope='module')
def user():
  return np.random.default_rng(2).integers(0, 11, (B, T, 3)).astype(np.int32)


HOW = drawing.settings(C, STREAMS)
KEYS = jax.random.split(jax.random.key(7), B)


def by_frames(params, state, user, keys, how):
  """The state and i32[b t slots], one call a frame."""
  said = []
  for time in range(user.shape[1]):
    state, slots = sampling.frame(C, params, state, user[:, time], keys, how)
    said.append(np.asarray(slots))
  return state, np.stack(said, 1)


def row_of(how, rows):
  return {name: value[rows] for name, value in how.items()}


def test_a_burst_says_what_single_frames_say(params, user):
  state, once = sampling.burst(C, params, sampling.empty_state(C, B), user, KEYS, HOW)
  again, single = by_frames(params, sampling.empty_state(C, B), user, KEYS, HOW)
  np.testing.assert_array_equal(once, single)
  for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(again)):
    np.testing.assert_allclose(a, b, atol=1e-5)                               # float32, two programs
  assert len({tuple(row) for row in single[..., 1].tolist()}) == B


@pytest.mark.parametrize('frames', [7, T])
def test_a_stream_that_is_known_to_end_says_the_same_with_a_memory_no_longer_than_it(params, user, frames):
  short, said = C.within(frames), {}
  assert short.window == min(frames, C.window)
  for c in (C, short):
    state, said[c.window] = sampling.burst(c, params, sampling.empty_state(c, B), user[:, :frames], KEYS, HOW)
    assert state['cache']['k'].shape[3] == c.sinks + c.window
  np.testing.assert_array_equal(said[C.window], said[short.window])


def test_bursts_go_on_where_the_last_one_ended(params, user):
  _, once = sampling.burst(C, params, sampling.empty_state(C, B), user, KEYS, HOW)
  state, first = sampling.burst(C, params, sampling.empty_state(C, B), user[:, :8], KEYS, HOW)
  _, second = sampling.burst(C, params, state, user[:, 8:], KEYS, HOW)
  np.testing.assert_array_equal(once, np.concatenate([first, second], 1))


def test_a_batch_says_what_each_stream_says_alone_with_its_key_and_settings(params, user):
  _, together = sampling.burst(C, params, sampling.empty_state(C, B), user, KEYS, HOW)
  for row in range(B):
    rows = slice(row, row + 1)
    _, alone = sampling.burst(C, params, sampling.empty_state(C, 1), user[rows], KEYS[rows], row_of(HOW, rows))
    np.testing.assert_array_equal(together[row], alone[0])


def test_a_stream_that_begins_anew_says_what_a_fresh_one_says_and_the_others_go_on(params, user):
  _, whole = by_frames(params, sampling.empty_state(C, B), user, KEYS, HOW)
  state, _ = by_frames(params, sampling.empty_state(C, B), user[:, :12], KEYS, HOW)
  state = sampling.reset(state, jnp.array([False, True, False]))
  heard = user[:, 12:].copy()
  heard[1] = user[1, :9]
  _, after = by_frames(params, state, heard, KEYS, HOW)
  np.testing.assert_array_equal(after[1], whole[1, :9])
  np.testing.assert_array_equal(after[[0, 2]], whole[[0, 2], 12:])


def test_other_settings_and_other_streams_compile_nothing_anew(params, user):
  state, _ = sampling.frame(C, params, sampling.empty_state(C, B), user[:, 0], KEYS, HOW)
  compiled = sampling.frame._cache_size()
  for how in ([Sampling(0.0)] * B, [drawing.CAREFUL] * B, STREAMS[::-1]):
    state = sampling.reset(state, jnp.array([True, False, True]))
    state, _ = sampling.frame(C, params, state, user[:, 1], jax.random.split(jax.random.key(9), B),
                              drawing.settings(C, how))
  assert sampling.frame._cache_size() == compiled


def test_the_memory_is_given_up_and_not_copied(params, user):
  state = sampling.empty_state(C, B)
  keys = state['cache']['k']
  sampling.frame(C, params, state, user[:, 0], KEYS, HOW)
  assert keys.is_deleted()


def test_no_run_of_first_codes_is_said_twice_where_it_is_guarded(params):
  user = jnp.zeros((1, 40, 3), jnp.int32)
  said = lambda repetition: np.asarray(sampling.burst(
      C, params, sampling.empty_state(C, 1), user, KEYS[:1], drawing.settings(C, [Sampling(0.0, repetition=repetition)])
  )[1])[0, :, 1].tolist()
  runs = lambda codes: [tuple(codes[time:time + 3]) for time in range(len(codes) - 2)]
  free, guarded = said(0), said(3)
  assert len(set(runs(free))) < len(runs(free)), 'the greedy stream does not repeat itself: nothing is tested'
  assert len(set(runs(guarded))) == len(runs(guarded))


def test_a_prompt_counts_as_said_for_the_guard(params, user):
  slots = np.random.default_rng(3).integers(0, 7, (B, 6, C.slots)).astype(np.int32)
  state = sampling.prefill(C, params, sampling.empty_state(C, B), slots, user[:, :6])
  np.testing.assert_array_equal(state['recent'][:, -6:], slots[..., 1])
  np.testing.assert_array_equal(state['recent'][:, :-6], -1)


@pytest.mark.parametrize('name', [pytest.param('bfloat16', marks=pytest.mark.slow), 'int8'])
def test_a_narrowed_model_speaks_with_almost_the_same_logits(params, user, name):
  narrow = precision.converted(params, name)
  assert precision.megabytes(narrow) < (0.62 if name == 'bfloat16' else 0.5) * precision.megabytes(params)
  codes = np.stack([user, user[::-1]], 1)
  apply = lambda params: model.AudioLM(C).apply({'params': precision.dense(params)}, codes, jnp.full((B, T), -1))[0]
  for exact, near in zip(apply(params), apply(narrow)):
    assert 0 < np.abs(exact - near).mean() < 0.05 * exact.std()
  state, said = sampling.frame(C, narrow, sampling.empty_state(C, B), user[:, 0], KEYS, HOW)
  assert said.shape == (B, C.slots)
