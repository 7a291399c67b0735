"""The residual quantizer against a few lines of NumPy, its gradients, and the restart of dead codes."""
import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec.quantizer import Quantizer, restart

Q, V, D, Z, B, T = 3, 11, 6, 4, 2, 5


@pytest.fixture(scope='module')
def params():
  rng = np.random.default_rng(0)
  normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
  return {'into_qdz': normal(Q, D, Z), 'table_qvz': normal(Q, V, Z), 'out_qzd': normal(Q, Z, D) / 4}


@pytest.fixture(scope='module')
def frames():
  return np.random.default_rng(1).normal(size=(B, T, D)).astype(np.float32)


NET = Quantizer(Q, V, D, Z)
quantized = jax.jit(lambda params, x, levels: NET.apply({'params': params}, x, levels))
decoded = jax.jit(lambda params, codes: NET.apply({'params': params}, codes, method='decode'))
gradients = jax.jit(jax.grad(lambda params, x, weights: sum(
    weight * jnp.sum(part) for weight, part in zip(weights, parts(*NET.apply({'params': params}, x)))), argnums=(0, 1)))


def parts(total, info):
  return total, info['codebook'], info['commit']


def levels(*numbers):
  return np.array(numbers)


def unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_codes_and_their_sum_are_those_of_the_plain_loop(params, frames):
  rest, codes = frames, []
  for level in range(Q):
    table = unit(params['table_qvz'][level])
    codes.append((unit(rest @ params['into_qdz'][level]) @ table.T).argmax(-1))
    rest = rest - table[codes[-1]] @ params['out_qzd'][level]
  total, info = quantized(params, frames, levels(Q, Q))
  np.testing.assert_array_equal(info['codes'], np.stack(codes, -1))
  np.testing.assert_allclose(total, frames - rest, atol=1e-5)              # float32
  np.testing.assert_allclose(decoded(params, info['codes']), total, atol=1e-5)


def test_a_level_codes_what_the_levels_before_it_left_over(params, frames):
  _, info = quantized(params, frames, levels(Q, Q))
  for level in range(1, Q):
    rest = frames - decoded(params, info['codes'][..., :level])
    np.testing.assert_allclose(info['latent'][:, :, level], unit(rest @ params['into_qdz'][level]), atol=1e-5)


def test_split_levels_begin_with_the_whole_frame_again(params, frames):
  net = Quantizer(Q, V, D, Z, split=True)
  total, info = jax.jit(lambda x: net.apply({'params': params}, x))(frames)
  rest, codes, entries = frames, [], []
  for level in range(Q):
    table = unit(params['table_qvz'][level])
    codes.append((unit(rest @ params['into_qdz'][level]) @ table.T).argmax(-1))
    entries.append(table[codes[-1]] @ params['out_qzd'][level])
    rest = rest - entries[-1] if level else frames
  np.testing.assert_array_equal(info['codes'], np.stack(codes, -1))
  np.testing.assert_allclose(total, sum(entries), atol=1e-5)               # float32
  np.testing.assert_allclose(decoded(params, info['codes']), total, atol=1e-5)
  latent = jax.jit(lambda x: net.apply({'params': params}, x, method='first_latent'))(frames)
  np.testing.assert_allclose(latent, info['latent'][:, :, 0], atol=1e-6)


def test_each_row_is_decoded_from_its_own_number_of_levels(params, frames):
  total, info = quantized(params, frames, levels(1, 3))
  full, whole = quantized(params, frames, levels(3, 3))
  np.testing.assert_array_equal(info['codes'], whole['codes'])
  np.testing.assert_allclose(total[0], decoded(params, info['codes'][:1, :, :1])[0], atol=1e-6)
  np.testing.assert_allclose(total[1], full[1], atol=1e-6)


