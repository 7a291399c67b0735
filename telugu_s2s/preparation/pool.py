"""Work spread over the processes of this machine: each task is one call that leaves whole files or none."""
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool

from telugu_s2s.errors import InputError

SINGLE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'), '1')


def count(wanted: int, tasks: int) -> int:
  """How many processes to start for so many tasks. wanted: -1 = one a core; below 2 the work stays in this process."""
  return min(tasks, cores() if wanted == -1 else wanted)


def cores() -> int:
  """Cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def results(call: Callable, tasks: Sequence, workers: int, variables: Mapping[str, str] = SINGLE_THREAD,
            field: str = 'workers') -> Iterator[tuple]:
  """Yields (task, call(task)) of each task as it ends, worked off by `workers` fresh processes.

  Args:
    call: a function that a module defines.
    tasks: what it takes; every one can be sent to another process.
    workers: processes.
    variables: of the environment in which they start.
    field: of the config that set `workers`, for the message.

  Raises:
    InputError: a process ended early. What it raises itself comes through.
  """
  # The pool starts processes as work comes in: the variables have to stand all the while.
  with _environment(variables):
    executor = concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context('spawn'), _start)
    try:
      waiting = {executor.submit(call, task): task for task in tasks}
      for future in concurrent.futures.as_completed(waiting):
        yield waiting[future], future.result()
    except BrokenProcessPool:
      raise InputError(f'{field} {workers}: a worker ended early, killed for want of memory or started from a '
                       "script without `if __name__ == '__main__':`; what is finished is kept, run again with 0"
                       ) from None
    finally:
      executor.shutdown(cancel_futures=True)


def _start():
  """Dies at once and in silence on Ctrl-C, since a task is whole or absent; and goes when the parent goes."""
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  parent = multiprocessing.parent_process()

  def follow():
    parent.join()
    os._exit(1)

  threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def _environment(values):
  before = {name: os.environ.get(name) for name in values}
  os.environ.update(values)
  try:
    yield
  finally:
    for name, value in before.items():
      os.environ.pop(name) if value is None else os.environ.update({name: value})
