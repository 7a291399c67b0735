"""Work spread over the processes of this machine: each task is one call that leaves whole files or none."""
import collections
import concurrent.futures
import contextlib
import importlib.util
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool

from telugu_s2s.errors import InputError

SINGLE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'), '1')
ONE_THREAD = '--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1'
TOLD = 200                     # letters of a task that ended its process: its name comes first, or the file that it reads
RETRIES = 2                    # of one task, each after the process that had it was lost


def count(wanted: int, tasks: int) -> int:
  """How many processes to start for so many tasks. wanted: -1 = one a core; below 2 the work stays in this process."""
  return min(tasks, cores() if wanted == -1 else wanted)


def cores() -> int:
  """Cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def gpus() -> list[str]:
  """The GPUs that JAX could use here, as CUDA_VISIBLE_DEVICES names them. Asked without waking one up."""
  wanted = os.environ.get('JAX_PLATFORMS', '')
  if wanted and not {'cuda', 'gpu'} & set(wanted.split(',')) or \
      not any(importlib.util.find_spec(f'jax_cuda{version}_plugin') for version in (12, 13)):
    return []
  visible = os.environ.get('CUDA_VISIBLE_DEVICES')
  if visible is not None:
    return [name.strip() for name in visible.split(',') if name.strip() not in ('', '-1')]
  names = os.listdir('/dev') if os.path.isdir('/dev') else []
  return sorted((found[1] for name in names if (found := re.fullmatch(r'nvidia(\d+)', name))), key=int)


def on_cpu() -> dict[str, str]:
  """Variables under which JAX leaves accelerators alone and has one thread, so that a process a core is no crowd."""
  return {**SINGLE_THREAD, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': f'{os.environ.get("XLA_FLAGS", "")} {ONE_THREAD}'.strip()}


def results(call: Callable, tasks: Sequence, workers: int, variables: Mapping[str, str] = SINGLE_THREAD,
            field: str = 'workers', devices: Sequence[str] = (), careful: Callable | None = None) -> Iterator[tuple]:
  """Yields (task, call(task)) of each task as it ends, worked off by `workers` fresh processes.

  A process that is killed costs the task that it had in hand, which another process does again.

  Args:
    call: a function that a module defines.
    tasks: what it takes; every one can be sent to another process.
    workers: processes.
    variables: of the environment in which they start.
    field: of the config that set `workers`, for the message.
    devices: the GPU of each process, as CUDA_VISIBLE_DEVICES names it; none = the variable stays as it is.
    careful: makes a task that lost its process again and again into one that looks out for what kills it, which is tried once.

  Raises:
    InputError: a task lost its process for good. What `call` raises comes through.
  """
  left, lost, waiting = collections.deque(enumerate(tasks)), collections.Counter(), {}
  # One executor a process: where one of several processes of an executor is killed, it ends the others too.
  executors = dict.fromkeys(range(workers))

  def submit(place):
    number, task = left.popleft()
    own = {'CUDA_VISIBLE_DEVICES': devices[place]} if devices else {}
    with _environment({**variables, **own}):          # the first task starts the process
      try:
        future = executors[place] and executors[place].submit(call, task)
      except BrokenProcessPool:                       # it was killed between two tasks
        executors[place].shutdown()
        future = None
      if future is None:
        executors[place] = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn'), follow)
        future = executors[place].submit(call, task)
      waiting[future] = place, number, task

  try:
    for place in list(executors)[:len(tasks)]:
      submit(place)
    while waiting:
      for future in concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).done:
        place, number, task = waiting.pop(future)
        try:
          result = future.result()
        except BrokenProcessPool:
          lost[number] += 1
          if lost[number] > RETRIES + bool(careful):
            raise InputError(f'{field} {workers}: a worker ended early {lost[number]} times over one task ({str(task)[:TOLD]}), killed by '
                             "what it reads or for want of memory, or started from a script without `if __name__ == '__main__':`; what is "
                             'finished is kept, run again with 0') from None
          left.appendleft((number, careful(task) if careful and lost[number] > RETRIES else task))
          executors[place].shutdown()
          executors[place] = None
          submit(place)
          continue
        if left:
          submit(place)
        yield task, result
  finally:
    for executor in filter(None, executors.values()):
      executor.shutdown(cancel_futures=True)


def follow():
  """In a new process: it dies at once and in silence on Ctrl-C, since a task is whole or absent; and goes when the parent goes."""
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  parent = multiprocessing.parent_process()

  def wait():
    parent.join()
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def _environment(values):
  before = {name: os.environ.get(name) for name in values}
  os.environ.update(values)
  try:
    yield
  finally:
    for name, value in before.items():
      os.environ.pop(name) if value is None else os.environ.update({name: value})
