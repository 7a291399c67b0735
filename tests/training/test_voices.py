"""Stage 2 with conditions: labels reach the model, are dropped by the step's key, tie speakers to recordings, and can be asked for."""
import dataclasses
import functools
import json
import os
import runpy
import shutil

import jax
import ml_collections
import numpy as np
import pytest

from telugu_s2s import axes, usage
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import generate
from telugu_s2s.lm import conditions
from telugu_s2s.tokens import labels
from telugu_s2s.training import lm_step, packed, runs, stage2, voices
from telugu_s2s.training.lm_step import Update

from tests.tokens.test_labels import FEW, filled
from tests.training import test_stage2
from tests.training.test_lm_step import B, LM as PLAIN, TX, assert_alike, batch as batch

LM = dataclasses.replace(PLAIN, speakers=8, reference=True, voice_width=12, emotions=9, knob_bins=5, tasks=3, guidances=4, nonverbal=True)
TOY = test_stage2.LM | dict(speakers=8, reference=True, voice_width=12, emotions=9, knob_bins=5, nonverbal=True)


@pytest.fixture(scope='module')
def told(batch):
  """A batch whose rows say all of their voices but some."""
  rng = np.random.default_rng(3)
  some = lambda *shape, size: rng.integers(-1, size, shape).astype(np.int32)
  reference = rng.integers(0, 12, (B, 5, 3)).astype(np.int32)
  reference[3:5, 2:] = reference[6:] = -1
  return {**batch, 'speaker': some(B, size=8), 'reference': reference, 'emotion': some(B, size=9), 'knobs': some(B, 4, size=5),
          'task': some(B, size=3), 'breath': some(B, size=2), 'filler': some(B, size=2)}


@pytest.fixture(scope='module')
def state():
  return jax.jit(lambda: lm_step.init(LM, TX, jax.random.key(0)))()


@functools.partial(jax.jit, static_argnames='how')
def graded(params, batch, how):
  given = lm_step.asked(LM, batch)
  keep = conditions.kept(jax.random.key(4), LM.conditions, given)
  return lm_step.gradients(LM, params, {**batch, 'keep': keep}, how)


@pytest.fixture(scope='module')
def plain(state, told):
  return jax.device_get(graded(state['params'], told, Update()))


@pytest.mark.slow
def test_a_batch_read_in_parts_gives_the_gradient_of_the_whole(state, told, plain):
  assert_alike(jax.device_get(graded(state['params'], told, Update(accumulate=2, loss_chunk=5))), plain)


@pytest.mark.sharding
def test_a_mesh_of_eight_gives_the_gradient_of_one_device(state, told, plain):
  mesh = axes.mesh(2, 2, 2)
  params = jax.tree.map(jax.device_put, state['params'], axes.shardings(state['params'], mesh))
  rows = jax.NamedSharding(mesh, axes.BATCH)
  with jax.set_mesh(mesh):
    found = jax.device_get(graded(params, jax.tree.map(lambda x: jax.device_put(x, rows), told), Update()))
  assert_alike(found, plain)
  where = params['conditions']['emotion_cd'].sharding.spec
  assert 'fsdp' in where


def test_the_tie_is_of_rows_that_have_a_speaker_and_a_recording(plain, state, told):
  both = (told['speaker'] >= 0) & (told['reference'][:, 0, 0] >= 0)
  assert 0 < both.sum() < B
  parts, grads = plain
  assert 0 < parts['tie'] < 4                                       # between directions of root mean square 1
  alone = jax.device_get(graded(state['params'], {**told, 'reference': np.full_like(told['reference'], -1)}, Update()))[0]
  assert alone['tie'] == 0
  table = grads['conditions']['speaker_cz']
  assert set(np.flatnonzero(np.abs(table).sum(1))) <= set(told['speaker'])
  assert np.any(grads['conditions']['reference']['into_dz'])


def test_what_is_dropped_is_drawn_from_the_steps_key(state, told):
  run = jax.jit(lambda key: lm_step.step(LM, TX, state, told, Update(), key)[1]['loss'])
  assert run(jax.random.key(1)) == run(jax.random.key(1)) != run(jax.random.key(2))


def test_conditions_that_are_off_change_no_bit(batch, told):
  params = jax.jit(lambda: lm_step.init(PLAIN, TX, jax.random.key(0)))()['params']
  assert 'conditions' not in params
  run = jax.jit(lambda batch: lm_step.parts_of(PLAIN, params, batch)[0])
  assert run(batch) == run(told)


def made(audio, codec_file, **fields):
  return test_stage2.made(audio, codec_file, **{'save_every': 4, 'reference_s': 0.3, 'model': TOY, **fields})


@pytest.fixture(scope='module')
def done(audio, codec_file, tmp_path_factory):
  """The folder of a finished run."""
  workdir = tmp_path_factory.mktemp('run')
  stage2.run(made(audio, codec_file), workdir)
  return workdir


@pytest.mark.slow
def test_a_run_learns_of_the_voices_of_its_data(done):
  lines = [json.loads(line) for line in (done / 'log.jsonl').read_text().splitlines()]
  assert all(np.isfinite(line['train/loss']) for line in lines if 'train/loss' in line)
  table = labels.load(done / 'labels.json')
  assert table == labels.load(done / 'tokens/train/labels.json') and len(table.speakers) > 1
  assert set(table.edges) == set(labels.KNOBS)
  _, params, _ = runs.loaded(done)
  assert params['conditions']['speaker_cz'].shape == (8, 12)


