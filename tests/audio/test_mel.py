"""Mel filters and spectrograms against a slow version of the same definition."""
import numpy as np
import pytest

from telugu_s2s.audio import mel


@pytest.mark.parametrize('rate, fft, bands', [(16000, 512, 80), (16000, 32, 5), (24000, 1024, 40)])
def test_filters_equal_the_definition_band_by_band(rate, fft, bands):
  to_mel = lambda hz: hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)
  to_hz = lambda m: m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)
  edges = [to_hz(to_mel(rate / 2) * index / (bands + 1)) for index in range(bands + 2)]
  want = np.zeros((bands, fft // 2 + 1))
  for band in range(bands):
    low, centre, high = edges[band:band + 3]
    for index in range(fft // 2 + 1):
      hz = index * rate / fft
      if low < hz < high:
        want[band, index] = min((hz - low) / (centre - low), (high - hz) / (high - centre)) * 2 / (high - low)
  np.testing.assert_allclose(mel.mel_filters(rate, fft, bands), want, atol=1e-8)


def test_filters_are_shared_so_nobody_may_change_them():
  with pytest.raises(ValueError):
    mel.mel_filters(16000, 512, 80)[0, 0] = 1


def test_hertz_undoes_mel():
  hz = np.array([0.0, 20, 999, 1000, 1001, 8000])
  np.testing.assert_allclose(mel.hertz(mel.mel(hz)), hz, rtol=1e-12)


@pytest.mark.parametrize('hz', [200, 1000, 5000])
def test_a_tone_lights_its_own_band(hz):
  x = np.sin(2 * np.pi * hz * np.arange(8000) / 16000)
  spectrum = mel.log_mel(x)
  assert spectrum.shape == (1 + 8000 // 160, 80)
  centres = mel.hertz(np.linspace(0, mel.mel(8000), 82))[1:-1]
  assert abs(centres[spectrum.mean(0).argmax()] - hz) < 0.06 * hz + 20


def test_magnitudes_equal_windowed_transforms_frame_by_frame():
  x = np.random.default_rng(0).normal(size=1000)
  padded = np.pad(x, 32, mode='reflect')
  taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
  want = [np.abs(np.fft.rfft(padded[at:at + 64] * taper)) for at in range(0, 1001, 16)]
  np.testing.assert_allclose(mel.magnitudes(x, 64, 16), want, atol=1e-5)
