"""Formulas of parameters, arithmetic and memory, against the shapes of the models and published figures."""
import dataclasses
import math
import os
import runpy

import jax
import numpy as np
import pytest

from telugu_s2s import axes, usage
from telugu_s2s.lm.model import Config
from telugu_s2s.planning import compute, memory
from telugu_s2s.training import lm_step, loop, stage2

MODULE = runpy.run_path(os.path.join(usage.ROOT, 'configs/stage2.py'))
SIZES = MODULE['SIZES']
A100 = compute.DEVICES[0]


def model_of(size):
  return Config(**MODULE['get_config'](size).model)


@pytest.mark.parametrize('size', SIZES)
def test_a_size_has_the_parameters_of_the_formula(size):
  c = model_of(size)
  params = jax.eval_shape(lambda: lm_step.init(c, stage2.optimiser_of(MODULE['get_config'](size)), jax.random.key(0)))['params']
  count = lambda *names: sum(math.prod(x.shape) for name in names for x in jax.tree.leaves(params[name]))
  found = compute.parameters(c)
  assert found['temporal'] == count('temporal', 'norm_out_d')
  assert found['depth'] == count('depth', 'depth_norm_d')
  assert sum(found.values()) == sum(math.prod(x.shape) for x in jax.tree.leaves(params))


@pytest.mark.parametrize('size, temporal, depth, all_of_it', [
    ('150m', 100.7, 19.3, 151.6), ('500m', 412.9, 42.5, 505.3), ('1b', 870.8, 77.1, 1016.6)])
def test_the_sizes_are_what_their_names_say(size, temporal, depth, all_of_it):
  found = compute.parameters(model_of(size))
  assert found['temporal'] / 1e6 == pytest.approx(temporal, abs=0.1)
  assert found['depth'] / 1e6 == pytest.approx(depth, abs=0.1)
  assert sum(found.values()) / 1e6 == pytest.approx(all_of_it, abs=0.5)


@pytest.mark.parametrize('size, half, third', [('150m', 0.25, 0.38), ('500m', 0.74, 1.12), ('1b', 1.45, 2.20)])
def test_1000_hours_once_take_these_hours_of_an_a100(size, half, third):
  """The table of the plan that the sizes were chosen by; 25 frames a second."""
  flop = compute.by_rule(model_of(size)) * 1000 * 3600 * 25
  assert compute.hours(flop, A100, 0.5) == pytest.approx(half, abs=0.006)
  assert compute.hours(flop, A100, 0.33) == pytest.approx(third, abs=0.006)
  assert compute.dollars(flop, A100, 0.5) == pytest.approx(half * A100.dollars_an_hour, abs=0.01)


@pytest.mark.parametrize('size', SIZES)
def test_all_of_the_arithmetic_is_more_than_the_rule(size):
  c = model_of(size)
  found = compute.flops(c, 3000)
  assert sum(found.values()) > compute.by_rule(c)
  assert compute.flops(c, 6000)['attention'] == 2 * found['attention']


def test_large_sizes_read_windows_of_120_seconds_and_are_complete():
  configs = [MODULE['get_config'](size) for size in SIZES]
  assert [config.frames / 25 for config in configs] == [3.2, 120, 120, 120]
  assert len({frozenset(config.model) for config in configs}) == 1 == len({frozenset(config) for config in configs})
  assert [config.model.text_codes for config in configs] == [0, 8192, 8192, 8192]


@pytest.mark.sharding
def test_the_memory_of_a_state_is_that_of_its_shards():
  config = MODULE['get_config']('toy')
  c, tx = model_of('toy'), stage2.optimiser_of(config)
  whole, cut = (memory.of_state(loop.abstract(lambda key: lm_step.init(c, tx, key, 0.9), axes.mesh(*mesh), 0))
                for mesh in ((8, 1, 1), (1, 8, 1)))
  count = sum(compute.parameters(c).values())
  assert whole['parameters'] == whole['gradients'] == whole['running mean'] == 4 * count
  assert whole['optimiser'] == pytest.approx(8 * count, abs=16)
  for name in whole:
    assert 1 / 8 <= cut[name] / whole[name] < 0.2, name                    # all but what has no width


