"""The loop: the same on every mesh, the same to the bit after a stop, and never stopped by one bad step."""
import dataclasses
import fcntl
import functools
import json
import os
import signal
import time
from types import SimpleNamespace

import jax
import ml_collections
import numpy as np
import pytest

from telugu_s2s import axes
from telugu_s2s.errors import InputError
from telugu_s2s.training import checkpoints, loop, metrics

MESHES = [(8, 1, 1), (4, 2, 1), (2, 2, 2)]


@pytest.fixture(scope='module', autouse=True)
def compiled_once():
  """The toy's programs are compiled once for each mesh."""
  made = loop.compiled
  kept = functools.cache(lambda init, phases, rates, idle, mesh, seed: made(
      loop.Stage(init, phases, None, 0.0, {}, rates=rates, idle=idle), mesh, seed))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, 'compiled', lambda stage, mesh, seed: kept(stage.init, stage.phases, stage.rates, stage.idle, mesh, seed))
    yield


def schedule(steps=6, log_every=2, save_every=3, evaluate_every=0):
  return loop.Schedule(steps, log_every, save_every, evaluate_every)


def fit(stage, workdir, *, mesh=(2, 2, 2), seed=5, **when):
  devices = jax.devices()[:int(np.prod(mesh))]
  return loop.fit(stage, schedule(**when), axes.mesh(*mesh, devices=devices), seed, workdir)


def lines(workdir, prefix='train/'):
  """The metrics of each line of a prefix: [(step, {name: value})]."""
  every = [json.loads(line) for line in (workdir / 'log.jsonl').read_text().splitlines()]
  return [(line.pop('step'), line) for line in every if any(name.startswith(prefix) for name in line)]


def assert_same(a, b, atol=None):
  """Two states, bit for bit or within a tolerance."""
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b)):
    x, y = np.asarray(x), np.asarray(y)
    if atol is None:
      np.testing.assert_array_equal(x, y, err_msg=str(path))
    else:
      np.testing.assert_allclose(x, y, rtol=0, atol=atol, err_msg=str(path))


@pytest.mark.parametrize('mesh', MESHES, ids=str)
def test_a_sharded_run_is_that_of_one_device(toy, tmp_path, mesh):
  alone, _ = fit(toy(), tmp_path / 'alone', mesh=(1, 1, 1), steps=4)
  spread, _ = fit(toy(), tmp_path / 'spread', mesh=mesh, steps=4)
  assert_same(alone, spread, atol=1e-5)                                     # float32, another order of sums
  assert len(spread['params']['up_df'].sharding.device_set) == 8
  for (_, a), (_, b) in zip(lines(tmp_path / 'alone'), lines(tmp_path / 'spread')):
    assert a == pytest.approx(b, rel=1e-5)


def test_parameters_and_moments_are_cut_over_the_mesh(toy, tmp_path):
  state, _ = fit(toy(), tmp_path, steps=1)
  for array in (state['params']['up_df'], state['opt'][1][0].mu['up_df']):
    assert {shard.data.shape for shard in array.addressable_shards} == {(8, 6)}          # f32[16 12] over fsdp x tensor


def test_a_run_learns(toy, tmp_path):
  fit(toy(), tmp_path, steps=40, log_every=20, save_every=40)
  losses = [values['train/loss'] for _, values in lines(tmp_path)]
  assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize('mesh', [(1, 1, 1), *MESHES], ids=str)
def test_what_a_run_begins_with_outlives_it(toy, tmp_path, mesh):
  first, _ = fit(toy(), tmp_path / 'first', mesh=(1, 1, 1), steps=2)
  given = {'params': jax.tree.map(lambda x: x + 0, first['params'])}        # on one device, as fresh weights are
  before = jax.tree.map(np.array, given)
  fit(dataclasses.replace(toy(), given=lambda: given), tmp_path / 'second', mesh=mesh, steps=2)
  assert_same(given, before)


