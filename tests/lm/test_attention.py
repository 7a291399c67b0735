"""Fused attention: of whole streams what the plain path gives, and only where it can be had."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import transformer
from telugu_s2s.codec.transformer import Sizes
from telugu_s2s.errors import InputError

SIZES = Sizes(width=24, layers=2, heads=4, kv_heads=2, head_width=8, ffn=20, window=64)
B, T = 2, 13


def made(dtype, sizes=SIZES):
  """query [b t n h], key, value [b t k h], shared."""
  rng = np.random.default_rng(0)
  draw = lambda heads: jnp.asarray(rng.normal(size=(B, T, heads, sizes.head_width)), dtype)
  position = jnp.broadcast_to(jnp.arange(T), (B, T))
  return draw(sizes.heads), draw(sizes.kv_heads), draw(sizes.kv_heads), transformer.view(position, None, sizes)


def test_what_is_asked_of_the_fused_path_is_what_the_plain_one_does():
  """The same call through XLA's implementation of it: grouped heads, causal, turned, scaled."""
  query, key, value, shared = made('float32')
  want = transformer.attend(query, key, value, None, shared)
  np.testing.assert_allclose(transformer.fused(query, key, value, shared, implementation='xla'), want, atol=1e-5)


def test_several_streams_in_one_chunk_are_kept_apart_by_both_paths():
  query, key, value, _ = made('float32')
  segment = jnp.repeat(jnp.arange(3), jnp.array([4, 5, 4]))[None]
  position = jnp.concatenate([jnp.arange(size) for size in (4, 5, 4)])[None]
  spread = lambda x: jnp.broadcast_to(x, (len(query), T))
  shared = transformer.view(spread(position), None, SIZES, spread(segment))
  want = transformer.attend(query, key, value, None, shared)
  np.testing.assert_allclose(transformer.fused(query, key, value, shared, True, 'xla'), want, atol=1e-5)
  alone = transformer.view(spread(position)[:, 4:9], None, SIZES)
  second = transformer.attend(query[:, 4:9], key[:, 4:9], value[:, 4:9], None, alone)
  np.testing.assert_allclose(second, want[:, 4:9], atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize('several', [False, True])
def test_cudnn_gives_what_the_plain_path_gives(several):
  query, key, value, shared = made('bfloat16')
  if several:                    # cuDNN takes a mask for even lengths alone
    query, key, value = (x[:, :12] for x in (query, key, value))
    shared = transformer.view(jnp.broadcast_to(jnp.arange(12) % 6, (B, 12)), None, SIZES, jnp.broadcast_to(jnp.arange(12) // 6, (B, 12)))
  loss = lambda attend: lambda *x: jnp.sum(attend(*x).astype(jnp.float32) ** 2)
  plain = loss(lambda *x: transformer.attend(*x, None, shared))
  fused = loss(lambda *x: transformer.fused(*x, shared, several))
  for a, b in zip(jax.jit(jax.grad(fused, (0, 1, 2)))(query, key, value), jax.jit(jax.grad(plain, (0, 1, 2)))(query, key, value)):
    np.testing.assert_allclose(*(np.asarray(x, np.float32) for x in (a, b)), atol=0.1, rtol=2e-2)      # bfloat16


@pytest.mark.parametrize('fields, frames, dtype, backend, kind', [
    ({}, T, 'bfloat16', 'gpu', 'cudnn'), ({}, T, 'bfloat16', 'cpu', 'xla'), ({}, T, 'float32', 'gpu', 'xla'),
    ({}, 65, 'bfloat16', 'gpu', 'xla'), (dict(head_width=6), T, 'bfloat16', 'gpu', 'xla'),
    (dict(head_width=136), T, 'bfloat16', 'gpu', 'xla'), (dict(attention='xla'), T, 'bfloat16', 'gpu', 'xla')])
def test_the_path_is_chosen_by_what_can_be_done(monkeypatch, fields, frames, dtype, backend, kind):
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  assert transformer.kind_of_attention(dataclasses.replace(SIZES, **{'attention': 'auto', **fields}), frames, dtype) == kind


def test_a_path_that_cannot_be_had_is_refused_in_one_line():
  net = transformer.Transformer(dataclasses.replace(SIZES, attention='cudnn'))
  with pytest.raises(InputError, match="config.model.attention 'cudnn' takes a GPU.*set 'auto' or 'xla'") as caught:
    jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct((B, T, 24), jnp.bfloat16))
  assert '\n' not in str(caught.value)


def test_decoding_takes_the_plain_path_whatever_is_asked():
  sizes = dataclasses.replace(SIZES, attention='cudnn')
  x = jnp.ones((B, 1, 24), jnp.bfloat16)
  cache = transformer.empty_cache(sizes, B, 'bfloat16')
  position = jnp.zeros((B, 1), jnp.int32)
  params = jax.eval_shape(transformer.Transformer(SIZES).init, jax.random.key(0), x)
  y, _ = jax.eval_shape(transformer.Transformer(sizes).apply, params, x, position, cache)
  assert y.shape == x.shape