def test_memory_for_the_backward_pass_falls_with_what_is_made_again_and_with_chunks():
  c = model_of('500m')
  at = lambda remat, chunk=250, fused=False: sum(memory.activations(
      Config(**{**MODULE['get_config']('500m').model, 'remat': remat}), 1, 3000, chunk, fused).values())
  assert at('none') > at('dots_with_no_batch_dims_saveable') > at('nothing_saveable')
  assert at('nothing_saveable', 0) > at('nothing_saveable') > at('nothing_saveable', fused=True)
  assert memory.activations(c, 1, 3000, 250, True)['logits'] == 2 * 4 * 250 * (8192 + 64 + 8 * 1024)


TINY = Config(width=16, layers=3, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=8, depth_layers=2, depth_heads=2, depth_ffn=12,
              codebooks=3, codes=11, prosody_codes=7, user_every=4, dtype='float32')


def test_memory_for_the_backward_pass_is_what_is_counted_by_hand():
  """A block's matrices give 2 x 16 + 6 x 12 + 2 x 20 = 144 numbers a frame, one of depth 2 x 8 + 4 x 8 + 2 x 12 = 72 a slot, of which there are 4."""
  assert memory.activations(TINY, 2, 10, 5, False) == {
      'temporal': 20 * 3 * (16 + 2 * 144) * 4, 'scores': 2 * 4 * 100 * 8 * 3,
      'depth': 10 * 4 * 2 * (8 + 2 * 72) * 4, 'logits': 10 * (7 + 33) * 8}
  less = dataclasses.replace(TINY, dtype='bfloat16', remat='dots_with_no_batch_dims_saveable', depth_remat='nothing_saveable')
  assert memory.activations(less, 2, 10, 0, False, tensor=2) == {
      'temporal': 20 * 3 * (16 + 32 + (72 + 40) / 2) * 2, 'scores': 2 * 2 * 100 * 6,
      'depth': 25 * 4 * 2 * 8 * 2, 'logits': 25 * 40 / 2 * 8}               # the user's pass is of every fourth frame
  assert memory.activations(less, 2, 10, 0, True)['scores'] == 0


def test_what_the_backward_pass_makes_again_is_counted_by_hand():
  """Multiplied with 3 x 2112 numbers a frame, 2 x 544 a slot of depth, 16 x 8 between them and 40 x 8 at its end."""
  attention, depth, between, heads = 12 * 3 * 24 * 10, 6 * 4 * 1088 * 1.25, 6 * 128 * 1.25, 6 * 320 * 1.25
  attention_of_depth = 12 * 2 * 8 * 16 * 1.25
  assert sum(compute.flops(TINY, 10).values()) == pytest.approx(6 * 6336 + attention + depth + attention_of_depth + between + heads)
  of = lambda remat, depth_remat, chunk: compute.made_again(dataclasses.replace(TINY, remat=remat, depth_remat=depth_remat), 10, chunk)
  assert of('none', 'none', 0) == 0
  assert of('dots_with_no_batch_dims_saveable', 'none', 5) == pytest.approx((attention + depth + attention_of_depth + heads) / 3)
  assert compute.flops(TINY, 10, 0.5)['depth'] == pytest.approx(depth * 0.75 / 1.25)         # half of the frames, and the user's
  assert of('nothing_saveable', 'dots_with_no_batch_dims_saveable', 0) == pytest.approx((6 * 6336 + attention + attention_of_depth) / 3)


def test_tokens_and_checkpoints_have_the_size_of_their_numbers():
  found = memory.storage(model_of('500m'), 500, 5000, 25, mean=True)
  np.testing.assert_allclose([found['tokens'] / 1e9, found['checkpoint']], [7.4, 8000], rtol=0.01)
