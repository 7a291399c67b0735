"""Another tempo: the right length and pitch, whatever the pieces, and nothing heard that was not there."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telugu_s2s.audio import activity, files, pitch, tempo
from telugu_s2s.errors import InputError

SPEEDS = st.floats(*tempo.SPEEDS)


@settings(max_examples=60, deadline=None)
@given(speed=SPEEDS, sizes=st.lists(st.integers(0, 2000), max_size=12), seed=st.integers(0, 9))
def test_a_stream_in_pieces_is_the_whole_and_of_the_right_length(speed, sizes, seed):
  x = np.random.default_rng(seed).normal(0, 0.1, sum(sizes)).astype(np.float32)
  stream = tempo.Stretcher(speed)
  made = np.concatenate([*(stream(piece) for piece in np.split(x, np.cumsum(sizes)[:-1])), stream.rest()]) if sizes else tempo.stretched(x, speed)
  assert np.array_equal(made, tempo.stretched(x, speed)) and len(made) == round(len(x) / speed) and made.dtype == np.float32


@pytest.mark.parametrize('speed', [0.5, 0.8, 1.25, 1.5])
def test_speech_keeps_its_pitch_and_its_level_and_lasts_as_long_as_asked(speech, speed):
  audio = speech[0]
  height = lambda x: np.median([hz for hz in pitch.track(x) if hz > 0])
  span = lambda x: np.ptp(np.flatnonzero(activity.speech(x)))
  made = tempo.stretched(audio, speed)
  assert height(made) / height(audio) == pytest.approx(1, abs=0.03)
  assert span(made) / span(audio) == pytest.approx(1 / speed, rel=0.05)
  assert np.std(made) / np.std(audio) == pytest.approx(1, abs=0.05) and np.abs(made).max() <= np.abs(audio).max() * 1.001


def test_a_speed_of_1_changes_no_bit_and_next_to_1_no_sample_that_is_heard(speech):
  assert np.array_equal(tempo.stretched(speech[0], 1.0), speech[0])
  np.testing.assert_allclose(tempo.stretched(speech[0], 1.000001)[:8000], speech[0][:8000], atol=1e-6)      # the windows add up to one


@pytest.mark.parametrize('speed', [0.25, 1.5])
def test_a_stream_waits_for_no_more_than_a_few_hundredths_of_a_second(speed):
  stream, frame, made = tempo.Stretcher(speed), np.zeros(640, np.float32), 0
  for frames in range(1, 20):
    made += len(stream(frame))
    held = 640 * frames - made * speed
    assert 0 <= held <= (tempo.SIZE + tempo.REACH + tempo.STEP) * max(1, speed)
  assert held / files.SAMPLE_RATE < 0.06


def test_a_tone_goes_on_without_a_click():
  t = np.arange(16_000) / 16_000
  tone = (0.5 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)
  for speed in (0.6, 1.4):
    step = np.abs(np.diff(tempo.stretched(tone, speed)[:10_000]))
    assert step.max() < 1.1 * np.abs(np.diff(tone)).max()


@pytest.mark.parametrize('speed', [0.2, 1.6, float('nan')])
def test_a_speed_out_of_range_is_refused(speed):
  with pytest.raises(InputError, match='config.speed .*: give 0.25 to 1.5 times as fast'):
    tempo.check(speed, 'config.speed')
  with pytest.raises(InputError):
    tempo.Stretcher(speed)
