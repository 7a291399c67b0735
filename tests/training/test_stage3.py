"""Stages 3 and 4 from a stage 2 run to an answer, in a size that takes seconds."""
import functools
import json
import os
import runpy
import shutil
import types

import jax
import numpy as np
import pytest
import soundfile

from telugu_s2s import usage
from telugu_s2s.audio import mark, silero
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import answering, reply
from telugu_s2s.preparation import segment, shards
from telugu_s2s.training import heard, lm_step, runs, stage2, stage3, stage4

from tests.corpora.excerpt import excerpt
from tests.training import test_voices


@pytest.fixture(scope='module')
def before(codec_file, tmp_path_factory):
  """The folder of a stage 2 run on four exchanges of train and four of eval, two takes of two."""
  folder = excerpt(tmp_path_factory.mktemp('dialogues'), 8, 8)
  workdir = tmp_path_factory.mktemp('run')
  stage2.run(test_voices.made(folder, codec_file), workdir)
  return workdir


def config(name, **fields):
  found = runpy.run_path(os.path.join(usage.ROOT, f'configs/{name}.py'))['get_config']()
  found.update(fields)
  return found


@pytest.mark.slow
def test_the_user_is_heard_in_views_of_the_runs_segments(done):
  for name, views in (('heard', 2), ('echoes', 2)):
    manifest = json.loads((done / name / 'train' / 'manifest.json').read_text())
    assert manifest['views'] == views and manifest['made_from']['ranges']['room_s']
  log = [json.loads(line) for line in (done / 'log.jsonl').read_text().splitlines()]
  assert all(0 < line['train/floor'] < 2 for line in log if 'train/loss' in line)


def conversation(before, **fields):
  found = config('stage3', run=str(before), frames=400, interrupted=0.5, swapped=0.5, **fields)
  found.heard.update(dict(views=1, echoes=1, noises=2))
  return found


