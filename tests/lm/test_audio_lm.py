"""The language model: causal, the same step by step as whole, and streams that do not disturb each other."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.lm import frames, model, sampling

SMALL = model.Config(width=32, layers=2, heads=4, kv_heads=2, head_width=8, ffn=48, depth_width=16, depth_layers=2,
                     depth_heads=2, depth_ffn=24, codebooks=3, codes=11, prosody_codes=7, window=64, sinks=2,
                     dtype='float32')
T = 13


@pytest.fixture(scope='module')
def params():
  codes, prosody = jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32)
  return model.AudioLM(SMALL).init(jax.random.key(0), codes, prosody)['params']


def dialogue(batch=2, t=T, seed=0):
  codes = jax.random.randint(jax.random.key(seed), (batch, 2, t, 3), 0, 11)
  prosody = jnp.where(jnp.arange(t) % 2 == 0, jax.random.randint(jax.random.key(seed + 1), (batch, t), 0, 7), -1)
  return codes, prosody


def whole(params, codes, prosody, config=SMALL):
  return model.AudioLM(config).apply({'params': params}, codes, prosody)


def test_undelay_is_the_inverse_of_delay():
  codes = dialogue()[0][:, 0]
  for delay in (0, 1, 2):
    got = frames.undelayed(frames.delayed(codes, delay), delay)
    np.testing.assert_array_equal(got, codes[:, :T - delay])


@pytest.mark.parametrize('stream', [0, 1])
def test_future_frames_do_not_change_the_past(params, stream):
  codes, prosody = dialogue()
  a, _, _ = whole(params, codes, prosody)
  b, _, _ = whole(params, codes.at[:, stream, 8:].set(0), prosody.at[:, 8:].set(-1))
  for slot, (x, y) in enumerate(zip(a, b)):
    np.testing.assert_array_equal(x[:, :8], y[:, :8], err_msg=f'slot {slot}')
    assert not np.allclose(x[:, 9:], y[:, 9:])


def test_a_slot_does_not_see_the_slots_after_it(params):
  codes, prosody = dialogue()
  a, _, _ = whole(params, codes, prosody)
  b, _, _ = whole(params, codes.at[:, 0, T - 1, 0].set(3), prosody)     # a0 of the last step
  np.testing.assert_array_equal(a[0], b[0])                             # prosody comes before it
  np.testing.assert_array_equal(a[1], b[1])
  changed = np.any(codes[:, 0, T - 1, 0] != 3, -1)
  assert changed and not np.allclose(a[2][:, T - 1], b[2][:, T - 1])


def test_the_user_is_predicted_from_the_frames_before(params):
  codes, prosody = dialogue()
  _, a, _ = whole(params, codes, prosody)
  _, b, _ = whole(params, codes.at[:, 1, 8:].set(0), prosody)
  np.testing.assert_array_equal(a[0][:, :7], b[0][:, :7])               # predicts frames 1..7
  assert not np.allclose(a[0][:, 8:], b[0][:, 8:])


def test_swapping_the_streams_changes_what_is_heard(params):
  codes, prosody = dialogue()
  a, _, _ = whole(params, codes, prosody)
  b, _, _ = whole(params, codes[:, ::-1], prosody)
  assert not np.allclose(a[1], b[1])


def test_absent_slots_are_exactly_zero():
  table = jnp.ones((5, 4))
  np.testing.assert_array_equal(model.looked_up(table, jnp.array([-1, 2])), [[0] * 4, [1] * 4])


def forced(params, codes, prosody, config=SMALL):
  """Logits of the codes' slots, step by step with the true slots forced."""
  said = jnp.concatenate([prosody[..., None], frames.delayed(codes[:, 0], 1)], -1)
  net, state, got = model.AudioLM(config), sampling.empty_state(config, codes.shape[0]), []
  step = jax.jit(lambda state, slots, user: _forced_step(net, params, config, state, slots, user))
  for now in range(codes.shape[2]):
    logits, state = step(state, said[:, now], codes[:, 1, now])
    got.append(logits)
  return got


