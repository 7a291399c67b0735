"""A clip as a stream of chunks: the same codes, the right length, whatever it is of, and no click where it begins or ends."""
import jax
import numpy as np
import pytest

from telugu_s2s.codec import model, streaming, weights

RATE = 16_000


@pytest.fixture(scope='module')
def codec(codec_file):
  return weights.load(codec_file)


@pytest.fixture(scope='module')
def released():
  return weights.load()


@pytest.mark.parametrize('samples', [1, 319, 320, 321, 16_000, 16_001, 32_001])
def test_a_clip_of_any_length_has_the_codes_of_the_whole(codec, speech, samples):
  clip = speech[0][4000:4000 + samples]
  frames = -(-samples // 320)
  whole = jax.jit(lambda x: model.Codec(codec.config).apply({'params': codec.params}, x, method='encode')[0])
  codes = streaming.codes_of(codec, clip)
  assert codes.shape == (frames, 3)
  np.testing.assert_array_equal(codes, whole(np.pad(clip, (0, frames * 320 - samples))[None])[0])
  decoded = streaming.audio_of(codec, codes, samples)
  assert decoded.shape == (samples,) and np.isfinite(decoded).all()


def test_no_samples_give_no_samples(codec):
  assert streaming.codes_of(codec, np.zeros(0)).shape == (0, 3)
  assert streaming.roundtrip(codec, np.zeros(0)).shape == (0,)


@pytest.mark.parametrize('sizes', [[1, 2, 3], [15_999], [40_000], [16_000, 16_000], [0, 7]])
def test_the_pieces_in_which_audio_comes_change_nothing(codec, speech, sizes):
  clip = np.stack([np.resize(one, 40_000) for one in speech[:2]])
  cuts = np.cumsum(np.resize(sizes, 40_000 if max(sizes) < 100 else 5))
  parts = np.split(clip, cuts[cuts < 40_000][:50], axis=1)
  want = np.concatenate(list(streaming.encode(codec, [clip])), 1)
  np.testing.assert_array_equal(np.concatenate(list(streaming.encode(codec, parts)), 1), want)
  assert want.shape == (2, 150, 3)
  for row in range(2):
    np.testing.assert_array_equal(want[row, :125], streaming.codes_of(codec, clip[row]))


def test_a_stream_is_worked_off_as_it_comes(codec):
  """So that memory does not grow with its length: three minutes are never more than a chunk ahead."""
  heard, said, ahead = [0], 0, []

  def microphone():
    for second in range(180):
      heard[0] += RATE
      yield np.sin(np.arange(RATE) * (0.01 + 0.001 * second), dtype=np.float32)[None] / 4

  for audio in streaming.decode(codec, streaming.encode(codec, microphone())):
    assert np.isfinite(audio).all() and np.abs(audio).max() <= 1
    said += audio.shape[1]
    ahead.append(heard[0] - said)
  assert said == 180 * RATE and max(ahead) <= 2 * RATE and len(ahead) == 180


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_named_by_its_place(codec, bad):
  clip = np.zeros(60_000, np.float32)
  clip[50_000] = bad
  with pytest.raises(ValueError, match='not finite near 3.0 s'):
    streaming.codes_of(codec, clip)


def signals():
  """Hard signals, f32 at 16 kHz, a second or more each."""
  t, rng = np.arange(20_001) / RATE, np.random.default_rng(0)
  chord = sum(np.sin(2 * np.pi * pitch * t * (1 + harmonic)) / (1 + harmonic) for pitch in (220, 277.2, 329.6)
              for harmonic in range(5))
  narrow = np.convolve(rng.normal(0, 0.3, len(t)), np.sinc(np.arange(-64, 65) / 4) / 4 * np.hanning(129), 'same')
  return {'silence': 0 * t, 'a constant': 0 * t + 0.5, 'full scale': 0 * t - 1, 'noise': rng.normal(0, 0.1, len(t)),
          'clipped noise': np.clip(rng.normal(0, 10, len(t)), -1, 1), 'a square wave': np.sign(np.sin(2 * np.pi * 100 * t)),
          'a chord': 0.1 * chord, 'nothing above 2 kHz': narrow, 'a click': np.eye(1, len(t), 9999)[0],
          'barely anything': np.where(t > 0.5, 1e-30, 0), 'one sample': np.array([0.7])}


@pytest.mark.parametrize('name', signals())
@pytest.mark.parametrize('levels', [8, 1])
def test_whatever_it_hears_it_says_something_finite_of_the_right_length(released, name, levels):
  signal = signals()[name].astype(np.float32)
  decoded = streaming.roundtrip(released, signal, levels)
  assert decoded.shape == signal.shape and decoded.dtype == np.float32
  assert np.isfinite(decoded).all() and np.abs(decoded).max() <= 1


def test_silence_stays_silent(released):
  decoded = streaming.roundtrip(released, np.zeros(2 * RATE, np.float32))
  assert np.abs(decoded).max() < 10 ** (-55 / 20)        # dBFS: below the noise of a quiet room's recording


@pytest.mark.parametrize('number', [0, 1, 2])
def test_speech_between_silences_begins_and_ends_without_a_click(released, speech, number):
  pause = np.zeros(RATE // 2 + 77, np.float32)
  decoded = streaming.roundtrip(released, np.concatenate([pause, speech[number], pause]))
  for end in (decoded[:80], decoded[-80:]):              # 5 ms
    assert np.abs(end).max() < 10 ** (-55 / 20)
  assert np.abs(decoded).max() > 0.05


@pytest.mark.parametrize('number', [0, 1, 2])
def test_speech_cut_in_the_middle_has_no_step_at_its_ends_that_speech_has_not(released, speech, number):
  decoded = streaming.roundtrip(released, speech[number][9000:25_001])
  step = np.abs(np.diff(decoded))
  assert max(step[:80].max(), step[-80:].max()) <= step[80:-80].max()