def asking(done, **fields):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/generate.py'))['get_config']()
  knobs = fields.pop('knobs', {})
  config.update(dict(run=str(done), seconds=0.2, prompt_s=0.3, count=2, **fields))
  config.knobs.update(knobs)
  return config


@pytest.mark.slow
def test_a_voice_can_be_asked_for(done, tmp_path):
  name = labels.load(done / 'labels.json').speakers[0]
  generate.run(asking(done, speaker=name, emotion='neutral', knobs={'rate': 4}, guidance=1.5), tmp_path)
  before = {path.name: path.read_bytes() for path in (tmp_path / 'generated').glob('*.wav')}
  generate.run(asking(done, speaker=name, emotion='neutral', knobs={'rate': 4}, guidance=1.5, seed=1), tmp_path)
  after = {path.name: path.read_bytes() for path in (tmp_path / 'generated').glob('*.wav')}
  assert (len(before), len(after)) == (2, 4) and before.items() <= after.items()


@pytest.mark.slow
def test_a_breath_can_be_asked_for_where_clips_with_and_without_one_were_learnt(done, tmp_path):
  run = shutil.copytree(done, tmp_path / 'run')
  table = labels.load(run / 'labels.json')
  assert table.told_apart == () and table.between['breath'][0] == len(table.clips)      # nobody breathes in what it learnt
  asked = asking(run, nonverbal=dict(breath=1, filler=-1))
  with pytest.raises(InputError, match='no clips with and without a breath'):
    generate.run(asked, tmp_path)
  labels.save(run / 'labels.json', dataclasses.replace(table, between={'breath': [3, 2], 'filler': [5, 0]}))
  generate.run(asked, tmp_path)
  assert len(list((tmp_path / 'generated').glob('*.wav'))) == 2


@pytest.mark.slow
@pytest.mark.parametrize('fields, says', [
    (dict(speaker='nobody'), 'nobody.*there is no such speaker'),
    (dict(emotion='wry'), 'neutral, happy'),
    (dict(knobs={'rate': 5}), 'config.knobs.*from 0 to 4'),
    (dict(nonverbal=dict(breath=2, filler=-1)), 'config.nonverbal.*0 for none, 1 for some'),
    (dict(guidance=2.0), 'nothing to guide by'),
    (dict(guidance=-1.0, emotion='sad'), 'config.guidance -1.0'),
    (dict(speaker='a', reference='b'), 'give one of them'),
    (dict(reference='no/such.wav'), 'no/such.wav'),
])
def test_what_cannot_be_asked_for_is_named_in_one_line(done, tmp_path, fields, says):
  with pytest.raises(InputError, match=says) as caught:
    generate.run(asking(done, **fields), tmp_path)
  assert '\n' not in str(caught.value)


def test_a_run_that_is_resumed_goes_by_its_own_numbers(tmp_path):
  folders = tmp_path / 'train', tmp_path / 'eval'
  clips = [filled(folder, FEW) for folder in folders]
  config = ml_collections.ConfigDict(dict(labels='', reference_s=0.3))
  asked = lambda name: voices.asked(config, LM, tmp_path / name, *clips, folders, 25.0)[0].table
  first = asked('run')
  (tmp_path / 'run' / 'checkpoints' / '4').mkdir(parents=True)
  other = dataclasses.replace(first, speakers=first.speakers[::-1], pitch_hz=first.pitch_hz[::-1])     # as another run numbered them
  labels.save(folders[0] / labels.FILE, other)
  assert asked('run').speakers == first.speakers != other.speakers
  labels.save(folders[0] / labels.FILE, other)
  assert asked('fresh').speakers == other.speakers


def test_a_run_that_has_saved_nothing_takes_no_numbers_from_what_it_left(tmp_path):
  folders = tmp_path / 'train', tmp_path / 'eval'
  clips = [filled(folder, FEW) for folder in folders]
  (tmp_path / 'run').mkdir()
  labels.save(tmp_path / 'run' / labels.FILE, labels.Table(speakers=('others/a', 'others/b'), pitch_hz=(None, None)))      # of the data it had then
  config = ml_collections.ConfigDict(dict(labels='', reference_s=0.3))
  table = voices.asked(config, LM, tmp_path / 'run', *clips, folders, 25.0)[0].table
  assert table.speakers and not {name for name in table.speakers if name.startswith('others/')}
  assert labels.load(tmp_path / 'run' / labels.FILE) == table


def test_a_run_without_conditions_says_so():
  for name, value in (('speaker', 'a'), ('emotion', 'sad'), ('knobs', {'rate': 1}), ('nonverbal', dict(breath=0)), ('guidance', 2.0)):
    with pytest.raises(InputError, match=f'config.{name}: .*trained without'):
      generate.conditions_of(asking('runs/plain', **{name: value}), packed.Packed(PLAIN, {}, None, labels.Table(), {}, 'runs/plain'), None)


def test_sizes_that_labels_do_not_have_are_refused():
  for field, size in (('emotions', 4), ('tasks', 2), ('knob_bins', 1), ('speakers', -1), ('guidances', 9), ('guidances', -1)):
    with pytest.raises(InputError, match=field):
      voices.check(dataclasses.replace(LM, **{field: size}))
