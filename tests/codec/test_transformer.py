"""The transformer's memory of a stream: a ring that keeps the newest frames and the first ones."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import transformer

C = transformer.Sizes(width=12, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, window=5, sinks=2)
B, T = 3, 17
NET = transformer.Transformer(C)
forward = jax.jit(lambda params, x, position=None, cache=None: NET.apply({'params': params}, x, position, cache))
attended = jax.jit(lambda q, k, v, position: transformer.attend(q, k, v, None, transformer.view(position, None, C)))


@jax.jit
def ring(cached, position):
  return transformer.view(position, cached, C)['slot']


@pytest.fixture(scope='module')
def params():
  shapes = jax.eval_shape(NET.init, jax.random.key(0), jnp.zeros((1, 1, C.width)))['params']
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32) / 4, shapes)


@pytest.fixture(scope='module')
def x():
  return np.random.default_rng(1).normal(size=(B, T, C.width)).astype(np.float32)


def rotated(x, position):
  """Plain NumPy: each pair of channels as a complex number, turned."""
  z = x[..., :3] + 1j * x[..., 3:]
  z = z * np.exp(1j * position[:, :, None, None] * C.theta ** (-np.arange(3) / 3))
  return np.concatenate([z.real, z.imag], -1)


def test_attention_is_that_of_plain_numpy():
  rng = np.random.default_rng(2)
  q, k, v = (rng.normal(size=(B, T, heads, C.head_width)).astype(np.float32) for heads in (4, 2, 2))
  position = np.broadcast_to(np.arange(T), (B, T))
  want, qr, kr = np.zeros_like(q), rotated(q, position), rotated(k, position)
  for now in range(T):
    seen = [then for then in range(now + 1) if now - then < C.window or then < C.sinks]
    for head in range(4):
      score = np.einsum('bh,bsh->bs', qr[:, now, head], kr[:, seen, head // 2]) / 6 ** 0.5
      share = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
      want[:, now, head] = np.einsum('bs,bsh->bh', share, v[:, seen, head // 2])
  np.testing.assert_allclose(attended(q, k, v, position), want, atol=1e-5)     # float32


@pytest.mark.parametrize('chunks', [[1] * 9, [4, 1, 4], [13, 4]], ids=['frames', 'chunks', 'a chunk longer than the window'])
def test_the_ring_holds_the_first_frames_and_the_newest(params, x, chunks):
  cache = transformer.empty_cache(C, B)
  begun = np.array([0, 1, 4])                               # streams that are not at the same place
  at = 0
  for frames in chunks:
    position = begun[:, None] + np.arange(at, at + frames)
    slot = np.asarray(ring(cache['position'], position))
    kept = [list(row[row < C.sinks + C.window]) for row in slot]
    assert all(len(set(row)) == len(row) for row in kept)   # two writes to one slot: either may win on a GPU
    _, cache = forward(params, x[:, at:at + frames], position, cache)
    at += frames
  for row, first in enumerate(begun):
    heard = range(first, first + at)
    found = np.asarray(cache['position'][row])
    assert set(found[found >= 0]) == {now for now in heard if now < C.sinks or now > heard[-1] - C.window}


def test_streams_at_different_places_do_not_disturb_each_other(params, x):
  """Rows that joined a batch at other times give what they give alone."""
  late = np.array([0, 3, 6])
  fresh = transformer.empty_cache(C, B)
  cache, found = fresh, []
  for now in range(late[-1] + C.window):
    own = np.maximum(now - late, 0)
    waiting = now <= late                                   # a row that begins now forgets what stood in its place
    cache = {name: np.where(waiting.reshape((B, 1) if name == 'position' else (1, B, 1, 1, 1)), fresh[name], cache[name])
             for name in fresh}
    y, cache = forward(params, x[np.arange(B), own][:, None], own[:, None], cache)
    found.append(y)
  found = np.concatenate(found, 1)
  want, _ = forward(params, x[:, :7])
  for row in range(B):
    np.testing.assert_allclose(found[row, late[row]:late[row] + C.window], want[row, :C.window], atol=1e-5)


def test_a_stream_may_run_for_days(params, x):
  """Only distances count: the same frames an hour or a year later give the same."""
  def after(start):
    first = start + np.tile(np.arange(4), (B, 1))
    _, cache = forward(params, x[:, :4], first, transformer.empty_cache(C, B))
    return forward(params, x[:, 4:8], first + 4, cache)[0]
  np.testing.assert_allclose(after(100), after(700_000_000), atol=1e-5)       # float32, at other angles
