"""One letter names one axis, everywhere: in parameter names, in comments, in sharding rules.

  b batch       t frames or samples (time)   s cached frames   q codebooks   v codes of a codebook
  d model width n heads   k key-value heads   h head width     f feed-forward width
  w filter taps i channels in   o channels out   l layers (stacked by scan)   z code width   c labels

A parameter called `wq_dnh` has shape [d, n, h], so its name says how to shard it. The same name
reaches its Adam moments and its averaged copy, and they follow without another table.
"""
import math

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from telugu_s2s.errors import InputError

LETTERS = frozenset('btsqvdnkhfwiolzc')
RULES = {'b': ('data', 'fsdp'), 'd': 'fsdp', 'n': 'tensor', 'k': 'tensor', 'f': 'tensor', 'v': 'tensor'}
BATCH = P(('data', 'fsdp'))


def mesh(data: int = -1, fsdp: int = 1, tensor: int = 1, devices=None):
  """A mesh `data x fsdp x tensor` over all devices; one size may be -1, which takes what is left.

  Raises:
    InputError: the sizes do not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  sizes = [data, fsdp, tensor]
  rest = math.prod(size for size in sizes if size != -1)
  if sizes.count(-1) == 1 and rest > 0 and len(devices) % rest == 0:
    sizes[sizes.index(-1)] = len(devices) // rest
  if min(sizes) < 1 or math.prod(sizes) != len(devices):
    raise InputError(
        f'config.mesh: data={data} x fsdp={fsdp} x tensor={tensor} does not fit {len(devices)} '
        f'devices; the three must multiply to {len(devices)} (-1 takes what is left)')
  return jax.make_mesh(sizes, ('data', 'fsdp', 'tensor'), axis_types=(AxisType.Auto,) * 3, devices=devices)


def check_batch(batch: int, over, field='config.batch') -> None:
  """Raises InputError where a global batch does not divide over the devices that share its rows, or rows over processes."""
  if any(len({device.process_index for device in row}) > 1 for row in over.devices.reshape(-1, over.shape['tensor'])):
    raise InputError(f'config.mesh: tensor={over.shape["tensor"]} reaches over several processes, whose rows would differ; '
                     f'it must divide the {len(over.local_devices)} devices of one')
  rows = over.shape['data'] * over.shape['fsdp']
  if batch < 1 or batch % rows:
    raise InputError(f'{field}: {batch} rows do not divide over data x fsdp = {rows} devices')


def spec(name: str, shape, sizes) -> P:
  """Mesh axes of an array called `name`, such as P(None, 'fsdp', 'tensor', None) for 'wq_dnh'.

  A rank above the suffix means layers stacked in front, whose axis stays whole. So does an axis that its
  mesh axes do not divide (two key-value heads on four tensor devices), or whose mesh axes an earlier axis
  took (the width of activations, whose batch is already spread over data and fsdp).

  Args:
    name: the parameter's name, ending in its axis letters.
    shape: its shape.
    sizes: {mesh axis: devices}.

  Raises:
    ValueError: the suffix is missing, has unknown letters, or does not match the rank.
  """
  if not shape:
    return P()
  suffix = name.rpartition('_')[2]
  extra = len(shape) - len(suffix)
  if not set(suffix) <= LETTERS or not 0 <= extra <= 1:
    raise ValueError(f'{name!r} does not name the axes of an array of rank {len(shape)}')
  taken, result = set(), []
  for letter, length in zip('l' * extra + suffix, shape):
    rule = RULES.get(letter, ())
    names = (rule,) if isinstance(rule, str) else rule
    fits = names and length % math.prod(sizes[n] for n in names) == 0 and not taken & set(names)
    taken.update(names if fits else ())
    result.append(rule if fits else None)
  return P(*result)


def shardings(tree, over):
  """The sharding of each array of a train state on the mesh `over`, taken from its own name."""
  sizes = dict(zip(over.axis_names, over.devices.shape))
  def one(path, x):
    return NamedSharding(over, spec(jax.tree_util.keystr(path[-1:], simple=True), x.shape, sizes))
  return jax.tree_util.tree_map_with_path(one, tree)


def constrain(x, letters: str):
  """Pins an activation's sharding inside jit; does nothing where no mesh is set."""
  over = jax.sharding.get_abstract_mesh()
  if over.empty:
    return x
  return jax.lax.with_sharding_constraint(x, spec(f'_{letters}', x.shape, dict(over.shape)))


def whole(x):
  """An array on every device in full, inside jit; its gradient is summed once. Does nothing where no mesh is set.

  For tables that are looked up: the rows of a table cut by width would have every device read the whole batch.
  """
  over = jax.sharding.get_abstract_mesh()
  return x if over.empty else jax.lax.with_sharding_constraint(x, P())


def gathered(tree):
  """Parameters brought together over fsdp, cut over tensor alone, inside jit: once, before a loop that reads them often."""
  over = jax.sharding.get_abstract_mesh()
  if over.empty:
    return tree
  sizes = {**over.shape, 'fsdp': 10**9}           # which divides no axis
  def one(path, x):
    return jax.lax.with_sharding_constraint(x, spec(jax.tree_util.keystr(path[-1:], simple=True), x.shape, sizes))
  return jax.tree_util.tree_map_with_path(one, tree)
