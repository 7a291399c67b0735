"""One job, any engine: the same bytes, and what is lost on the way is done again elsewhere."""
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import telugu_s2s
from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import engine, inputs, pool
from telugu_s2s.preparation import prepare as job
from telugu_s2s.preparation.prepare import Data, SAMPLE, prepare


def negative(number):
  """A task that needs no files."""
  if number == 13:
    raise InputError('13 is out of range')
  if number == 14:
    os._exit(1)
  return -number


def threads(name):
  return os.environ.get(name)


def device(folder):
  """(the GPU, the process) of a task, whose process is killed where it is the first one in its folder."""
  place = Path(folder)
  if not place.exists():
    place.mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
  time.sleep(0.5)
  return os.environ.get('CUDA_VISIBLE_DEVICES'), os.getpid()


def snapshot(out):
  return {name: (out / name).read_bytes() for name in sorted(os.listdir(out))
          if name != 'inputs.sqlite' and not name.startswith('.tmp-')}


def children(parent):
  found = []
  for stat in Path('/proc').glob('[0-9]*/stat'):
    try:
      if stat.read_text().rpartition(')')[2].split()[1] == str(parent):
        found.append(int(stat.parent.name))
    except OSError:
      pass
  return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """24 recordings of some 20 s, in 12 shards."""
  monkeypatch.setattr(job, 'SHARD_FILES', 2)
  root = tmp_path / 'corpus'
  root.mkdir()
  voice = files.read(SAMPLE / 'audio' / 'a001-buzz.opus')[0]
  for copy in range(24):
    soundfile.write(root / f'copy{copy:02d}.flac', np.tile(np.roll(voice, copy), 8), 16000)
  return root


@pytest.fixture
def ray(monkeypatch):
  monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
  monkeypatch.setenv('RAY_AUTH_MODE', 'token')
  return pytest.importorskip('ray')


@pytest.fixture
def cluster(ray):
  """A cluster without a core: a test adds the nodes."""
  from ray import cluster_utils
  made = cluster_utils.Cluster(initialize_head=True, head_node_args={
      'num_cpus': 0, 'include_dashboard': False, 'object_store_memory': engine.STORE_BYTES})
  yield made
  made.shutdown()


def test_an_unknown_engine_is_refused_in_one_line():
  with pytest.raises(InputError, match="data.engine 'spark': give one of local, ray") as caught:
    Data(engine='spark')
  assert '\n' not in str(caught.value)


def test_an_address_without_a_cluster_engine_is_refused():
  with pytest.raises(InputError, match="data.address 'auto'"):
    Data(address='auto')


def test_a_missing_ray_is_named_with_its_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, 'ray', None)
  with pytest.raises(InputError, match=r'Ray is not installed; pip install -e \.\[cluster\]'):
    Data(engine='ray')


