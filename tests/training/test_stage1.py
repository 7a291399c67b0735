"""Stage 1 from audio files to a codec's file, through its three phases, in a size that takes seconds."""
import json
import os
import runpy
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import soundfile

from telugu_s2s import usage
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.training import codec_step, stage1

MODEL = dict(strides=(20, 16), channels=(8, 12), decoder_channels=(10, 12), heads=2, ffn=16, encoder_layers=1,
             decoder_layers=1, codebooks=2, codes=16, window=8)
JUDGES = dict(periods=(3,), period_channels=(2, 3), windows=(128,), channels=2)


def made(audio, **fields):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/stage1.py'))['get_config']()
  config.update(dict(steps=dict.fromkeys(codec_step.PHASES, 2), batch=8, crop_s=0.4, warmup=2, exact_steps=1, log_every=2,
                     save_every=3, evaluate_every=4, restart_every=2))
  config.model.update(MODEL)
  config.discriminators.update(JUDGES)
  config.data.update(dict(audio=str(audio), workers=0))
  config.teacher.update(dict(units=8, workers=0))
  config.spoken.update(dict(batch=8))
  config.update(fields)
  return config


@pytest.fixture(scope='module')
def done(audio, tmp_path_factory):
  """The folder of a finished run."""
  workdir = tmp_path_factory.mktemp('run')
  stage1.run(made(audio), workdir)
  return workdir


@pytest.mark.slow
def test_the_job_goes_through_its_phases_and_writes_a_codec(done):
  lines = [json.loads(line) for line in (done / 'log.jsonl').read_text().splitlines()]
  steps = {line['step']: line for line in lines if 'train/loss' in line}
  assert sorted(steps) == [1, 2, 3, 4, 5, 6]
  assert ['train/adversarial' in steps[step] for step in sorted(steps)] == [False, False, True, True, True, True]
  for name in ('mel', 'stft', 'units', 'graphemes', 'usage1', 'entropy1'):
    assert np.isfinite(steps[6][f'train/{name}']), name
  assert 'train/compressed' not in steps[6], 'a distance without a weight is not computed'
  measured = [line for line in lines if 'eval/stoi' in line]
  assert [line['step'] for line in measured] == [4, 6] and np.isfinite(measured[0]['eval/si_sdr'])
  for folder in ('0000004', '0000006', 'last'):
    assert soundfile.info(done / 'samples' / folder / '2-decoded.wav').samplerate == 16_000
    assert (done / 'samples' / folder / '0.png').stat().st_size > 1000
  trained = weights.load(done / 'codec.safetensors')
  assert trained.config.decoder_channels == (10, 12) and trained.config.split
  assert trained.params.keys() == set(codec_step.CODEC)
  summary = json.loads((done / 'summary.json').read_text())
  assert summary['clips'] == 3 and summary['measured_on'] == 'eval' and np.isfinite(summary['measures']['si_sdr'])


@pytest.mark.slow
def test_a_resumed_run_gives_the_codec_and_the_judges_of_an_uninterrupted_one(audio, done, tmp_path):
  """It goes on in the middle of the second phase, from the checkpoint of step 3."""
  again = tmp_path / 'again'
  shutil.copytree(done, again)
  shutil.rmtree(again / 'checkpoints' / '6')
  for path in (again / 'checkpoints' / 'digest-6.json', again / 'codec.safetensors'):
    path.unlink()
  stage1.run(made(audio), again)
  assert (again / 'codec.safetensors').read_bytes() == (done / 'codec.safetensors').read_bytes()
  digests = [checkpoint_arrays(folder) for folder in (again, done)]
  jax.tree.map(np.testing.assert_array_equal, *digests)
  assert {'params', 'mean', 'opt', 'judges', 'usage_qv', 'step'} == digests[0].keys()


def checkpoint_arrays(workdir):
  return ocp.StandardCheckpointer().restore((workdir / 'checkpoints' / '6' / 'state').absolute())


@pytest.mark.slow
def test_without_a_weight_there_are_no_judges_and_the_last_phase_moves_the_decoder_alone(audio, done, tmp_path):
  config = made(audio, start=str(done / 'codec.safetensors'), steps=dict(reconstruction=0, adversarial=0, decoder=3))
  config.weights.update(dict(adversarial=0.0, feature=0.0, compressed=10.0))
  stage1.run(config, tmp_path)
  log = (tmp_path / 'log.jsonl').read_text()
  assert 'train/compressed' in log and 'adversarial' not in log
  before, after = (weights.load(folder / 'codec.safetensors').params for folder in (done, tmp_path))
  for still in ('encoder', 'quantizer'):
    jax.tree.map(np.testing.assert_array_equal, before[still], after[still])
  assert not all(jax.tree.leaves(jax.tree.map(lambda a, b: np.array_equal(a, b), before['decoder'], after['decoder'])))
  first, then = (weights.load(folder / 'codec.safetensors') for folder in (done, tmp_path))
  assert then.name == first.name == first.identity != then.identity            # its codes are those of the codec that it began with


def test_a_phase_without_steps_is_left_out():
  assert codec_step.boundaries(dict(reconstruction=2, adversarial=0, decoder=3)) == [(0, 'reconstruction'), (2, 'decoder')]


@pytest.mark.parametrize('fields, words', [
    (dict(crop_s=0.1), 'config.crop_s'), (dict(start='no/such.safetensors'), 'no such codec file'),
    (dict(batch=9), 'config.batch'), (dict(seed=-1), 'config.seed -1'), (dict(spoken=dict(batch=2, longest_s=4.0)), 'config.spoken.batch'),
    (dict(model=dict(rate=24_000)), 'config.model.rate 24000'), (dict(model=dict(heads=5)), 'config.model: heads 5'),
    (dict(model=dict(codes=0)), 'codes 2 or more'), (dict(steps=dict(reconstruction=-1)), 'config.steps'), (dict(save_every=0), 'config.save_every 0'),
    (dict(unquantised=1.5), 'config.unquantised 1.5.* from 0 to 1'), (dict(level_dropout=-0.1), 'config.level_dropout'),
    (dict(mean_decay=float('nan')), 'config.mean_decay nan'), (dict(augment=dict(band=2.0)), 'config.augment.band 2.0'),
    (dict(exact_steps=-1), 'config.exact_steps -1'), (dict(exact_steps=4), 'config.exact_steps 4: in none of the 4 steps'),
    (dict(weights=dict(mel=-1.0)), 'config.weights.mel -1.0'), (dict(weights=dict(wave=float('inf'))), 'config.weights.wave inf'),
    (dict(decoder_mel=-1.0), 'config.decoder_mel'), (dict(discriminator_lr=-1.0), 'config.discriminator_lr -1.0'), (dict(lr=-1.0), 'config.lr -1.0'),
    (dict(restart_every=0), 'config.restart_every'), (dict(discriminators=dict(windows=(510,))), 'config.discriminators.windows')],
    ids=lambda value: '' if isinstance(value, str) else '-'.join(value))
def test_what_cannot_be_is_named_before_any_work(audio, tmp_path, fields, words):
  with pytest.raises(InputError, match=words):
    stage1.run(made(audio, **fields), tmp_path / 'run')
  assert not (tmp_path / 'run' / 'segments').exists()


def test_a_codec_of_other_sizes_is_no_beginning(audio, codec_file, tmp_path):
  with pytest.raises(InputError, match='config.start'):
    stage1.run(made(audio, start=str(codec_file)), tmp_path / 'run')
