"""How codes are drawn: each stream by its own settings."""
import dataclasses

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.lm import drawing, model
from telugu_s2s.lm.drawing import Draw, Sampling

CONFIG = model.Config(codebooks=3, codes=11, prosody_codes=7, text_codes=13)
V = 11
_draw = jax.jit(drawing.draw)
_barred = jax.jit(drawing.barred, static_argnames='codes')
_held = jax.jit(drawing.held, static_argnames='frames')


def drawn(logits, *draws, seed=0):
  """i32[b], one row of logits for all or one each; one Draw for all or one each."""
  b = max(len(logits), len(draws))
  logits = jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (b, logits.shape[-1]))
  draws = list(draws) * (b // len(draws))
  return np.asarray(_draw(logits, jax.random.split(jax.random.key(seed), b),
                          jnp.array([one.temperature for one in draws], jnp.float32),
                          jnp.array([one.top_k for one in draws]), jnp.array([one.top_p for one in draws], jnp.float32)))


def allowed(row, draw):
  """The codes that may be drawn, in plain NumPy; temperature, then top_k, then top_p."""
  order = np.argsort(-row, kind='stable')
  if draw.temperature == 0:
    return {int(order[0])}
  if draw.top_k:
    order = order[:draw.top_k]
  share = np.exp((row[order] - row[order[0]]) / draw.temperature)
  before = np.cumsum(share / share.sum()) - share / share.sum()
  return set(order[before < draw.top_p].tolist())


def test_top_k_draws_only_the_likeliest():
  assert set(drawn(np.tile(np.arange(11.0), (200, 1)), Draw(5.0, 3)).tolist()) == {8, 9, 10}


def test_top_p_draws_only_what_has_the_probability_together():
  logits = np.log(np.tile([0.5, 0.25, 0.15, 0.1], (500, 1)))
  for top_p, codes in ((0.4, {0}), (0.6, {0, 1}), (0.8, {0, 1, 2}), (1.0, {0, 1, 2, 3})):
    assert set(drawn(logits, Draw(1.0, 0, top_p)).tolist()) == codes


@hypothesis.given(st.integers(0, 2**32 - 1), st.floats(0.2, 3.0), st.integers(0, V + 2), st.floats(0.01, 0.99))
@hypothesis.settings(max_examples=30, deadline=None)
def test_what_is_drawn_is_what_may_be_drawn(seed, temperature, top_k, top_p):
  rng = np.random.default_rng(seed)
  row = rng.normal(size=V).astype(np.float32) * 10.0 ** rng.integers(-3, 3)
  draws = Draw(temperature, top_k), Draw(temperature, top_k, top_p), Draw(0.0, top_k, top_p)
  found = drawn(np.tile(row, (300, 1)), *draws, seed=seed)
  for number, draw in enumerate(draws):
    # A hair more probability: where two sums of float32 differ in the last bit, either code is right.
    assert set(found[number::3].tolist()) <= allowed(row, dataclasses.replace(draw, top_p=min(1.0, draw.top_p + 1e-4)))


def test_temperature_draws_codes_as_often_as_they_are_likely():
  found = drawn(np.log(np.tile([0.6, 0.3, 0.1], (20_000, 1))), Draw(1.0, 0))
  np.testing.assert_allclose(np.bincount(found) / 20_000, [0.6, 0.3, 0.1], atol=0.014)      # 4 standard deviations


def test_streams_of_other_settings_do_not_disturb_each_other():
  logits = np.random.default_rng(0).normal(size=(6, 100))
  draws = [Draw(0.0), Draw(1.0, 0), Draw(1.0, 5), Draw(0.7, 0, 0.5), Draw(2.0, 50, 0.9), Draw(0.8, 25)]
  keys = jax.random.split(jax.random.key(0), 6)
  together = drawn(logits, *draws)
  for row, one in enumerate(draws):
    alone = _draw(jnp.asarray(logits[row:row + 1], jnp.float32), keys[row:row + 1], jnp.array([one.temperature]),
                  jnp.array([one.top_k]), jnp.array([one.top_p]))
    assert alone[0] == together[row]


def test_settings_give_each_slot_what_was_asked_for_it():
  how = Sampling(0.8, 200, text=Draw(0.7, 25), a0=Draw(0.6, 100, 0.9), repetition=4)
  found = drawing.settings(CONFIG, [how, Sampling(1.0, 7, silence=3, silence_bias=2.0, top_p=0.5)])
  np.testing.assert_allclose(found['temperature'], [[0.7, 0.8, 0.6, 0.8, 0.8], [1.0] * 5])
  np.testing.assert_array_equal(found['top_k'], [[25, 200, 100, 200, 200], [7] * 5])
  np.testing.assert_allclose(found['top_p'], [[1, 1, 0.9, 1, 1], [0.5] * 5])
  assert found['silence'].tolist() == [-1, 3] and found['silence_bias'].tolist() == [0, 2]
  assert found['repetition'].tolist() == [4, 0] and found['floor'].tolist() == [0, 0]


@pytest.mark.parametrize('how', [Sampling(-0.1), Sampling(float('nan')), Sampling(top_k=-1), Sampling(top_p=0.0),
                                 Sampling(a0=Draw(top_p=1.1)), Sampling(repetition=9), Sampling(silence=V),
                                 Sampling(silence_bias=float('nan')), Sampling(floor=-0.1), Sampling(floor=1.1), Sampling(floor=float('nan'))])
def test_settings_out_of_range_are_refused(how):
  with pytest.raises(InputError):
    drawing.settings(CONFIG, [how])


def repeated(recent, length, silence):
  """The codes that would say a run of `length` again, in plain Python."""
  recent = list(recent)
  last = recent[len(recent) - length + 1:] if length > 1 else []
  found = {recent[end] for end in range(length - 1, len(recent)) if recent[end - length + 1:end] == last}
  return found - {silence, -1} if length and -1 not in last else set()


@hypothesis.given(st.integers(0, 2**32 - 1), st.integers(0, drawing.LONGEST), st.integers(-1, 3), st.integers(0, 50))
@hypothesis.settings(max_examples=60, deadline=None)
def test_the_guard_bars_exactly_what_would_be_said_again(seed, length, silence, heard):
  rng = np.random.default_rng(seed)
  recent = np.full(drawing.RECENT, -1)
  recent[drawing.RECENT - heard:] = rng.integers(0, rng.integers(1, 5), heard)
  how = drawing.settings(CONFIG, [Sampling(silence=silence, silence_bias=0.5, repetition=length)])
  off = np.asarray(_barred(jnp.asarray(recent[None]), how, codes=V))[0]
  assert set(np.flatnonzero(off >= drawing.BARRED).tolist()) == repeated(recent, length, silence)
  assert set(np.flatnonzero((off > 0) & (off < drawing.BARRED)).tolist()) == ({silence} if silence >= 0 else set())


@hypothesis.given(st.lists(st.integers(-1, 3), min_size=50, max_size=50), st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.integers(0, 99),
                  st.sampled_from([0.0, 0.3, 0.8]))
@hypothesis.settings(max_examples=100, deadline=None)
def test_who_waits_begins_at_an_even_frame_of_its_turn_and_gives_way_in_the_others(recent, mine, theirs, position, floor):
  how = drawing.settings(CONFIG, [Sampling(silence=2, floor=floor)])
  found = float(_held(jnp.array([recent]), how, jnp.array([mine]), jnp.array([theirs]), jnp.array([position]), frames=3)[0])
  waited = [set(recent[end - 3:end]) <= {2, -1} for end in range(44, 51)]      # now, and up to 6 frames ago
  if floor and mine >= np.float32(floor) and (position % 2 == 0 if waited[-1] else any(waited)):
    assert found == drawing.BARRED
  elif floor and (waited[-1] or theirs >= np.float32(floor)):
    assert found == -drawing.BARRED
  else:
    assert found == 0, 'as it likes'
