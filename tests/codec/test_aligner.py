"""The aligner's network and its file: what fills a row changes nothing, what is saved is read, no other file is."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import aligner, content
from telugu_s2s.errors import InputError

CONFIG = aligner.Config(features=6, width=10, layers=3)
NETWORK = aligner.Aligner(CONFIG, 5)


@pytest.fixture(scope='module')
def params():
  return jax.jit(NETWORK.init)(jax.random.key(0), jnp.zeros((1, 4, 6)), jnp.ones(1, jnp.int32))['params']


def test_what_stands_behind_a_rows_end_changes_nothing(params):
  x = np.random.default_rng(0).normal(size=(2, 30, 6)).astype(np.float32)
  frames = np.array([30, 13])
  whole = NETWORK.apply({'params': params}, x, frames)
  alone = NETWORK.apply({'params': params}, x[1:, :13], frames[1:])
  np.testing.assert_allclose(whole[1, :13], alone[0], atol=1e-5)
  assert whole.shape == (2, 30, 5)


def test_it_sees_both_ways(params):
  x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 40, 6)), jnp.float32)
  moved = jax.grad(lambda x: NETWORK.apply({'params': params}, x, jnp.array([40]))[0, 20].sum())(x)
  assert (np.abs(moved[0, 6:35]).sum(-1) > 0).all() and not np.abs(moved[0, :6]).any() and not np.abs(moved[0, 35:]).any()


def test_without_a_blank_every_frame_is_a_grapheme():
  logits = jnp.zeros((1, 4, 5))
  found = jax.nn.softmax(aligner.without_blank(logits))
  assert (np.asarray(found[..., content.BLANK]) < 1e-12).all()
  np.testing.assert_allclose(found[..., 1:], 0.25, rtol=1e-6)


def test_what_is_saved_is_read(params, tmp_path):
  data = aligner.to_bytes(params, CONFIG, ['అ', 'ఆ', 'క', ' '], {'seed': '3'})
  assert data == aligner.to_bytes(params, CONFIG, ['అ', 'ఆ', 'క', ' '], {'seed': '3'})
  (tmp_path / 'a').write_bytes(data)
  trained = aligner.load(tmp_path / 'a')
  assert trained.graphemes == ('అ', 'ఆ', 'క', ' ') and trained.config == CONFIG
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3), trained.params, params)
  (tmp_path / 'b').write_bytes(aligner.to_bytes(params, CONFIG, ['అ', 'ఆ', 'క', 'గ'], {}))
  assert aligner.load(tmp_path / 'b').name != trained.name


def test_a_file_of_something_else_is_refused(params, tmp_path, codec_file):
  (tmp_path / 'few').write_bytes(aligner.to_bytes(params, CONFIG, ['అ'], {}))
  (tmp_path / 'cut').write_bytes((tmp_path / 'few').read_bytes()[:-1])
  for path in (codec_file, tmp_path / 'few', tmp_path / 'cut'):
    with pytest.raises(InputError, match='not an aligner'):
      aligner.load(path)
  with pytest.raises(InputError, match='configs/aligner.py'):
    aligner.load(tmp_path / 'none')
