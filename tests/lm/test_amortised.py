"""Which frames the depth transformer learns at."""
import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.lm import amortised

T = 12


def test_silence_does_not_move_and_the_first_frame_and_each_that_says_something_else_do():
  codes = np.array([[[7, 1], [7, 1], [3, 1], [3, 2], [3, 2]]])
  assert amortised.moving(codes).tolist() == [[True, False, True, True, False]]


@hypothesis.given(seed=st.integers(0, 99), share=st.sampled_from([0.05, 0.3, 0.5, 1.0]), moved=st.floats(0, 1), there=st.floats(0, 1))
@hypothesis.settings(max_examples=40, deadline=None)
def test_the_frames_drawn_stand_for_all_that_count(seed, share, moved, there):
  rng = np.random.default_rng(seed)
  moves, there = rng.random((3, T)) < moved, rng.random((3, T)) < there
  frames, stands_for = map(np.asarray, amortised.chosen(jax.random.key(seed), jnp.asarray(moves), jnp.asarray(there), share))
  for row in range(3):
    assert len(set(frames[row])) == len(frames[row])
    of = lambda kind: stands_for[row][kind[row][frames[row]]].sum()
    assert of(moves & there) == pytest.approx((moves & there)[row].sum(), rel=1e-5)
    assert of(~moves & there) == pytest.approx((~moves & there)[row].sum(), rel=1e-5)
    assert of(~there) == 0


def test_frames_that_say_something_new_come_first_and_each_frame_counts_once_on_the_average():
  moves = jnp.asarray(np.arange(T) < 5)[None]
  there = jnp.asarray(np.arange(T) < 11)[None]

  def counted(key):
    frames, stands_for = amortised.chosen(key, moves, there, 0.5)
    return jnp.zeros(T).at[frames[0]].add(stands_for[0])

  found = np.asarray(jax.vmap(counted)(jax.random.split(jax.random.key(0), 4000)))
  assert (found[:, :5] == 1).all()                                            # 5 of 6 places, all there are
  assert (np.count_nonzero(found[:, 5:11], 1) == 1).all()
  assert found.mean(0) == pytest.approx(1.0 * (np.arange(T) < 11), abs=0.15)


def test_a_row_is_taken_at_its_frames():
  x, slots, weight = np.arange(4.0)[None, :, None], np.arange(8)[None].reshape(1, 4, 2), np.array([[1.0, 2.0, 3.0, 0.0]])
  found = amortised.taken((x, slots, weight), np.array([[2, 0]]), np.array([[1.5, 0.0]]))
  assert found[0].tolist() == [[[2.0], [0.0]]] and found[1].tolist() == [[[4, 5], [0, 1]]] and found[2].tolist() == [[4.5, 0.0]]
  by_slot = amortised.taken((x, slots, np.stack([weight, 2 * weight], -1)), np.array([[2, 0]]), np.array([[1.5, 0.0]]))[2]
  assert by_slot.tolist() == [[[4.5, 9.0], [0.0, 0.0]]]