def test_the_length_of_a_code_does_not_matter(params, frames):
  longer = {**params, 'table_qvz': params['table_qvz'] * np.linspace(0.5, 4, V)[:, None].astype(np.float32)}
  (a, one), (b, other) = (quantized(p, frames, levels(Q, Q)) for p in (params, longer))
  np.testing.assert_array_equal(one['codes'], other['codes'])
  np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_losses_are_the_distance_to_the_chosen_codes(params, frames):
  _, info = quantized(params, frames, levels(2, 2))
  chosen = np.stack([unit(params['table_qvz'][level])[info['codes'][..., level]] for level in range(2)], 2)
  want = np.mean(np.sum((chosen - info['latent'][:, :, :2]) ** 2, -1))     # levels that are off do not count
  np.testing.assert_allclose(info['codebook'], want, rtol=1e-5)
  np.testing.assert_allclose(info['commit'], want, rtol=1e-5)


@pytest.mark.parametrize('weights, taught', [
    ((1, 0, 0), {'frames', 'into_qdz', 'out_qzd'}),          # straight through
    ((0, 1, 0), {'table_qvz'}),
    ((0, 0, 1), {'frames', 'into_qdz', 'out_qzd'}),
], ids=['sum', 'codebook', 'commit'])
def test_each_gradient_reaches_what_it_teaches(params, frames, weights, taught):
  by_params, by_frames = gradients(params, frames, np.array(weights, np.float32))
  found = {**by_params, 'frames': by_frames}
  assert {name for name, gradient in found.items() if (gradient != 0).any()} == taught


@pytest.mark.parametrize('method, given, count', [('__call__', 'frames', 3 * Q), ('decode', 'codes', Q), ('first_latent', 'frames', 1)])
def test_no_product_is_rounded_to_fewer_bits_on_any_device(params, frames, method, given, count):
  """A GPU rounds what does not ask for more, and what one machine encodes another would encode otherwise."""
  x = {'frames': frames, 'codes': np.zeros((B, T, Q), np.int32)}[given]
  steps = jax.make_jaxpr(lambda x: NET.apply({'params': params}, x, method=method))(x)
  asked = [one.params['precision'] for one in equations(steps.jaxpr) if one.primitive.name == 'dot_general']
  assert asked == [(jax.lax.Precision.HIGHEST,) * 2] * count


def equations(jaxpr):
  """Those of a program, the ones inside of what it calls among them."""
  for one in jaxpr.eqns:
    yield one
    for inner in jax.extend.core.jaxprs_in_params(one.params):
      yield from equations(inner)


def test_restart_replaces_exactly_the_codes_that_are_not_used(params, frames):
  latent = quantized(params, frames, levels(Q, Q))[1]['latent']
  usage = np.full((Q, V), 1 / V, np.float32)
  dead = np.zeros((Q, V), bool)
  dead[0, 3] = dead[2, [0, 10]] = True
  usage[dead] = 0.09 / V
  table, after, count = restart(params['table_qvz'], usage, latent, jax.random.key(0), 0.1)
  np.testing.assert_array_equal((np.asarray(table) != params['table_qvz']).any(-1), dead)
  np.testing.assert_allclose(after, 1 / V, rtol=1e-6)
  assert count == 3
  for level, code in zip(*np.nonzero(dead)):                               # each is now a frame of its level
    distance = np.abs(unit(table[level, code]) - np.asarray(latent)[:, :, level].reshape(-1, Z)).max(-1)
    assert distance.min() < 1e-5
    lengths = [np.linalg.norm(book[level, code]) for book in (table, params['table_qvz'])]
    np.testing.assert_allclose(*lengths, rtol=1e-5)


def test_restart_leaves_a_book_in_use_alone(params, frames):
  latent = quantized(params, frames, levels(Q, Q))[1]['latent']
  usage = np.random.default_rng(2).dirichlet(np.full(V, 50), Q).astype(np.float32)
  table, after, count = restart(params['table_qvz'], usage, latent, jax.random.key(0), 0.1)
  np.testing.assert_array_equal(table, params['table_qvz'])
  np.testing.assert_array_equal(after, usage)
  assert count == 0