@dataclasses.dataclass(frozen=True)
class Descent:
  """A step of the toy's at the loop's rates. Any two are equal."""
  traced = []                      # what was in the state, each time that one was

  def __call__(self, state, batch, key, rate):
    self.traced.append(sorted(state))
    loss, grads = jax.value_and_grad(lambda params: jax.numpy.mean((batch['x'] @ params['up_df']) ** 2))(state['params'])
    params = jax.tree.map(lambda x, grad: x - rate * grad, state['params'], grads)
    return {**state, 'params': params, 'step': state['step'] + 1}, {'loss': loss}


def test_a_run_takes_the_program_of_one_that_learns_alike_at_other_rates_or_keeps_less(toy, tmp_path):
  begun = lambda rates, **fields: toy(phases=((0, Descent()),), rates=rates, **fields)
  fit(begun((0.1,) * 6), tmp_path / 'first')
  made = toy().init
  more = lambda key: {**made(key), 'teacher': {'up_df': 2 * made(key)['params']['up_df']}}
  still, _ = fit(begun((0.0,) * 6, init=more, idle=('teacher',)), tmp_path / 'second')
  assert Descent.traced == [['opt', 'params', 'step']]
  assert_same(still['teacher']['up_df'], 2 * still['params']['up_df'])
  moved, _ = fit(begun((0.0,) * 5 + (0.5,), init=more, idle=('teacher',)), tmp_path / 'third')
  assert (np.asarray(moved['params']['up_df']) != np.asarray(still['params']['up_df'])).all()
  assert_same(moved['teacher'], still['teacher'])
  every = [[values['train/loss'] for _, values in lines(tmp_path / name)] for name in ('first', 'second', 'third')]
  assert every[0][0] == every[1][0] and every[0][1] != every[1][1] and every[1] == every[2]


def test_a_resumed_run_is_an_uninterrupted_one_bit_for_bit(toy, tmp_path, capsys):
  whole, _ = fit(toy(), tmp_path / 'whole')
  fit(toy(), tmp_path / 'parts', steps=3)
  parts, done = fit(toy(), tmp_path / 'parts')
  assert done and 'resumed from step 3 of 6' in capsys.readouterr().out
  assert_same(whole, parts)
  assert lines(tmp_path / 'whole') == lines(tmp_path / 'parts')


def test_a_run_goes_on_on_another_mesh(toy, tmp_path):
  whole, _ = fit(toy(), tmp_path / 'whole')
  fit(toy(), tmp_path / 'parts', steps=3, mesh=(8, 1, 1))
  parts, _ = fit(toy(), tmp_path / 'parts', mesh=(2, 2, 2))
  assert_same(whole, parts, atol=1e-4)                                      # float32 sums in another order, six steps
  assert {shard.data.shape for shard in parts['params']['up_df'].addressable_shards} == {(8, 6)}


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_call_goes_on(toy, tmp_path, capsys, number):
  whole, _ = fit(toy(), tmp_path / 'whole')
  before = signal.getsignal(number)
  asked = toy(before=lambda step: step == 4 and os.kill(os.getpid(), number))
  state, done = fit(asked, tmp_path / 'parts', save_every=100)
  assert not done and 0 < int(state['step']) < 6
  assert f'stopped by {number.name} and saved' in capsys.readouterr().out
  assert signal.getsignal(number) == before                                 # and the handler is gone
  parts, done = fit(toy(), tmp_path / 'parts')
  assert done
  assert_same(whole, parts)
  assert lines(tmp_path / 'whole') == lines(tmp_path / 'parts')


def test_a_signal_at_any_moment_of_a_step_loses_nothing(toy, tmp_path):
  """Such as while its line is shown, after it was decided that the step need not be saved."""
  whole, _ = fit(toy(), tmp_path / 'whole')

  def line(values):
    if not asked:
      asked.append(os.kill(os.getpid(), signal.SIGTERM))
    return ''

  asked = []
  state, done = fit(toy(line=line), tmp_path / 'parts', save_every=100)
  assert not done
  def saved(step):
    assert step >= int(state['step']), f'step {step} is taken again'
  parts, done = fit(toy(before=saved), tmp_path / 'parts')
  assert done
  assert_same(whole, parts)


