"""Alignment: the best path of all, words that cover their frames, and a reason for each clip that has none."""
import itertools

from hypothesis import given, settings, strategies as st
import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import aligner
from telugu_s2s.tokens import alignment, graphemes

TABLE = (' ', 'క', 'మ', 'ల', 'ా', '్')


@settings(max_examples=60, deadline=None)
@given(scores=arrays.arrays(np.float32, (7, 4), elements=st.floats(-8, 0, width=32)), labels=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_the_path_is_the_best_of_all(scores, labels):
  labels = np.array(labels)
  found = alignment.best(scores, labels)
  assert found[0] == 0 and found[-1] == len(labels) - 1 and set(np.diff(found)) <= {0, 1}
  value = lambda taken: scores[np.arange(7), labels[list(taken)]].astype(np.float64).sum()
  every = []
  for cuts in itertools.combinations(range(1, 7), len(labels) - 1):
    every.append(np.searchsorted(cuts, np.arange(7), side='right'))
  assert value(found) == pytest.approx(max(map(value, every)), abs=1e-4)


def test_a_text_is_pauses_and_graphemes_of_words_and_aksharas():
  way = alignment.path('కమల, 24 క్మా-X!', TABLE)
  assert way.words == ('కమల,', '24', 'క్మా-X!') and way.aksharas == ('క', 'మ', 'ల', 'క్మా', 'x')
  assert [TABLE[number - 1] for number in way.labels] == list(' కమల క్మా ')
  assert list(way.word) == [-1, 0, 0, 0, -1, 2, 2, 2, 2, -1]
  assert list(way.akshara) == [-1, 0, 1, 2, -1, 3, 3, 3, 3, -1]


@pytest.mark.parametrize('word, parts', [('నమస్కారం', 'న మ స్కా రం'), ('క్షత్రియుడు', 'క్ష త్రి యు డు'), ('బస్', 'బ స్'), ('ok', 'o k'),
                                         ('అక్కఏం', 'అ క్క ఏం'), ('', '')])
def test_words_fall_into_aksharas(word, parts):
  assert graphemes.aksharas(word) == parts.split()
  assert ''.join(graphemes.aksharas(word)) == word


def test_words_lie_where_their_graphemes_do():
  way = alignment.path('కమ 24 లా', TABLE)
  held = np.array([0, 0, 1, 1, 1, 2, 0, 0, 3, 4, 4, 4, 0])                     # '  కకకమ  లాాా '
  scores = np.log(np.full((13, 7), 0.02, np.float32))
  scores[np.arange(13), held + 1] = np.log(0.88)
  found = alignment.spans(way, scores)
  assert [(word.text, word.start_s, word.end_s) for word in found.words] == [('కమ', 0.04, 0.12), ('24', 0.12, 0.12), ('లా', 0.16, 0.24)]
  assert [(one.text, one.start_s, one.end_s) for one in found.words[0].aksharas] == [('క', 0.04, 0.1), ('మ', 0.1, 0.12)]
  assert found.confidence == found.words[0].confidence == pytest.approx(0.88, abs=1e-3) and found.words[1].confidence == 0


@pytest.fixture(scope='module')
def forced():
  config = aligner.Config(width=8, layers=2)
  network = aligner.Aligner(config, len(TABLE) + 1)
  params = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 4, 160)), jnp.ones(1, jnp.int32))['params']
  return alignment.Forced(aligner.Trained(config, params, TABLE, 'a'))


def test_a_clip_that_cannot_be_aligned_has_a_reason(forced, speech):
  clips = [(speech[0], ''), (speech[0], '24, 25'), (speech[0][:3200], 'కమల ' * 9), (speech[1], 'కమల'), (speech[0][:1], 'క')]
  found = forced(clips)
  assert [one.reason for one in found] == ['no transcript', 'no known letters', 'more text than audio', '', 'more text than audio']
  assert [len(one.words) for one in found] == [0, 0, 0, 1, 0]
  doubted = alignment.Forced(forced.trained, least=1.0)(clips)
  assert doubted[3].reason == 'not what is said' and not doubted[3].words and doubted[3].confidence == found[3].confidence


def test_a_clip_is_aligned_alike_whatever_is_aligned_beside_it(forced, speech):
  clips = [(one, 'కమల కా') for one in (*speech, speech[0][:9000], np.concatenate(speech))]
  together = forced(clips)
  for clip, one in zip(clips, together):
    alone, = forced([clip])
    assert [(word.start_s, word.end_s) for word in alone.words] == [(word.start_s, word.end_s) for word in one.words]
    for word in one.words:
      assert 0 <= word.start_s < word.end_s <= len(clip[0]) / 16_000 + 0.02 and 0 < word.confidence <= 1
      assert [part.text for part in word.aksharas] == graphemes.aksharas(word.text)
      assert word.start_s == word.aksharas[0].start_s and word.end_s == word.aksharas[-1].end_s


@pytest.mark.parametrize('samples', [0, 1, 319, 320, 321, 9000])
def test_every_frame_has_its_features(samples):
  x = alignment.features(np.random.default_rng(0).normal(size=samples).astype(np.float32) / 9)
  assert x.shape == (max(2, -(-samples // 320)), 160) and x.dtype == np.float32 and np.isfinite(x).all()
