"""A voice over minutes: what is said does not depend on how it is cut, and cosines are taken of the right things."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.evaluation import drift, embedding
from telugu_s2s.lm import drawing, sampling
from telugu_s2s.lm.model import AudioLM, Config
from telugu_s2s.preparation import segment
from telugu_s2s.training import stage2

LM = Config(width=16, layers=1, heads=2, kv_heads=1, head_width=8, ffn=24, depth_width=8, depth_layers=1, depth_heads=1, depth_ffn=16,
            codebooks=3, codes=11, window=64, dtype='float32')


def pointing(angle, seconds=10.0):
  """A recording that `vectors` takes for a voice at an angle."""
  x = 0.1 * np.random.default_rng(0).normal(size=round(seconds * 16000)).astype(np.float32)
  x *= np.arange(len(x)) // 8000 % 2                            # half a second of every second
  x[0] = angle
  return x


@pytest.fixture
def vectors(monkeypatch):
  monkeypatch.setattr(embedding, 'of', lambda parts: {'ge2e': np.array([[np.cos(x[0]), np.sin(x[0])] for x in parts]), 'mel': None})


def test_drift_is_told_from_the_ends_and_stands_beside_the_codecs_ceiling(vectors):
  references = [pointing(0.0, 3), pointing(1.0, 3), pointing(2.0, 3)]
  turned = [0.1, 0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.5]
  parts = [pointing(of + turn) for of in (0.0, 1.0, 2.0) for turn in turned]
  others = [pointing(0.2), None, pointing(2.2)]
  resynthesised = lambda audio: pointing(audio[0] + 0.1)
  found = drift.compared(references, parts, others, ['a', 'b', 'c'], resynthesised, np.random.default_rng(0))
  assert found['by'] == 'ge2e' and found['silent'] == 0
  np.testing.assert_allclose(found['windows'], np.cos(turned), atol=1e-4)
  assert found['first'] == pytest.approx(np.cos(0.1)) and found['last'] == pytest.approx(np.cos(0.5))
  assert found['drift'] == pytest.approx(np.cos(0.1) - np.cos(0.5))
  assert found['ceiling'] == pytest.approx(np.cos(0.3)) and found['original'] == pytest.approx(np.cos(0.2))
  assert found['others'] == pytest.approx(np.mean([np.cos(a - b) for a, b in ((0, 2.3), (1, 0.3), (1, 2.3), (2, 0.3))]))
  # Recordings of one speaker are no others of each other.
  found = drift.compared(references, parts, others, ['a', 'a', 'c'], resynthesised, np.random.default_rng(0))
  assert found['others'] == pytest.approx(np.mean([np.cos(a - b) for a, b in ((0, 2.3), (1, 2.3), (2, 0.3))]))
  assert np.isnan(drift.compared(references, parts, others, ['a'] * 3, resynthesised, np.random.default_rng(0))['others'])


def test_a_window_without_speech_tells_nothing(vectors):
  silent = np.zeros(160000, np.float32)
  found = drift.compared([pointing(0.0)], [pointing(0.1)] * 3 + [silent] * 3, [None], ['a'], None, np.random.default_rng(0))
  assert found['silent'] == 0.5 and np.isnan(found['last']) and np.isnan(found['drift']) and np.isnan(found['ceiling'])


def test_recordings_are_of_as_many_speakers_as_there_are():
  of = lambda name, seconds: segment.Segment(name, np.zeros(round(seconds * 16000), np.float32), '', '', name, 0.0, '', 'A', speaker=name[0])
  many = [of('a1', 4), of('a2', 4), of('b1', 2), of('c1', 5), of('d1', 4)]
  assert [(one.id, two and two.id) for one, two in drift.prompts(many, 3.0, 4)] == [('a1', 'a2'), ('c1', None), ('d1', None), ('a2', 'a1')]


def test_another_part_of_the_same_recording_is_no_other_recording_of_the_speaker():
  of = lambda name, path: segment.Segment(name, np.zeros(64000, np.float32), '', '', path, 0.0, '', 'A', speaker='s')
  many = [of('talk-0', 'talk.wav'), of('talk-1', 'talk.wav')]
  assert drift.prompts(many, 3.0, 1)[0][1] is None
  assert drift.prompts([*many, of('later-0', 'later.wav')], 3.0, 1)[0][1].id == 'later-0'


def test_a_name_that_two_corpora_give_is_two_speakers():
  of = lambda source: segment.Segment(f'{source}-1', np.zeros(64000, np.float32), source, '', f'{source}.wav', 0.0, '', 'A', speaker='1')
  assert [(one.id, other) for one, other in drift.prompts([of('x'), of('y')], 3.0, 2)] == [('x-1', None), ('y-1', None)]


@pytest.mark.slow
def test_what_is_said_in_bursts_is_what_is_said_at_once():
  params = jax.jit(AudioLM(LM).init)(jax.random.key(0), jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params']
  codes = np.random.default_rng(0).integers(11, size=(2, 6, 3)).astype(np.int32)
  moves, silence = np.where(np.arange(6) % 2 == 0, 5, -1)[None].repeat(2, 0).astype(np.int32), np.array([1, 2, 3], np.int32)
  how = sampling.Sampling(1.0, 0)
  ours = drift.spoken_on(LM, params, codes, moves, 20, silence, jax.random.key(2), drawing.settings(LM, [how] * 2))
  whole = stage2.continued(LM, params, codes, jnp.asarray(moves), jnp.broadcast_to(silence, (2, 27, 3)), jax.random.key(2), how)
  np.testing.assert_array_equal(ours, whole[:, :26])
