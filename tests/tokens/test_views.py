"""Views of a clip: a function of clip, number and seed; what was done stands beside them, and the labels stay true."""
import dataclasses

import numpy as np
import pytest

from telugu_s2s.audio import level, pitch
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import segment
from telugu_s2s.tokens import views

HOP = 640
ALONE = dict(hop_phase=False, speed=(), gain_db=(), noise_snr_db=())
QUALITY = {'snr_db': 30.0, 'clipped': 0.0, 'bandwidth_hz': 7600, 'native_rate': 48000, 'mos': 3.5,
           'syllables_per_s': 5.0, 'f0_median_hz': None}


@pytest.fixture
def clip(speech):
  return segment.Segment('talk#0', speech[0], 's', '1', 'talk.wav', 2.5, 'CC0-1.0', 'A', text='ఔను', sha256='ab',
                         quality={**QUALITY, 'rms_dbfs': round(float(level.rms_dbfs(speech[0])), 2)})


def made(clip, number=1, seed=0, **ranges):
  return views.view(clip, number, views.Ranges(**ranges), seed, HOP)


def only(clip, number=1, **ranges):
  return made(clip, number, **{**ALONE, **ranges})


def test_view_0_is_the_clip_as_it_is(clip):
  assert made(clip, 0) == (clip, {})


def test_a_view_is_a_function_of_clip_number_and_seed(clip, speech):
  one, done = made(clip)
  again, same = made(clip)
  np.testing.assert_array_equal(one.audio, again.audio)
  assert done == same and done['number'] == 1
  others = [made(clip, 2), made(clip, seed=1), made(dataclasses.replace(clip, id='talk#1'))]
  assert len({tuple(found.items()) for _, found in [*others, (one, done)]}) == 4
  assert (one.id, one.sha256, one.text) == (clip.id, clip.sha256, clip.text) and one.audio.dtype == np.float32


def test_a_switch_leaves_the_other_draws_alone(clip):
  _, whole = made(clip)
  for name, off in (('speed', 1.0), ('gain_db', 0.0), ('noise_snr_db', None)):
    assert made(clip, **{name: ()})[1] == {**whole, name: off}
  same, done = only(clip)
  np.testing.assert_array_equal(same.audio, clip.audio)
  assert done == {'number': 1, 'phase': 0, 'speed': 1.0, 'gain_db': 0.0, 'noise_snr_db': None} and same.quality == clip.quality


def test_phases_lie_well_apart_and_move_the_start(clip):
  for number, phase in ((1, 320), (2, 160), (3, 480), (4, 80)):
    found, done = only(clip, number, hop_phase=True)
    assert done['phase'] == phase
    np.testing.assert_array_equal(found.audio, clip.audio[phase:])
    assert found.start_s == pytest.approx(2.5 + phase / 16000, abs=1e-4)
  short = dataclasses.replace(clip, audio=clip.audio[:HOP])
  assert only(short, hop_phase=True)[1]['phase'] == 0                      # a clip keeps a whole frame


def test_speed_changes_length_pitch_and_the_labels_that_tell_of_them(clip):
  found, done = only(clip, speed=(1.1, 1.1))
  assert done['speed'] == 1.1 and len(found.audio) == pytest.approx(len(clip.audio) / 1.1, abs=2)
  middle = [np.median(f0[f0 > 0]) for f0 in map(pitch.track, (clip.audio, found.audio))]
  assert middle[1] / middle[0] == pytest.approx(1.1, rel=0.03)
  assert found.quality['syllables_per_s'] == 5.5 and found.quality['bandwidth_hz'] == 8000
  assert found.quality['f0_median_hz'] is None and found.quality['mos'] == 3.5


def test_gain_is_what_the_label_says_and_nothing_is_clipped(clip):
  found, done = only(clip, gain_db=(-6, -6))
  np.testing.assert_allclose(found.audio, clip.audio * 10 ** -0.3, rtol=1e-5, atol=1e-7)
  assert found.quality['rms_dbfs'] == pytest.approx(level.rms_dbfs(found.audio), abs=0.01)
  loud, done = only(clip, gain_db=(60, 60))
  assert 0.98 < np.abs(loud.audio).max() <= 1
  np.testing.assert_allclose(loud.audio, clip.audio * 10 ** (done['gain_db'] / 20), rtol=1e-5, atol=1e-7)


def test_noise_lies_as_far_below_the_speech_as_the_label_says(clip):
  found, done = only(clip, noise_snr_db=(20, 20))
  added = found.audio - clip.audio
  assert done['noise_snr_db'] == 20 and done['gain_db'] == 0
  assert level.rms_dbfs(clip.audio) - level.rms_dbfs(added) == pytest.approx(20, abs=0.01)
  assert found.quality['snr_db'] == pytest.approx(19.59, abs=0.01) and 'mos' not in found.quality
  silent = dataclasses.replace(clip, audio=np.zeros(3000, np.float32))
  still, done = made(silent)
  assert done['noise_snr_db'] is None and not still.audio.any() and np.isfinite(still.audio).all()


@pytest.mark.parametrize('ranges, says', [(dict(speed=(1.2, 0.9)), 'view.speed'), (dict(speed=(0.1, 1.0)), 'between 0.5'),
                                          (dict(gain_db=(1.0,)), 'view.gain_db')])
def test_ranges_that_are_none_are_refused(ranges, says):
  with pytest.raises(InputError, match=says):
    views.Ranges(**ranges)
