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


def tone(hz, seconds=2.0):
  time = np.arange(round(seconds * 16000))
  return sum(np.sin(2 * np.pi * hz * k * time / 16000) / k for k in range(1, 9)) * 0.1


def spectra(x, window, hop):
  """The definition, frame by frame."""
  x = np.pad(x.astype(np.float64), window // 2, mode='reflect')
  taper = np.hanning(window + 1)[:-1]
  return np.array([np.abs(np.fft.rfft(x[at:at + window] * taper)) for at in range(0, len(x) - window + 1, hop)])


def test_the_mel_distance_equals_a_plain_version_of_its_definition(voice):
  decoded, scales = noisy(voice, 15), []
  for window, bands in [(32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320)]:
    filters = mel.mel_filters(16000, window, bands).T
    logs = [np.log10(np.maximum(spectra(x, window, window // 4) @ filters, 1e-5)) for x in (voice, decoded)]
    scales.append(np.abs(logs[0] - logs[1]).mean())
  assert quality.ms_mel(voice, decoded) == pytest.approx(np.mean(scales), rel=1e-5)


def test_the_mel_difference_in_db_equals_a_plain_version_of_its_definition(voice):
  decoded = noisy(voice, 15)
  powers = [spectra(x, 512, 160) ** 2 @ mel.mel_filters(16000, 512, 80).T for x in (voice, decoded)]
  level = 10 * np.log10(powers[0].sum(1) + 1e-10)
  rows = [np.abs(10 * np.log10(np.maximum(a, 1e-6) / np.maximum(b, 1e-6))).mean()
          for a, b, loud in zip(*powers, level) if loud > level.max() - 40]
  assert quality.mel80_db(voice, decoded) == pytest.approx(np.mean(rows), rel=1e-4)


def test_the_log_spectral_distance_equals_a_plain_version_of_its_definition(voice):
  decoded = noisy(voice, 15)
  first, second = (20 * np.log10(np.maximum(spectra(x, 512, 128), 1e-3)) for x in (voice, decoded))
  rows = [math.sqrt(((a - b) ** 2).mean()) for a, b in zip(first, second)]
  assert quality.lsd(voice, decoded) == pytest.approx(np.mean(rows), rel=1e-4)


def test_silence_in_the_reference_does_not_count_for_the_mel_difference_in_db(voice):
  quiet = np.zeros(16000, np.float32)
  hiss = np.random.default_rng(0).normal(size=16000) * 1e-3
  padded, decoded = np.concatenate([quiet, voice]), np.concatenate([hiss, voice])
  assert quality.mel80_db(padded, decoded) < 0.2 < quality.ms_mel(padded, decoded)


def test_half_the_amplitude_is_6_db_by_each_measure_in_db():
  sound = tone(200)
  assert quality.gain_db(sound, sound / 2) == pytest.approx(-6.02, abs=0.01)
  assert quality.gain_db(sound, sound) == 0
  noise = np.random.default_rng(0).normal(size=32000) * 0.1          # all bands above the floors
  assert quality.lsd(noise, noise / 2) == pytest.approx(6.02, abs=0.01)
  assert quality.mel80_db(noise, noise / 2) == pytest.approx(6.02, abs=0.01)
  # The shortest window has an empty band.
  assert quality.ms_mel(noise, noise / 2) == pytest.approx(math.log10(2), abs=0.03)


@pytest.mark.parametrize('snr_db', [5, 20])
def test_si_sdr_is_the_ratio_that_was_mixed_at_any_gain_and_offset(voice, snr_db):
  decoded = noisy(voice, snr_db)
  assert quality.si_sdr(voice, decoded) == pytest.approx(snr_db, abs=0.3)
  assert quality.si_sdr(voice, 0.3 * decoded + 0.1) == pytest.approx(quality.si_sdr(voice, decoded), abs=1e-3)


def test_si_sdr_of_silence_is_finite(voice):
  silence = 0 * voice
  for a, b in [(voice, silence), (silence, voice), (silence, silence)]:
    assert math.isfinite(quality.si_sdr(a, b))


@pytest.mark.parametrize('level', [0.0, 0.1])
def test_a_decoded_signal_of_nothing_is_far_worse_than_one_in_noise(voice, level):
  silence = np.full_like(voice, level)               # means are removed
  assert quality.si_sdr(voice, silence) < -60 < quality.si_sdr(voice, noisy(voice, -30))


def test_the_same_signal_is_perfect(voice):
  found = quality.measures(voice, voice)
  assert found['si_sdr'] > 100
  for name in ('ms_mel', 'mel80_db', 'lsd', 'gain_db', 'clip_pct'):
    assert found[name] == 0
  for name in ('f0_cents', 'f0_gpe', 'f0_rmse_hz', 'vuv_err'):
    assert math.isnan(found[name]) or found[name] == 0
  for name in ('stoi', 'estoi'):
    assert math.isnan(found[name]) or found[name] == pytest.approx(1, abs=1e-3)
  assert math.isnan(found['pesq_wb']) or found['pesq_wb'] == pytest.approx(4.64, abs=0.01)


def test_more_noise_is_worse_by_every_measure(voice):
  good, bad = (quality.measures(voice, noisy(voice, snr)) for snr in (25, 0))
  for name in ('si_sdr', 'stoi', 'estoi', 'pesq_wb'):
    assert math.isnan(good[name]) or good[name] > bad[name]
  for name in ('ms_mel', 'mel80_db', 'lsd', 'vuv_err'):
    assert math.isnan(good[name]) or good[name] < bad[name]


def test_wideband_pesq_of_20_db_of_noise_is_not_that_of_the_corrected_standard(voice):
  pytest.importorskip('pesq')
  assert quality.pesq(voice, noisy(voice, 20)) == pytest.approx(2.154, abs=0.02)          # corrigendum 2 says 2.924


def test_speech_played_3_percent_faster_is_51_cents_higher():
  pytest.importorskip('pyworld')
  found = quality.f0_measures(tone(150), tone(150 * 1.03))
  assert found['f0_cents'] == pytest.approx(51.2, abs=2) and found['f0_rmse_hz'] == pytest.approx(4.5, abs=0.3)
  assert found['f0_gpe'] == 0


def test_an_octave_is_a_gross_error_and_no_matter_of_cents():
  pytest.importorskip('pyworld')
  found = quality.f0_measures(tone(150), tone(300))
  assert found['f0_gpe'] > 95 and found['f0_rmse_hz'] == pytest.approx(150, abs=5)


def test_a_whispered_half_is_half_of_the_voicing_lost():
  pytest.importorskip('pyworld')
  voiced, hiss = tone(150, 1.0), np.random.default_rng(0).normal(size=16000) * 0.02
  found = quality.f0_measures(np.concatenate([voiced, voiced]), np.concatenate([voiced, hiss]))
  assert found['vuv_err'] == pytest.approx(50, abs=5)


def test_what_a_player_clips_is_counted_and_then_measured_as_it_sounds(voice):
  loud = voice * 1.5 / np.abs(voice).max()
  found = quality.measures(voice, loud)
  assert found['clip_pct'] == pytest.approx(100 * np.mean(np.abs(loud) >= 0.999)) and found['clip_pct'] > 0
  assert found['si_sdr'] == pytest.approx(quality.si_sdr(voice, np.clip(loud, -1, 1)))
  assert quality.measures(voice, voice / np.abs(voice).max() * 0.99)['clip_pct'] == 0


def test_silence_is_not_scored_as_speech(voice):
  found = quality.measures(0 * voice, 0 * voice)
  assert all(math.isnan(found[name]) for name in ('stoi', 'estoi', 'pesq_wb', 'f0_cents', 'f0_gpe'))
  assert all(math.isfinite(found[name]) for name in ('si_sdr', 'ms_mel', 'mel80_db', 'lsd', 'gain_db'))


def test_too_short_a_word_has_no_intelligibility_score(voice):
  start = int(np.argmax(np.abs(voice)))
  assert math.isnan(quality.stoi(voice[start:start + 3200], voice[start:start + 3200]))
  assert math.isnan(quality.stoi(voice[start:start + 100], voice[start:start + 100])), 'too short for one frame'


def test_signals_of_two_lengths_are_refused(voice):
  with pytest.raises(ValueError, match='align'):
    quality.measures(voice, voice[:-1])


def test_a_narrow_band_is_a_larger_distance_than_none(voice):
  narrow = soxr.resample(soxr.resample(voice, 16000, 8000), 8000, 16000)[:len(voice)]
  assert quality.ms_mel(voice, narrow) > 0.1 and quality.mel80_db(voice, narrow) > 3


def test_a_missing_package_makes_its_measure_nan_and_says_what_installs_it(caplog):
  quality.optional.cache_clear()
  with caplog.at_level('WARNING'):
    for _ in range(2):
      assert quality.optional('a_package_that_is_not_there', 'pip install it') is None
  assert sum('pip install it' in record.getMessage() for record in caplog.records) == 1
