"""Rows that hold several clips: the loss and the gradients of the same clips each in a row of its own."""
import dataclasses
import functools

import jax
import numpy as np
import pytest

from telugu_s2s.lm.model import AudioLM, Config
from telugu_s2s.tokens import batches, record
from telugu_s2s.training import lm_step
from telugu_s2s.training.lm_step import Update

from tests.training.test_lm_step import assert_alike

LM = Config(width=16, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=8, depth_layers=1, depth_heads=2,
            depth_ffn=12, codebooks=3, codes=12, prosody_codes=10, text_codes=9, window=64, sinks=2, dtype='float32',
            speakers=5, reference=True, voice_width=12, emotions=4, knob_bins=3, tasks=3)
WINDOW = batches.Window(frames=64, trailing=3, clips=4, align=4)
SILENCE = np.array([1, 2, 3])
LENGTHS = [7, 12, 5, 22, 16, 9, 1]               # of the clips; the first four share a row, and the others


def clip(length, seed):
  rng = np.random.default_rng(seed)
  moves = rng.integers(0, 10, (length + 1) // 2).astype('u1')
  return record.Tokens(rng.integers(0, 12, (length, 3)).astype('u2'), moves, 'codec', 12, 25.0, {'id': f'{seed}'})


def cast(number, window):
  """The row of a clip, with text and conditions that are made up."""
  rng, mine = np.random.default_rng(100 + number), batches.USER if number == 2 else batches.ASSISTANT
  found = batches.row(clip(LENGTHS[number], number), mine, 0, window, SILENCE)
  text = np.where(rng.random(64) < 0.3, rng.integers(0, 9, 64), -1)[:window.frames].astype(np.int32)
  some = lambda size, *shape: rng.integers(-1, size, shape).astype(np.int32)
  return found | {'text': text, 'speaker': some(5), 'emotion': some(4), 'task': some(3), 'knobs': some(3, 4),
                  'reference': some(12, 6, 3)}


def stacked(rows):
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@pytest.fixture(scope='module')
def apart():
  return stacked([cast(number, WINDOW) for number in range(7)])


@pytest.fixture(scope='module')
def together():
  rows = [[functools.partial(cast, number) for number in numbers] for numbers in ((0, 1, 2, 3), (4, 5, 6))]
  return stacked([batches.packed_row(row, WINDOW, SILENCE) for row in rows])


@pytest.fixture(scope='module')
def params(apart):
  net = AudioLM(LM)
  return jax.jit(lambda key: net.init(key, apart['codes'], apart['prosody'])['params'])(jax.random.key(0))


def graded(c, params, batch, how=Update()):
  return jax.device_get(jax.jit(lambda params, batch: lm_step.gradients(c, params, batch, how))(params, batch))


@pytest.mark.slow
@pytest.mark.parametrize('delay', [0, 1, 3])
def test_clips_in_one_row_learn_what_they_learn_apart(params, apart, together, delay):
  c = dataclasses.replace(LM, delay=delay)
  want = graded(c, params, apart)
  assert_alike(graded(c, params, together), want)
  assert_alike(graded(c, params, together, Update(accumulate=2, loss_chunk=16)), want)


@pytest.mark.slow
def test_conditions_are_dropped_clip_by_clip(params, apart, together):
  keep = np.random.default_rng(0).random((2, 4)) < 0.5
  names = ('speaker', 'reference', 'emotion', 'task')
  packed = together | {'keep': {name: keep for name in names} | {'knobs': np.repeat(keep[..., None], 4, -1)}}
  mine = keep.reshape(-1)[:7]
  alone = apart | {'keep': {name: mine for name in names} | {'knobs': np.repeat(mine[:, None], 4, -1)}}
  assert_alike(graded(LM, params, packed), graded(LM, params, alone))


def test_no_clip_hears_another(params, together):
  net = AudioLM(LM)
  said = jax.jit(lambda codes: net.apply({'params': params}, codes, together['prosody'], together['text'], None, together['segment']))
  other = together['codes'].copy()
  second = together['segment'] == 1
  other[np.broadcast_to(second[:, None], other.shape[:3])] = 0
  before, after = said(together['codes']), said(other)
  assert np.any(before[0][2][second] != after[0][2][second])
  for a, b in zip(before[0], after[0]):
    np.testing.assert_array_equal(a[~second], b[~second])


@pytest.mark.slow
def test_a_step_draws_what_is_dropped_for_each_clip_and_sums_over_parts(params, together):
  from tests.training.test_lm_step import TX
  state = {'params': params, 'opt': TX.init(params), 'step': np.zeros((), np.int32)}
  run = jax.jit(functools.partial(lm_step.step, LM, TX), static_argnames='how')
  one, two = (run(state, together, how=Update(accumulate=parts), key=jax.random.key(0)) for parts in (1, 2))
  assert_alike(two[1], one[1])
  assert any(np.any(one[1]['loss'] != run(state, together, how=Update(), key=jax.random.key(seed))[1]['loss']) for seed in range(1, 4))
