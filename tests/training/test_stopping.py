"""Real processes: stage 1 is stopped by a signal, goes on with the same command, and ends with its codec."""
import json
import os
import signal
import subprocess
import sys

import pytest
import soundfile

from telugu_s2s import usage
from telugu_s2s.codec import weights
from telugu_s2s.preparation.prepare import SAMPLE

SMALL = ['model.channels=(8, 12)', 'model.decoder_channels=(8, 12)', 'model.strides=(20, 16)', 'model.heads=2',
         'model.ffn=16', 'model.codebooks=2', 'model.codes=16', 'model.decoder_layers=1', 'batch=2', 'crop_s=0.4',
         'log_every=1', 'save_every=1000', 'evaluate_every=1000', 'steps.reconstruction=40', 'steps.adversarial=0',
         'steps.decoder=0', 'warmup=2', 'exact_steps=10', 'teacher.name=', 'spoken.batch=0', 'data.workers=0']


def start(workdir, audio):
  command = [sys.executable, '-m', 'telugu_s2s.main', '--config=configs/stage1.py', f'--workdir={workdir}',
             f'--config.data.audio={audio}', *(f'--config.{one}' for one in SMALL)]
  return subprocess.Popen(command, cwd=usage.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'})


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_exits_well_and_the_same_command_ends_it(tmp_path, number):
  audio = tmp_path / 'audio'
  audio.mkdir()
  for name in ('q001-mezzo', 'a001-buzz', 'a002-deep'):
    (audio / f'{name}.opus').symlink_to(SAMPLE / 'audio' / f'{name}.opus')
  workdir = tmp_path / 'run'
  first = start(workdir, audio)
  for line in first.stdout:
    if 'step 3/40' in line:
      first.send_signal(number)
      break
  said = first.stdout.read()
  assert first.wait(timeout=120) == 0, said
  assert f'stopped by {number.name} and saved at step' in said and 'Traceback' not in said
  assert not (workdir / 'codec.safetensors').exists()
  second = start(workdir, audio)
  said, _ = second.communicate(timeout=300)
  assert second.returncode == 0, said
  assert 'resumed from step' in said and 'Traceback' not in said
  steps = [json.loads(line) for line in (workdir / 'log.jsonl').read_text().splitlines()]
  assert [line['step'] for line in steps if 'train/loss' in line] == list(range(1, 41))
  assert weights.load(workdir / 'codec.safetensors').config.channels == (8, 12)
  assert soundfile.info(workdir / 'samples' / 'last' / '0-decoded.wav').samplerate == 16_000
  assert json.loads((workdir / 'summary.json').read_text())['clips'] == 3
