"""What each mechanism is worth: nats of held-out clips, one arm beside the other."""
import dataclasses
import json
import os
import runpy
import types

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from telugu_s2s import usage
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import ablations, recipes
from telugu_s2s.lm import model
from telugu_s2s.preparation import shards
from telugu_s2s.tokens import record
from telugu_s2s.training import lm_step

from tests.corpora.excerpt import excerpt
from tests.lm.test_audio_lm import B, SMALL, T, made, spoken          # noqa: F401, a fixture


@pytest.mark.parametrize('delay', [pytest.param(0, marks=pytest.mark.slow), 1])
def test_nats_of_a_clip_are_those_of_its_own_frames(spoken, delay):
  codes, prosody = spoken
  config = dataclasses.replace(SMALL, delay=delay)
  params = jax.tree.map(jnp.asarray, made(config))
  weight = (np.arange(T) < np.array([[T], [9]])).astype(np.float32)
  batch = {'codes': codes, 'prosody': prosody, 'weight': weight}
  every = jax.jit(model.AudioLM(config).apply)({'params': params}, codes, prosody)[0]
  slots, total = np.asarray(model.targets(config, codes, prosody)), np.zeros(B)
  for slot, logits in enumerate(every):
    likely = np.asarray(jax.nn.log_softmax(logits), np.float64)
    for row in range(B):
      total[row] -= sum(likely[row, t, slots[row, t, slot]] for t in range(T) if weight[row, t] and slots[row, t, slot] >= 0)
  found = np.asarray(ablations.nats(config, params, batch))
  np.testing.assert_allclose(found[1], total / weight.sum(1), rtol=1e-5)
  whole = jax.jit(lm_step.parts_of, static_argnums=0)(config, params, {name: value[:1] for name, value in batch.items()})[1]
  assert found[0, 0] == pytest.approx(float(whole['codes']), rel=1e-5)


def test_a_difference_is_taken_seed_by_seed_and_clip_by_clip():
  more = np.array([[0.1, 0.3, 0.2], [0.3, 0.5, 0.4]])
  found = ablations.compared(more, np.random.default_rng(0))
  mean, low, high = found['more']
  assert mean == pytest.approx(0.3) and low == pytest.approx(0.0516, abs=1e-3) and high == pytest.approx(0.5484, abs=1e-3) and found['by_seed'] == pytest.approx([0.2, 0.4])


def config(**fields):
  found = runpy.run_path(os.path.join(usage.ROOT, 'configs/benchmark.py'))['get_config']('ablations')
  found.update(dict(steps=2, seeds=(0,), draws=1, guidance=(1.5,)) | fields)
  return found


def test_what_cannot_be_changed_is_refused(tmp_path):
  with pytest.raises(InputError, match='config.changes: codes: give some of no prosody slot, no user'):
    ablations.measure(config(changes=('codes',)), tmp_path)


def test_a_clip_has_its_own_nats_where_rows_are_packed_too(tmp_path, monkeypatch):
  rng, lengths = np.random.default_rng(0), [5, 9, 12, 13, 20]
  clips = [record.to_bytes(record.Tokens(rng.integers(0, 11, (frames, 3)).astype('u2'), rng.integers(0, 7, (frames + 1) // 2).astype('u1'),
                                         'c', 11, 25.0, {'id': f'{frames}'})) for frames in lengths]
  shards.write_manifest(tmp_path, record.KIND, record.VERSION, {}, [shards.write(tmp_path, 'tokens-0', clips)], codec='c', silence=[0] * 3)
  monkeypatch.setattr(ablations.runs, 'loaded', lambda run: (SMALL, made(SMALL), types.SimpleNamespace(name='c')))
  found = []
  for packed in (1, 4):
    config = ml_collections.ConfigDict(dict(frames=42, packed=packed, batch=2, user_share=0.3))
    monkeypatch.setattr(ablations.runs, 'config_of', lambda run, config=config: config)
    found.append(ablations.by_clip('', tmp_path))
  assert found[0].shape == (2, len(lengths))
  np.testing.assert_array_equal(*found)


@pytest.mark.parametrize('size', ['toy', '150m'])
def test_what_was_trained_in_another_way_is_not_taken_for_what_is_asked(tmp_path, size):
  recipe = lambda **fields: recipes.of('stage2', size, steps=2, **fields)
  ablations.same(recipe(), tmp_path)                                         # nothing is there
  begun = recipe(data__tokens='runs/tokens', model__text_codes=0)
  (tmp_path / 'config.json').write_text(json.dumps(begun.to_dict()))
  ablations.same(recipe(), tmp_path)
  with pytest.raises(InputError, match='was trained with steps 2, and now it is to be 3; give another --workdir'):
    ablations.same(recipes.of('stage2', size, steps=3), tmp_path)
  with pytest.raises(InputError, match='was trained with data'):
    ablations.same(recipe(data__audio='elsewhere'), tmp_path)


def test_a_second_call_finds_what_is_trained_and_refuses_other_steps(tmp_path, monkeypatch):
  def run(recipe, folder):
    folder.mkdir(parents=True)
    (folder / 'config.json').write_text(json.dumps(recipe.to_dict()))
    (folder / 'summary.json').write_text('{}')
  monkeypatch.setattr(ablations, 'guided', lambda run, config: {})
  monkeypatch.setattr(ablations, 'by_clip', lambda run, tokens: np.arange(8.0).reshape(2, 4))
  monkeypatch.setattr(ablations.stage2, 'run', run)
  found = ablations.measure(config(), tmp_path)
  monkeypatch.setattr(ablations.stage2, 'run', None)
  assert ablations.measure(config(), tmp_path)['arms'] == found['arms']
  with pytest.raises(InputError, match='as-it-is-0 was trained with steps 2, and now it is to be 3'):
    ablations.measure(config(steps=3), tmp_path)


@pytest.mark.long
def test_each_arm_is_trained_once_and_measured_on_the_same_clips(tmp_path, monkeypatch, capsys):
  asked = config(changes=('no prosody slot',), audio=str(excerpt(tmp_path / 'corpus', 8, 4)))
  found = ablations.measure(asked, tmp_path / 'work')
  one, other = found['arms']['as it is'], found['arms']['no prosody slot']
  assert found['clips'] == 4 and one['more'] == [0.0, 0.0, 0.0] and 0 < abs(other['more'][0]) == pytest.approx(abs(other['codes'] - one['codes']))
  assert one['frame'] > other['frame'] > 8 * 4                               # an empty slot costs nothing
  assert set(found['guidance']['1.5']) == {'pitch', 'range', 'rate', 'energy'}
  monkeypatch.setattr(ablations.stage2, 'run', None)                         # what is trained is found
  asked.guidance = ()
  again = ablations.measure(asked, tmp_path / 'work')
  assert again['arms'] == found['arms'] and capsys.readouterr().out.count('held-out cross-entropy') == 2
