"""The whole way as one job, in a size that takes a minute: each step once, a second call none, and a change what follows it."""
import functools
import json
import os
import runpy
import shutil
import time

import jax
import pytest

from telugu_s2s import usage
from telugu_s2s.corpora import sample
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import curriculum
from telugu_s2s.training import stage2

from tests.corpora.excerpt import excerpt

STEPS = ['tokens', 'stage2', 'listen', 'stage3', 'stage4', 'reply', 'answers', 'evaluate']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Four exchanges of train and two of eval, as of the sample corpus."""
  return excerpt(tmp_path_factory.mktemp('dialogues'), 8, 4)


@pytest.fixture(scope='module', autouse=True)
def pace():
  """No machine's pace: what measuring it compiles takes longer than most of these tests. Yields what measures it."""
  measure = curriculum.Pace.here
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(curriculum.Pace, 'here', lambda: curriculum.Pace(2e10, 60.0))
    yield measure


def config(folder, **fields):
  found = runpy.run_path(os.path.join(usage.ROOT, 'configs/curriculum.py'))['get_config']()
  found.pairs.folder = found.data.audio = str(folder)
  found.pairs.questions = str(sample.folder() / sample.ASKED)
  found.stage2.steps = 2
  found.listen.update(dict(steps=2, batch=8))
  found.stage3.update(dict(steps=2, batch=8))
  found.stage4.update(dict(steps=2, preference_steps=1))
  found.evaluate.update(dict(tests=('control',), draws=1))
  found.update(fields)
  return found


@pytest.mark.slow
def test_each_step_is_done_once_and_what_follows_a_change_again(folder, tmp_path, capsys, pace, monkeypatch):
  monkeypatch.setattr(curriculum.Pace, 'here', functools.cache(pace))
  curriculum.run(config(folder), tmp_path)
  first = capsys.readouterr().out
  assert 'in all, as predicted' in first and all(f'=== {name}\n' in first for name in STEPS)
  ledger = json.loads((tmp_path / 'ledger.json').read_text())
  assert list(ledger) == STEPS and all(one['spent_s'] > 0 and one['predicted_s'] > 0 for one in ledger.values())
  report = (tmp_path / 'report.md').read_text()
  assert all(f'| {name} |' in report for name in STEPS) and 'get their answer' in report
  said = report.strip().rpartition(': ')[2]
  assert os.path.getsize(said) > 10_000                                    # an answer that can be heard

  curriculum.run(config(folder), tmp_path)
  again = capsys.readouterr().out
  assert all(f'=== {name}: there already' in again for name in STEPS)
  assert json.loads((tmp_path / 'ledger.json').read_text()) == ledger

  curriculum.run(config(folder, emotion='neutral'), tmp_path)
  changed = capsys.readouterr().out
  assert [name for name in STEPS if f'=== {name}\n' in changed] == ['reply']           # what was measured follows from no answer


def steps_of(job, *names):
  """What `planned` would give: steps of one job that takes the config's emotion as its input."""
  def planned(config, workdir):
    return [curriculum.Step(name, config, job, 1.0, 'summary.json') for name in names]
  return planned


def test_what_was_learnt_of_other_inputs_is_set_aside_and_not_gone_on_from(folder, tmp_path, monkeypatch, capsys):
  seen = []

  def job(config, workdir):
    seen.append((workdir / 'checkpoints').exists())
    (workdir / 'checkpoints').mkdir(parents=True, exist_ok=True)
    (workdir / 'checkpoints' / 'of').write_text(config.emotion)
    if len(seen) != 3:                                                       # the third call is stopped by a signal
      (workdir / 'summary.json').write_text('{}')
  monkeypatch.setattr(curriculum, 'planned', steps_of(job, 'stage2'))
  monkeypatch.setattr(curriculum, 'report', lambda *_: print('reported'))
  for emotion in ('neutral', 'happy', 'sad', 'sad'):
    curriculum.run(config(folder, emotion=emotion), tmp_path)
  assert seen == [False, False, False, True]                                 # the last goes on
  said = capsys.readouterr().out
  assert said.count('reported') == 3 and 'stage2 was stopped' in said
  earlier = sorted((tmp_path / 'stage2' / 'earlier').iterdir())
  assert [(one / 'checkpoints' / 'of').read_text() for one in earlier] == ['neutral', 'happy']


