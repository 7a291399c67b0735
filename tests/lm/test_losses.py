"""The loss of the language model: what is absent or behind the clip does not count."""
import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.lm import losses, model

B, T, V = 2, 5, 7
CONFIG = model.Config(codebooks=3, codes=V, prosody_codes=4, user_every=2)


@pytest.fixture
def batch():
  rng = np.random.default_rng(0)
  mine = [rng.normal(size=(B, T, size)).astype(np.float32) for size in CONFIG.vocabularies]
  theirs = [rng.normal(size=(B, 2, V)).astype(np.float32) for _ in range(3)]
  slots = np.stack([rng.integers(0, size, (B, T)) for size in CONFIG.vocabularies], -1)
  slots[:, 1::2, 0] = -1
  slots[:, 0, 2:] = -1
  weight = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.float32)
  return dict(mine=mine, theirs=theirs, slots=slots, user=rng.integers(0, V, (B, T, 3)), weight=weight)


def nats(logits, target, weight):
  """Plain NumPy."""
  found = [-(row - np.log(np.exp(row).sum()))[code] for row, code, on in zip(
      logits.reshape(-1, logits.shape[-1]), target.ravel(), weight.ravel()) if code >= 0 and on]
  return np.mean(found)


def total(batch, config=CONFIG):
  mine, theirs, slots, user, weight = (batch[name] for name in ('mine', 'theirs', 'slots', 'user', 'weight'))
  return losses.combined(config, losses.sums(mine, slots, losses.slot_weights(config, slots, weight))[0],
                         losses.sums(theirs, user[:, config.predicted], weight[:, config.predicted])[0], losses.counts(config, slots, user, weight))


@pytest.mark.parametrize('codebooks', [1, 3, 8, 12])
def test_the_shares_of_the_codebooks_sum_to_one_and_fall(codebooks):
  share = losses.code_weights(codebooks)
  assert share.shape == (codebooks,)
  assert share.sum() == pytest.approx(1)
  assert (np.diff(share) <= 0).all()


def test_each_part_is_the_mean_over_what_is_present(batch):
  loss, parts = total(batch)
  share = losses.code_weights(3)
  want = {name: nats(batch['mine'][slot], batch['slots'][..., slot], batch['weight'])
          for slot, name in enumerate(['prosody', 'a0', 'a1', 'a2'])}
  want['codes'] = sum(share[level] * want[f'a{level}'] for level in range(3))
  want['user'] = sum(share[level] * nats(batch['theirs'][level], batch['user'][:, 1::2, level], batch['weight'][:, 1::2])
                     for level in range(3))
  for name, value in want.items():
    assert parts[name] == pytest.approx(value, rel=1e-5), name                # float32
  sides = losses.PROSODY_WEIGHT * want['prosody'] + losses.USER_WEIGHT * want['user']
  assert 0 < loss - (want['codes'] + sides) < 1e-3                            # the z-loss, 1e-4 of log Z squared
  assert parts['loss'] == loss


def test_text_without_a_word_counts_half(batch):
  text = np.array([[0, 1, 4, 0, -1], [6, 0, 5, 2, 2]])                         # PAD, EPAD, words, absent, behind the clip
  logits = np.random.default_rng(2).normal(size=(B, T, V)).astype(np.float32)
  mine, slots = [logits, *batch['mine']], np.concatenate([text[..., None], batch['slots']], -1)
  config = dataclasses.replace(CONFIG, text_codes=V)
  _, parts = total({**batch, 'mine': mine, 'slots': slots}, config)
  rows = [(one, nats(one_logits[None], np.array([one]), np.array([1]))) for one, one_logits, on in zip(
      text.ravel(), logits.reshape(-1, V), batch['weight'].ravel()) if one >= 0 and on]
  share = [0.5 if one < 2 else 1.0 for one, _ in rows]
  assert parts['text'] == pytest.approx(np.average([value for _, value in rows], weights=share), rel=1e-5)
  _, without = total(batch)
  for name in ('prosody', 'a0', 'a1', 'a2', 'user'):
    assert parts[name] == without[name]


def test_what_has_no_weight_changes_nothing(batch):
  loss, _ = total(batch)
  for logits in batch['mine']:
    logits[1, 3:] += 5 * np.random.default_rng(1).normal(size=logits[1, 3:].shape)
  batch['slots'][1, 3:] = 0
  assert total(batch)[0] == pytest.approx(float(loss), rel=1e-6)


def test_a_batch_without_weight_has_no_loss_and_no_nan(batch):
  batch['weight'][:] = 0
  assert total(batch)[0] == 0


def test_large_logits_do_not_overflow():
  logits = jnp.array([[[1e4, 0.0, 0.0]]])
  nats, square = losses.masked_sums(logits, jnp.array([[0]]), [jnp.ones((1, 1))])[0]
  assert nats == 0 and square == pytest.approx(1e8)


@pytest.mark.parametrize('text', [0, 6])
def test_the_nats_of_rows_are_the_same_however_few_logits_exist_at_once(text):
  c = dataclasses.replace(CONFIG, text_codes=text)
  rng = np.random.default_rng(1)
  slots = jnp.asarray(np.stack([rng.integers(-1, size, (B, T)) for size in c.vocabularies], -1))
  h, tables = jnp.asarray(rng.normal(size=(B, T, 3)), jnp.float32), [rng.normal(size=(3, size)).astype(np.float32) for size in c.vocabularies]
  speak = lambda h, slots: [h @ table for table in tables]
  weight = jnp.array([[0, 1, 1, 1, 0], [1, 1, 0, 0, 0]], jnp.float32)
  sums = lambda of: losses.row_sums(c, speak(*of[:2]), *of[1:])
  whole, parts = (losses.by_row(c, losses.in_chunks(sums, (h, slots, weight), chunk)) for chunk in (0, 2))
  assert whole.shape == (B,) and (whole > 0).all()
  np.testing.assert_allclose(whole, parts, rtol=1e-6)


@pytest.mark.parametrize('every', [1, 2])
def test_no_frame_of_the_user_is_learnt_from_another_clips(every):
  config, segment = dataclasses.replace(CONFIG, user_every=every), np.array([[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]])
  found = losses.heard_weight(config, np.ones((2, 5), np.float32), segment)
  before = [frame - 1 for frame in range(1, 5, every)]
  np.testing.assert_array_equal(found, [[float(row[frame] == row[frame + 1]) for frame in before] for row in segment])
  assert (losses.heard_weight(config, np.ones((2, 5), np.float32)) == 1).all()