def _forced_step(net, params, config, state, slots, user):
  h, cache = net.apply({'params': params}, state['said'][:, None], user[:, None], state['position'][:, None],
                       state['cache'], method='think')
  depth, logits = model.empty_memory(config, user.shape[0])[1], []
  for slot in range(config.slots):
    last = slots[:, slot - 1] if slot else None
    one, depth = net.apply({'params': params}, h[:, 0], last, slot, jnp.full((user.shape[0], 1), slot), depth,
                           method='slot_step')
    logits.append(one)
  return logits, {'cache': cache, 'position': state['position'] + 1, 'said': slots}


def test_cached_decoding_gives_the_logits_of_teacher_forcing(params):
  codes, prosody = dialogue()
  want, _, _ = whole(params, codes, prosody)
  got = forced(params, codes, prosody)
  for now in range(T):
    for slot in range(SMALL.slots):
      np.testing.assert_allclose(got[now][slot], want[slot][:, now], atol=2e-5)   # float32, another order of sums


def test_a_stream_longer_than_the_window_forgets_all_but_the_sinks(params):
  config = model.Config(**{**SMALL.__dict__, 'window': 5, 'sinks': 2, 'layers': 1})
  small = model.AudioLM(config).init(jax.random.key(0), *dialogue(1))['params']
  codes, prosody = dialogue(1, 14)
  base = forced(small, codes, prosody, config)[-1][1]
  middle = forced(small, codes.at[:, 1, 5].set((codes[:, 1, 5] + 1) % 11), prosody, config)[-1][1]
  sink = forced(small, codes.at[:, 1, 1].set((codes[:, 1, 1] + 1) % 11), prosody, config)[-1][1]
  recent = forced(small, codes.at[:, 1, 11].set((codes[:, 1, 11] + 1) % 11), prosody, config)[-1][1]
  np.testing.assert_array_equal(base, middle)
  assert not np.allclose(base, sink) and not np.allclose(base, recent)


def test_a_prompt_read_at_once_equals_a_prompt_read_step_by_step(params):
  codes, prosody = dialogue()
  said = jnp.concatenate([prosody[..., None], frames.delayed(codes[:, 0], 1)], -1)
  once = sampling.prefill(SMALL, params, sampling.empty_state(SMALL, 2), said, codes[:, 1])
  state = sampling.empty_state(SMALL, 2)
  for now in range(T):
    state, _ = sampling.step(SMALL, params, state, codes[:, 1, now], jax.random.key(0), sampling.Sampling(0), said[:, now])
  np.testing.assert_array_equal(once['position'], state['position'])
  np.testing.assert_array_equal(once['cache']['position'], state['cache']['position'])
  np.testing.assert_allclose(once['cache']['k'], state['cache']['k'], atol=2e-5)
  np.testing.assert_array_equal(once['said'][:, 1:], state['said'][:, 1:])


def test_a_batch_says_what_each_stream_says_alone(params):
  user = dialogue(3)[0][:, 1]
  greedy = sampling.Sampling(temperature=0)
  _, together = sampling.generate(SMALL, params, sampling.empty_state(SMALL, 3), user, jax.random.key(5), greedy)
  for row in range(3):
    _, alone = sampling.generate(SMALL, params, sampling.empty_state(SMALL, 1), user[row:row + 1], jax.random.key(5), greedy)
    np.testing.assert_array_equal(together[row], alone[0])


def test_the_same_key_draws_the_same_codes_and_another_key_others(params):
  user = dialogue(1, 30)[0][:, 1]
  say = lambda seed: np.asarray(sampling.generate(
      SMALL, params, sampling.empty_state(SMALL, 1), user, jax.random.key(seed), sampling.Sampling(1.0, 0))[1])
  np.testing.assert_array_equal(say(1), say(1))
  assert (say(1) != say(2)).any()


def test_prosody_is_said_at_every_second_step(params):
  user = dialogue(2, 10)[0][:, 1]
  _, slots = sampling.generate(SMALL, params, sampling.empty_state(SMALL, 2), user, jax.random.key(0), sampling.Sampling())
  np.testing.assert_array_equal((slots[..., 0] >= 0), np.broadcast_to(np.arange(10) % 2 == 0, (2, 10)))


def test_top_k_draws_only_the_likeliest():
  logits = jnp.tile(jnp.arange(11.0), (200, 1))
  drawn = sampling.draw(logits, jax.random.key(0), sampling.Sampling(5.0, 3))
  assert set(np.asarray(drawn).tolist()) == {8, 9, 10}
