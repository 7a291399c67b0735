"""The distances between decoded and true speech."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import losses

RATE = 16_000
distance = jax.jit(lambda decoded, audio: losses.reconstruction(decoded, audio, RATE))


@pytest.fixture(scope='module')
def audio(speech):
  return np.stack([clip[8000:8000 + 4000] for clip in speech[:2]])         # [b t], longer than the longest window


def test_the_spectrum_is_that_of_plain_numpy(audio):
  taper = np.hanning(257)[:-1]
  for row, found in zip(audio, losses.spectrum(audio, 256)):
    want = [np.fft.rfft(row[at:at + 256] * taper) for at in range(0, len(row) - 255, 64)]
    np.testing.assert_allclose(found, want, atol=1e-4)                     # float32


def test_what_is_equal_has_no_distance(audio):
  for name, value in distance(audio, audio).items():
    assert value == pytest.approx(0, abs=2e-6), name                       # |0| is the root of 1e-12


def test_each_distance_grows_with_the_noise(audio):
  noise = np.random.default_rng(0).normal(size=audio.shape).astype(np.float32)
  little, much = (distance(audio + scale * noise, audio) for scale in (1e-3, 1e-2))
  for name in ('mel', 'stft', 'wave', 'error', 'compressed'):
    assert 0 < 2 * little[name] < much[name]
  np.testing.assert_allclose(much['wave'], np.abs(1e-2 * noise).mean(), rtol=1e-4)


def test_mel_is_deaf_to_phase_and_the_complex_spectrum_is_not(audio):
  turned = distance(-audio, audio)
  assert turned['mel'] == pytest.approx(0, abs=2e-6)
  assert turned['stft'] > 1


def test_faint_speech_counts_for_more_in_the_compressed_spectrum(audio):
  whole = np.concatenate([audio[:1], 0.05 * audio[1:]], 1)                 # loud, then 26 dB fainter
  without_faint, without_loud = np.array(whole), np.array(whole)
  without_faint[:, 4000:] = 0
  without_loud[:, :4000] = 0
  share = {name: value / distance(without_loud, whole)[name] for name, value in distance(without_faint, whole).items()}
  assert share['compressed'] > 1.5 * share['stft'] > 0


def test_the_compressed_spectrum_is_blind_to_level_and_hears_phase_in_part(audio):
  near = 0.9 * audio
  np.testing.assert_allclose(distance(10 * near, 10 * audio)['compressed'], distance(near, audio)['compressed'], rtol=0.02)
  assert 0.3 < distance(-audio, audio)['compressed'] < 4


def test_ten_times_louder_is_one_in_log10_mel(audio):
  noise = np.random.default_rng(0).normal(size=audio.shape).astype(np.float32)   # no band near the floor of 1e-5
  assert distance(10 * noise, noise)['mel'] == pytest.approx(1, abs=0.01)


def test_the_gradient_is_finite_on_silence_and_for_equal_signals(audio):
  slope = jax.jit(jax.grad(lambda x, y: sum(losses.reconstruction(x, y, RATE).values())))
  silent = jnp.zeros_like(audio)
  for pair in ((silent, silent), (audio, audio), (silent, audio)):
    assert np.isfinite(slope(*pair)).all()
  assert (slope(silent, audio) != 0).any()


def test_the_error_is_a_share_of_each_rows_power(audio):
  scaled = np.array([[0.5], [1.0]]) * audio                                # half of the loud row, the other as it is
  loud = np.stack([100 * audio[0], audio[1]])
  assert distance(np.stack([50 * audio[0], audio[1]]), loud)['error'] == pytest.approx(0.25 / 2, rel=1e-2)
  assert distance(0 * audio, audio)['error'] == pytest.approx(1, abs=0.01) and distance(scaled, audio)['error'] < 0.13
