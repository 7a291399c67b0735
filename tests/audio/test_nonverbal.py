"""Breaths and filled pauses: heard where they are, and nowhere else, as recorded and after a codec."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telugu_s2s.audio import files, level, mel, nonverbal, pitch
from telugu_s2s.codec import streaming, weights
from telugu_s2s.corpora import sample
from telugu_s2s.tokens import encoding

RATE = files.SAMPLE_RATE
CLIPS = ('q001', 'q002', 'q003', 'q004', 'q005', 'q006')
pause = lambda seconds=0.12: np.zeros(round(seconds * RATE), np.float32)


@pytest.fixture(scope='module')
def speech():
  """Sentences of the sample corpus, whose machine voices never breathe."""
  found = [files.read(path)[0] for name in CLIPS for path in sorted((sample.folder() / 'audio').glob(f'{name}*'))[:1]]
  return [0.7 * one / np.abs(one).max() for one in found]


def vowel(seconds, hertz=140.0, resonances=(700.0, 700.0), bend_st=0.0):
  """A voice whose one resonance goes from the first frequency to the second, and its pitch up by bend_st."""
  t = np.arange(round(seconds * RATE)) / RATE
  f0 = hertz * 2 ** (bend_st / 12 * t / seconds)
  phase, centre = 2 * np.pi * np.cumsum(f0) / RATE, np.linspace(*resonances, len(t))
  tone = sum(np.sin(k * phase) / (1 + ((k * f0 - centre) / 200) ** 2) for k in range(1, 25))
  return (0.2 * tone / np.abs(tone).max() * np.minimum(1, 20 * np.minimum(t, seconds - t))).astype(np.float32)


def places(samples, what):
  """Where in seconds `what` is heard."""
  f0, loud, bands = pitch.track(samples), level.frame_dbfs(samples), mel.log_mel(samples, bands=nonverbal.BANDS)
  n = min(len(f0), len(loud), len(bands))
  found = nonverbal.breaths(f0[:n], loud[:n]) if what == 'breaths' else nonverbal.fillers(f0[:n], loud[:n], bands[:n])
  return [(start / 100, end / 100) for start, end in found]


def test_a_breath_is_heard_where_it_is_and_speech_has_none(speech):
  rng = np.random.default_rng(0)
  for one in speech:
    assert nonverbal.heard(one) == {'breaths': 0, 'fillers': 0}
    breath = 10 ** (-20 / 20) * nonverbal.breath(rng)
    for before in (pause(0.3), np.concatenate([one, pause(0.3)])):
      samples = np.concatenate([before, breath, pause(), one])
      [(start, end)] = places(samples, 'breaths')
      begin = len(before) / RATE
      assert begin - 0.03 < start < end < begin + len(breath) / RATE + 0.03 and end - start > 0.5 * len(breath) / RATE


def test_a_breath_is_heard_after_a_codec_too(speech):
  encoder, rng = encoding.Encoder(weights.load('tiny')), np.random.default_rng(1)
  breathed = [np.concatenate([pause(0.3), 0.1 * nonverbal.breath(rng), pause(), one]) for one in speech]
  counts = {}
  for name, some in (('plain', speech), ('breathed', breathed)):
    again = [streaming.audio_of(encoder.codec, codes, len(one)) for codes, one in zip(encoder(some), some)]
    counts[name] = sum(nonverbal.heard(one)['breaths'] > 0 for one in again)
  assert counts['plain'] == 0 and counts['breathed'] >= len(speech) - 1


def test_a_word_that_dies_away_in_a_room_is_no_breath():
  rng, t = np.random.default_rng(2), np.arange(RATE) / RATE
  tail = (0.05 * rng.normal(size=RATE) * np.exp(-t / 0.12)).astype(np.float32)
  samples = np.concatenate([pause(0.3), vowel(0.5, resonances=(500, 1500)), tail])
  assert places(samples, 'breaths') == []
  assert len(places(np.concatenate([samples[:len(samples) - len(tail)], pause(0.2), 0.05 * nonverbal.breath(rng), pause(0.3)]), 'breaths')) == 1


def test_a_vowel_that_stands_still_is_a_filler_and_one_that_moves_or_is_short_is_none(speech):
  [(start, end)] = places(np.concatenate([pause(0.3), vowel(0.7), pause(), speech[0]]), 'fillers')
  assert 0.2 < start < 0.45 and 0.85 < end < 1.1
  for other in (vowel(0.25), vowel(0.7, resonances=(400, 2400)), vowel(0.7, bend_st=12)):
    assert places(np.concatenate([pause(0.3), other, pause(), speech[0]]), 'fillers') == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3 * RATE), st.sampled_from(['silence', 'noise', 'tone', 'clipped']), st.integers(0, 9))
def test_any_sound_gives_counts(samples, kind, seed):
  rng = np.random.default_rng(seed)
  noise = rng.normal(size=samples)
  sound = {'silence': 0 * noise, 'noise': 0.1 * noise, 'tone': np.sin(np.arange(samples)), 'clipped': np.sign(noise)}[kind]
  found = nonverbal.heard(sound.astype(np.float32))
  assert set(found) == {'breaths', 'fillers'} and all(isinstance(count, int) and count >= 0 for count in found.values())
  assert found['breaths'] == 0 or kind == 'noise'


def test_breaths_that_are_made_follow_from_their_seed_and_differ():
  one, again, other = (nonverbal.breath(np.random.default_rng(seed)) for seed in (3, 3, 4))
  assert np.array_equal(one, again) and len(one) != len(other) and one.dtype == np.float32
  low, high = nonverbal.MADE_S
  assert low <= len(one) / RATE <= high and np.abs(one).max() == pytest.approx(1)
  assert abs(one[0]) < 0.01 > abs(one[-1])                       # no click at its ends
