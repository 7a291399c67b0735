"""A codec's file: the same weights come back, its name is that of its weights, and what is no codec is refused."""
import dataclasses
import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from telugu_s2s.codec import model, weights
from telugu_s2s.errors import InputError


@pytest.fixture
def trained(codec_file):
  return weights.load(codec_file)


def saved(path, params, config, facts={}):
  path.write_bytes(weights.to_bytes(params, config, facts))
  return weights.load(path)


def header(data):
  size = struct.unpack('<Q', data[:8])[0]
  return json.loads(data[8:8 + size])['__metadata__']


def test_what_is_saved_comes_back_in_half_precision(tmp_path, trained):
  noise = np.random.default_rng(0)
  params = jax.tree.map(lambda x: x + 1e-3 * noise.normal(size=x.shape).astype(np.float32), trained.params)
  back = saved(tmp_path / 'a', params, trained.config)
  assert back.config == trained.config
  assert jax.tree.structure(back.params) == jax.tree.structure(params)
  for a, b in zip(jax.tree.leaves(back.params), jax.tree.leaves(params)):
    assert a.dtype == jnp.float32
    np.testing.assert_array_equal(a, np.asarray(b, np.float16).astype(np.float32))
  assert saved(tmp_path / 'b', back.params, back.config).name == back.name         # saving again changes nothing


def test_the_name_tells_the_rate_the_codebooks_and_the_weights(tmp_path, trained):
  assert trained.name.startswith('50hz-3x11-')
  table = trained.params['quantizer']['table_qvz'].at[1, 2, 3].add(0.01)
  other = {**trained.params, 'quantizer': {**trained.params['quantizer'], 'table_qvz': table}}
  assert saved(tmp_path / 'a', other, trained.config).name != trained.name
  assert saved(tmp_path / 'b', trained.params, dataclasses.replace(trained.config, window=9)).name != trained.name
  assert saved(tmp_path / 'c', trained.params, trained.config, {'steps': '7'}).name == trained.name


def test_codes_keep_their_name_where_the_decoder_alone_is_another(tmp_path, trained, codec_file):
  moved = lambda params, part: {**params, part: jax.tree.map(lambda x: x + np.float32(0.25), params[part])}
  written = lambda name, before, params: saved(tmp_path / name, params, trained.config, weights.codes_kept(before, params, trained.config))
  first = weights.load(codec_file)
  tuned = written('a', codec_file, moved(first.params, 'decoder'))
  again = written('b', tmp_path / 'a', moved(tuned.params, 'decoder'))
  assert first.name == first.identity == tuned.name == again.name and len({first.identity, tuned.identity, again.identity}) == 3
  other = written('c', codec_file, moved(first.params, 'encoder'))
  assert other.name == other.identity != first.name
  # A file that says so of other weights is damaged.
  claim = weights.codes_kept(codec_file, first.params, trained.config)
  (tmp_path / 'd').write_bytes(weights.to_bytes(moved(first.params, 'encoder'), trained.config, claim))
  with pytest.raises(InputError, match='made by other weights'):
    weights.load(tmp_path / 'd')


def test_the_facts_of_its_training_are_in_the_file(trained):
  assert header(weights.to_bytes(trained.params, trained.config, {'steps': '7', 'hours': '5.80'}))['hours'] == '5.80'


def test_equal_codecs_have_equal_bytes(trained):
  facts = {name: name for name in 'steps seed hours data revision'.split()}
  for other in (facts, dict(reversed(facts.items()))):
    assert len({weights.to_bytes(trained.params, trained.config, other) for _ in range(8)}) == 1
  assert weights.to_bytes(trained.params, trained.config, facts) == weights.to_bytes(trained.params, trained.config, other)


def test_the_shipped_configs_sizes_travel_as_they_are(tmp_path):
  config = model.Config(strides=[40, 8], channels=[32, 96])                # lists, as JSON gives them
  data = weights.to_bytes({'bias_o': np.zeros(1)}, config, {})
  assert model.Config(**json.loads(header(data)['config'])) == config


def damaged(kind, data, path, trained):
  if kind == 'missing':
    return
  if kind == 'folder':
    path.mkdir()
    return
  flat = safetensors.numpy.load(data)
  meta = header(data)
  content = {
      'empty': b'', 'text': b'not a codec at all, but long enough to hold a length', 'truncated': data[:-7],
      'half': data[:len(data) // 2], 'no sizes': safetensors.numpy.save(flat, {'config': '{"codes": 0.5}'}),
      'no metadata': safetensors.numpy.save(flat),
      'unknown size': safetensors.numpy.save(flat, {**meta, 'config': meta['config'].replace('window', 'windows')}),
      'no json': safetensors.numpy.save(flat, {**meta, 'config': '{'}),
      'foreign': safetensors.numpy.save({'lstm.weight': np.zeros((3, 4), np.float16)}, meta),
      'other sizes': safetensors.numpy.save(flat, {**meta, 'config': meta['config'].replace('"ffn": 20', '"ffn": 24')}),
      'flipped': data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
      'no number': safetensors.numpy.save({name: x * np.float16('nan') for name, x in flat.items()},
                                          {name: meta[name] for name in meta if name != 'digest'}),
      'part missing': safetensors.numpy.save({name: flat[name] for name in list(flat)[1:]}, meta),
  }[kind]
  path.write_bytes(content)


@pytest.mark.parametrize('kind', ['missing', 'folder', 'empty', 'text', 'truncated', 'half', 'no metadata', 'unknown size',
                                  'no json', 'no sizes', 'foreign', 'other sizes', 'part missing', 'flipped', 'no number'])
def test_what_is_no_codec_is_refused_in_a_line_that_names_it(tmp_path, trained, codec_file, kind):
  path = tmp_path / 'a.safetensors'
  damaged(kind, codec_file.read_bytes(), path, trained)
  with pytest.raises(InputError, match='configs/stage1.py') as caught:
    weights.load(path)
  assert str(path) in str(caught.value)


def test_a_small_file_that_tells_of_a_vast_codec_takes_no_memory(tmp_path, trained):
  sizes = dataclasses.asdict(trained.config) | {'strides': [10**6, 10**5], 'latent_stride': 8}       # a frame of 3 TB
  (tmp_path / 'a').write_bytes(safetensors.numpy.save({'lstm.weight': np.zeros(1, np.float16)}, {'config': json.dumps(sizes)}))
  with pytest.raises(InputError, match='configs/stage1.py'):
    weights.load(tmp_path / 'a')


def test_the_released_codecs_have_names_and_are_found_by_those_of_their_codes():
  tiny, small = (weights.load(size) for size in ('tiny', 'small'))
  assert weights.load().name == tiny.name != small.name
  assert weights.released(small.name).config == small.config and weights.released(tiny.name).config == tiny.config
  assert weights.released('25hz-8x1024-000000000000') is None
  assert weights.file('small').is_file() and weights.file('runs/codec.safetensors').name == 'codec.safetensors'
