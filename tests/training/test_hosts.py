"""Two processes of four devices train as one of eight; a signal to one of them stops both at the same step."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from telugu_s2s import axes, main, usage
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.training import checkpoints, hosts, stage2

CONFIG = """'''A small stage 2.'''
import runpy

def get_config():
  config = runpy.run_path({path!r})['get_config']()
  config.update(dict(codec={codec!r}, batch=8, frames=20, warmup=2, evaluate_every=4, prompt_frames=6, continue_frames=5,
                     accumulate=1, ema=0.5, log_every=1, mesh=dict(data=2, fsdp=2, tensor=2)))
  config.model.update(dict(width=16, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=8, depth_layers=1,
                           depth_heads=2, depth_ffn=12, window=64, delay=1))
  config.data.update(dict(audio={audio!r}, workers=0))
  return config
"""
LIMIT_S = 900


@pytest.fixture(scope='module')
def config_file(audio, codec_file, tmp_path_factory):
  path = tmp_path_factory.mktemp('config') / 'small.py'
  path.write_text(CONFIG.format(path=os.path.join(usage.ROOT, 'configs/stage2.py'), codec=str(codec_file), audio=str(audio)))
  return path


def both(*command):
  """Two processes of Python, of four devices each. command: in which HOSTS is what they join by."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  env = {**os.environ, 'JAX_NUM_CPU_DEVICES': '4', 'PYTHONUNBUFFERED': '1',
         'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}
  return [subprocess.Popen([sys.executable, *(word.replace('HOSTS', f'localhost:{port},2,{number}') for word in command)], cwd=usage.ROOT,
                           env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for number in range(2)]


def started(config_file, workdir, *fields):
  """Two processes of a run."""
  return both('-m', 'telugu_s2s.main', f'--config={config_file}', f'--workdir={workdir}', '--hosts=HOSTS', *fields)


def finished(processes):
  """What each printed; all have to exit with 0."""
  try:
    said = [one.communicate(timeout=LIMIT_S)[0] for one in processes]
  finally:
    for one in processes:
      one.kill()
  assert [one.returncode for one in processes] == [0] * len(processes), said
  return said


def log(workdir):
  return [json.loads(line) for line in (workdir / 'log.jsonl').read_text().splitlines()]


def saved(workdir, step):
  """The arrays of a checkpoint, as they lie on the disk."""
  manager = checkpoints.Checkpoints(workdir / 'checkpoints')
  try:
    assert manager.latest() == step
    config = json.loads((workdir / 'config.json').read_text())
    tx = stage2.optimiser.adamw(stage2.optimiser.warmup_stable_decay(config['lr'], 2, step, config['decay']))
    model = stage2.Config(codebooks=3, codes=11, **config['model'])
    shapes = stage2.loop.abstract(lambda key: stage2.init(model, tx, key, config['ema']), axes.mesh(), 0)
    return jax.device_get(manager.restore(step, shapes)[0])
  finally:
    manager.close()


@pytest.mark.two_processes
@pytest.mark.slow
def test_two_processes_learn_what_one_learns(config_file, tmp_path):
  config = main.load(str(config_file), [])
  config.update(dict(steps=4, save_every=2))
  stage2.run(config, tmp_path / 'one')                                      # eight devices of this process
  said = finished(started(config_file, tmp_path / 'two', '--config.steps=4', '--config.save_every=2'))
  assert 'summary' in said[0] and 'summary' not in said[1]                  # the first one alone writes
  alone, together = log(tmp_path / 'one'), log(tmp_path / 'two')
  assert [line['step'] for line in alone] == [line['step'] for line in together]
  for a, b in zip(alone, together):
    if 'speed/step_s' not in a:
      assert b == pytest.approx(a, rel=1e-5)                                # float32, rows in another order
  for (path, a), b in zip(jax.tree.leaves_with_path(saved(tmp_path / 'one', 4)), jax.tree.leaves(saved(tmp_path / 'two', 4))):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5, err_msg=str(path))
  assert (tmp_path / 'two' / 'samples' / 'continuation-2.wav').exists()


