"""Prosody codes: how a voice moves, whoever speaks and however loud."""
import numpy as np
import pytest

from telugu_s2s.lm import frames
from telugu_s2s.tokens import prosody
from telugu_s2s.tokens.record import ABSENT

SPAN = 1280                      # two codec frames of 640


def states(codes):
  return codes // 8, codes % 8   # pitch, energy


def tone(hz, seconds=1.0):
  """A voiced sound: harmonics of f(t)."""
  phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz, int(16_000 * seconds))) / 16_000
  return (0.1 * sum(np.sin(k * phase) / k for k in range(1, 6))).astype(np.float32)


def test_a_silent_voice_says_so_at_every_second_frame():
  assert (prosody.SILENT, ABSENT) == (frames.SILENT, frames.ABSENT), 'the model has them as its own'
  assert prosody.silent(5).tolist() == [prosody.SILENT, -1, prosody.SILENT, -1, prosody.SILENT]
  assert (prosody.codes(np.zeros(4 * SPAN, np.float32), SPAN, 6) == prosody.SILENT).all(), 'as silence is measured'


def count(audio):
  return -(-len(audio) // SPAN)


def test_speech_uses_many_codes_all_in_range(speech):
  for clip in speech:
    codes = prosody.codes(clip, SPAN, count(clip))
    assert codes.dtype == np.uint8 and codes.shape == (count(clip),)
    assert codes.max() < prosody.CODES
    pitch, energy = states(codes)
    assert len(set(pitch[pitch > 0])) >= 2 and (pitch == 0).any()
    assert energy.max() == 7 and energy.min() < 4                  # the loudest is near its own maximum


def test_the_same_clip_has_the_same_codes(speech):
  np.testing.assert_array_equal(*(prosody.codes(speech[0], SPAN, 20) for _ in range(2)))


@pytest.mark.parametrize('gain', [0.25, 0.5])
def test_the_level_of_a_recording_hardly_matters(speech, gain):
  for clip in speech:
    a, b = (prosody.codes(scale * clip, SPAN, count(clip)) for scale in (1, np.float32(gain)))
    assert (a == b).mean() > 0.95
    np.testing.assert_array_equal(states(a)[0], states(b)[0])


def test_silence_is_unvoiced_and_silent():
  np.testing.assert_array_equal(prosody.codes(np.zeros(8000, np.float32), SPAN, 10), 0)


def test_what_stands_past_the_end_is_unvoiced_and_silent(speech):
  codes = prosody.codes(speech[0], SPAN, count(speech[0]) + 5)
  np.testing.assert_array_equal(codes[-5:], 0)
  np.testing.assert_array_equal(codes[:-5], prosody.codes(speech[0], SPAN, count(speech[0])))


def test_no_codes_of_nothing():
  assert prosody.codes(np.zeros(0, np.float32), SPAN, 0).shape == (0,)


@pytest.mark.parametrize('middle', [95, 220])
def test_pitch_is_told_relative_to_the_speaker(middle):
  semitones = np.repeat([-6, -3, -1.2, 0, 1.2, 3, 6], 16_000 // 2)
  audio = tone(middle * 2 ** (semitones / 12), len(semitones) / 16_000)
  pitch, _ = states(prosody.codes(audio, SPAN, count(audio)))
  for step in range(7):
    inside = pitch[-(-step * 8000 // SPAN) + 1:(step + 1) * 8000 // SPAN - 1]     # clear of the steps' edges
    np.testing.assert_array_equal(inside, step + 1)


def test_energy_is_told_relative_to_the_loudest():
  quieter_db = np.repeat([0, -5, -10, -15, -21, -27, -35, -50], 5 * SPAN)         # the middles of the eight states
  audio = tone(150, len(quieter_db) / 16_000) * 10 ** (quieter_db / 20)
  _, energy = states(prosody.codes(audio.astype(np.float32), SPAN, count(audio)))
  for step in range(8):
    np.testing.assert_array_equal(energy[5 * step:5 * step + 5], 7 - step)
