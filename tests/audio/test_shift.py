"""Another pitch: the right one, whatever the pieces, with the tempo and the formants that were there."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from telugu_s2s.audio import activity, files, pitch, shift
from telugu_s2s.errors import InputError

SEMITONES = st.floats(*shift.SEMITONES)


@settings(max_examples=40, deadline=None)
@given(semitones=SEMITONES, sizes=st.lists(st.integers(0, 2000), max_size=12), seed=st.integers(0, 9), hertz=st.sampled_from([0, 61, 64, 120, 350]))
def test_a_stream_in_pieces_is_the_whole_and_as_long(semitones, sizes, seed, hertz):
  t = np.arange(sum(sizes)) / files.SAMPLE_RATE
  x = (np.random.default_rng(seed).normal(0, 0.02, len(t)) + 0.2 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)
  stream = shift.Shifter(semitones)
  made = np.concatenate([*(stream(piece) for piece in np.split(x, np.cumsum(sizes))), stream.rest()])
  assert np.array_equal(made, shift.shifted(x, semitones)) and len(made) == len(x) and made.dtype == np.float32 and np.isfinite(made).all()


@pytest.mark.parametrize('semitones', [-6, -3, 3, 6])
def test_speech_is_as_much_higher_as_asked_in_the_same_time_and_as_loud(speech, semitones):
  low = lambda audio: np.percentile([hertz for hertz in pitch.track(audio) if hertz], 25) * 2 ** (semitones / 12)
  for audio in [speech[0], *(one for one in speech[1:] if low(one) > pitch.LOWEST_HZ)]:        # the others are men's
    made = shift.shifted(audio, semitones)
    before, after = pitch.track(audio), pitch.track(made)
    there = before * 2 ** (semitones / 12) > 1.1 * pitch.LOWEST_HZ           # could be heard afterwards
    both = there & (after > 0)
    assert np.mean(both) > 0.65 * np.mean(there)
    assert 12 * np.median(np.log2(after[both] / before[both])) == pytest.approx(semitones, abs=0.15)
    assert np.mean(activity.speech(made) == activity.speech(audio)) > 0.9
    assert np.std(made) / np.std(audio) == pytest.approx(1, abs=0.25)


def vowel(hertz, formants=((500, 60), (1500, 90), (2500, 120)), seconds=1.0):
  """Pulses through resonances, f32[samples]."""
  x = np.zeros(round(seconds * files.SAMPLE_RATE))
  x[np.arange(0, len(x), files.SAMPLE_RATE / hertz).astype(int)] = 1
  for middle, width in formants:
    radius = np.exp(-np.pi * width / files.SAMPLE_RATE)
    x = signal.lfilter([1.0], [1, -2 * radius * np.cos(2 * np.pi * middle / files.SAMPLE_RATE), radius ** 2], x)
  return (0.3 * x / np.abs(x).max()).astype(np.float32)


def peaks(x, hertz):
  """Of harmonics, the loudest near each formant, in Hz."""
  power = np.abs(np.fft.rfft(x[4000:12_000] * np.hanning(8000)))           # of 2 Hz
  harmonics = np.arange(hertz, 3500, hertz)
  loud = [power[max(0, round(one / 2) - 4):round(one / 2) + 5].max() for one in harmonics]
  return [harmonics[near][np.argmax(np.array(loud)[near])] for low, high in ((300, 900), (1100, 1900), (2100, 2900))
          for near in [(harmonics > low) & (harmonics < high)]]


@pytest.mark.parametrize('semitones', [-5, 5])
def test_formants_stay_where_they_are(semitones):
  factor = 2 ** (semitones / 12)
  made = shift.shifted(vowel(110.0), semitones)
  assert np.median(pitch.track(made)) == pytest.approx(110 * factor, rel=0.01)
  np.testing.assert_allclose(peaks(made, 110 * factor), (500, 1500, 2500), atol=90)       # moved along they were
  # at 375, 1124 and 1873 Hz, or 667, 2002 and 3337.


def test_no_semitones_change_no_bit_and_next_to_none_no_sample_that_is_heard(speech):
  assert np.array_equal(shift.shifted(speech[0], 0.0), speech[0])
  np.testing.assert_allclose(shift.shifted(speech[0], 1e-6)[:16_000], speech[0][:16_000], atol=1e-4)


def test_where_there_is_no_voice_nothing_is_changed():
  noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
  made = shift.shifted(noise, 4.0)
  assert np.mean(np.abs(made - noise) < 1e-5) > 0.9          # a frame in many has a voice by chance
  assert not shift.shifted(np.zeros(5000, np.float32), 4.0).any()


@pytest.mark.parametrize('semitones', [-6, 6])
@pytest.mark.parametrize('hertz', [0, 62, 300])
def test_a_stream_waits_for_no_more_than_a_few_hundredths_of_a_second(semitones, hertz):
  stream, made = shift.Shifter(semitones), 0
  x = vowel(hertz, seconds=2.0) if hertz else np.zeros(16_000, np.float32)
  for frames in range(1, 25):
    made += len(stream(x[640 * (frames - 1):640 * frames]))
    assert made % shift.STEP == 0 and 0 <= 640 * frames - made
  assert (640 * frames - made) / files.SAMPLE_RATE < 0.08


@pytest.mark.parametrize('semitones', [-7, 6.5, float('nan')])
def test_semitones_out_of_range_are_refused(semitones):
  with pytest.raises(InputError, match='config.shift .*: give -6 to 6 semitones'):
    shift.check(semitones, 'config.shift')
  with pytest.raises(InputError):
    shift.Shifter(semitones)
