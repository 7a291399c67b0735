"""Quality measures: what they must say of signals whose difference is known."""
import math

import numpy as np
import pytest
import soxr

from telugu_s2s.audio import files, mel, quality
from telugu_s2s.preparation.prepare import SAMPLE


@pytest.fixture(scope='module')
def voice():
  return files.read(SAMPLE / 'audio' / 'q001-bright.opus')[0]


def noisy(voice, snr_db):
  noise = np.random.default_rng(0).normal(size=len(voice))
  return (voice + noise * np.linalg.norm(voice) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)).astype(np.float32)


def test_mel_distance_equals_a_plain_version_of_its_definition(voice):
  decoded, scales = noisy(voice, 15), []
  for window, bands in [(32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320)]:
    logs = []
    for x in (voice, decoded):
      x = np.pad(x.astype(np.float64), window // 2, mode='reflect')
      taper = np.hanning(window + 1)[:-1]
      frames = [np.abs(np.fft.rfft(x[at:at + window] * taper)) for at in range(0, len(x) - window + 1, window // 4)]
      logs.append(np.log10(np.maximum(np.array(frames) @ mel.mel_filters(16000, window, bands).T, 1e-5)))
    scales.append(np.abs(logs[0] - logs[1]).mean())
  assert quality.mel_distance(voice, decoded) == pytest.approx(np.mean(scales), rel=1e-5)


@pytest.mark.parametrize('snr_db', [5, 20])
def test_si_sdr_is_the_ratio_that_was_mixed_at_any_gain_and_offset(voice, snr_db):
  decoded = noisy(voice, snr_db)
  assert quality.si_sdr(voice, decoded) == pytest.approx(snr_db, abs=0.3)
  assert quality.si_sdr(voice, 0.3 * decoded + 0.1) == pytest.approx(quality.si_sdr(voice, decoded), abs=1e-3)


def test_the_same_signal_is_perfect(voice):
  found = quality.measures(voice, voice)
  assert found['si_sdr'] > 100 and found['mel_distance'] == 0
  assert found['f0_cents'] == found['f0_gross'] == found['voicing_error'] == 0
  for name in ('stoi', 'estoi'):
    assert math.isnan(found[name]) or found[name] == pytest.approx(1, abs=1e-3)
  assert math.isnan(found['pesq']) or found['pesq'] > 4.5


def test_more_noise_is_worse_by_every_measure(voice):
  good, bad = (quality.measures(voice, noisy(voice, snr)) for snr in (25, 0))
  for name in ('si_sdr', 'stoi', 'estoi', 'pesq'):
    assert math.isnan(good[name]) or good[name] > bad[name]
  for name in ('mel_distance', 'voicing_error'):
    assert good[name] < bad[name]


def test_speech_played_3_percent_faster_is_51_cents_higher():
  time = np.arange(2 * 16000)
  tone = lambda hz: sum(np.sin(2 * np.pi * hz * k * time / 16000) / k for k in range(1, 9)).astype(np.float32) * 0.1
  assert quality.f0_measures(tone(150), tone(150 * 1.03))['f0_cents'] == pytest.approx(51.2, abs=3)
  assert quality.f0_measures(tone(150), tone(230))['f0_gross'] == 1


def test_silence_is_not_scored_as_speech(voice):
  found = quality.measures(0 * voice, 0 * voice)
  assert all(math.isnan(found[name]) for name in ('stoi', 'estoi', 'pesq', 'f0_cents', 'f0_gross', 'voicing_error'))


def test_signals_of_two_lengths_are_refused(voice):
  with pytest.raises(ValueError, match='align'):
    quality.measures(voice, voice[:-1])


def test_a_narrow_band_is_a_larger_distance_than_none(voice):
  narrow = soxr.resample(soxr.resample(voice, 16000, 8000), 8000, 16000)[:len(voice)]
  assert quality.mel_distance(voice, narrow) > 0.1