@pytest.fixture(scope='module')
def done(before, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('stage3')
  stage3.run(conversation(before, steps=4, save_every=2, evaluate_every=2, log_every=2), workdir)
  return workdir


@pytest.mark.slow
def test_the_job_goes_on_from_stage_2_and_says_whether_it_listens(done, before, capsys):
  summary = json.loads((done / 'summary.json').read_text())
  assert (summary['exchanges'], summary['held_out']) == (4, 4)
  for one in (summary['before'], summary['after']):
    assert 0 < one['own'] < 6 and 0 < one['other'] < 6 and one['interval'][0] <= one['share'] <= one['interval'][1]
    assert (one['n'], one['groups']) == (4, 2)
  assert summary['before'] != summary['after']
  stage3.run(conversation(before, steps=4), done)
  said = capsys.readouterr().out
  assert 'resumed from step 4 of 4' in said and 'chance is 50 %' in said
  for field, value in (('replay', 0.9), ('packed', 2), ('listen_steps', 2)):             # else rows of an epoch would come twice, and others not at all
    with pytest.raises(InputError, match=f'was begun with .*{field}'):
      stage3.run(conversation(before, steps=4, **{field: value}), done)
  first, then = runs.loaded(before)[1], runs.loaded(done)[1]
  moved = max(np.abs(first[name] - then[name]).max() for name in ('code_qvd', 'norm_out_d'))
  assert 0 < moved < 0.1                                                   # it began where stage 2 ended


@pytest.mark.slow
def test_it_answers_a_recording(done, tmp_path):
  reply.run(config('reply', run=str(done), seconds=0.5, emotion='neutral', speed=0.5), tmp_path)
  for number in range(2):
    stem = tmp_path / 'replies' / f'q001-bright-{number}'
    sound, rate = soundfile.read(f'{stem}.wav')
    assert soundfile.SoundFile(f'{stem}.wav').comment == mark.SYNTHETIC
    assert rate == 16_000 and len(sound) == 2 * 25 * 320      # 0.5 s of 50 frames a second, half as fast
    both, _ = soundfile.read(f'{stem}-both.wav')
    assert len(both) > len(sound) + 16_000
    assert (tmp_path / 'replies' / f'q001-bright-{number}.png').read_bytes()[:4] == b'\x89PNG'


@pytest.mark.slow
def test_a_question_that_is_none_is_refused(done, tmp_path):
  for seconds in (0.1, 61):
    soundfile.write(tmp_path / 'question.wav', np.zeros(int(seconds * 16_000)), 16_000)
    with pytest.raises(InputError, match='question.wav has .* give 0.2 to 60 s'):
      reply.run(config('reply', run=str(done), question=str(tmp_path / 'question.wav')), tmp_path)


@pytest.mark.parametrize('fields', [dict(count=0), dict(seconds=0.0), dict(seconds=-1.0), dict(speed=1.6), dict(shift=9.0)])
def test_nothing_to_be_said_is_refused(fields, tmp_path):
  with pytest.raises(InputError, match=f'config.*{next(iter(fields))} {next(iter(fields.values()))}'):
    reply.run(config('reply', **fields), tmp_path)
  if 'seconds' in fields:
    with pytest.raises(InputError, match='config.seconds'):
      answering.run(config('answers', **fields), tmp_path)
  if 'count' in fields:
    with pytest.raises(InputError, match='config.every 0'):
      answering.run(config('answers', every=0), tmp_path)


@pytest.mark.parametrize('stage, fields, says', [
    *((stage, {name: value}, f'config.{name} {value}: give a number from 0$') for stage in ('stage3', 'stage4') for name, value in (
        ('swapped', -1.0), ('interrupted', float('nan')), ('followed', float('inf')), ('replay', -0.1), ('onset', -2.0), ('history_s', -1.0),
        ('overlap_s', float('nan')))),
    *((stage, {name: value}, f'config.{name} {value}: give a number from 0 to 1$') for stage, name, value in (
        ('stage3', 'retold', 1.5), ('stage4', 'retold', -0.5), ('stage4', 'balance', -1.0), ('stage4', 'balance', float('nan')))),
    ('stage3', dict(seed=-1), 'config.seed -1'), ('stage3', dict(listen_steps=-1), 'config.listen_steps -1'), ('stage3', dict(match=-64), 'config.match -64'),
    ('stage4', dict(beta=-5.0), 'config.beta -5.0'), ('stage4', dict(anchor=float('nan')), 'config.anchor nan'),
    ('stage3', dict(heard=dict(noises=-1)), 'config.heard.* noises -1: give numbers from 0'),
    ('stage4', dict(heard=dict(views=-1)), 'config.heard.views -1'), ('stage4', dict(heard=dict(share=1.5)), 'config.heard.share 1.5')])
def test_a_number_that_a_stage_cannot_take_is_named_before_anything_is_read_or_written(tmp_path, stage, fields, says):
  job = {'stage3': stage3, 'stage4': stage4}[stage]
  with pytest.raises(InputError, match=says):
    job.run(config(stage, run=str(tmp_path / 'none'), **fields), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_the_user_is_not_heard_in_segments_of_other_clips_though_they_are_as_many(tmp_path):
  content = shards.write_manifest(tmp_path, segment.KIND, segment.VERSION, {}, [shards.write(tmp_path, 'segments-0', [b'record'])])['content']
  made_of = lambda content: types.SimpleNamespace(manifest={'made_from': {'segments': content}})
  of = functools.partial(heard.of, conversation('run', data=dict(segments=str(tmp_path))), 'run', tmp_path / 'work', None)
  with pytest.raises(InputError, match='config.data.segments .* are not the segments that the tokens in tokens/train were made of'):
    of(made_of('of others'), 'tokens/train')
  assert not (tmp_path / 'work').exists()
  with pytest.raises(AttributeError):              # of the codec, by which their views are made
    of(made_of(content), 'tokens/train')


@pytest.mark.slow
def test_questions_and_voices_in_which_nobody_speaks_are_refused(done, tmp_path, monkeypatch):
  rng = np.random.default_rng(0)
  soundfile.write(tmp_path / 'silence.wav', np.zeros(32_000), 16_000)
  soundfile.write(tmp_path / 'noise.wav', 0.1 * rng.standard_normal(32_000), 16_000)
  with pytest.raises(InputError, match='config.question: nobody speaks in .*silence.wav'):
    reply.run(config('reply', run=str(done), question=str(tmp_path / 'silence.wav')), tmp_path)
  with pytest.raises(InputError, match='config.reference: nobody speaks in .*silence.wav'):
    reply.run(config('reply', run=str(done), reference=str(tmp_path / 'silence.wav')), tmp_path)
  t = np.arange(48_000) / 16_000
  chords = sum(np.sin(2 * np.pi * hz * t) * np.exp(-3 * (t % 0.5)) for hz in (261.6, 329.6, 392.0, 523.2))
  soundfile.write(tmp_path / 'music.wav', 0.1 * chords, 16_000)
  for field in ('question', 'reference'):
    asked = lambda name: config('reply', run=str(done), seconds=0.1, count=1, **{field: str(tmp_path / f'{name}.wav')})
    with monkeypatch.context() as without:
      without.setattr(silero, 'available', lambda: False)
      reply.run(asked('music'), tmp_path / 'said')             # by its level nobody can tell it from speech
      with pytest.raises(InputError, match=f'config.{field}: nobody speaks in .*noise.wav, it is silent or one steady sound'):
        reply.run(asked('noise'), tmp_path)
    for name in ('noise', 'music') if silero.available() else ():
      with pytest.raises(InputError, match=f'config.{field}: nobody speaks in .*{name}.wav .by Silero VAD'):
        reply.run(asked(name), tmp_path)
  for fields, says in ((dict(speaker='nobody'), "speaker 'nobody'"), (dict(emotion='bored'), "emotion 'bored'"), (dict(emotion='happy'), 'no clips of it')):
    with pytest.raises(InputError, match=says):
      reply.run(config('reply', run=str(done), **fields), tmp_path)


@pytest.mark.slow
def test_only_the_transformer_over_frames_begins_anew(before):
  _, first, _ = runs.loaded(before)
  model, then, _ = stage3.begun(before, True, 16, 3, anew=True)
  fresh = lm_step.fresh(model, jax.random.key(3))
  same = lambda one, other: jax.tree.all(jax.tree.map(np.array_equal, one, other))
  assert same(then['temporal'], fresh['temporal']) and not same(then['temporal'], first['temporal'])
  assert all(same(first[name], then[name]) for name in first.keys() - {'temporal', 'conditions'}) and same(then['asked_dz'], fresh['asked_dz'])
  # Knobs, which stage 3 does not tell, say nothing to it until stage 4 teaches what; the other conditions are kept.
  assert first['conditions']['knobs_cd'].any() and not then['conditions']['knobs_cd'].any()
  assert same({**first['conditions'], 'knobs_cd': 0}, {**then['conditions'], 'knobs_cd': 0})


@pytest.mark.slow
def test_speakers_keep_the_numbers_that_they_had_in_stage_2(before):
  of = lambda **fields: runs.continued(config('stage3', run=str(before), **fields), before).labels
  assert of() == str(before / 'labels.json') and of(anew=True) == ''


@pytest.fixture(scope='module')
def voiced(done, tmp_path_factory):
  """A stage 4 run, what it was called with, and how many kinds of steps were traced for it."""
  workdir, traced, step = tmp_path_factory.mktemp('stage4'), [], lm_step.step
  asked = config('stage4', run=str(done), steps=6, preference_steps=3, frames=400, save_every=2, evaluate_every=3, log_every=1)
  asked.heard.update(dict(views=1, echoes=1, noises=2))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(lm_step, 'step', lambda *of, **more: traced.append('step') or step(*of, **more))
    stage4.run(asked, workdir)
  return workdir, asked, len(traced)


@pytest.mark.slow
def test_stage_4_converses_by_the_program_of_stage_3(voiced):
  assert voiced[2] == 1                      # its steps on preferences


@pytest.mark.slow
def test_stage_4_prefers_answers_to_worse_ones_after_a_teacher_that_stays(voiced, done):
  workdir, asked, _ = voiced
  log = [json.loads(line) for line in (workdir / 'log.jsonl').read_text().splitlines()]
  told = {line['step']: line for line in log if 'train/loss' in line}
  assert 'train/preference' not in told[3] and 'train/preference' in told[4]
  assert told[4]['train/preference'] == pytest.approx(np.log(2), abs=1e-5) and told[4]['train/margin'] == pytest.approx(0, abs=1e-5)
  assert told[6]['train/margin'] != 0                                        # the model moves, its teacher does not
  summary = json.loads((workdir / 'summary.json').read_text())
  # One emotion is held out; of two takes each has one the voice of another answer.
  assert {name: one['n'] for name, one in summary['after'].items()} == {'reply': 2, 'speaker': 4}
  for one in summary['after'].values():
    assert one['interval'][0] <= one['share'] <= one['interval'][1]
  reply.run(config('reply', run=str(workdir), seconds=0.2, speaker='sample-mezzo', count=1), workdir)
  assert list((workdir / 'replies').glob('*.wav'))


def test_what_no_worse_answer_was_to_be_had_for_is_said_to_be_unmeasured(capsys):
  one = dict(n=4, groups=2, share=0.5, interval=[0.0, 1.0])
  stage4.show({'before': {'reply': one}, 'after': {'reply': one}})
  said = capsys.readouterr().out.splitlines()
  assert len(said) == 4 and 'reply  50% ->  50%' in said[1]
  for line, kind in zip(said[2:], ('speaker', 'emotion')):
    assert line.strip().startswith(f'{kind} not measured: ') and 'same words' in line


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_as_one_that_was_not(voiced, done, tmp_path):
  workdir, asked, _ = voiced
  shutil.copytree(workdir, tmp_path / 'again')
  shutil.rmtree(tmp_path / 'again' / 'checkpoints' / '6')
  stage4.run(asked, tmp_path / 'again')
  first, then = runs.loaded(workdir)[1], runs.loaded(tmp_path / 'again')[1]
  for name in ('code_qvd', 'head3_dv', 'floor_dc'):
    np.testing.assert_array_equal(first[name], then[name])
