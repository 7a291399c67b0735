"""Names say how arrays are sharded, and every state follows them."""
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from telugu_s2s import axes
from telugu_s2s.errors import InputError

SIZES = {'data': 2, 'fsdp': 2, 'tensor': 2}


@pytest.mark.parametrize('name, shape, want', [
    ('wq_dnh', (16, 4, 6), P('fsdp', 'tensor', None)),
    ('wo_nhd', (4, 6, 16), P('tensor', None, 'fsdp')),
    ('blocks/gate_df', (16, 10), P('fsdp', 'tensor')),
    ('table_qvz', (3, 12, 5), P(None, 'tensor', None)),
    ('kernel_wio', (3, 16, 16), P(None, None, None)),
    ('norm_d', (16,), P('fsdp')),
    ('_btd', (8, 13, 16), P(('data', 'fsdp'), None, None)),
])
def test_a_name_says_how_its_array_is_sharded(name, shape, want):
  assert axes.spec(name, shape, SIZES) == want


def test_layers_stacked_in_front_stay_whole():
  assert axes.spec('wq_dnh', (2, 16, 4, 6), SIZES) == P(None, 'fsdp', 'tensor', None)


def test_a_number_has_no_axes_whatever_its_name():
  assert axes.spec('step', (), SIZES) == P()


def test_an_axis_that_does_not_divide_stays_whole():
  assert axes.spec('wk_dkh', (16, 2, 6), {**SIZES, 'tensor': 4}) == P('fsdp', None, None)
  assert axes.spec('wk_dkh', (15, 2, 6), SIZES) == P(None, 'tensor', None)


def test_a_mesh_axis_is_used_once():
  assert axes.spec('mix_fv', (6, 10), SIZES) == P('tensor', None)


@pytest.mark.parametrize('name, shape', [('bias', (16,)), ('wq_dnx', (16, 4, 6)), ('wq_dnh', (16, 4)),
                                         ('wq_dnh', (2, 2, 16, 4, 6)), ('step_', (2, 3))])
def test_a_name_without_its_axes_is_refused(name, shape):
  with pytest.raises(ValueError, match=f'{name}.*rank {len(shape)}'):
    axes.spec(name, shape, SIZES)


def test_minus_one_takes_the_devices_that_are_left():
  assert dict(axes.mesh(-1, 2, 2).shape) == {'data': 2, 'fsdp': 2, 'tensor': 2}
  assert dict(axes.mesh().shape) == {'data': 8, 'fsdp': 1, 'tensor': 1}
  assert dict(axes.mesh(2, -1, 1).shape) == {'data': 2, 'fsdp': 4, 'tensor': 1}


@pytest.mark.parametrize('sizes', [(3, 1, 1), (4, 1, 1), (-1, 3, 1), (-1, -1, 1), (8, 2, 1), (0, 8, 1), (-1, 0, 1),
                                   (-2, -4, 1), (16, 1, 1)])
def test_a_mesh_that_does_not_fit_the_devices_is_refused_with_its_numbers(sizes):
  with pytest.raises(InputError) as caught:
    axes.mesh(*sizes)
  assert f'data={sizes[0]} x fsdp={sizes[1]} x tensor={sizes[2]}' in str(caught.value)
  assert '8 devices' in str(caught.value)


def on_processes(*sizes, local):
  """A mesh of devices of which `local` at a time are of one process."""
  devices = [SimpleNamespace(process_index=number // local) for number in range(int(np.prod(sizes)))]
  return SimpleNamespace(devices=np.array(devices).reshape(sizes), shape=dict(zip(('data', 'fsdp', 'tensor'), sizes)), local_devices=devices[:local])


def test_a_row_does_not_reach_over_processes_and_rows_divide_over_the_devices_that_share_them():
  axes.check_batch(8, on_processes(2, 2, 2, local=2))
  axes.check_batch(4, on_processes(2, 1, 4, local=8))
  axes.check_batch(4, axes.mesh(2, 2, 2))
  for sizes, local in (((2, 2, 2), 1), ((2, 1, 4), 2), ((1, 1, 8), 4), ((2, 1, 3), 2)):
    with pytest.raises(InputError, match=f'tensor={sizes[2]} reaches over several processes.*divide the {local} devices of one'):
      axes.check_batch(8, on_processes(*sizes, local=local))
  for batch in (0, 3, 6):
    with pytest.raises(InputError, match=f'config.batch: {batch} rows do not divide over data x fsdp = 4'):
      axes.check_batch(batch, axes.mesh(2, 2, 2))


def test_moments_and_the_running_mean_follow_their_parameter():
  params = {'blocks': {'wq_dnh': jnp.zeros((2, 16, 4, 6)), 'norm_d': jnp.zeros((2, 16))}, 'table_qvz': jnp.zeros((3, 12, 5))}
  state = {'params': params, 'mean': params, 'opt': optax.adamw(1e-3).init(params), 'step': jnp.zeros((), jnp.int32)}
  found = axes.shardings(state, axes.mesh(2, 2, 2))
  want = found['params']
  assert want['blocks']['wq_dnh'].spec == P(None, 'fsdp', 'tensor', None)
  assert want['table_qvz'].spec == P(None, 'tensor', None)
  assert found['mean'] == want
  assert found['opt'][0].mu == want and found['opt'][0].nu == want
  assert found['step'].spec == found['opt'][0].count.spec == P()


def test_an_activation_is_spread_where_a_mesh_is_set_and_left_alone_where_none_is():
  x = np.arange(8 * 3 * 4, dtype=np.float32).reshape(8, 3, 4)
  twice = lambda x: axes.constrain(2 * x, 'btf')
  assert len(jax.jit(twice)(x).sharding.device_set) == 1
  with jax.set_mesh(axes.mesh(2, 2, 2)):
    y = jax.jit(twice)(x)
  assert {shard.data.shape for shard in y.addressable_shards} == {(2, 3, 2)}
  np.testing.assert_array_equal(y, 2 * x)
