"""The arithmetic of likelihood tests: what knows the answer is right, what is blind to it is right half of the time."""
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import weights
from telugu_s2s.evaluation import likelihood, splices
from telugu_s2s.lm.model import AudioLM, Config
from telugu_s2s.tokens import baselines, encoding
from telugu_s2s.training import intervals, lm_step

N, X, Y, Q = 5, 8, 6, 3
LM = Config(width=16, layers=1, heads=2, kv_heads=1, head_width=8, ffn=24, depth_width=8, depth_layers=1, depth_heads=1, depth_ffn=16,
            codebooks=3, codes=11, window=64, dtype='float32')


def items():
  """Codes whose ending repeats the beginning where it is right."""
  rng = np.random.default_rng(0)
  x = np.repeat(rng.permuted(np.tile(np.arange(11), (N, 1)), axis=1)[:, :2, None], X, 2)      # [n 2 x], two codes that differ
  codes = np.concatenate([np.broadcast_to(x[:, :, None], (N, 2, 2, X)), np.broadcast_to(x[:, None, :, :Y], (N, 2, 2, Y))], 3)
  codes = np.repeat(codes[..., None], Q, 4).astype(np.int32)
  return likelihood.Items(codes, np.zeros_like(codes), np.zeros(codes.shape[:4], np.int32), X)


def found(cost):
  return likelihood.answers(*likelihood.scored(cost, items()), (1, 4), np.array([0.5, 0.3, 0.2]))


def test_a_model_that_knows_the_answer_is_always_right():
  knows = lambda said, heard, moves: np.where(said == said[:, :1], 0.0, 1.0)
  assert {name: one.mean() for name, one in found(knows).items()} == dict.fromkeys(likelihood.SCORES, 1.0)
  assert {name: one.mean() for name, one in found(lambda *of: -knows(*of)).items()} == dict.fromkeys(likelihood.SCORES, 0.0)


def test_a_model_that_looks_at_the_ending_alone_is_right_in_one_item_of_each_couple():
  blind = lambda said, heard, moves: said[..., :] * 1.0        # some codes cost more, whatever was before them
  for name, one in found(blind).items():
    np.testing.assert_array_equal(one.sum(1), 1)
  np.testing.assert_array_equal(found(blind)['normalised'], 0.5)           # what the ending costs by itself is taken out


def test_a_constant_model_is_right_half_of_the_time():
  assert {name: one.mean() for name, one in found(lambda said, *_: np.ones(said.shape)).items()} == dict.fromkeys(likelihood.SCORES, 0.5)


def test_codes_cost_what_training_says_they_do():
  rng = np.random.default_rng(1)
  said, heard = rng.integers(11, size=(2, 2, 9, 3))
  moves = np.where(np.arange(9) % 2 == 0, rng.integers(64, size=(2, 9)), -1)
  params = jax.jit(AudioLM(LM).init)(jax.random.key(0), jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params']
  ours = likelihood.nats(LM, params, said.astype(np.int32), heard.astype(np.int32), moves.astype(np.int32))
  assert ours.shape == (2, 8, 3)
  batch = {'codes': np.stack([said, heard], 1), 'prosody': moves, 'weight': np.ones((2, 9), np.float32)}
  parts_of = jax.jit(lambda batch: lm_step.parts_of(LM, params, batch)[1])
  assert ours[..., 1].mean() == pytest.approx(float(parts_of(batch)['a1']), rel=1e-5)      # a1 of the last frame is not in the row
  batch['weight'][:, -1] = 0
  assert ours[..., 0].mean() == pytest.approx(float(parts_of(batch)['a0']), rel=1e-5)


def test_the_bigram_of_items_is_that_of_the_table_of_losses():
  rng = np.random.default_rng(2)
  train = [rng.integers(0, 5, size=(30, 2)) for _ in range(3)]
  clips = rng.integers(0, 5, size=(4, 20, 2))
  counts = baselines.Bigram(train, 5)
  mean = counts.nats(clips, counts.keep(clips)).mean((0, 1))
  np.testing.assert_allclose(mean, baselines.nats(train, [*clips], 5)['bigram'], rtol=1e-5)


def test_wilsons_interval_and_the_one_over_groups():
  one = intervals.share(np.repeat([1.0, 0.0], [60, 40]))
  np.testing.assert_allclose(one['interval'], [0.5020, 0.6906], atol=1e-4)       # Wilson (1927), n = 100, p = 0.6
  rng = np.random.default_rng(0)
  values, groups = np.repeat(rng.integers(2, size=20).astype(float), 50), np.repeat(np.arange(20), 50)
  low, high = intervals.by_group(values, groups, rng)
  alone = intervals.by_group(values, np.arange(1000), rng)
  assert high - low > 4 * (alone[1] - alone[0]) and low < values.mean() < high


def test_a_task_has_the_same_items_whatever_else_is_tested(codec_file, monkeypatch):
  monkeypatch.setattr(splices, 'couples', lambda task, segments, count, x_s, y_s, rng: ([rng.integers(1000)], ''))
  monkeypatch.setattr(likelihood, 'test', lambda couples, *_: couples)
  monkeypatch.setattr(likelihood, 'show', lambda *_: None)
  config = lambda *tasks: types.SimpleNamespace(tasks=tasks, seed=3, count=2, beginning_s=2.0, ending_s=1.2)
  of = lambda *tasks: dict(likelihood.measured(config(*tasks), [], None, None, weights.load(codec_file), None, False))
  every = of(*splices.TASKS)
  assert of('energy', 'room') == {name: every[name] for name in ('energy', 'room')} and len({str(one) for one in every.values()}) > 5


def test_items_are_encoded_whole_and_a_second_speaker_is_heard_where_the_model_listens(codec_file):
  codec = weights.load(str(codec_file))
  encoder, hop, rng = encoding.Encoder(codec, batch=2), codec.config.hop, np.random.default_rng(4)
  frames_x, frames_y = likelihood.sizes(types.SimpleNamespace(beginning_s=0.1, ending_s=0.05), codec.config)
  assert frames_x % 2 == frames_y % 2 == 0
  noise = lambda size: (0.1 * rng.normal(size=size)).astype(np.float32)
  parts = [noise(frames_x * hop + splices.FADE) for _ in range(2)], [noise(frames_y * hop) for _ in range(2)]
  couple = lambda turns: splices.Couple('adjacency', *map(tuple, parts), ('a',), turns)
  one = likelihood.encoded([couple(True)], encoder, frames_x, frames_y, converses=False)
  whole = encoder([splices.joined(parts[0][1], parts[1][0])])[0]
  np.testing.assert_array_equal(one.codes[0, 1, 0], whole)
  np.testing.assert_array_equal(one.heard, np.broadcast_to(encoder.silence(), one.heard.shape))
  assert (one.prosody[..., 1::2] == -1).all() and (one.prosody[..., ::2] >= 0).all()
  two = likelihood.encoded([couple(True)], encoder, frames_x, frames_y, converses=True)
  np.testing.assert_array_equal(two.heard[0, 0, 1, :frames_x], encoder([parts[0][0][:frames_x * hop]])[0])
  np.testing.assert_array_equal(two.codes[0, 0, 0, :frames_x], np.tile(encoder.silence(), (frames_x, 1)))
