"""The mean of codecs: what it is, that it is a codec, and what is refused."""
import dataclasses
import runpy
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.codec import average, weights
from telugu_s2s.errors import InputError


def moved(trained, step):
  """Its weights a little further on, each by its own amount."""
  rng = np.random.default_rng(step)
  return jax.tree.map(lambda x: np.asarray(x) + 0.01 * step * rng.normal(size=x.shape).astype(np.float32), trained.params)


@pytest.fixture(scope='module')
def some(codec_file, tmp_path_factory):
  """A codec and two that went on from it, as files."""
  trained, folder = weights.load(codec_file), tmp_path_factory.mktemp('descent')
  for step in (1, 2):
    files.write(folder / f'{step}.safetensors', weights.to_bytes(moved(trained, step), trained.config, {}))
  return [str(codec_file), *(str(folder / f'{step}.safetensors') for step in (1, 2))]


def of(codecs, shares=()):
  config = runpy.run_path(str(Path(__file__).parents[2] / 'configs' / 'average.py'))['get_config']()
  config.codecs, config.shares = tuple(map(str, codecs)), shares
  return config


@pytest.mark.parametrize('shares', [(), (2.0, 1.0, 1.0), (0.0, 3.0, 0.0)])
def test_each_weight_is_the_mean_and_the_file_says_of_what(some, shares, tmp_path, capsys):
  average.run(of(some, shares), tmp_path)
  trees = [weights.load(one) for one in some]
  share = np.array(shares or (1, 1, 1)) / sum(shares or (1, 1, 1))
  found = weights.load(tmp_path / 'codec.safetensors')
  for x, *others in zip(*map(jax.tree.leaves, [found.params, *(one.params for one in trees)])):
    np.testing.assert_allclose(x, sum(part * other for part, other in zip(share, others)), rtol=2e-3, atol=1e-5)     # float16
  facts, _ = weights.opened(tmp_path / 'codec.safetensors')
  assert all(one.name in facts['mean of'] for one in trees) and found.name in capsys.readouterr().out
  assert found.config == trees[0].config


def test_the_mean_of_a_codec_with_itself_is_that_codec(some):
  tree = weights.load(some[1]).params
  jax.tree.map(np.testing.assert_array_equal, average.mean([tree, tree], np.array([0.5, 0.5])), tree)


@pytest.mark.parametrize('count, shares, said', [(1, (), 'two at least'), (2, (1.0,), 'give 2 numbers'), (2, (1.0, -1.0), 'give 2 numbers'),
                                                 (2, (0.0, 0.0), 'give 2 numbers'), (2, ('a', 'b'), 'give numbers'), (2, (1.0, float('nan')), 'give 2 numbers')])
def test_what_has_no_mean_is_refused(some, count, shares, said, tmp_path):
  with pytest.raises(InputError, match=said):
    average.run(of(some[:count], shares), tmp_path)


def test_no_codec_is_written_over_by_its_mean(some, tmp_path):
  before = shutil.copy(some[0], tmp_path / 'codec.safetensors').read_bytes()
  with pytest.raises(InputError, match='is one of config.codecs'):
    average.run(of((tmp_path / 'codec.safetensors', some[1])), tmp_path)
  assert (tmp_path / 'codec.safetensors').read_bytes() == before


def test_codecs_of_other_sizes_are_refused(some, tmp_path):
  trained = weights.load(some[0])
  other = dataclasses.replace(trained.config, window=trained.config.window + 1)          # the same shapes
  files.write(tmp_path / 'other.safetensors', weights.to_bytes(trained.params, other, {}))
  with pytest.raises(InputError, match='other.safetensors has other sizes'):
    average.run(of([some[0], tmp_path / 'other.safetensors']), tmp_path)


def test_where_decoders_alone_differ_the_codes_keep_their_name(some, tmp_path):
  trained = weights.load(some[0])
  params = trained.params | {'decoder': jax.tree.map(lambda x: x + 0.01, trained.params['decoder'])}
  files.write(tmp_path / 'tuned.safetensors', weights.to_bytes(params, trained.config, weights.codes_kept(some[0], params, trained.config)))
  average.run(of([some[0], tmp_path / 'tuned.safetensors']), tmp_path)
  found, tuned = weights.load(tmp_path / 'codec.safetensors'), weights.load(tmp_path / 'tuned.safetensors')
  assert found.name == trained.name == tuned.name and len({found.identity, trained.identity, tuned.identity}) == 3
  assert weights.opened(tmp_path / 'codec.safetensors')[0]['mean of'].count('0.5') == 2
