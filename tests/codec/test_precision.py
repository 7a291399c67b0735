"""A codec in fewer bits: what is narrowed, how far it strays, and what stays as it was."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import model, precision, streaming, weights


@pytest.fixture(scope='module')
def trained(codec_file):
  return weights.load(codec_file)


@pytest.fixture(scope='module')
def audio(speech, trained):
  """f32[b t], 40 frames of two sentences."""
  return np.stack([clip[8000:8000 + 40 * trained.config.hop] for clip in speech[:2]])


def heard(trained, audio):
  """Codes of a batch, read as a stream."""
  return np.concatenate(list(streaming.encode(trained, [audio], 20)), 1)


def said(trained, codes):
  return np.concatenate(list(streaming.decode(trained, [codes], 20)), 1)


@pytest.fixture(scope='module')
def exact(trained, audio):
  codes = heard(trained, audio)
  return codes, said(trained, codes)


def leaves(params):
  return {jax.tree_util.keystr(path, simple=True, separator='.'): x for path, x in jax.tree.leaves_with_path(params)}


def test_float32_is_what_it_was(trained):
  jax.tree.map(np.testing.assert_array_equal, precision.converted(trained.params, 'float32'), trained.params)
  jax.tree.map(np.testing.assert_array_equal, precision.dense(trained.params), trained.params)


def test_only_matrices_outside_the_quantizer_are_narrowed(trained):
  for name, x in leaves(precision.converted(trained.params, 'bfloat16')).items():
    wide = name.startswith('quantizer') or len(name.rpartition('_')[2]) == 1
    assert x.dtype == (jnp.float32 if wide else jnp.bfloat16), name


def test_the_released_codec_shrinks():
  released = jax.eval_shape(lambda: weights.load().params)
  sizes = [precision.megabytes(jax.eval_shape(lambda x: precision.converted(x, name), released)) for name in precision.PRECISIONS]
  assert sizes[1] < 0.55 * sizes[0] and sizes[2] < 0.3 * sizes[0]


@pytest.mark.parametrize('name, sums', [('wq_dnh', (1,)), ('wo_nhd', (1, 2)), ('down_fd', (1,)), ('kernel_wio', (0, 1)),
                                        ('kernel_iwo', (0,)), ('mix_io', (0,))])
def test_int8_has_a_scale_for_each_output_channel(name, sums):
  shape = {'wq_dnh': (2, 6, 3, 4), 'wo_nhd': (2, 3, 4, 6), 'down_fd': (2, 8, 6), 'kernel_wio': (5, 3, 4),
           'kernel_iwo': (3, 5, 4), 'mix_io': (6, 4)}[name]
  rng = np.random.default_rng(0)
  x = rng.normal(size=shape) * 10 ** rng.uniform(-3, 1, [1 if axis in sums else size for axis, size in enumerate(shape)])
  narrow = precision.converted({'encoder': {name: jnp.asarray(x, jnp.float32)}}, 'int8')
  step = np.abs(x).max(sums, keepdims=True) / 127
  assert narrow['encoder'][name]['int8'].dtype == jnp.int8
  np.testing.assert_allclose(narrow['encoder'][name]['scale'], step, rtol=1e-5)
  error = np.abs(precision.dense(narrow)['encoder'][name] - x)
  assert (error <= 0.501 * step).all() and (error > 0.1 * step).any()


def test_a_matrix_of_zeros_stays_one():
  narrow = precision.converted({'encoder': {'mix_io': jnp.zeros((3, 4))}}, 'int8')
  np.testing.assert_array_equal(precision.dense(narrow)['encoder']['mix_io'], np.zeros((3, 4)))


@pytest.mark.parametrize('name, noise', [('bfloat16', 0.02), ('int8', 0.02)])    # 8 bits each, over a few layers
def test_fewer_bits_say_nearly_the_same(trained, audio, exact, name, noise):
  narrow = dataclasses.replace(trained, params=precision.converted(trained.params, name))
  codes, decoded = heard(narrow, audio), said(narrow, exact[0])
  assert (codes == exact[0]).mean() > 0.8
  assert decoded.dtype == np.float32
  assert 0 < np.std(decoded - exact[1]) < noise * np.std(exact[1])


@pytest.mark.parametrize('name', ['bfloat16', 'int8'])
def test_a_streams_state_is_float32_whatever_computes_it(trained, audio, name):
  """So that one compiled program serves every chunk, and a stream may change its precision."""
  params = precision.converted(trained.params, name)
  hears, speaks = model.empty_states(trained.config, 2)
  codes, hears_on = jax.eval_shape(streaming.step(trained.config, 'encode'), params, audio, hears)
  _, speaks_on = jax.eval_shape(streaming.step(trained.config, 'decode'), params, codes, speaks)
  kind = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  assert kind(hears_on) == kind(hears) and kind(speaks_on) == kind(speaks)


def test_a_file_is_loaded_in_any_precision_under_one_name(trained, codec_file):
  narrow = weights.load(codec_file, 'bfloat16')
  assert narrow.name == trained.name and narrow.params['decoder']['Up_0']['kernel_iwo'].dtype == jnp.bfloat16
  with pytest.raises(ValueError, match="'int4'.*float32, bfloat16, int8"):
    weights.load(codec_file, 'int4')
