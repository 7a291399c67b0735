"""The measures that are networks: what is known of any of them, where its package is installed; and where it is not."""
import importlib.util
import math

import numpy as np
import pytest

from telugu_s2s.audio import files, opinion, quality
from telugu_s2s.evaluation import perceptual
from telugu_s2s.preparation.prepare import SAMPLE

NEEDS = {'visqol': perceptual.visqol, 'resemblyzer': perceptual.speaker_similarity, 'speechmos': perceptual.dnsmos,
         'distillmos': perceptual.distillmos}


@pytest.fixture(scope='module')
def voices():
  """Two sentences of two voices, of one length."""
  found = [files.read(SAMPLE / 'audio' / f'{name}.opus')[0] for name in ('a001-buzz', 'a002-deep')]
  return [voice[:32000] for voice in found]


def noisy(voice, snr_db):
  noise = np.random.default_rng(0).normal(size=len(voice))
  return voice + noise * np.linalg.norm(voice) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)


def needs(*names):
  missing = [name for name in names if importlib.util.find_spec(name) is None]
  if missing:
    pytest.skip(f'{", ".join(missing)} not installed')


def test_without_a_package_its_measure_is_nan(voices, monkeypatch):
  for loader in ('_visqol', '_speaker_encoder', '_distillmos'):
    monkeypatch.setattr(perceptual, loader, lambda: None)
  monkeypatch.setattr(quality, 'optional', lambda *_: None)
  found = perceptual.measures(*voices)
  assert set(found) == {'visqol', 'spk_sim', *perceptual.ALONE} and all(map(math.isnan, found.values()))


def test_signals_of_two_lengths_are_refused(voices):
  with pytest.raises(ValueError, match='align'):
    perceptual.measures(voices[0], voices[1][:-1])


def test_the_decoded_level_is_mended_before_it_is_judged_alone(voices, monkeypatch):
  heard = []
  monkeypatch.setattr(perceptual, 'alone', lambda samples: heard.append(np.sqrt(np.mean(np.square(samples)))) or {})
  for name in ('visqol', 'speaker_similarity'):
    monkeypatch.setattr(perceptual, name, lambda *_: 0.0)
  for gain in (1.0, 0.5, 0.01):
    perceptual.measures(voices[0], gain * voices[0])
  assert heard[1] == pytest.approx(heard[0], rel=1e-4)
  assert heard[2] == pytest.approx(heard[0] * 0.01 * 10 ** 0.6, rel=1e-3)          # by 12 dB at most


def test_a_pair_of_files_is_measured_over_the_length_of_the_decoded_one(voices, tmp_path):
  files.write_wav(tmp_path / 'true.wav', voices[0])
  files.write_wav(tmp_path / 'ours.wav', 0.5 * voices[0][:24000])
  pair = perceptual.Pair(str(tmp_path / 'true.wav'), None, str(tmp_path / 'ours.wav'), 'plain')
  found = perceptual.measured(pair)
  assert found['gain_db'] == pytest.approx(-6.02, abs=0.01) and 'visqol' not in found
  only = perceptual.measured(perceptual.Pair(pair.reference, None, pair.decoded, 'pesq_wb'))
  assert repr(only) == repr({'pesq_wb': found['pesq_wb']})


@pytest.mark.slow
def test_visqol_of_the_same_signal_is_the_top_and_falls_with_noise(voices):
  needs('visqol', 'ai_edge_litert')
  scores = [perceptual.visqol(voices[0], x) for x in (voices[0], noisy(voices[0], 20), noisy(voices[0], 0))]
  assert 4.2 < scores[0] < 5 and scores[0] > scores[1] > scores[2] > 0.9


@pytest.mark.slow
def test_a_voice_is_like_itself_at_any_level_and_unlike_another(voices):
  needs('resemblyzer', 'torch')
  assert perceptual.speaker_similarity(voices[0], 0.3 * voices[0]) == pytest.approx(1, abs=1e-3)
  assert perceptual.speaker_similarity(*voices) < perceptual.speaker_similarity(voices[0], noisy(voices[0], 20)) < 1


@pytest.mark.slow
def test_opinion_scores_fall_with_noise(voices):
  needs('speechmos', 'onnxruntime')
  good, bad = (perceptual.alone(x) for x in (voices[0], noisy(voices[0], 0)))
  assert set(good) == set(perceptual.ALONE)
  for name in ('dns_ovrl', 'dns_bak', 'dns_p808'):
    assert 1 <= bad[name] < good[name] <= 5


@pytest.mark.slow
def test_of_a_long_clip_the_first_and_the_last_nine_seconds_are_judged(voices):
  needs('speechmos', 'onnxruntime')
  long = np.concatenate([np.tile(voices[0], 5), noisy(np.tile(voices[1], 5), 0), np.tile(voices[1], 5)])        # 30 s
  ends = [perceptual.dnsmos(long[:opinion.WINDOW]), perceptual.dnsmos(long[-opinion.WINDOW:])]
  for name, found in perceptual.dnsmos(long).items():
    assert found == pytest.approx(np.mean([end[name] for end in ends]), abs=1e-4)


@pytest.mark.slow
def test_distillmos_hears_no_level(voices):
  needs('distillmos', 'xls_r_sqa', 'torch')
  score = perceptual.distillmos(voices[0])
  assert 1 < score < 5 and perceptual.distillmos(0.2 * voices[0]) == pytest.approx(score, abs=1e-3)
  assert perceptual.distillmos(noisy(voices[0], 0)) != pytest.approx(score, abs=1e-3)


@pytest.mark.slow
def test_silence_is_not_scored_against_speech(voices):
  needs('visqol', 'ai_edge_litert', 'resemblyzer', 'torch')
  assert math.isnan(perceptual.visqol(0 * voices[0], voices[0]))
  assert math.isnan(perceptual.speaker_similarity(voices[0], 0 * voices[0]))


def test_every_package_has_what_installs_it():
  assert {'pystoi', 'pyworld', 'pesq'} == set(quality.PACKAGES)
  for name in NEEDS:
    assert 'pip install --no-deps resemblyzer==' in perceptual.PACKAGES[name]
