"""Stage 2 from audio files to what it says, in a size that takes seconds."""
import json
import os
import runpy
import shutil

import jax
import numpy as np
import pytest
import soundfile

from telugu_s2s import usage
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.training import stage2

LM = dict(width=16, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=8, depth_layers=1, depth_heads=2,
          depth_ffn=12, window=512, delay=1)


def made(audio, codec_file, **fields):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/stage2.py'))['get_config']()
  config.update(dict(codec=str(codec_file), steps=4, batch=8, frames=20, warmup=2, log_every=2, save_every=2, evaluate_every=4,
                     prompt_frames=6, continue_frames=5, model=LM))
  config.data.update(dict(audio=str(audio), workers=0))
  config.update(fields)
  return config


@pytest.fixture(scope='module')
def done(audio, codec_file, tmp_path_factory):
  """The folder of a finished run."""
  workdir = tmp_path_factory.mktemp('run')
  stage2.run(made(audio, codec_file), workdir)
  return workdir


def test_the_job_writes_what_it_learned_and_what_it_says(done, codec_file):
  assert json.loads((done / 'config.json').read_text())['steps'] == 4
  lines = [json.loads(line) for line in (done / 'log.jsonl').read_text().splitlines()]
  assert [line['step'] for line in lines if 'train/loss' in line] == [1, 2, 3, 4]
  assert {'train/a0', 'train/a2', 'train/prosody', 'train/user', 'train/grad_norm'} <= lines[0].keys()
  assert [line['step'] for line in lines if 'eval/loss' in line] == [4]
  assert list((done / 'tensorboard').glob('events*'))
  summary = json.loads((done / 'summary.json').read_text())
  assert summary['codec'] == weights.load(codec_file).name
  assert set(summary['nats']) == set(summary['weighted_nats']) == {'unigram', 'bigram', '5-gram', 'model'}
  for nats in summary['nats'].values():
    assert len(nats) == 3 and all(0 < one < 6 for one in nats)             # ln 11 is 2.4
  for number in range(3):
    sound, rate = soundfile.read(done / 'samples' / f'continuation-{number}.wav')
    assert rate == 16_000 and len(sound) == (6 + 5 - 1) * 320               # without the last `delay` frames
    assert np.abs(sound).max() > 0
    assert (done / 'samples' / f'continuation-{number}.png').read_bytes()[:4] == b'\x89PNG'


@pytest.mark.parametrize('fields, words', [
    (dict(temperature=-1.0), 'config.temperature -1.0'), (dict(mixture='slr66'), 'config.mixture'), (dict(frames=0), 'config.frames 0')])
def test_what_the_end_would_refuse_is_refused_before_anything_is_made(audio, codec_file, tmp_path, fields, words):
  with pytest.raises(InputError, match=words):
    stage2.run(made(audio, codec_file, **fields), tmp_path)
  assert not (tmp_path / 'segments').exists()


def test_a_second_call_reuses_all_that_is_there(done, audio, codec_file, capsys):
  shards = lambda: {path: path.stat().st_mtime_ns for path in done.rglob('*.array_record')}
  before, log = shards(), (done / 'log.jsonl').read_bytes()
  stage2.run(made(audio, codec_file), done)
  said = capsys.readouterr().out
  assert 'resumed from step 4 of 4' in said and '1 of 1 shards are there already' in said
  assert shards() == before and (done / 'log.jsonl').read_bytes() == log


def test_tokens_of_another_codec_stop_the_job(done, audio, codec_file, tmp_path):
  trained = weights.load(codec_file)
  params = jax.tree.map(lambda x: 1.5 * x, trained.params)
  other = tmp_path / 'other.safetensors'
  other.write_bytes(weights.to_bytes(params, trained.config, {}))
  config = made(audio, other)
  config.data.tokens = str(done / 'tokens')
  with pytest.raises(InputError, match=f'{trained.name}.*{weights.load(other).name}'):
    stage2.run(config, tmp_path / 'run')


@pytest.mark.slow
def test_rows_of_several_clips_are_learnt_from(done, audio, codec_file, tmp_path, capsys):
  config = made(audio, codec_file, packed=4, frames=400, text_cap=1)
  config.data.tokens = str(done / 'tokens')
  stage2.run(config, tmp_path / 'run')
  assert 'clips in' in capsys.readouterr().out
  assert len([line for line in (tmp_path / 'run' / 'log.jsonl').read_text().splitlines() if 'train/loss' in line]) == 4
  config.frames = 200
  with pytest.raises(InputError, match='was begun with frames 400'):         # others would share a row
    stage2.run(config, tmp_path / 'run')
  config.mixture = 'nobody=2'
  with pytest.raises(InputError, match='no source nobody; there are'):
    stage2.run(config, tmp_path / 'other')


