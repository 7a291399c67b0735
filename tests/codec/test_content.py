"""The heads that teach the first level: their losses against plain counting, and what they teach."""
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import content


def test_the_unit_loss_leaves_out_frames_without_a_unit():
  logits = jnp.array([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]]])
  loss, right = content.unit_loss(logits, jnp.array([[0, 2, -1]]))
  each = [np.log(np.exp(2) + 2) - 2, np.log(np.exp(1) + 2)]
  assert float(loss) == pytest.approx(np.mean(each), rel=1e-5)
  assert float(right) == 0.5
  assert float(content.unit_loss(logits, jnp.full((1, 3), -1))[0]) == 0.0


def test_the_grapheme_loss_sums_over_every_path():
  """CTC by its definition: all paths of four frames that spell 1 2, blanks and repeats merged."""
  logits = np.random.default_rng(0).normal(size=(1, 5, 3)).astype(np.float32)
  share = np.exp(logits[0]) / np.exp(logits[0]).sum(-1, keepdims=True)
  total = 0.0
  for path in itertools.product(range(3), repeat=4):
    spelled = [sign for sign, _ in itertools.groupby(path) if sign]
    total += np.prod(share[np.arange(4), path]) if spelled == [1, 2] else 0.0
  found = content.grapheme_loss(logits, jnp.array([4]), jnp.array([[1, 2, 0]]))
  assert float(found) == pytest.approx(-np.log(total) / 2, rel=1e-4)


def test_heads_see_a_frame_alone():
  net = content.Content(units=5, graphemes=4, hidden=6)
  x = np.random.default_rng(0).normal(size=(2, 7, 8)).astype(np.float32)
  params = net.init(jax.random.key(0), x)
  units, graphemes = net.apply(params, x)
  assert units.shape == (2, 7, 5) and graphemes.shape == (2, 7, 4)
  other = x.copy()
  other[:, 3] += 1
  moved = np.abs(np.asarray(net.apply(params, other)[0] - units)).max((0, 2)) > 0
  np.testing.assert_array_equal(moved, np.arange(7) == 3)


def test_a_head_without_classes_has_no_logits():
  net = content.Content(units=0, graphemes=4)
  x = jnp.ones((1, 2, 8))
  params = net.init(jax.random.key(0), x)
  assert net.apply(params, x)[0].shape == (1, 2, 0)
  assert all(array.size for array in jax.tree.leaves(params))              # one without elements could not be saved
