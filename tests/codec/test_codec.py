"""The codec: causal to the bit, the same as a stream and as a whole, and each clip of a batch on its own."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import model, weights

T = 13                           # code frames: 26 of the transformers', whose window is 8


@pytest.fixture(scope='module')
def codec(codec_file):
  return Compiled(weights.load(codec_file))


class Compiled:
  """A codec whose methods are compiled once for each shape."""

  def __init__(self, trained):
    self.config, self.params = trained.config, trained.params
    net = model.Codec(trained.config)
    method = lambda name: jax.jit(lambda x, state=None: net.apply({'params': trained.params}, x, state, method=name))
    self.encode, self.decode = method('encode'), method('decode')
    self._whole = jax.jit(lambda params, *inputs: net.apply({'params': params}, *inputs))

  def both(self, audio):
    """Codes of a batch of whole clips, and the audio they decode to."""
    codes, _ = self.encode(audio)
    return codes, self.decode(codes)[0]

  def train(self, audio, levels=3, exact=(False, False, False), params=None):
    return self._whole(params or self.params, audio, np.full(3, levels), np.array(exact))


@pytest.fixture(scope='module')
def audio(speech, codec):
  """f32[b t], the middles of three sentences."""
  return np.stack([clip[8000:8000 + T * codec.config.hop] for clip in speech])


def test_sizes_follow_from_the_strides(codec):
  assert (codec.config.hop, codec.config.frame_rate, codec.config.width) == (320, 50, 12)
  full = model.Config()
  assert (full.hop, full.frame_rate) == (640, 25)


def test_strides_without_channels_are_refused():
  with pytest.raises(ValueError, match='2 strides but 1 channels'):
    model.Config(strides=(8, 4), channels=(16,))


@pytest.mark.parametrize('frame', [1, 6, 12])
def test_future_samples_change_no_earlier_bit(codec, audio, frame):
  cut = frame * codec.config.hop
  codes, decoded = codec.both(audio)
  other_codes, other = codec.both(np.concatenate([audio[:, :cut], -audio[::-1, cut:]], 1))
  np.testing.assert_array_equal(codes[:, :frame], other_codes[:, :frame])
  np.testing.assert_array_equal(decoded[:, :cut], other[:, :cut])
  assert (codes[:, frame:] != other_codes[:, frame:]).any()
  assert (decoded[:, cut:cut + codec.config.hop] != other[:, cut:cut + codec.config.hop]).any()     # nor is it late


def test_the_last_sample_of_a_frame_reaches_that_frames_latent(codec, audio):
  end = 6 * codec.config.hop
  touched = audio.copy()
  touched[:, end - 1] += 0.1
  before, after = (codec.train(one)[1]['latent'][:, :, 0] for one in (audio, touched))
  np.testing.assert_array_equal(before[:, :5], after[:, :5])
  assert (before[:, 5] != after[:, 5]).any(-1).all()


def test_a_stream_forgets_what_left_the_windows(codec, audio):
  """The first frame reaches on through taps and windows, but not for ever."""
  louder = audio.copy()
  louder[:, :codec.config.hop] += 0.3
  codes, other = codec.encode(audio)[0], codec.encode(louder)[0]
  reach = 1 + codec.config.window // 2 + 2               # its own frame, one window of one layer, and the filters' taps
  np.testing.assert_array_equal(codes[:, reach:], other[:, reach:])
  assert (codes[:, 0] != other[:, 0]).any()


@pytest.mark.parametrize('chunks', [[1] * T, [3, 1, 3, 3, 3], [6, 6, 1]],
                         ids=['of one frame', 'of several', 'longer than the window'])
def test_a_stream_of_chunks_is_the_whole(codec, audio, chunks):
  want_codes, want = codec.both(audio)
  listening, speaking = model.empty_states(codec.config, len(audio))
  codes, decoded, at = [], [], 0
  for frames in chunks:
    part = audio[:, at * codec.config.hop:(at + frames) * codec.config.hop]
    found, listening = codec.encode(part, listening)
    said, speaking = codec.decode(found, speaking)
    codes.append(found)
    decoded.append(said)
    at += frames
  np.testing.assert_array_equal(np.concatenate(codes, 1), want_codes)
  # Float32 sums in another order; relative to the loudest sample.
  np.testing.assert_allclose(np.concatenate(decoded, 1), want, rtol=0, atol=1e-5 * np.abs(want).max())


def test_the_state_of_a_stream_keeps_its_shape(codec, audio):
  """So that one compiled program serves every chunk."""
  shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  listening, speaking = model.empty_states(codec.config, len(audio))
  codes, after = codec.encode(audio[:, :codec.config.hop], listening)
  assert shapes(after) == shapes(listening)
  assert shapes(codec.decode(codes, speaking)[1]) == shapes(speaking)


def test_a_batch_gives_what_each_clip_gives_alone(codec, audio):
  codes, decoded = codec.both(audio)
  for row in range(len(audio)):
    alone, sound = codec.both(audio[row:row + 1])
    np.testing.assert_array_equal(alone[0], codes[row])
    np.testing.assert_allclose(sound[0], decoded[row], rtol=0, atol=1e-5 * np.abs(decoded).max())   # float32


def test_codes_are_integers_within_their_codebook(codec, audio):
  codes, decoded = codec.both(audio)
  assert codes.shape == (3, T, 3) and codes.dtype == jnp.int32
  assert 0 <= codes.min() and codes.max() < 11
  assert len(np.unique(codes)) > 5                       # and tell frames apart
  assert decoded.shape == audio.shape and decoded.dtype == jnp.float32


@pytest.mark.parametrize('levels', [1, 2, 3])
def test_the_first_levels_decode_alone_as_they_do_in_training(codec, audio, levels):
  codes, _ = codec.encode(audio)
  trained, info = codec.train(audio, levels)
  np.testing.assert_array_equal(info['codes'], codes)
  decoded, _ = codec.decode(codes[..., :levels])
  np.testing.assert_allclose(decoded, trained, rtol=0, atol=1e-5 * np.abs(decoded).max())     # float32


def test_exact_rows_are_not_rounded_to_codes(codec, audio):
  quantizer = codec.params['quantizer']
  other = {**codec.params, 'quantizer': {**quantizer, 'table_qvz': quantizer['table_qvz'][:, ::-1] ** 3}}
  (a, info), (b, _) = (codec.train(audio, exact=(True, False, False), params=params) for params in (codec.params, other))
  np.testing.assert_array_equal(a[0], b[0])
  assert (a[1] != b[1]).any() and (a[2] != b[2]).any()
  _, held = codec.train(audio)                                             # and nothing pulls them to a code
  assert 0 < info['commit'] < held['commit']