def test_the_engine_is_no_part_of_a_shards_name(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(engine, 'check', lambda name, address: None)
  chosen = inputs.gather(Data(), [folder], tmp_path).chosen
  names = [[task.name for task in job.plan(Data(engine=name, address=address), tmp_path, chosen)]
           for name, address in [('local', ''), ('ray', ''), ('ray', 'auto')]]
  assert names[0] == names[1] == names[2] and len(names[0]) == 12


def test_a_relative_folder_is_found_from_anywhere(folder, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  chosen = inputs.gather(Data(), ['corpus'], tmp_path).chosen
  task = job.plan(Data(), 'out', chosen)[0]
  assert (task.folder, task.out) == (str(folder), str(tmp_path / 'out'))


def test_a_machine_with_other_code_is_refused():
  assert engine._checked(negative, 1, telugu_s2s.__version__) == -1
  with pytest.raises(InputError, match='the machine that asks has 0.0.1'):
    engine._checked(negative, 1, '0.0.1')


@pytest.mark.slow
def test_a_local_worker_that_is_killed_between_two_tasks_costs_nothing():
  found = []
  for _, pid in pool.results(process_of, range(4), 1):
    found.append(pid)
    if len(found) == 1:
      time.sleep(1)                    # the second task is done too, and the process waits
      os.kill(pid, signal.SIGKILL)
      time.sleep(0.5)
  assert len(found) == 4 and found[0] == found[1] != found[2] == found[3]


def process_of(_):
  return os.getpid()


def test_no_task_starts_nothing(monkeypatch):
  monkeypatch.setitem(sys.modules, 'ray', None)
  assert not list(engine.results(negative, [], -1, 'ray')) and not list(engine.results(negative, [], -1))


@pytest.mark.slow
def test_local_workers_give_each_task_its_result():
  assert dict(engine.results(negative, range(4), 2)) == {0: 0, 1: -1, 2: -2, 3: -3}
  with pytest.raises(InputError, match='13 is out of range'):
    list(engine.results(negative, [1, 13], 2))


@pytest.mark.slow
def test_a_local_worker_that_is_killed_costs_the_task_in_hand(tmp_path):
  folders = [str(tmp_path / f'{number}') for number in range(6)]
  for name in folders[1:4] + folders[5:]:
    os.mkdir(name)
  found = list(pool.results(device, folders, 2, devices=['3', '5']))
  assert sorted(task for task, _ in found) == folders and {gpu for _, (gpu, _) in found} == {'3', '5'}
  assert len({process for _, (_, process) in found}) <= 4                  # two, and one for each that was killed
  with pytest.raises(InputError, match='workers 2: a worker ended early 3 times over one task .14., killed by what it reads'):
    list(pool.results(negative, [1, 14, 2], 2))


@pytest.mark.slow
def test_a_gpu_of_a_cluster_is_one_workers_alone(cluster, tmp_path, monkeypatch):
  monkeypatch.setattr(engine, 'LOOK_S', 0.2)
  cluster.add_node(num_cpus=1, num_gpus=2, object_store_memory=engine.STORE_BYTES)
  cluster.wait_for_nodes()
  folders = [str(tmp_path / f'{number}') for number in range(6)]
  for name in folders[1:]:
    os.mkdir(name)
  found = list(engine.results(device, folders, -1, 'ray', cluster.address, programs=True))
  assert sorted(task for task, _ in found) == folders
  # On a machine that is busy a worker may not come up, and the other one does its tasks.
  seen = {gpu for _, (gpu, _) in found}
  assert seen <= {'0', '1'} and len({place for _, place in found}) == len(seen)      # a GPU is one process's alone


@pytest.mark.slow
def test_programs_have_one_thread_on_a_cpu_and_leave_accelerators_alone(ray, monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.setenv('XLA_FLAGS', '--xla_dump_to=')
  wanted = {'JAX_PLATFORMS': 'cpu', 'OMP_NUM_THREADS': '1', 'XLA_FLAGS': f'--xla_dump_to= {pool.ONE_THREAD}'}
  for name in engine.ENGINES:
    assert dict(engine.results(threads, list(wanted), 1, name, programs=True)) == wanted


@pytest.mark.parametrize('variables, names', [
    ({}, ['0', '2', '10']), ({'CUDA_VISIBLE_DEVICES': '1, GPU-ab'}, ['1', 'GPU-ab']), ({'CUDA_VISIBLE_DEVICES': ''}, []),
    ({'CUDA_VISIBLE_DEVICES': '-1'}, []), ({'JAX_PLATFORMS': 'cpu'}, []), ({'JAX_PLATFORMS': 'cuda,cpu'}, ['0', '2', '10'])])
def test_gpus_are_those_that_may_be_seen(monkeypatch, variables, names):
  for name in ('JAX_PLATFORMS', 'CUDA_VISIBLE_DEVICES'):
    monkeypatch.delenv(name, raising=False)
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  monkeypatch.setattr(pool.importlib.util, 'find_spec', lambda name: name == 'jax_cuda13_plugin' or None)
  monkeypatch.setattr(pool.os, 'listdir', lambda path: ['null', 'nvidia10', 'nvidia0', 'nvidiactl', 'nvidia2'])
  assert pool.gpus() == names
  monkeypatch.setattr(pool.importlib.util, 'find_spec', lambda name: None)
  assert pool.gpus() == []


@pytest.mark.parametrize('gpus, workers, tasks, name, alone', [
    (0, -1, 1, 'local', True), (0, 1, 9, 'local', True), (0, 2, 9, 'local', False), (1, -1, 9, 'local', True),
    (2, -1, 9, 'local', False), (2, 0, 9, 'local', True), (0, 1, 1, 'ray', False), (0, 0, 9, 'ray', True)])
def test_a_process_works_alone_on_its_one_gpu_or_for_want_of_others(monkeypatch, gpus, workers, tasks, name, alone):
  monkeypatch.setattr(pool, 'gpus', lambda: ['0', '1'][:gpus])
  assert engine.alone(workers, tasks, name, programs=True) == alone
  if not gpus:
    assert engine.alone(workers, tasks, name) == alone


@pytest.mark.slow
def test_ray_keeps_the_contract_of_local_workers(ray, monkeypatch):
  assert dict(engine.results(negative, range(9), 2, 'ray')) == {number: -number for number in range(9)}
  assert not ray.is_initialized()
  assert dict(engine.results(threads, ['OMP_NUM_THREADS', 'MKL_NUM_THREADS'], 1, 'ray')) == {
      'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
  with pytest.raises(InputError, match='^13 is out of range$'):
    list(engine.results(negative, [1, 13], 2, 'ray'))
  monkeypatch.setattr(engine, 'RETRIES', 1)
  with pytest.raises(InputError, match='lost 2 times over one task'):
    list(engine.results(negative, [14], 1, 'ray'))
  assert not ray.is_initialized()


@pytest.mark.slow
@pytest.mark.parametrize('address', ['auto', '127.0.0.1:9', 'nowhere:port'])
def test_no_cluster_is_said_in_one_line(ray, address):
  with pytest.raises(InputError, match=f"data.address '{address}': no Ray cluster") as caught:
    list(engine.results(negative, [1], 1, 'ray', address))
  assert '\n' not in str(caught.value)


@pytest.mark.slow
def test_ray_writes_the_bytes_of_local_workers(ray, folder, tmp_path):
  prepare(Data(audio=str(folder)), tmp_path / 'local', workers=2)
  for workers in (1, 2):
    prepare(Data(audio=str(folder), engine='ray'), tmp_path / f'ray{workers}', workers=workers)
    assert snapshot(tmp_path / f'ray{workers}') == snapshot(tmp_path / 'local')


@pytest.mark.slow
def test_a_node_lost_in_the_middle_changes_nothing(cluster, folder, tmp_path):
  nodes = [cluster.add_node(num_cpus=1, object_store_memory=engine.STORE_BYTES) for _ in range(2)]
  cluster.wait_for_nodes()
  prepare(Data(audio=str(folder), workers=0), tmp_path / 'local')
  out, lost = tmp_path / 'out', []

  def lose():
    raylet = nodes[1].all_processes['raylet'][0].process.pid
    while True:
      workers = children(raylet)
      unfinished = [pid for pid in workers for _ in out.glob(f'{files.temporary_prefix()}{pid}-*')]
      if unfinished and len(list(out.glob('segments-*.json'))) >= 4:
        break
      time.sleep(0.01)
    # A machine goes with all its processes; without its raylet alone a worker would still end what it has in hand.
    for pid in [*workers, raylet]:
      os.kill(pid, signal.SIGKILL)
    lost.append(unfinished[0])
    cluster.remove_node(nodes[1], allow_graceful=False)

  thread = threading.Thread(target=lose, daemon=True)
  thread.start()
  prepare(Data(audio=str(folder), engine='ray', address=cluster.address), out)
  thread.join(60)
  assert lost, 'it finished before the node was lost: make the corpus longer'
  assert list(out.glob(f'{files.temporary_prefix()}{lost[0]}-*')), 'a shard was in hand when the node was lost'
  assert snapshot(out) == snapshot(tmp_path / 'local')


@pytest.mark.slow
def test_a_cluster_that_stays_empty_is_given_up(cluster, monkeypatch):
  monkeypatch.setattr(engine, 'LOOK_S', 0.2)
  monkeypatch.setattr(engine, 'EMPTY_S', 1)
  with pytest.raises(InputError, match='no core for 1 s'):
    list(engine.results(negative, [1], -1, 'ray', cluster.address))
