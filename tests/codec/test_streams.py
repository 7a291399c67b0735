"""Many streams in one call, read in any chunks: each hears and says what it would alone and whole."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from telugu_s2s.codec import model, quantizer, streaming, transformer, weights

FRAMES = 150                     # 6 s of the released codec, almost five of its windows
CHUNKS = (1, 3, 50)              # frames; a window is 32


@pytest.fixture(scope='module')
def released():
  return weights.load()


@pytest.fixture(scope='module')
def spoken(speech, released):
  """f32[1 t]: three voices, one after the other."""
  return np.concatenate([clip[4000:] for clip in speech])[None, :FRAMES * released.config.hop]


@pytest.fixture(scope='module')
def whole(released, spoken):
  """One call for all: (audio -> codes, latents, decoded audio)."""
  def both(codec, audio):
    info = codec.quantizer(codec.encoder(audio)[0])[1]
    return info['codes'], info['latent'], codec.decode(info['codes'])[0]
  call = jax.jit(lambda x: model.Codec(released.config).apply({'params': released.params}, x, method=both))
  return lambda audio: [np.asarray(x) for x in call(audio)]


@pytest.fixture(scope='module')
def offline(whole, spoken):
  return whole(spoken)


def run(trained, method, x, chunks):
  """A batch of streams in chunks of so many frames."""
  size = trained.config.hop if method == 'encode' else 1
  state = model.empty_states(trained.config, len(x))[method == 'decode']
  parts, at, params = [], 0, streaming.taken_apart(trained.params)
  for frames in chunks:
    part, state = streaming.step(trained.config, method)(params, x[:, at * size:(at + frames) * size], state)
    parts.append(np.asarray(part))
    at += frames
  return np.concatenate(parts, 1)


def assert_alike(codes, wanted, latent, trained):
  """Equal codes, but where the nearest two are equally near in float32; what such a level leaves over is another."""
  table = np.asarray(quantizer.unit(trained.params['quantizer']['table_qvz']))
  places = np.argwhere((codes != wanted).any(-1))
  assert len(places) <= 3
  for place in map(tuple, places):
    level = np.argmax(codes[place] != wanted[place])
    found, want = (table[level, one[place][level]] @ latent[place][level] for one in (codes, wanted))
    assert abs(found - want) < 1e-5, (place, level)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.sampled_from(CHUNKS), max_size=40))
@example([1] * FRAMES)
@example([50] * 3)
def test_any_chunks_give_the_codes_and_the_sound_of_the_whole(released, spoken, offline, chunks):
  chunks = [size for size, end in zip(chunks, np.cumsum(chunks)) if end <= FRAMES]
  chunks += [1] * (FRAMES - sum(chunks))
  codes, latent, decoded = offline
  assert_alike(run(released, 'encode', spoken, chunks), codes, latent, released)
  found = run(released, 'decode', codes, chunks)
  np.testing.assert_allclose(found, decoded, rtol=0, atol=1e-4 * np.abs(decoded).max())      # float32, many layers


@pytest.mark.parametrize('frame', [1, 75, FRAMES - 1])
def test_another_future_changes_no_bit_of_the_past(released, spoken, whole, offline, frame):
  cut = frame * released.config.hop
  other = spoken.copy()
  other[:, cut:] = 0.5 * spoken[:, :spoken.shape[1] - cut][:, ::-1]
  for found, want in zip(whole(other), offline):
    at = cut if want.ndim == 2 else frame
    np.testing.assert_array_equal(found[:, :at], want[:, :at])
    assert (found[:, at:] != want[:, at:]).any()


def test_a_stream_gives_the_same_bits_each_time_it_is_read_alike(released, spoken, offline):
  chunks = [50, 1, 50, 1, 3, 3, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
  for method, x in (('encode', spoken), ('decode', offline[0])):
    np.testing.assert_array_equal(run(released, method, x, chunks), run(released, method, x, chunks))


@pytest.fixture(scope='module')
def small(codec_file):
  return weights.load(codec_file)


def test_streams_come_and_go_and_none_hears_another(small, speech):
  """Five clips take turns on three places, a frame at a time, each begun when the one before it has ended."""
  hop, lengths = small.config.hop, [9, 4, 14, 7, 5]              # frames; the window is 4 of them
  clips = [np.roll(speech[n % 3], -8000 - 3000 * n)[:length * hop] for n, length in enumerate(lengths)]
  places, waiting, at = [0, 1, 2], [3, 4], [0] * 5
  hears, speaks = model.empty_states(small.config, 3)
  codes, sound = [[] for _ in clips], [[] for _ in clips]
  again = jax.jit(streaming.begun_again)
  while any(place is not None for place in places):
    audio = np.stack([np.zeros(hop, np.float32) if n is None else clips[n][at[n] * hop:(at[n] + 1) * hop] for n in places])
    found, hears = streaming.step(small.config, 'encode')(small.params, audio, hears)
    said, speaks = streaming.step(small.config, 'decode')(small.params, found, speaks)
    ended = np.zeros(3, bool)
    for row, n in enumerate(places):
      if n is None:
        continue
      codes[n].append(np.asarray(found[row]))
      sound[n].append(np.asarray(said[row]))
      at[n] += 1
      if at[n] == lengths[n]:
        places[row] = waiting.pop(0) if waiting else None
        ended[row] = True
    hears, speaks = again(hears, ended), again(speaks, ended)
  for n, clip in enumerate(clips):
    wanted = run(small, 'encode', clip[None], [1] * lengths[n])
    np.testing.assert_array_equal(np.concatenate(codes[n]), wanted[0])
    wanted = run(small, 'decode', wanted, [1] * lengths[n])[0]
    np.testing.assert_allclose(np.concatenate(sound[n]), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())     # float32


def test_a_state_begun_again_is_that_of_a_stream_that_heard_nothing(small, speech):
  audio = np.stack([clip[8000:8000 + 6 * small.config.hop] for clip in speech])
  codes, hears = streaming.step(small.config, 'encode')(small.params, audio, model.empty_states(small.config, 3)[0])
  _, speaks = streaming.step(small.config, 'decode')(small.params, codes, model.empty_states(small.config, 3)[1])
  for state, empty in zip((hears, speaks), model.empty_states(small.config, 3)):
    jax.tree.map(np.testing.assert_array_equal, streaming.begun_again(state, jnp.ones(3, bool)), empty)
    jax.tree.map(np.testing.assert_array_equal, streaming.begun_again(state, jnp.zeros(3, bool)), state)


@pytest.mark.parametrize('streams', [1, 2, 5])
def test_any_number_of_streams_share_a_call(small, speech, streams):
  audio = np.stack([np.roll(speech[n % 3], -8000 - 2000 * n)[:10 * small.config.hop] for n in range(streams)])
  codes = run(small, 'encode', audio, [4, 6])
  for row in range(streams):
    np.testing.assert_array_equal(codes[row], run(small, 'encode', audio[row:row + 1], [4, 6])[0])


@pytest.mark.parametrize('precision', ['float32', 'int8'])
def test_weights_that_come_apart_are_layers_and_go_together_again(codec_file, precision):
  params = weights.load(codec_file, precision).params
  apart = streaming.taken_apart(params)
  layers = lambda params, half: jax.tree.leaves(params[half]['transformer']['blocks'])
  assert len(layers(apart, 'decoder')) == 2 * len(layers(params, 'decoder')) and len(layers(apart, 'encoder')) == len(layers(params, 'encoder'))
  again = jax.jit(transformer.together)(apart)
  assert jax.tree.structure(again) == jax.tree.structure(params)
  jax.tree.map(np.testing.assert_array_equal, again, params)
