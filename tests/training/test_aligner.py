"""The aligner's job, and how well the boundary between two joined clips is found."""
import csv
import json
import runpy
import shutil

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.codec import aligner
from telugu_s2s.errors import InputError
from telugu_s2s.preparation.prepare import SAMPLE
from telugu_s2s.tokens import alignment
from telugu_s2s.training import aligner as job


def made(audio, **fields):
  config = runpy.run_path('configs/aligner.py')['get_config']()
  config.update(dict(batch=8, warmup=2, log_every=4, save_every=4, steps=dict(peaks=3, edges=3), model=dict(width=8, layers=2)))
  config.data.update(dict(audio=str(audio), workers=0))
  config.update(fields)
  return config


def test_the_job_writes_an_aligner_and_how_sure_it_is(audio, tmp_path, capsys):
  job.run(made(audio), tmp_path)
  trained = aligner.load(tmp_path / 'aligner.safetensors')
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert summary['aligner'] == trained.name and tuple(summary['graphemes']) == trained.graphemes and summary['measured_on'] == 'eval'
  assert {name: row['clips'] for name, row in summary['confidence'].items()} == {'their own': 3, 'wrong': 3}
  data = (tmp_path / 'aligner.safetensors').read_bytes()
  job.run(made(audio), tmp_path)
  assert 'resumed from step 6 of 6' in capsys.readouterr().out and (tmp_path / 'aligner.safetensors').read_bytes() == data


def test_recordings_without_transcripts_stop_the_job(tmp_path, speech):
  files.write_wav(tmp_path / 'audio' / 'a.wav', speech[0])
  with pytest.raises(InputError, match='none has a transcript'):
    job.run(made(tmp_path / 'audio'), tmp_path / 'run')


@pytest.mark.parametrize('fields, says', [(dict(seed=-1), 'config.seed -1'), (dict(steps=dict(peaks=-3, edges=6)), 'config.steps.peaks -3')])
def test_a_number_that_the_job_cannot_take_is_named_before_any_work(tmp_path, fields, says):
  with pytest.raises(InputError, match=says):
    job.run(made('no/such/folder', **fields), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('labels, single', [([1, 2, 2, 3, 3, 3, 2], [1, 2, 3, 2]), ([4], [4])])
def test_neighbours_that_are_alike_are_one(labels, single):
  assert list(job.single(np.array(labels))) == single


@pytest.mark.slow
def test_the_boundary_of_joined_clips_is_found(tmp_path):
  """Of two held-out sentences of a voice, one after the other without a pause: to 80 ms, two frames of the codec, and half of them to 40."""
  with open(SAMPLE / 'MANIFEST.tsv', encoding='utf-8', newline='') as file:
    rows = [row for row in csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE) if row['speaker'] == 'sample-tenor']
  train = [row for row in rows if row['split'] == 'train']
  for row in train:
    (tmp_path / 'a' / row['path']).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(SAMPLE / row['path'], tmp_path / 'a' / row['path'])
  with open(tmp_path / 'a' / 'MANIFEST.tsv', 'w', encoding='utf-8', newline='') as file:
    writer = csv.DictWriter(file, list(rows[0]), delimiter='\t', quoting=csv.QUOTE_NONE)
    writer.writeheader()
    writer.writerows(train)
  job.run(made(tmp_path / 'a', steps=dict(peaks=160, edges=120), warmup=20, log_every=20, save_every=280,
               model=dict(width=96, layers=4)), tmp_path / 'run')
  trained = aligner.load(tmp_path / 'run' / 'aligner.safetensors')
  told = [row for row in rows if row['split'] != 'train']
  clips = [(files.read(SAMPLE / row['path'])[0], row['text']) for row in told]
  errors = []
  for (one, first), (other, second) in zip(clips, clips[1:]):
    said = trimmed(one)
    found, = alignment.Forced(trained)([(np.concatenate([said, trimmed(other)]), f'{first} {second}')])
    errors.append(abs(found.words[len(first.split())].start_s - len(said) / files.SAMPLE_RATE))
  assert len(errors) == 13 and np.median(errors) <= 0.04 and max(errors) <= 0.08


def trimmed(audio):
  """Without the silence around it."""
  loud = np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max())
  return audio[loud[0]:loud[-1] + 1]
