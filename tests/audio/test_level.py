"""Levels: formulas against signals whose answer is known."""
import numpy as np
import pytest
import soxr

from telugu_s2s.audio import files, level
from telugu_s2s.preparation.prepare import SAMPLE

RATE = files.SAMPLE_RATE


def sine(hz=440.0, seconds=2.0):
  return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def test_a_full_scale_sine_is_3_db_below_a_square():
  assert level.rms_dbfs(sine()) == pytest.approx(-3.01, abs=0.01)
  assert level.rms_dbfs(np.sign(sine() + 1e-6)) == pytest.approx(0, abs=1e-3)
  assert level.rms_dbfs(np.zeros(100)) == level.rms_dbfs(np.zeros(0)) == -100


@pytest.mark.parametrize('samples', [1, 399, 400, 401, 560, 12345])
def test_frame_levels_equal_those_of_frames_one_by_one(samples):
  x = np.random.default_rng(samples).normal(size=samples).astype(np.float32) * 0.1
  got = level.frame_dbfs(x)
  frames = [np.pad(x[at:at + 400], (0, 400 - len(x[at:at + 400]))) for at in range(0, max(1, samples - 240), 160)]
  want = [level.rms_dbfs(frame) for frame in frames]
  np.testing.assert_allclose(got[:len(want)], want, atol=1e-3)
  assert 0 <= len(got) - len(want) <= 1


def test_clipping_is_the_share_of_samples_at_the_rails():
  x = np.clip(2 * sine(), -1, 1)
  assert level.clipped_ratio(x) == pytest.approx(2 / 3, abs=0.01)      # |sin| > 1/2 for two thirds of a period
  assert level.clipped_ratio(0.9 * sine()) == 0


@pytest.mark.parametrize('offset', [0, 0.02])
@pytest.mark.parametrize('db', [10, 20, 40])
def test_snr_is_that_of_bursts_over_steady_noise(db, offset):
  rng = np.random.default_rng(0)
  noise = rng.normal(size=10 * RATE) * 0.003
  bursts = rng.normal(size=10 * RATE) * (np.arange(10 * RATE) // RATE % 2) * 0.003 * 10 ** (db / 20)
  assert level.snr_db(noise + bursts + offset) == pytest.approx(db, abs=1.5)


def test_a_telephone_shows_in_the_bandwidth():
  voice = files.read(SAMPLE / 'audio' / 'a001-buzz.opus')[0]
  narrow = soxr.resample(soxr.resample(0.5 * voice, RATE, 8000), 8000, RATE)
  assert level.bandwidth_hz(0.5 * voice) > 6500
  assert 3500 < level.bandwidth_hz(narrow) < 4100
  assert level.bandwidth_hz(np.zeros(RATE)) == 0
