"""Several processes that train as one: how they find each other, what the first does alone, what all get to see."""
import jax
from jax.experimental import multihost_utils
import numpy as np

from telugu_s2s.errors import InputError


def join(where: str) -> None:
  """Joins the run's other processes; before the first use of a device.

  Args:
    where: '' = there are none; 'auto' = as SLURM, a TPU slice, Open MPI, Kubernetes or JAX_COORDINATOR_ADDRESS tell;
      else 'ADDRESS:PORT,PROCESSES,NUMBER', the address being that of the process of number 0.

  Raises:
    InputError: it is none of these, or the others do not come.
  """
  if not where:
    return
  chosen = {}
  if where != 'auto':
    try:
      address, processes, number = where.split(',')
      chosen = dict(coordinator_address=address, num_processes=int(processes), process_id=int(number))
      if not address.rpartition(':')[2].isdigit() or not 0 <= int(number) < int(processes):
        raise ValueError
    except ValueError:
      raise InputError(f"--hosts={where}: give 'auto', or ADDRESS:PORT,PROCESSES,NUMBER such as 10.0.0.1:9876,2,0") from None
  try:
    jax.distributed.initialize(**chosen)
    # They meet at once: Gloo, which CPUs talk by, waits 30 s at the first meeting, and `first` may keep the others for longer.
    multihost_utils.sync_global_devices('joined')
  except (ValueError, RuntimeError) as problem:
    raise InputError(f'--hosts={where}: the processes did not come together ({problem}); give ADDRESS:PORT,PROCESSES,NUMBER, '
                     'the same address and count to all') from problem


def first(do, result):
  """What do() gives in the first process; the others wait for it and get `result`.

  Raises:
    InputError: in the first process that of do(); in the others one that names it.
  """
  if jax.process_count() == 1:
    return do()
  problem = None
  if jax.process_index() == 0:
    try:
      result = do()
    except InputError as found:
      problem = found
  failed = multihost_utils.broadcast_one_to_all(np.int32(problem is not None))
  if problem:
    raise problem
  if failed:
    raise InputError('the process of number 0 stopped; its message says why')
  return result


def share(x):
  """This process's rows of a batch that every process holds whole. x: [b ...]."""
  rows = len(x) // jax.process_count()
  return x[jax.process_index() * rows:][:rows]


def whole(tree):
  """The arrays of a tree in full, in every process."""
  return tree if jax.process_count() == 1 else multihost_utils.process_allgather(tree, tiled=True)


def alone(tree):
  """The arrays of a tree on one device, wherever they lay: what a mesh left behind else has every program compiled once more."""
  return jax.device_put(jax.device_get(tree))
