"""The job: what it refuses before anything is spent, and one small evaluation to its file."""
import json
import runpy
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import pytest

from telugu_s2s import usage
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import evaluate
from telugu_s2s.lm.model import AudioLM, Config
from telugu_s2s.preparation.prepare import SAMPLE
from telugu_s2s.tokens import labels
from telugu_s2s.training import runs

LM = Config(width=16, layers=1, heads=2, kv_heads=1, head_width=8, ffn=24, depth_width=8, depth_layers=1, depth_heads=1, depth_ffn=16,
            codebooks=3, codes=11, window=64, dtype='float32')


def config_of(size, **fields):
  config = runpy.run_path(str(Path(usage.ROOT) / 'configs' / 'evaluate.py'))['get_config'](size)
  config.update({'run': '/a/run', **fields})
  return config


@pytest.fixture
def trained(codec_file, monkeypatch):
  """runs.loaded of a model as if it were of stage 2; use(params) gives it weights."""
  codec = weights.load(str(codec_file))
  of = ml_collections.ConfigDict({'job': 'stage2', 'data': {'tokens': 'nowhere'}, 'text': {'vocabulary': ''}})
  monkeypatch.setattr(runs, 'config_of', lambda folder: of)
  use = lambda params: monkeypatch.setattr(runs, 'loaded', lambda folder: (LM, params, codec))
  use(None)
  return use


@pytest.mark.parametrize('fields, message', [
    ({'tests': ('likelihood', 'taste')}, 'taste: give some of likelihood, voice, turns, control'),
    ({'tasks': ('speaker', 'shoes')}, 'shoes: give some of speaker'),
    ({'local_s': (1.0, 0.5)}, 'local_s'), ({'local_s': (0.5,)}, 'local_s'),
    ({'minutes': 0.0}, 'minutes 0'), ({'minutes': 0.9}, 'minutes 0.9.* takes 1 minutes'), ({'prompt_s': 0.0}, 'prompt_s 0.0'),
    ({'tests': ('turns',), 'dialogues': '/nope'}, 'config.dialogues: there is no folder /nope'),
    ({'tests': ('control',), 'utterance_s': 0.0}, 'utterance_s 0.0'), ({'count': 0}, 'count 0'), ({'draws': 0}, 'draws 0'), ({'clips': 0}, 'clips 0')])
def test_what_is_no_test_is_refused(fields, message, tmp_path):
  with pytest.raises(InputError, match=message):
    evaluate.run(config_of('stage2', **fields), tmp_path)


@pytest.mark.parametrize('name, message', [('turns', 'which hears nobody'), ('control', 'without knobs and emotions')])
def test_a_run_is_not_asked_for_what_it_has_not(name, message, trained, tmp_path):
  with pytest.raises(InputError, match=message):
    evaluate.run(config_of('stage4', tests=('likelihood', name)), tmp_path)


@pytest.mark.parametrize('fields, message', [({'questions': '/nope'}, 'config.questions'), ({'speakers': ('nobody',)}, 'nobody'),
                                             ({'floor': 2.0}, 'floor one from 0 to 1'), ({'top_k': -1}, 'top_k from 0')])
def test_who_is_asked_and_what_is_answered_is_looked_up_before_anything_is_measured(fields, message, trained, tmp_path, monkeypatch):
  of = ml_collections.ConfigDict({'job': 'stage3', 'data': {'tokens': 'nowhere'}, 'text': {'vocabulary': ''}})
  monkeypatch.setattr(runs, 'config_of', lambda folder: of)
  monkeypatch.setattr(evaluate.control, 'check', lambda *_: None)
  monkeypatch.setattr(evaluate, 'held_out', lambda *_: pytest.fail('recordings were prepared before'))
  labels.save(tmp_path / labels.FILE, labels.Table(('A/somebody',), (200.0,), {}))
  with pytest.raises(InputError, match=message):
    evaluate.run(config_of('stage4', run=str(tmp_path), **fields), tmp_path / 'out')


def test_another_test_in_the_same_folder_takes_no_numbers_away(trained, tmp_path, monkeypatch):
  monkeypatch.setattr(evaluate, 'held_out', lambda *_: [])
  for task in ('room', 'rate', 'pitch'):
    monkeypatch.setattr(evaluate.likelihood, 'measured', lambda *_, task=task: [(task, {})])
    evaluate.run(config_of('stage2', tests=('likelihood',)), tmp_path)
  found = [json.loads((tmp_path / f'{name}.json').read_text())['likelihood'] for name in ('evaluate-1', 'evaluate-2', 'evaluate')]
  assert found == [{'room': {}}, {'rate': {}}, {'pitch': {}}]


def test_without_a_run_the_voice_that_ships_is_measured_which_has_no_bigram(tmp_path, monkeypatch, capsys):
  given = {}
  monkeypatch.setattr(evaluate, 'held_out', lambda *_: [])
  monkeypatch.setattr(evaluate.likelihood, 'measured', lambda config, *rest: given.update(zip(('segments', 'model', 'params', 'codec', 'bigram', 'hears'),
                                                                                              rest)) or [('room', {})])
  evaluate.run(config_of('stage4', run='', tests=('likelihood',)), tmp_path)
  assert given['bigram'] is None and given['hears'] and 'no bigram beside it' in capsys.readouterr().out
  assert json.loads((tmp_path / 'evaluate.json').read_text())['run'] == 'stage4'


@pytest.mark.slow
def test_an_untrained_model_is_evaluated_on_a_few_recordings(trained, tmp_path, capsys):
  trained(jax.jit(AudioLM(LM).init)(jax.random.key(0), jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params'])
  folder = tmp_path / 'recordings'
  for name in ('a003-mezzo', 'a007-mezzo', 'a002-deep', 'a005-deep'):
    (folder / name[5:]).mkdir(parents=True, exist_ok=True)
    shutil.copy(SAMPLE / 'audio' / f'{name}.opus', folder / name[5:])
  lines = ['path\tspeaker\tsplit'] + [f'{path.relative_to(folder)}\t{path.parent.name}\teval' for path in sorted(folder.rglob('*.opus'))]
  (folder / 'MANIFEST.tsv').write_text('\n'.join(lines) + '\n')
  config = config_of('stage2', tests=('likelihood',), tasks=('room', 'adjacency'), count=4, beginning_s=0.5, ending_s=0.4, local_s=(0.0, 0.3))
  config.data.update(audio=str(folder), workers=0)
  evaluate.run(config, tmp_path / 'out')
  found = json.loads((tmp_path / 'out' / 'evaluate.json').read_text())
  room = found['likelihood']['room']
  assert found['run'] == 'stage2' and found['speakers'] == 2 and room['items'] == 4 and room['groups'] <= 2
  assert set(room['model']) == {'weighted', 'a0', 'a1..'} and 'bigram' not in room
  for one in room['model']['weighted'].values():
    assert one['n'] == 4 and one['interval'][0] < one['share'] + 1e-9 and one['share'] < one['interval'][1] + 1e-9
  assert 'followed' in found['likelihood']['adjacency']['skipped']
  said = capsys.readouterr().out
  assert 'no bigram beside it' in said and 'adjacency not measured' in said