@pytest.mark.parametrize('wrong, says', [
    (dict(codec='no/such.safetensors'), 'no/such.safetensors: no such codec file'),
    (dict(packed=4, frames=22), 'config.frames: 22 is no multiple of 4.*give 24'),
    (dict(seed=-1), 'config.seed -1'), (dict(user_share=1.5), 'config.user_share 1.5: give a number from 0 to 1'),
    (dict(prompt_frames=0), 'config.prompt_frames 0, continue_frames 5: give 1'), (dict(continue_frames=-1), 'continue_frames -1'),
    (dict(temperature=-1.0), 'config.temperature -1.0'),
    (dict(batch=12), 'config.batch: 12 rows do not divide over data x fsdp = 8'),
    (dict(mesh=dict(data=3, fsdp=1, tensor=1)), 'data=3 x fsdp=1 x tensor=1 does not fit 8'),
    (dict(data=dict(audio='no/such/folder')), 'no/such/folder'),
])
def test_what_cannot_be_used_stops_the_job_in_one_line(audio, codec_file, tmp_path, wrong, says):
  with pytest.raises(InputError, match=says) as caught:
    stage2.run(made(audio, codec_file, **wrong), tmp_path)
  assert '\n' not in str(caught.value)
  assert not (tmp_path / 'log.jsonl').exists()


def test_a_run_that_would_go_on_with_other_data_is_refused_and_left_as_it_was(done, audio, codec_file, tmp_path):
  before = {path: path.read_bytes() for path in sorted(done.rglob('*')) if path.is_file()}
  other = tmp_path / 'other'
  shutil.copytree(audio, other)
  for change in (dict(audio=str(other)), dict(licence='CC-BY-4.0'), dict(audio='')):
    config = made(audio, codec_file)
    config.data.update(change)
    with pytest.raises(InputError, match='config.data.(audio|licence) is .*, and this run was begun with .*give that, or another --workdir'):
      stage2.run(config, done)
  assert {path: path.read_bytes() for path in sorted(done.rglob('*')) if path.is_file()} == before
  config = made(os.path.relpath(audio), codec_file)                        # the same place, and its tokens by name, are no other data
  stage2.run(config, done)
  config.data.update(dict(audio=str(other), tokens=str(done / 'tokens')))
  stage2.run(config, done)
  config.views = 'all'
  with pytest.raises(InputError, match="was begun with views 'turns'"):
    stage2.run(config, done)


def test_what_is_learnt_from_is_not_taken_for_held_out(codec_file, tmp_path, monkeypatch):
  asked = []
  monkeypatch.setattr(stage2.prepare, 'prepare', lambda data, folder: asked.append((data.audio, data.split)))
  monkeypatch.setattr(stage2.tokenize, 'tokenize', lambda *given: None)
  for split in ('', 'eval', 'train'):
    config = made('speech', codec_file)
    config.data.split = split
    stage2.token_folders(config, tmp_path, weights.load(codec_file))
  assert asked == [('speech', ''), ('', 'eval'), ('speech', 'eval'), ('', 'eval'), ('speech', 'train'), ('speech', 'eval')]
  config.data.update(dict(audio='', split=''))                             # of the sample corpus nothing is left
  with pytest.raises(InputError, match="data.split '' trains on what is held out; give 'train'"):
    stage2.token_folders(config, tmp_path, weights.load(codec_file))


def test_held_out_rows_that_cannot_be_used_are_told_and_nobody_else_takes_their_place(audio, codec_file, tmp_path):
  folder = tmp_path / 'audio'
  shutil.copytree(audio, folder)
  manifest = folder / 'MANIFEST.tsv'
  names, *rows = [line.split('\t') for line in manifest.read_text().splitlines()]
  for row in rows:
    if row[names.index('split')] == 'eval':
      row[names.index('licence')] = 'CC-BY-NC-4.0'
  manifest.write_text('\n'.join(map('\t'.join, [names, *rows])) + '\n')
  with pytest.raises(InputError, match='nothing usable.*licence'):
    stage2.run(made(folder, codec_file), tmp_path / 'run')
