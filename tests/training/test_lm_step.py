"""One update of the audio LM: however a batch is read, the same; and what does not go together is refused."""
import dataclasses
import functools

import jax
import numpy as np
import pytest

from telugu_s2s import axes
from telugu_s2s.errors import InputError
from telugu_s2s.lm.model import AudioLM, Config
from telugu_s2s.training import lm_step, optimiser, runs, stage2, stage4
from telugu_s2s.training.lm_step import Update

LM = Config(width=16, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=8, depth_layers=1, depth_heads=2,
            depth_ffn=12, codebooks=3, codes=12, prosody_codes=10, text_codes=9, window=64, dtype='float32')
TX = optimiser.adamw(optimiser.warmup_stable_decay(1e-2, 1, 100))
B, T = 8, 11


@pytest.fixture(scope='module')
def batch():
  rng = np.random.default_rng(0)
  prosody = np.where(np.arange(T) % 2 == 0, rng.integers(0, 10, (B, T)), -1)
  text = np.where(rng.random((B, T)) < 0.3, rng.integers(0, 9, (B, T)), -1)
  weight = (np.arange(T) < rng.integers(2, T + 1, (B, 1)))                 # rows of very different lengths
  return {'codes': rng.integers(0, 12, (B, 2, T, 3)).astype(np.int32), 'prosody': prosody.astype(np.int32),
          'text': text.astype(np.int32), 'weight': weight.astype(np.float32)}


@pytest.fixture(scope='module')
def state():
  return jax.jit(lambda: lm_step.init(LM, TX, jax.random.key(0), ema=0.5))()


def graded(how, state, batch, mesh=None):
  """(parts, gradients) of a batch."""
  run = jax.jit(lambda params, batch: lm_step.gradients(LM, params, batch, how))
  if mesh is None:
    return jax.device_get(run(state['params'], batch))
  params = jax.tree.map(jax.device_put, state['params'], axes.shardings(state['params'], mesh))
  rows = jax.NamedSharding(mesh, axes.BATCH)
  with jax.set_mesh(mesh):
    return jax.device_get(run(params, jax.tree.map(lambda x: jax.device_put(x, rows), batch)))


@pytest.fixture(scope='module')
def plain(state, batch):
  return graded(Update(), state, batch)


def assert_alike(found, want):
  for (path, a), b in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(want), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=str(path))      # float32, another order of sums


@pytest.mark.parametrize('how', [
    pytest.param(Update(accumulate=4), marks=pytest.mark.slow), pytest.param(Update(loss_chunk=4), marks=pytest.mark.slow),
    Update(accumulate=2, loss_chunk=5)], ids=str)
def test_a_batch_read_in_parts_gives_the_gradient_of_the_whole(state, batch, plain, how):
  assert_alike(graded(how, state, batch), plain)


def test_slots_that_are_learnt_at_drawn_frames_are_those_of_the_whole_where_all_are_drawn(state, batch, plain):
  told = jax.device_get(lm_step.told(LM, batch, 1.0, jax.random.key(1)))
  backwards = {name: x[:, ::-1].copy() for name, x in told.items()}
  assert_alike(graded(Update(accumulate=2, loss_chunk=5), state, batch | backwards), plain)


def test_fewer_frames_are_drawn_anew_in_each_step_and_none_without_a_key(state, batch, plain):
  run = jax.jit(lambda key: lm_step.step(LM, TX, state, batch, Update(depth_frame_fraction=0.4), key)[1])
  one, other = run(jax.random.key(0)), run(jax.random.key(1))
  assert one['codes'] != other['codes'] and abs(one['codes'] / plain[0]['codes'] - 1) < 0.2
  whole = jax.jit(lambda: lm_step.step(LM, TX, state, batch, Update(depth_frame_fraction=0.4))[1])()
  assert whole['codes'] == pytest.approx(plain[0]['codes'], rel=1e-5)


