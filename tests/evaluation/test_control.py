"""What is asked for and what is heard: on sounds whose pitch and rate are known."""
import types

import numpy as np
import pytest

from telugu_s2s.audio import quality
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import control


def voice(hertz, syllables, seconds=3.0, swing_st=0.0, dip=0.02):
  """A buzz through a vowel's resonances that swells `syllables` times a second, its pitch swinging by swing_st."""
  t = np.arange(round(seconds * 16000)) / 16000
  f0 = hertz * 2 ** (swing_st / 24 * np.sin(2 * np.pi * 0.7 * t))
  phase = 2 * np.pi * np.cumsum(f0) / 16000
  tone = sum(np.sin(k * phase) / (1 + ((k * hertz - 700) / 400) ** 2) for k in range(1, 20))
  swell = dip + (1 - dip) * np.sin(np.pi * syllables * t) ** 2
  quiet = np.zeros(4800)
  audio = np.concatenate([quiet, 0.2 * tone * swell / np.abs(tone).max(), quiet])
  return (audio + 1e-4 * np.random.default_rng(0).normal(size=len(audio))).astype(np.float32)


@pytest.fixture(params=['ours', 'pyworld'])
def tracker(request, monkeypatch):
  if request.param == 'ours':
    monkeypatch.setattr(quality, 'optional', lambda *_: None)
  elif quality.optional('pyworld') is None:
    pytest.skip('pyworld is not installed')


def test_pitch_range_rate_and_energy_are_heard(tracker):
  for hertz in (110, 220):
    assert control.heard(voice(hertz, 4))['pitch'] == pytest.approx(hertz, rel=0.03)
  rates = [control.heard(voice(150, syllables))['rate'] for syllables in (2, 4, 6)]
  assert rates[0] < rates[1] < rates[2] and rates[1] / rates[0] == pytest.approx(2, rel=0.3)
  assert control.heard(voice(150, 4, swing_st=8))['range'] > 4 > 1 > control.heard(voice(150, 4))['range']
  assert control.heard(voice(150, 3, dip=0.01))['energy'] > control.heard(voice(150, 3, dip=0.5))['energy'] + 3
  assert np.isnan(control.heard(np.zeros(16000, np.float32))['pitch'])


def test_a_knob_that_works_has_a_spearman_of_one_and_one_that_does_not_about_none(tracker):
  bins = np.repeat(np.arange(4), 3)
  heard = [control.heard(voice(100 * 1.2 ** one + number % 3, 4, 1.0))['pitch'] for number, one in enumerate(bins)]
  found = control.agreement(bins, np.array(heard), np.random.default_rng(0))
  assert found['spearman'] > 0.9 and found['of_means'] == pytest.approx(1) and found['monotone'] and found['interval'][0] > 0.8
  deaf = control.agreement(np.repeat(np.arange(4), 50), np.random.default_rng(1).normal(size=200), np.random.default_rng(0))
  assert deaf['interval'][0] < 0 < deaf['interval'][1]
  back = control.agreement(bins, -np.array(heard), np.random.default_rng(0))
  assert back['of_means'] == pytest.approx(-1) and not back['monotone']
  one = control.agreement(bins, np.full(12, np.nan), np.random.default_rng(0))
  assert one['n'] == 0 and np.isnan(one['spearman'])


def test_ties_share_their_rank():
  x, y = [1, 2, 2, 3, 5], [2.0, 1.0, 4.0, 4.0, 9.0]
  ranks = [1, 2.5, 2.5, 4, 5], [2, 1, 3.5, 3.5, 5]
  assert control.spearman(x, y) == pytest.approx(np.corrcoef(*ranks)[0, 1])
  assert np.isnan(control.spearman(np.ones(4), np.arange(4)))


def test_an_emotion_is_the_one_whose_recordings_are_nearest():
  rng = np.random.default_rng(3)
  centre = {0: (120.0, 3.0, 4.0, 15.0), 3: (220.0, 8.0, 6.0, 25.0)}
  drawn = lambda of: np.array(of) * (1 + 0.05 * rng.normal(size=(20, 4)))
  profiles = {number: drawn(of) for number, of in centre.items()}
  for number, of in centre.items():
    assert (control.nearest(profiles, drawn(of)) == number).all()
  assert control.nearest(profiles, np.full((2, 4), np.nan)).tolist() == [-1, -1]


def test_a_run_that_cannot_be_asked_is_refused():
  with pytest.raises(InputError, match='without knobs and emotions.*leave control out'):
    control.check(types.SimpleNamespace(knob_bins=0, emotions=0), 'runs/plain')
  control.check(types.SimpleNamespace(knob_bins=5, emotions=0), 'runs/plain')
