"""Pitch: known tones, glides and noises."""
import numpy as np
import pytest

from telugu_s2s.audio import files, pitch
from telugu_s2s.preparation.prepare import SAMPLE

RATE = files.SAMPLE_RATE


def buzz(f0_hz):
  """Harmonics that fall like a voice's. f0_hz: f[samples]."""
  phase = 2 * np.pi * np.cumsum(f0_hz) / RATE
  return 0.1 * sum(np.sin(k * phase) / k for k in range(1, 12)).astype(np.float32)


@pytest.mark.parametrize('hz', [75.0, 110.3, 205.7, 333.0, 470.0])
@pytest.mark.parametrize('noise', [0.0, 0.01])
def test_a_steady_voice_has_its_pitch_within_5_cents(hz, noise):
  x = buzz(np.full(RATE, hz)) + noise * np.random.default_rng(0).normal(size=RATE)
  f0 = pitch.track(x)[3:-3]
  assert (f0 > 0).mean() > 0.98
  assert abs(1200 * np.log2(np.median(f0) / hz)) < 5


def test_a_glide_is_followed_in_time():
  hz = np.linspace(100, 300, 2 * RATE)
  f0 = pitch.track(buzz(hz))
  want = hz[np.minimum(np.arange(len(f0)) * pitch.HOP, len(hz) - 1)]
  inner = slice(5, -5)
  assert np.abs(1200 * np.log2(f0[inner] / want[inner])).max() < 40     # 8 ms late would be 15 cents at the low end


def test_silence_noise_and_nothing_have_no_pitch():
  assert not pitch.track(np.zeros(RATE)).any()
  assert (pitch.track(0.1 * np.random.default_rng(0).normal(size=5 * RATE)) > 0).mean() < 0.02
  np.testing.assert_array_equal(pitch.track(np.zeros(0)), [0])


@pytest.mark.parametrize('samples', [1, 159, 160, 16001])
def test_there_is_one_frame_every_10_ms(samples):
  assert len(pitch.track(np.zeros(samples))) == 1 + samples // 160


def test_long_signals_are_tracked_in_pieces_without_a_seam(monkeypatch):
  voice = files.read(SAMPLE / 'audio' / 'a001-buzz.opus')[0]
  whole = pitch.track(voice)
  monkeypatch.setattr(pitch, 'CHUNK', 37)
  np.testing.assert_allclose(pitch.track(voice), whole, rtol=1e-6)     # float32


def test_pitch_does_not_depend_on_loudness():
  voice = files.read(SAMPLE / 'audio' / 'q001-mezzo.opus')[0]
  np.testing.assert_allclose(pitch.track(0.25 * voice), pitch.track(voice), rtol=1e-4)


def test_women_speak_higher_than_men():
  mean = {name: np.median(f0[f0 > 0]) for name in ('q001-mezzo', 'a001-buzz')
          for f0 in [pitch.track(files.read(SAMPLE / 'audio' / f'{name}.opus')[0])]}
  assert 70 < mean['a001-buzz'] < mean['q001-mezzo'] < 350
