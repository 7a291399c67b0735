"""Distilled guidance: its loss is the distance from guided speech, however a batch is read, and training lessens it."""
import dataclasses
import functools
import json
import os
import runpy
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s import usage
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import generate
from telugu_s2s.lm import conditions
from telugu_s2s.lm.model import AudioLM
from telugu_s2s.tokens import vocabulary
from telugu_s2s.training import distilling, lm_step, runs, stage2
from telugu_s2s.training.lm_step import Update

from tests.training import test_voices
from tests.training.test_lm_step import B, assert_alike, batch as batch
from tests.training.test_voices import LM, state as state, told as told

NUMBERS = np.array([0, 1, 2, 3, 3, 2, 1, 0], np.int32)


@pytest.fixture(scope='module')
def parts(state):
  """f(params, batch, chunk) of the loss whose teacher is the fresh model."""
  teacher = state['params']
  return jax.jit(lambda params, batch, chunk: distilling.parts_of(LM, params, batch, chunk, teacher=teacher)[1], static_argnums=2)


def moved(params):
  rng = np.random.default_rng(1)
  return jax.tree.map(lambda x: x + rng.normal(0, 0.05, x.shape).astype(x.dtype), params)


@pytest.mark.slow
def test_the_loss_is_the_divergence_from_guided_speech(state, told, parts):
  """Against the logits of three passes, one coefficient for all rows."""
  net, params, student = AudioLM(LM), state['params'], moved(state['params'])
  given = lm_step.asked(LM, told)
  inputs = told['codes'], told['prosody'], told['text']

  def logits(params, given):
    condition = None if given is None else net.apply({'params': params}, given, method='condition')[0]
    said, _, slots = net.apply({'params': params}, *inputs, condition)
    return said, slots

  numbers = np.full(B, 3, np.int32)
  said, slots = logits(student, {**given, 'guidance': numbers})
  (asked, _), (free, _) = logits(params, given), logits(params, None)
  want = {}
  for slot, name in enumerate(('text', 'prosody', 'a0', 'a1', 'a2')):
    guided = free[slot] + conditions.COEFFICIENTS[3] * (asked[slot] - free[slot])
    p, q = jax.nn.softmax(guided), jax.nn.softmax(said[slot])
    weight = told['weight'] * (slots[..., slot] >= 0)
    if name == 'text':
      weight = weight * np.where(slots[..., slot] < 2, 0.5, 1.0)
    want[name] = jnp.sum(weight * jnp.sum(p * jnp.log(p / q), -1)) / jnp.sum(weight)
  found = parts(student, {**told, 'guidance': numbers}, 0)
  for name, value in want.items():
    np.testing.assert_allclose(found[name], value, rtol=2e-3, atol=1e-6)


def test_at_a_coefficient_of_one_there_is_nothing_to_learn(state, told, parts):
  assert parts(state['params'], {**told, 'guidance': np.zeros(B, np.int32)}, 0)['loss'] < 1e-6
  assert parts(state['params'], {**told, 'guidance': np.full(B, 3, np.int32)}, 0)['loss'] > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('how', [Update(loss_chunk=4), Update(accumulate=2, loss_chunk=5)], ids=str)
def test_a_batch_read_in_parts_gives_the_gradient_of_the_whole(state, told, how):
  of = functools.partial(distilling.parts_of, teacher=state['params'])
  given = {**told, 'guidance': NUMBERS}
  graded = lambda how: jax.device_get(jax.jit(lambda params: lm_step.gradients(LM, params, given, how, of))(moved(state['params'])))
  assert_alike(graded(how), graded(Update()))


