"""Work spread over this machine or a cluster: the one place that knows Ray.

A task is one call that leaves whole files or none, under names that follow from what goes in. So a worker or a
machine that is lost costs what it had in hand, which is done again elsewhere, and two that do the same write the same.
"""
import collections
import importlib.util
import os
import platform
import socket
import time
from collections.abc import Callable, Iterator, Sequence

import telugu_s2s
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import pool

ENGINES = ('local', 'ray')
RETRIES = 5                    # of one task, each after its worker or its machine was lost
QUEUE = 2                      # tasks handed out a core: the next one waits where the last one ends
LOOK_S = 5                     # how often new and lost machines are looked for
EMPTY_S = 600                  # how long a cluster may be without a core: time to replace a machine taken away
ANSWER_S = 10
STORE_BYTES = 128 * 2**20      # shared memory of a Ray started here: rows are small, audio goes through files


def check(engine: str, address: str, group: str = 'data') -> None:
  """Refuses an engine that is not there, by the name of the config's field. group: of the config that has the field."""
  if engine not in ENGINES:
    raise InputError(f'{group}.engine {engine!r}: give one of {", ".join(ENGINES)}')
  if engine == 'local' and address:
    raise InputError(f"{group}.address {address!r}: the engine local has none; give {group}.engine='ray', or no address")
  if engine == 'ray' and importlib.util.find_spec('ray') is None:
    raise InputError(f'{group}.engine ray: Ray is not installed; pip install -e .[cluster] -c constraints.txt, or '
                     'give local')


def alone(workers: int, tasks: int, engine: str, programs: bool = False) -> bool:
  """Whether tasks are done in the process that asks, for want of others; those that run JAX programs also on its one GPU."""
  if not workers or engine == 'ray':
    return not workers
  gpus = len(pool.gpus()) if programs else 0
  return gpus == 1 or not gpus and pool.count(workers, tasks) < 2


def results(call: Callable, tasks: Sequence, workers: int, engine: str = 'local', address: str = '',
            field: str = 'workers', programs: bool = False, careful: Callable | None = None) -> Iterator[tuple]:
  """Yields (task, call(task)) of each task as it ends.

  Args:
    call: a function that a module defines.
    tasks: what it takes; every one can be sent to another process, and paths in it are absolute.
    workers: at once; -1 = one a core of the machine or the cluster.
    engine: 'local' = processes of this machine, 'ray' = Ray Core.
    address: of a Ray cluster, 'auto' (the one that this machine belongs to) or 'host:port'; '' = a Ray on this
      machine, for this call.
    field: of the config that set `workers`, for the message.
    programs: whether the call runs JAX programs. Where there are GPUs every worker then has one for itself, and they
      are counted in the place of cores; elsewhere XLA has one thread a worker.
    careful: see `pool.results`; of processes of this machine.

  Raises:
    InputError: no cluster answers, or workers are lost again and again. What `call` raises comes through.
  """
  if not tasks:
    return iter(())
  if engine == 'ray':
    return _ray_results(call, tasks, workers, address, programs)
  gpus = pool.gpus() if programs else []
  if gpus:
    return pool.results(call, tasks, min(len(gpus), pool.count(workers, len(tasks))), field=field, devices=gpus, careful=careful)
  return pool.results(call, tasks, pool.count(workers, len(tasks)), pool.on_cpu() if programs else pool.SINGLE_THREAD, field,
                      careful=careful)