@pytest.mark.slow
def test_preferences_read_in_parts_give_the_gradient_of_the_whole(batch):
  few = dataclasses.replace(LM, layers=1, codebooks=2, text_codes=0)
  params = lm_step.fresh(few, jax.random.key(0))
  answered = np.tile(np.arange(T // 2, T, dtype=np.int32), (B, 1))
  answered[1, 3:] = -1
  compared = (np.arange(B) != 2).astype(np.float32)                          # parts with three comparisons and with four
  rows = {'codes': batch['codes'][..., :2], 'prosody': batch['prosody'], 'weight': batch['weight'], 'answered': answered, 'compared': compared}
  rows |= {'worse_codes': rows['codes'][::-1].copy(), 'worse_prosody': batch['prosody'], 'worse_answered': answered[::-1].copy()}
  parts_of = functools.partial(stage4.parts_of, teacher=jax.tree.map(lambda x: 0.9 * x, params), beta=5.0, anchor=0.2)
  of = lambda how: jax.device_get(jax.jit(lambda params: lm_step.gradients(few, params, rows, how, parts_of))(params))
  assert_alike(of(Update(accumulate=2)), of(Update()))


def test_an_answer_is_weighed_as_if_its_row_stood_alone_and_nothing_else_in_it_counted(batch):
  few = dataclasses.replace(LM, layers=1, codebooks=2, text_codes=0)
  params = lm_step.fresh(few, jax.random.key(0))
  frames = np.array([[3, 4, 5, -1], [2, 3, -1, -1], [6, 7, 8, 9], [4, -1, -1, -1]] * B, np.int32)[:B]
  others = np.roll(frames, 1, 0)
  rows = {'codes': batch['codes'][..., :2], 'prosody': batch['prosody'], 'answered': frames,
          'worse_codes': batch['codes'][::-1, ..., :2].copy(), 'worse_prosody': batch['prosody'], 'worse_answered': others}
  found = np.asarray(jax.jit(lambda: stage4.advantage(few, params, rows))())
  alone = jax.jit(lambda codes, prosody, weight: lm_step.parts_of(
      few, params, {'codes': codes[None], 'prosody': prosody[None], 'weight': weight[None]})[1]['codes'])
  cost = lambda codes, answered, row: alone(codes[row], batch['prosody'][row], np.isin(np.arange(T), answered[row]).astype(np.float32))
  for row in range(B):
    assert found[row] == pytest.approx(float(cost(rows['worse_codes'], others, row) - cost(rows['codes'], frames, row)), abs=1e-5)


def test_a_batch_falls_into_the_fewest_equal_parts_that_are_small_enough():
  assert [runs.parts(*of) for of in ((8, 8), (8, 5), (9, 4), (7, 3), (8, 100), (0, 8))] == [1, 2, 3, 7, 1, 1]


@pytest.mark.sharding
@pytest.mark.parametrize('mesh', [(4, 1, 1), pytest.param((1, 2, 2), marks=pytest.mark.slow)], ids=str)
def test_parts_on_a_mesh_give_the_gradient_of_one_device(state, batch, plain, mesh):
  over = axes.mesh(*mesh, devices=jax.devices()[:4])
  assert_alike(graded(Update(accumulate=2, loss_chunk=4), state, batch, over), plain)


@pytest.mark.slow
def test_a_loss_in_chunks_needs_less_memory():
  """Of 100 frames of 3 x 4000 codes the logits are the largest thing by far."""
  c = dataclasses.replace(LM, codes=4000)
  params = jax.eval_shape(lambda: lm_step.init(c, TX, jax.random.key(0)))['params']
  shape = lambda *of: jax.ShapeDtypeStruct(of, np.int32)
  batch = {'codes': shape(2, 2, 100, 3), 'prosody': shape(2, 100), 'weight': jax.ShapeDtypeStruct((2, 100), np.float32)}

  def temporary(how):
    run = jax.jit(lambda params, batch: lm_step.gradients(c, params, batch, how))
    return run.lower(params, batch).compile().memory_analysis().temp_size_in_bytes

  logits = 2 * 100 * 3 * 4000 * 4
  assert temporary(Update()) > 2 * logits                                   # and their gradients
  assert temporary(Update(loss_chunk=25)) < logits


@pytest.mark.slow
@pytest.mark.parametrize('policy', ['nothing_saveable', 'dots_with_no_batch_dims_saveable'])
def test_what_is_made_again_in_the_backward_pass_changes_nothing(state, batch, plain, policy):
  c = dataclasses.replace(LM, remat=policy, depth_remat=policy)
  found = jax.jit(lambda params, batch: lm_step.gradients(c, params, batch, Update()))(state['params'], batch)
  assert_alike(jax.device_get(found), plain)


@pytest.fixture(scope='module')
def averaged():
  """(state, batch) -> one update with a running mean."""
  return jax.jit(lambda state, batch: lm_step.step(LM, TX, state, batch, Update(ema=0.5)))


def test_the_running_mean_follows_and_is_what_is_measured(averaged, state, batch):
  after, _ = averaged(state, batch)
  decay = 1 / 10                                                            # at step 0 it remembers little
  for a, b, old in zip(*map(jax.tree.leaves, (lm_step.learnt(after), after['params'], state['params']))):
    np.testing.assert_allclose(a, decay * old + (1 - decay) * b, rtol=1e-5, atol=1e-7)
  assert lm_step.learnt({'params': 1}) == 1


def test_a_weight_that_is_no_number_changes_nothing(averaged, state, batch):
  after, metrics = averaged(state, {**batch, 'weight': batch['weight'] * np.nan})
  assert metrics['skipped'] == 1 and after['step'] == 1
  for name in ('params', 'opt', 'mean'):
    jax.tree.map(np.testing.assert_array_equal, after[name], state[name])


@pytest.mark.parametrize('model, how, says', [
    ({}, dict(accumulate=3), 'config.batch: 8 rows do not divide into config.accumulate = 3 parts'),
    ({}, dict(accumulate=4), 'config.batch: 2 rows do not divide over data x fsdp = 8 devices, in each of config.accumulate'),
    ({}, dict(loss_chunk=-1), 'config.loss_chunk -1'),
    ({}, dict(ema=1.0), 'config.ema 1.0'),
    ({}, dict(depth_frame_fraction=0.0), 'config.depth_frame_fraction 0.0: give more than 0'),
    (dict(remat='everything'), {}, "config.model.remat 'everything': give 'none'"),
    (dict(attention='flash'), {}, "config.model.attention 'flash': give 'xla'"),
    (dict(kv_heads=3), {}, 'config.model.heads: 4 do not divide over kv_heads = 3'),
])
def test_what_does_not_go_together_is_refused_in_one_line(model, how, says):
  with pytest.raises(InputError) as caught:
    lm_step.check(dataclasses.replace(LM, **model), Update(**how), B, axes.mesh())
  assert says in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('name, value, says', [
    ('codes', 12, 'batch of step 7: codes holds 12, the model takes 0 to 11.*config.model.codes'),
    ('codes', -1, 'codes holds -1'),
    ('prosody', 10, 'prosody holds 10, the model takes -1 to 9.*config.model.prosody_codes'),
    ('text', 9, 'text holds 9, the model takes -1 to 8.*config.model.text_codes'),
    ('weight', np.nan, 'a weight is not finite'),
])
def test_a_batch_that_the_model_cannot_read_stops_the_run(batch, name, value, says):
  assert stage2.Checked([batch], LM)[0] is batch
  wrong = {**batch, name: batch[name].copy()}
  wrong[name].flat[3] = value
  with pytest.raises(InputError, match=says):
    stage2.Checked({7: wrong}, LM)[7]


def test_the_loss_of_a_model_without_text_ignores_the_text(batch):
  c = dataclasses.replace(LM, text_codes=0)
  params = jax.jit(lambda: lm_step.init(c, TX, jax.random.key(0)))()['params']
  assert 'text_vd' not in params
  without = {name: x for name, x in batch.items() if name != 'text'}
  assert jax.jit(lambda: lm_step.parts_of(c, params, batch)[0] - lm_step.parts_of(c, params, without)[0])() == 0
  assert len(jax.eval_shape(lambda: AudioLM(c).apply({'params': params}, batch['codes'], batch['prosody']))[0]) == 4


@pytest.mark.parametrize('chunk', [pytest.param(0, marks=pytest.mark.slow), 5])
def test_a_model_that_does_not_predict_the_user_learns_nothing_from_what_he_says_next(batch, chunk):
  c = dataclasses.replace(LM, user_every=0, text_codes=0)
  params = lm_step.fresh(c, jax.random.key(0))
  parts, grads = jax.jit(lambda params: lm_step.gradients(c, params, batch, Update(loss_chunk=chunk)))(params)
  assert parts['user'] == 0 and np.isfinite(parts['loss'])
  assert not np.any(grads['into_depth_cdf'][1]) and np.any(grads['into_depth_cdf'][0])