def test_two_kills_between_a_step_and_its_digest_leave_the_whole_step_before_them(toy, tmp_path, monkeypatch):
  fit(toy(), tmp_path)                                                      # saved at 3 and 6
  write = checkpoints.files.write
  def killed(path, data):
    if path.name.startswith('digest'):
      raise KeyboardInterrupt
    write(path, data)
  monkeypatch.setattr(checkpoints.files, 'write', killed)
  for steps in (7, 9):
    with pytest.raises(KeyboardInterrupt):
      fit(toy(), tmp_path, steps=steps, save_every=100)
    assert (tmp_path / 'checkpoints' / str(steps)).exists()
  assert checkpoints.Checkpoints(tmp_path / 'checkpoints', reads_only=True).latest() == 6


def test_lines_of_steps_that_were_saved_outlive_a_kill(toy, tmp_path):
  def killed(step):
    if step == 4:
      raise KeyboardInterrupt
  with pytest.raises(KeyboardInterrupt):
    fit(toy(before=killed), tmp_path, log_every=100)
  fit(toy(), tmp_path, log_every=100)
  assert [step for step, _ in lines(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_does_nothing_more(toy, tmp_path):
  state, _ = fit(toy(), tmp_path)
  log = (tmp_path / 'log.jsonl').read_bytes()
  def never(step):
    raise AssertionError('a batch was read')
  again, done = fit(toy(before=never), tmp_path)
  assert done and (tmp_path / 'log.jsonl').read_bytes() == log
  assert_same(state, again)


def test_fewer_steps_than_were_trained_are_refused(toy, tmp_path):
  fit(toy(), tmp_path)
  with pytest.raises(InputError, match='trained to step 6, and config.steps is 4'):
    fit(toy(), tmp_path, steps=4)


def test_the_log_has_one_line_a_step_whatever_was_left_behind(toy, tmp_path):
  fit(toy(), tmp_path, steps=3)
  with open(tmp_path / 'log.jsonl', 'a') as file:                           # as a killed run leaves it
    file.write('{"step": 4, "train/loss": 9.0}\n{"step": 5, "train/loss": 9.0}\n{"step": 6, "tra')
  fit(toy(), tmp_path)
  found = lines(tmp_path)
  assert [step for step, _ in found] == [1, 2, 3, 4, 5, 6]
  assert all(values['train/loss'] != 9.0 for _, values in found)
  assert all({'train/loss', 'train/grad_norm', 'train/skipped'} == values.keys() for _, values in found)
  assert list((tmp_path / 'tensorboard').glob('events*'))


@pytest.mark.parametrize('start', [0, 3])
def test_curves_of_steps_that_are_taken_again_are_hidden(tmp_path, monkeypatch, start):
  hidden = []
  monkeypatch.setattr(metrics, 'SummaryWriter', lambda folder, purge_step, flush_secs: hidden.append(purge_step) or SimpleNamespace(close=list))
  metrics.Log(tmp_path, start).close()
  assert hidden == [start + 1]


def test_a_log_of_which_nothing_is_cut_off_is_not_written_again(tmp_path, monkeypatch):
  path = tmp_path / 'log.jsonl'
  path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n')
  def full(path, data):
    raise OSError('no space left')
  monkeypatch.setattr(metrics.files, 'write', full)
  metrics.Log(tmp_path, 3).close()
  with pytest.raises(OSError, match='no space'):
    metrics.Log(tmp_path, 2)
  assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'        # nor is any of it lost where the disk is full
  monkeypatch.undo()
  metrics.Log(tmp_path, 2).close()
  assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize('line', [b'{"step": 2, "train/lo}\n', b'{}\n', b'{"step": null}\n', b'7\n', b'\0\0\0\n', b'\xff}\n'])
def test_a_line_of_the_log_that_is_none_is_told_and_left_out(tmp_path, capsys, line):
  path = tmp_path / 'log.jsonl'
  path.write_bytes(b'{"step": 1}\n' + line + b'{"step": 3}\n')
  metrics.Log(tmp_path, 3).close()
  assert path.read_text() == '{"step": 1}\n{"step": 3}\n'
  assert f'{path}: 1 damaged line is left out' in capsys.readouterr().out


def test_a_step_that_is_not_finite_is_skipped_counted_and_changes_nothing(toy, tmp_path):
  before, _ = fit(toy(), tmp_path / 'a', steps=2)
  after, _ = fit(toy(broken=[2]), tmp_path / 'b', steps=3)
  assert int(after['step']) == 3
  assert_same({name: before[name] for name in ('params', 'opt')}, {name: after[name] for name in ('params', 'opt')})
  assert [values['train/skipped'] for _, values in lines(tmp_path / 'b')] == [0, 0, 1]
  def none(constant):
    raise AssertionError(f'{constant} is no JSON')
  for line in (tmp_path / 'b' / 'log.jsonl').read_text().splitlines():
    json.loads(line, parse_constant=none)
  assert lines(tmp_path / 'b')[2][1]['train/loss'] is None


def test_the_screen_tells_of_the_steps_beside_a_skipped_one(toy, tmp_path, capsys):
  fit(toy(broken=[1]), tmp_path, steps=3, log_every=3)
  shown = capsys.readouterr().out
  assert '1 skipped, not finite' in shown and 'nan' not in shown


def test_fifty_such_steps_in_a_row_stop_the_run(toy, tmp_path):
  with pytest.raises(InputError, match='50 steps in a row up to .*config.lr') as caught:
    fit(toy(broken=range(1, 200)), tmp_path, steps=200, log_every=17, save_every=200)
  assert '\n' not in str(caught.value)
  assert lines(tmp_path)[-1][0] == 51                                       # not one more was taken


def test_fewer_than_fifty_in_a_row_do_not(toy, tmp_path):
  broken = [*range(1, 50), *range(51, 100)]
  _, done = fit(toy(broken=broken), tmp_path, steps=101, log_every=100, save_every=200)
  assert done and sum(values['train/skipped'] for _, values in lines(tmp_path)) == 98


@pytest.mark.parametrize('facts, says', [({'data': 'xyz', 'seed': 5}, "data 'abc', now it is 'xyz'"),
                                         ({'data': 'abc', 'seed': 6}, 'seed 5, now it is 6')])
def test_a_folder_of_another_run_is_refused_in_one_line(toy, tmp_path, facts, says):
  fit(toy(), tmp_path, steps=3)
  log = (tmp_path / 'log.jsonl').read_bytes()
  with pytest.raises(InputError, match=says) as caught:
    fit(toy(facts=facts), tmp_path)
  assert str(tmp_path) in str(caught.value) and '\n' not in str(caught.value)
  assert (tmp_path / 'log.jsonl').read_bytes() == log


def test_a_folder_of_a_later_stage_is_refused_in_one_line(toy, tmp_path):
  fit(toy(facts={'stage': 3, 'data': 'abc'}), tmp_path, steps=1)
  with pytest.raises(InputError, match='begun with stage 3, now it is 2.*the config of that stage') as caught:
    fit(toy(facts={'stage': 2, 'data': 'abc'}), tmp_path)
  assert '\n' not in str(caught.value)


def test_a_folder_of_other_sizes_is_refused_in_one_line(toy, tmp_path):
  fit(toy(), tmp_path, steps=3)
  stage = toy()
  def wider(key):
    state = stage.init(key)
    return {**state, 'params': {**state['params'], 'bias_d': np.zeros(32, np.float32)}}
  with pytest.raises(InputError, match='other sizes') as caught:
    fit(toy(init=wider), tmp_path)
  assert '\n' not in str(caught.value)


def test_evaluation_comes_on_time_and_at_the_end(toy, tmp_path):
  stage = toy(evaluate=lambda state, step: {'loss': 10.0 * step + int(state['step'])})
  fit(stage, tmp_path, steps=5, evaluate_every=2)
  assert lines(tmp_path, 'eval/') == [(step, {'eval/loss': 11.0 * step}) for step in (2, 4, 5)]


def test_a_runs_folder_holds_its_config_and_belongs_to_one_process(tmp_path):
  config = ml_collections.ConfigDict({'job': 'stage1', 'mesh': {'data': -1}})
  workdir = loop.begin(config, tmp_path / 'run')
  assert json.loads((workdir / 'config.json').read_text()) == config.to_dict()
  assert (workdir / 'revision.txt').read_text().strip()
  assert loop.begin(config, tmp_path / 'run') == workdir                    # this process may begin again
  (tmp_path / 'other').mkdir()
  with open(tmp_path / 'other' / '.lock', 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(InputError, match='another run is at work'):
      loop.begin(config, tmp_path / 'other')


def test_a_run_that_is_not_the_same_leaves_the_folders_config_as_it_was(toy, tmp_path):
  config = ml_collections.ConfigDict({'job': 'stage1', 'lr': 1.0})
  loop.begin(config, tmp_path)
  fit(toy(), tmp_path, steps=3)
  before = (tmp_path / 'config.json').read_text()
  with pytest.raises(InputError, match='a run of configs/stage1.py'):
    loop.begin(ml_collections.ConfigDict({'job': 'evaluate'}), tmp_path)
  config.lr = 2.0
  loop.begin(config, tmp_path)
  loop.beside(tmp_path, {'vocabulary.model': b'of another run'})
  with pytest.raises(InputError, match='was begun with'):
    fit(toy(facts={'data': 'other'}), tmp_path)
  assert (tmp_path / 'config.json').read_text() == before
  loop.begin(config, tmp_path)
  fit(toy(), tmp_path, steps=4)
  assert not (tmp_path / 'vocabulary.model').exists()
  assert json.loads((tmp_path / 'config.json').read_bytes())['lr'] == 2.0


def test_seconds_are_read_as_a_clock():
  assert [loop.clock(seconds) for seconds in (0, 59.7, 61, 3723)] == ['0:00', '1:00', '1:01', '1:02:03']


@pytest.mark.parametrize('readers', [1, 3, 8])
def test_batches_come_in_turn_and_no_more_than_asked_however_many_read_them(monkeypatch, readers):
  monkeypatch.setattr(loop, 'READERS', readers)
  asked = []

  class Batches:
    def __getitem__(self, step):
      asked.append(step)
      time.sleep(0.001 * (7 - step % 7))
      return {'step': step}

  assert [(now, batch['step']) for now, batch in loop.ahead(Batches(), 4, 24)] == [(now, now) for now in range(4, 24)]
  assert sorted(asked) == list(range(4, 24)) and list(loop.ahead(Batches(), 3, 3)) == []


def test_a_step_takes_the_time_between_two_lines_by_the_steps_between_them(toy, monkeypatch):
  written, times = [], iter([10.0, 16.0, 16.0])
  monkeypatch.setattr(loop.time, 'monotonic', lambda: next(times))
  log = SimpleNamespace(write=lambda step, values, prefix='train': written.append((step, values, prefix)), flush=lambda: None)
  said = []
  report = loop.Report(log, SimpleNamespace(update=lambda: None, write=said.append), toy(), schedule(steps=8))
  for step in (1, 2, 3, 4):
    report.add(step, {'loss': np.float32(1.0)})
    if step in (1, 4):
      report.show()
  assert written[-1] == (4, {'audio_s_per_s': 1.0, 'step_s': 2.0}, 'speed')      # 3 steps of 2 s of audio in 6 s
  assert said[-1].endswith('1 audio s/s | 0:08 left')