def test_the_ledger_counts_what_was_spent_before_a_stop(folder, tmp_path, monkeypatch):
  calls = []

  def job(config, workdir):
    calls.append(time.sleep(0.3))
    if len(calls) == 1:
      raise KeyboardInterrupt
    if len(calls) == 3:
      workdir.mkdir()
      (workdir / 'summary.json').write_text('{}')
  monkeypatch.setattr(curriculum, 'planned', steps_of(job, 'stage2'))
  monkeypatch.setattr(curriculum, 'report', lambda *_: None)
  with pytest.raises(KeyboardInterrupt):
    curriculum.run(config(folder), tmp_path)
  for _ in range(2):
    curriculum.run(config(folder), tmp_path)
  assert json.loads((tmp_path / 'ledger.json').read_text())['stage2']['spent_s'] >= 0.9


def keys_of(given, workdir):
  """{step: key} of what is planned."""
  before, found = {}, {}
  for one in curriculum.planned(given, workdir):
    found[one.name] = before[str(workdir / one.name)] = curriculum.key(one, before)
  return found


def test_a_step_follows_from_those_that_it_names_and_not_from_where_the_workdir_lies(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(curriculum, '_content', lambda field, name: '')        # what lies in files is told in the test below
  of = lambda fields=(), workdir=tmp_path / 'a': keys_of(config(folder, pairs=dict(dict(folder=''), **dict(fields))), workdir)
  plain = of()
  assert of(workdir=tmp_path / 'b') == plain
  other = lambda found: {name for name in plain if found[name] != plain[name]}
  assert other(of(dict(count=7))) == set(plain) - {'stage2'}                 # hours of speech are not learnt anew for a few more dialogues
  assert other(keys_of(config(folder, pairs=dict(folder=''), emotion='happy'), tmp_path)) == {'reply'}
  given = config(folder, pairs=dict(folder=''))
  given.stage3.steps += 1
  assert other(keys_of(given, tmp_path)) == {'stage3', 'stage4', 'reply', 'answers', 'evaluate'}
  given = config(folder, pairs=dict(folder=''), text=dict(pieces=100))
  words = keys_of(given, tmp_path)
  given.pairs.count += 1                                                     # of whose transcripts the words of stage 2 are made
  assert all(one != words[name] for name, one in keys_of(given, tmp_path).items())


@pytest.mark.slow
def test_other_recordings_in_the_same_folder_are_other_inputs(folder, tmp_path):
  mine = shutil.copytree(folder, tmp_path / 'mine')
  steps = {one.name: one for one in curriculum.planned(config(mine), tmp_path)}
  keys = lambda: {name: curriculum.key(one, {}) for name, one in steps.items()}
  before = keys()
  table = mine / 'MANIFEST.tsv'
  one = next(iter(sorted((mine / 'audio').iterdir())))
  one.write_bytes(one.read_bytes() + b'longer')
  assert {name for name, key in keys().items() if key != before[name]} == {'tokens', 'stage2', 'answers', 'evaluate'}
  before = keys()
  table.write_text('\n'.join(table.read_text().splitlines()[:-1]) + '\n')
  assert {name for name, one in keys().items() if one != before[name]} == {'tokens', 'stage2', 'answers', 'evaluate'}


@pytest.mark.parametrize('fields, says', [
    (dict(emotion='hapy'), "emotion 'hapy': give one of"), (dict(question='/nope.wav'), 'config.question: there is no file /nope.wav'),
    (dict(data=dict(audio='/nope')), 'config.data.audio: there is no folder /nope'),
    (dict(pairs=dict(folder='/nope')), 'config.pairs.folder: there is no folder /nope'),
    (dict(pairs=dict(nonverbal=1.5)), 'config.pairs.nonverbal 1.5: give a share'), (dict(text=dict(pieces=-3)), 'config.text.pieces -3'),
    (dict(question=__file__), 'test_curriculum.py: non-audio'), (dict(evaluate=dict(tests=('contrl',))), 'config.tests: contrl: give some of'),
    (dict(evaluate=dict(draws=0)), 'config.draws 0'), (dict(stage4=dict(steps=10, preference_steps=99)), 'config.stage4.preference_steps 99'),
    (dict(stage4=dict(replay=-1.0)), 'config.stage4.replay -1.0: give a number from 0'), (dict(stage3=dict(onset=-8.0)), 'config.stage3.onset -8.0'),
    (dict(pairs=dict(folder=str(sample.folder() / 'asked'))), 'config.pairs.folder.* has no dialogue of two speakers')])
def test_a_name_that_is_none_is_refused_before_anything_is_done(folder, tmp_path, fields, says):
  with pytest.raises(InputError, match=says):
    curriculum.run(config(folder, **fields), tmp_path)


@pytest.mark.parametrize('own', [None, 'programs'])
def test_programs_are_kept_while_the_steps_run_and_not_where_they_are_kept_anyway(own, tmp_path):
  folder = lambda: jax.config.jax_compilation_cache_dir
  before = str(tmp_path / own) if own else None
  jax.config.update(curriculum.PROGRAMS, before)
  try:
    with curriculum.compiled_once():
      kept = folder()
      assert (kept == before if own else os.path.isdir(kept) and os.environ['JAX_COMPILATION_CACHE_DIR'] == kept)
    assert folder() == before and 'JAX_COMPILATION_CACHE_DIR' not in os.environ and (own or not os.path.exists(kept))
  finally:
    jax.config.update(curriculum.PROGRAMS, None)


def test_breaths_and_fillers_are_put_into_what_is_spoken_and_into_the_model(folder, tmp_path):
  of = lambda share: {one.name: one.config for one in curriculum.planned(config(folder, pairs=dict(folder='', nonverbal=share)), tmp_path)}
  plain, begun = of(0.0), of(0.4)
  assert (begun['pairs'].breathed, begun['pairs'].filled, begun['pairs'].breaths, begun['pairs'].extras) == (0.4, 0.4, 'made', False)
  assert begun['stage2'].model.nonverbal and not plain['stage2'].model.nonverbal and not plain['pairs'].extras


def test_dialogues_of_ones_own_need_neither_the_sample_corpuss_questions_nor_a_held_out_split(folder, tmp_path):
  mine = shutil.copytree(folder, tmp_path / 'mine')
  rows = (mine / 'MANIFEST.tsv').read_text()
  given = config(mine)
  given.pairs.questions = ''
  names = [one.name for one in curriculum.planned(given, tmp_path)]
  assert names == [name for name in STEPS if name != 'answers']
  (mine / 'MANIFEST.tsv').write_text('\n'.join(row for row in rows.splitlines() if '\teval\t' not in row) + '\n')
  assert curriculum.planned(given, tmp_path)[-1].config.data.audio == ''


def test_a_toys_stage_2_is_not_listened_to_and_a_larger_ones_is(folder, tmp_path):
  of = lambda size: next(one.config for one in curriculum.planned(config(folder, size=size), tmp_path) if one.name == 'stage2')
  assert stage2.continuations(None, None, None, of('toy'), None, tmp_path) == [] and of('150m').continue_frames > 0


def test_a_codec_of_its_own_is_planned_first_and_takes_time(folder, tmp_path):
  first, *rest = curriculum.planned(config(folder, stage1=dict(size='toy', steps=700)), tmp_path)
  assert first.name == 'stage1' and first.seconds > 1 and [one.name for one in rest] == STEPS
  assert all(one.config.codec == str(tmp_path / 'stage1' / 'codec.safetensors') for one in rest if one.name in ('tokens', 'stage2'))


def test_the_report_says_how_far_each_thing_that_was_asked_for_is_heard(tmp_path):
  agreed = {name: {'spearman': value} for name, value in (('pitch', 0.1), ('speed', 0.82), ('shift', -0.5))}
  (tmp_path / 'evaluate.json').write_text(json.dumps({'control': agreed}), encoding='utf-8')
  [line] = curriculum.summarised('evaluate', tmp_path / 'evaluate.json')
  assert 'pitch +0.10, speed +0.82, shift -0.50' in line and 'range' not in line