@pytest.mark.two_processes
@pytest.mark.slow
def test_a_signal_to_one_process_saves_and_stops_both(config_file, tmp_path):
  fields = ('--config.steps=100000', '--config.save_every=100000', '--config.evaluate_every=0')
  running = started(config_file, tmp_path / 'run', *fields)
  began = time.monotonic()
  while not (tmp_path / 'run' / 'log.jsonl').exists() or len(log(tmp_path / 'run')) < 6:
    assert time.monotonic() - began < LIMIT_S and running[0].poll() is None, finished(running)
    time.sleep(0.2)
  running[1].send_signal(signal.SIGTERM)
  said = finished(running)
  assert 'stopped by SIGTERM and saved at step' in said[0]
  step = int(said[0].split('saved at step ')[1].split(';')[0])
  assert log(tmp_path / 'run')[-1]['step'] == step > 2
  manager = checkpoints.Checkpoints(tmp_path / 'run' / 'checkpoints')
  assert manager.latest() == step
  manager.close()


CODEC_CONFIG = """'''A small stage 1.'''
import runpy

def get_config():
  config = runpy.run_path({path!r})['get_config']()
  config.update(dict(crop_s=0.2, batch=8, exact_steps=1, log_every=1, evaluate_every=2, mesh=dict(data=4, fsdp=2)))
  config.model.update(dict(channels=(8, 16), decoder_channels=(8, 16), heads=2, ffn=16, codes=16))
  config.steps.update(dict(reconstruction=2, adversarial=0, decoder=0))
  config.spoken.batch = 0
  config.data.update(dict(audio={audio!r}, workers=0))
  return config
"""


@pytest.mark.two_processes
@pytest.mark.slow
def test_two_processes_train_a_codec_which_the_first_one_writes(audio, tmp_path):
  file = tmp_path / 'codec.py'
  file.write_text(CODEC_CONFIG.format(path=os.path.join(usage.ROOT, 'configs/stage1.py'), audio=str(audio)))
  said = finished(started(file, tmp_path / 'two'))
  assert '3 clips of eval' in said[0] and 'codec.safetensors' in said[0]
  assert 'clips of eval' not in said[1] and 'codec.safetensors' not in said[1]
  assert weights.load(tmp_path / 'two' / 'codec.safetensors').config.codes == 16


WAITS = """
import time
from telugu_s2s.training import hosts
hosts.join('HOSTS')
print(hosts.first(lambda: time.sleep(35) or 'made', 'not made'))
"""


@pytest.mark.two_processes
@pytest.mark.slow
def test_the_first_one_may_prepare_for_longer_than_a_meeting_of_processes_waits():
  said = finished(both('-c', WAITS))
  assert [text.splitlines()[-1] for text in said] == ['made', 'not made']


@pytest.mark.parametrize('where', ['localhost', 'localhost:1,2', 'localhost:1,2,2', 'localhost:1,2,-1', 'host,2,0', 'a:b,2,0'])
def test_an_address_that_is_none_is_refused_in_one_line(where):
  with pytest.raises(InputError, match='--hosts=.*ADDRESS:PORT,PROCESSES,NUMBER such as') as caught:
    hosts.join(where)
  assert '\n' not in str(caught.value)


def test_one_process_does_all_itself():
  hosts.join('')
  assert hosts.first(lambda: 'made', 'not made') == 'made'
  x = np.arange(6).reshape(3, 2)
  assert hosts.share(x).tolist() == x.tolist() and hosts.whole({'x': x})['x'] is x


@pytest.mark.parametrize('number', [0, 1])
@pytest.mark.parametrize('fails', [False, True])
def test_what_the_first_process_cannot_do_stops_them_all(monkeypatch, number, fails):
  told = []
  def broadcast(x):                              # the others get what the first one told
    told.append(int(x))
    return np.int32(fails)
  def do():
    if fails:
      raise InputError('no such folder')
    return 'made'
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(jax, 'process_index', lambda: number)
  monkeypatch.setattr(hosts.multihost_utils, 'broadcast_one_to_all', broadcast)
  if fails:
    with pytest.raises(InputError, match='no such folder' if number == 0 else 'the process of number 0 stopped'):
      hosts.first(do, 'not made')
  else:
    assert hosts.first(do, 'not made') == ('made' if number == 0 else 'not made')
  assert told == [int(fails and number == 0)]
