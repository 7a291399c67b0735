"""What a batch goes through before the codec hears it."""
import functools

import jax
import numpy as np
import pytest

from telugu_s2s.training import augment

RATE = 16_000
NONE = {'silence': 0.0, 'noise': 0.0, 'band': 0.0}


@functools.partial(jax.jit, static_argnames='what')
def changed(audio, seed, what=''):
  return augment.augmented(audio, jax.random.key(seed), {**NONE, **({what: 1.0} if what else {})}, RATE)[0]


@pytest.fixture(scope='module')
def audio(speech):
  return np.stack([0.2 * clip[4000:4000 + 8192] / np.abs(clip).max() for clip in speech[:2]])


def gains(audio, found):
  return (audio * found).sum(1) / (audio * audio).sum(1)


def test_alone_it_is_a_gain_and_the_seed_says_which(audio):
  found = np.asarray(changed(audio, 0))
  gain = gains(audio, found)
  np.testing.assert_allclose(found, gain[:, None] * audio, atol=1e-5)
  assert gain[0] != gain[1] and (20 * np.log10(gain) > -14.01).all() and (20 * np.log10(gain) < 4.01).all()
  np.testing.assert_array_equal(found, changed(audio, 0))
  assert (found != changed(audio, 1)).any()


def test_noise_lies_10_to_40_db_below(audio):
  found = [np.asarray(changed(audio, seed, 'noise')) for seed in range(8)]
  ratios = []
  for one in found:
    rest = one / gains(audio, one)[:, None] - audio
    ratios += [*(20 * np.log10(np.linalg.norm(audio, axis=1) / np.linalg.norm(rest, axis=1)))]
  assert 9 < min(ratios) and max(ratios) < 41 and np.ptp(ratios) > 10


def test_a_band_keeps_what_is_below_it(audio):
  found = np.asarray(changed(audio, 3, 'band'))
  loudness = lambda x: np.abs(np.fft.rfft(x)) ** 2
  ratio = loudness(found) / loudness(audio) / gains(audio, found)[:, None] ** 2
  hertz = np.fft.rfftfreq(audio.shape[1], 1 / RATE)
  np.testing.assert_allclose(np.median(ratio[:, hertz < 2000], 1), 1, atol=0.1)     # what is lost moves the fitted gain
  assert (np.median(ratio[:, hertz > 7500], 1) < 1e-3).all()


def test_silence_is_silent_or_hums(audio):
  found = np.concatenate([np.asarray(changed(audio, seed, 'silence')) for seed in range(8)])
  assert np.abs(found).max() <= 0.0101
  hums = np.abs(found).max(1) > 0
  assert 2 < hums.sum() < 14
  assert (np.argmax(np.abs(np.fft.rfft(found[hums])), 1) == round(50 * audio.shape[1] / RATE)).all()


def test_it_is_told_which_rows_were_silenced(audio):
  found, silenced = augment.augmented(np.tile(audio, (4, 1)), jax.random.key(0), {**NONE, 'silence': 0.5}, RATE)
  assert 0 < silenced.sum() < 8
  np.testing.assert_array_equal(silenced, np.abs(found).max(1) <= 0.0101)


def test_what_is_loud_is_clipped_to_the_range(audio):
  assert np.abs(changed(20 * audio, 0)).max() <= 1