@pytest.mark.slow
def test_packed_rows_are_guided_clip_by_clip(state, told):
  """Two halves of the rows, one behind the other in time."""
  halves = lambda x, axis: np.concatenate([x[:4], x[4:]], axis)
  fill = lambda x, axis, value: np.concatenate([x, np.full((*x.shape[:axis], 1, *x.shape[axis + 1:]), value, x.dtype)], axis)
  axis = {'codes': 2, 'prosody': 1, 'weight': 1, 'text': 1}
  given = {**told, 'guidance': NUMBERS}
  apart = {name: fill(x, axis[name], 0 if name in ('codes', 'weight') else -1) if name in axis else x for name, x in given.items()}
  packed = {name: halves(x, axis[name]) if name in axis else np.stack([x[:4], x[4:]], 1) for name, x in apart.items()}
  packed['segment'] = np.repeat(np.array([[0, 1]] * 4, np.int32), 12, 1)
  of = jax.jit(lambda params, batch: distilling.parts_of(LM, params, batch, teacher=state['params'])[1])
  found, want = of(moved(state['params']), packed), of(moved(state['params']), apart)
  for name in want:
    np.testing.assert_allclose(found[name], want[name], rtol=1e-4, err_msg=name)


def config(run, **fields):
  found = runpy.run_path(os.path.join(usage.ROOT, 'configs/distil.py'))['get_config']()
  found.update(dict(run=str(run), steps=30, lr=2e-3, warmup=2, save_every=30, evaluate_every=15) | fields)
  return found


@pytest.mark.slow
def test_the_job_brings_speech_in_one_pass_nearer_to_guided_speech(audio, codec_file, tmp_path, capsys):
  stage2.run(test_voices.made(audio, codec_file, steps=8, lr=1e-2, model=test_voices.TOY | {'guidances': 8}), tmp_path / 'run')
  distilling.run(config(tmp_path / 'run'), tmp_path / 'guided')
  found = json.loads((tmp_path / 'guided' / 'summary.json').read_text())
  assert found['unguided']['1'] < 1e-6 and list(found['distilled'])[-3:] == ['2.5', '3', '4']
  assert found['distilled']['4'] < 0.9 * found['unguided']['4']
  capsys.readouterr()
  distilling.run(config(tmp_path / 'run'), tmp_path / 'guided')
  assert 'resumed from step 30 of 30' in capsys.readouterr().out
  model, params, _ = runs.loaded(tmp_path / 'guided')
  assert model.guidances == 8 and np.any(params['conditions']['guidance_cd'])
  generate.run(test_voices.asking(tmp_path / 'guided', emotion='neutral', guidance=1.6), tmp_path)
  assert 'guidance 1.5, the nearest that was learnt' in capsys.readouterr().out


def test_a_run_without_a_place_for_the_coefficient_is_refused(monkeypatch, tmp_path):
  from tests.training.test_lm_step import LM as plain
  for model, says in ((plain, 'guidances = 0'), (dataclasses.replace(plain, guidances=4), 'nothing to guide by')):
    monkeypatch.setattr(runs, 'loaded', lambda folder: (model, {}, None))
    with pytest.raises(InputError, match=says):
      distilling.run(config(tmp_path), tmp_path / 'out')


def test_words_are_numbered_by_the_vocabulary_that_the_run_has_kept(monkeypatch, tmp_path):
  """Whatever has become of the file that it was made with."""
  vocabulary.save(tmp_path / vocabulary.FILE, vocabulary.trained(['ఒక మాట'], 440), {})
  before = runpy.run_path(os.path.join(usage.ROOT, 'configs/stage2.py'))['get_config']()
  before.text.vocabulary, before.data.tokens = 'no/longer/there', 'tokens'
  monkeypatch.setattr(runs, 'loaded', lambda folder: (dataclasses.replace(LM, text_codes=440), {}, None))
  monkeypatch.setattr(runs, 'continued', lambda config, of: before)
  monkeypatch.setattr(distilling.loop, 'begin', lambda config, workdir: given.append(config.text.vocabulary) or sys.exit())
  given = []
  with pytest.raises(SystemExit):
    distilling.run(config(tmp_path), tmp_path / 'out')
  assert given == [str(tmp_path / vocabulary.FILE)]
