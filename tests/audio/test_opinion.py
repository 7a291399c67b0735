"""Opinion scores: how a recording is laid before the networks, and that these hear noise, as their own package has it."""
import importlib.util

import numpy as np
import pytest

from telugu_s2s.audio import files, opinion
from telugu_s2s.preparation.prepare import SAMPLE


@pytest.fixture(scope='module')
def voice():
  return files.read(SAMPLE / 'audio' / 'a001-buzz.opus')[0]


def needs(*names):
  missing = [name for name in names if importlib.util.find_spec(name) is None]
  if missing:
    pytest.skip(f'{", ".join(missing)} not installed')


@pytest.mark.parametrize('samples, count', [(1, 1), (opinion.WINDOW - 1, 1), (opinion.WINDOW, 1), (opinion.WINDOW + 1, 2),
                                            (2 * opinion.WINDOW, 2), (480_000, 4)])
def test_windows_are_few_and_hear_every_sample_in_order(samples, count):
  heard = opinion.windows(np.arange(samples))
  assert heard.shape == (count, opinion.WINDOW)
  assert set(heard.ravel().astype(int)) == set(range(samples))
  assert (np.diff(heard[:, 0]) > 0).all()


def test_two_windows_at_most_are_the_first_and_the_last():
  heard = opinion.windows(np.arange(480_000), most=2)
  np.testing.assert_array_equal(heard[:, 0], [0, 480_000 - opinion.WINDOW])
  for samples in (opinion.WINDOW, 2 * opinion.WINDOW):
    np.testing.assert_array_equal(opinion.windows(np.arange(samples), most=2), opinion.windows(np.arange(samples)))


def test_a_short_signal_is_repeated():
  np.testing.assert_array_equal(opinion.windows(np.arange(5))[0, :12], [0, 1, 2, 3, 4] * 2 + [0, 1])


def test_scores_fall_with_noise_and_stay_between_1_and_5(voice):
  needs('speechmos', 'onnxruntime')
  noise = np.random.default_rng(0).normal(size=len(voice)).astype(np.float32)
  signals = [voice, voice + 0.03 * noise, 0.1 * noise]
  for scores in zip(*([opinion.p808(one), *opinion.p835(one).values()] for one in signals)):
    assert 5 > scores[0] > scores[1] > 1
  assert 1 <= opinion.p808(signals[2]) < opinion.p808(voice) - 1


def test_a_score_is_the_mean_over_the_windows(voice):
  needs('speechmos', 'onnxruntime')
  long = np.tile(voice, 5)
  parts = opinion.windows(long)
  assert len(parts) == 2
  assert opinion.p808(long) == pytest.approx(np.mean([opinion.p808(part) for part in parts]))
  assert opinion.p835(long)['bak'] == pytest.approx(np.mean([opinion.p835(part)['bak'] for part in parts]))


def test_silence_and_a_single_sample_have_a_score():
  needs('speechmos', 'onnxruntime')
  for samples in (np.zeros(16000), np.ones(1)):
    assert 0.9 < opinion.p808(samples) < 5 and all(0 < score < 5 for score in opinion.p835(samples).values())


def test_the_scores_are_those_of_the_package_itself(voice):
  needs('speechmos', 'onnxruntime', 'librosa', 'requests')
  from speechmos import dnsmos
  noise = np.random.default_rng(0).normal(size=opinion.WINDOW).astype(np.float32)
  for samples in (opinion.windows(voice)[0], 0.1 * noise, 0.5 * opinion.windows(voice)[0] + 0.01 * noise):
    theirs = dnsmos.run(samples, 16000)       # of one window; over a longer clip it takes one every second
    ours = {'p808': opinion.p808(samples), **opinion.p835(samples)}
    # float32: the spectrum of P.808 is made by a product of matrices here, by a transform there.
    for name, their in (('p808', 'p808_mos'), ('sig', 'sig_mos'), ('bak', 'bak_mos'), ('ovr', 'ovrl_mos')):
      assert ours[name] == pytest.approx(theirs[their], abs=1e-4)