def _ray_results(call, tasks, workers, address, programs):
  os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
  import ray      # takes a second, and is large: only where it is asked for
  here = {} if address else {'num_cpus': pool.count(workers, len(tasks)), 'object_store_memory': STORE_BYTES,
                             'include_dashboard': False}
  try:
    host, colon, port = address.rpartition(':')
    if colon:
      socket.create_connection((host, int(port)), ANSWER_S).close()      # ray.init would wait for minutes
    ray.init(address or 'local', runtime_env={'env_vars': dict(pool.SINGLE_THREAD)}, log_to_driver=False,
             logging_level='error', **here)
  except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as problem:
    raise InputError(f'data.address {address!r}: no Ray cluster lets this job in ({str(problem).splitlines()[0]}); '
                     'start one with `ray start --head`, see configs/prepare.py') from problem
  try:
    if programs and ray.cluster_resources().get('GPU'):
      yield from _on_gpus(ray, call, tasks, workers)
    else:
      options = {'runtime_env': {'env_vars': pool.on_cpu()}} if programs else {}
      remote = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=False, **options)(_checked)
      yield from _spread(ray, remote, call, tasks, workers)
  except ray.exceptions.RayTaskError as problem:
    raise problem.cause from None
  except ray.exceptions.RayError as problem:
    raise InputError(f'data.engine ray: a worker was lost {RETRIES + 1} times over one task, for want of memory or '
                     f'with its machine ({type(problem).__name__}); what is finished is kept, run again') from problem
  finally:
    ray.shutdown()      # ends what this job still has running in the cluster, and a Ray that was started here


class _Present:
  """What a cluster has of a kind, looked up now and then."""

  def __init__(self, ray, kind, word):
    self._ray, self._kind, self._word = ray, kind, word
    self._count, self._seen, self._looked = 0, time.monotonic(), -float('inf')

  def count(self) -> int:
    """How many there are. Raises InputError where there has been none for long."""
    now = time.monotonic()
    if now - self._looked >= LOOK_S:
      self._count, self._looked = int(self._ray.cluster_resources().get(self._kind, 0)), now
      self._seen = now if self._count else self._seen
      if now - self._seen >= EMPTY_S:
        raise InputError(f'data.address: the Ray cluster has had no {self._word} for {EMPTY_S} s; what is finished is kept, '
                         'add a machine and run again')
    return self._count


def _spread(ray, remote, call, tasks, workers):
  """Hands out tasks as workers come free, in their order, and yields what ends."""
  left, waiting, cores = list(reversed(tasks)), {}, _Present(ray, 'CPU', 'core')
  while left or waiting:
    count = cores.count()
    while left and len(waiting) < (QUEUE * max(count, 1) if workers == -1 else workers):
      task = left.pop()
      waiting[remote.remote(call, task, telugu_s2s.__version__)] = task
    for reference in ray.wait(list(waiting), timeout=LOOK_S)[0]:
      yield waiting.pop(reference), ray.get(reference)


def _on_gpus(ray, call, tasks, workers):
  """Yields what ends of tasks that are handed to one actor a GPU, so that what a call compiles is compiled once."""
  # Without cores: they would wait for ever on a machine that has more GPUs than cores to spare.
  actor = ray.remote(num_cpus=0, num_gpus=1)(_Worker)
  left, lost, waiting, idle = collections.deque(enumerate(tasks)), collections.Counter(), {}, []
  gpus = _Present(ray, 'GPU', 'GPU')
  while left or waiting:
    count = gpus.count()
    while left and len(waiting) < (count if workers == -1 else min(workers, count)):
      worker, (number, task) = idle.pop() if idle else actor.remote(), left.popleft()
      waiting[worker.call.remote(call, task, telugu_s2s.__version__)] = worker, number, task
    if not waiting:
      time.sleep(min(LOOK_S, 1))
      continue
    for reference in ray.wait(list(waiting), timeout=LOOK_S)[0]:
      worker, number, task = waiting.pop(reference)
      try:
        result = ray.get(reference)
      except ray.exceptions.RayActorError:
        lost[number] += 1
        if lost[number] > RETRIES:
          raise
        left.appendleft((number, task))
        continue
      idle.append(worker)
      yield task, result


class _Worker:
  """What has a GPU of a Ray cluster."""

  def call(self, call, task, version):
    return _checked(call, task, version)


def _checked(call, task, version):
  """call(task), on a machine that has the code of the one that asks: other code could write other bytes."""
  if telugu_s2s.__version__ != version:
    raise InputError(f'data.address: {platform.node()} has telugu_s2s {telugu_s2s.__version__}, the machine that asks '
                     f'has {version}; install one version on all')
  return call(task)
