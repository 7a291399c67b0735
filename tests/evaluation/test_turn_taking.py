"""Turn-taking is timed right: on replies whose onsets are known, on dialogues whose gaps are, and on scripted users."""
import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from telugu_s2s.audio import files
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import turn_taking
from telugu_s2s.evaluation.turn_taking import Stimulus
from telugu_s2s.lm import sampling
from telugu_s2s.lm.model import AudioLM, Config
from telugu_s2s.preparation import segment
from telugu_s2s.tokens import encoding

LM = Config(width=16, layers=1, heads=2, kv_heads=1, head_width=8, ffn=24, depth_width=8, depth_layers=1, depth_heads=1, depth_ffn=16,
            codebooks=3, codes=11, window=64, dtype='float32')


def reply(seconds, *spans):
  """A voice of noise at -20 dBFS in the spans, over a codec's faint hiss."""
  rng = np.random.default_rng(0)
  audio = 1e-4 * rng.normal(size=round(seconds * 16000))
  for start, end in spans:
    audio[round(start * 16000):round(end * 16000)] += 0.1 * rng.normal(size=round(end * 16000) - round(start * 16000))
  return audio.astype(np.float32)


def stimulus(kind, start, end, seconds=8.0):
  return Stimulus(kind, np.zeros(round(seconds * 16000), np.float32), start, end, 'a')


def test_a_voice_is_timed_to_30_ms_and_hiss_is_none():
  (a, b), (c, d) = turn_taking.speaks(reply(8, (1.0, 2.5), (4.2, 4.8)))
  np.testing.assert_allclose([a, b, c, d], [1.0, 2.5, 4.2, 4.8], atol=0.03)
  assert turn_taking.speaks(reply(4)) == []
  assert len(turn_taking.speaks(reply(4, (1.0, 1.8), (2.0, 3.0)))) == 1, 'what is said with a short silence in it is one'


@pytest.mark.parametrize('samples', [0, 1, 400, 800, 4800, 4961, 5000, 5200])
def test_a_sound_of_any_length_is_looked_at_for_a_voice(samples):
  assert turn_taking.speaks(np.zeros(samples, np.float32)) == []
  if samples > 4000:
    [(start, end)] = turn_taking.speaks(reply(samples / 16000, (0.06, 0.13)))
    assert end == pytest.approx(0.13, abs=0.03) and 0 <= start < end


def test_a_turn_is_taken_after_its_end_with_the_latency_of_the_voice():
  found = turn_taking.outcome(stimulus('end', 3.0, 3.0), reply(8, (3.24, 6.0)))
  assert found['taken'] and not found['early'] and found['latency'] == pytest.approx(0.24, abs=0.03)
  assert not turn_taking.outcome(stimulus('end', 3.0, 3.0), reply(8))['taken']
  short = turn_taking.outcome(stimulus('end', 3.0, 3.0), reply(8, (3.3, 3.7)))
  assert short['spoken'] and not short['taken'], 'a backchannel takes nothing'
  near = turn_taking.outcome(stimulus('end', 3.0, 3.0), reply(8, (2.95, 6.0)))
  assert near['taken'] and not near['early'] and near['latency'] == pytest.approx(-0.05, abs=0.03)
  over = turn_taking.outcome(stimulus('end', 3.0, 3.0), reply(8, (2.0, 6.0)))
  assert over['early'] and not over['taken']


def test_a_pause_is_taken_only_where_the_voice_begins_in_it():
  one = stimulus('pause', 2.0, 3.5)
  assert turn_taking.outcome(one, reply(8, (2.5, 5.0)))['taken']
  assert not turn_taking.outcome(one, reply(8, (4.0, 6.0)))['taken']
  assert turn_taking.outcome(one, reply(8, (1.0, 5.0)))['early']


def test_an_interrupted_voice_stops_or_does_not():
  one = stimulus('interruption', 2.0, 4.0)
  found = turn_taking.outcome(one, reply(8, (0.0, 2.4), (4.5, 7.0)))
  assert found['stopped'] and found['stop'] == pytest.approx(0.4, abs=0.03)
  assert found['taken'] and found['latency'] == pytest.approx(0.5, abs=0.03)
  for kind in ('alone', 'backchannel'):
    left = turn_taking.outcome(stimulus(kind, 2.0, 4.0), reply(8, (0.0, 2.4)))
    assert left == pytest.approx({'speaking': True, 'stopped': True, 'stop': 0.4}, abs=0.03)
  silent = turn_taking.outcome(one, reply(8, (0.0, 1.4), (4.5, 7.0)))
  assert not silent['speaking'] and 'stopped' not in silent and silent['taken'], 'who is silent cannot stop'
  goes_on = turn_taking.outcome(one, reply(8, (0.0, 6.0)))
  assert not goes_on['stopped'] and np.isnan(goes_on['stop']) and not goes_on['taken']


def test_rates_have_intervals_and_latencies_quartiles():
  found = [{'taken': number < 6, 'early': False, 'latency': 0.1 * number if number < 6 else float('nan')} |
           ({'stopped': number == 0} if number < 2 else {}) | {'speaker': 'abcd'[number // 2]} for number in range(8)]
  made = turn_taking.summary(found, np.random.default_rng(0))
  assert made['taken']['share'] == 0.75 and made['taken']['interval'] == [0.0, 1.0], 'of three speakers always, of one never'
  assert made['latency']['n'] == 6 and made['latency']['quartiles'][1] == 0.25 and 'speaking' not in made
  assert made['stopped']['n'] == 2 and made['stopped']['share'] == 0.5, 'of those of whom it is known'


def test_gaps_and_overlaps_of_a_dialogue_of_two_channels(tmp_path):
  a, b = reply(12, (0.5, 2.0), (5.0, 7.0), (9.0, 9.5)), reply(12, (2.3, 4.5), (6.6, 8.5), (5.6, 5.9))
  files.write(tmp_path / 'one.wav', _stereo(a, b))
  # 2.0 to 2.3; 4.5 to 5.0; 6.6 before 7.0; 8.5 to 9.0; the short one inside is none
  np.testing.assert_allclose(turn_taking.real_offsets(tmp_path), [0.3, 0.5, -0.4, 0.5], atol=0.05)
  made = turn_taking.beside([0.3, 0.5, -0.4, 0.5], turn_taking.real_offsets(tmp_path), np.random.default_rng(0))
  assert made['wasserstein_s'] < 0.05 and made['real'] == 4 == sum(made['counts'])
  files.write(tmp_path / 'short.wav', _stereo(a[:4800], b[:4800]))
  files.write(tmp_path / 'empty.wav', _stereo(a[:0], b[:0]))
  assert len(turn_taking.real_offsets(tmp_path)) == 4, 'a file too short for a change of speakers stops nothing'
  with pytest.raises(InputError, match='two channels'):
    turn_taking.real_offsets(tmp_path / 'nothing')


def _stereo(a, b):
  data = io.BytesIO()
  soundfile.write(data, np.stack([a, b], 1), 16000, format='WAV')
  return data.getvalue()


def test_the_distance_of_two_samples_is_how_far_one_is_to_be_moved():
  rng = np.random.default_rng(1)
  a = rng.normal(size=200)
  assert turn_taking.distance(a, a + 0.7) == pytest.approx(0.7)
  b = rng.exponential(size=200)
  assert turn_taking.distance(a, b) == pytest.approx(np.mean(np.abs(np.sort(a) - np.sort(b))))      # where both have as many
  assert turn_taking.distance(a, [0.0]) == pytest.approx(np.mean(np.abs(a)))


@pytest.fixture(scope='module')
def segments():
  spans = ((0.4, 1.6), (2.1, 3.2))
  return [segment.Segment(name, reply(3.6, *spans), 's', '', name, 0.0, 'CC0-1.0', 'A', speaker=name[0]) for name in ('a1', 'a2', 'b1')]


def test_scripted_users_pause_end_and_interrupt(segments):
  rng = np.random.default_rng(0)
  whole = segment.Segment('d1', reply(3.0, (0.4, 2.6)), 's', '', 'd1', 0.0, 'CC0-1.0', 'A', speaker='d')
  assert len(turn_taking.stimuli('pause', [whole, *segments], 9, rng)) == 3, 'no pause is made where nobody makes one'
  for one in turn_taking.stimuli('pause', segments, 2, rng):
    assert one.kind == 'pause'
    assert one.end - one.start == pytest.approx(turn_taking.PAUSE_S)
    assert one.start - first_sound(one.user) == pytest.approx(1.2, abs=0.03), 'a pause begins where the sound ends'
    assert first_sound(one.user, one.start) == pytest.approx(one.end, abs=0.03)
    assert one.user[cut(one.start):round((one.end - turn_taking.BACK_S) * 16000)].std() == 0, 'and nothing of a recording is in it'
  for one in turn_taking.stimuli('end', segments, 9, rng):
    assert one.end == one.start and first_sound(one.user[::-1]) == pytest.approx(len(one.user) / 16000 - one.end, abs=0.03)
    assert one.user[cut(one.end):].std() == 0 and (len(one.user) - cut(one.end)) / 16000 == pytest.approx(turn_taking.LISTEN_S)
  for kind in ('interruption', 'alone', 'backchannel'):
    made = turn_taking.stimuli(kind, segments, 3, rng)
    assert len(made) == 2 and {one.speaker for one in made} == {'s/a'}, 'nobody is interrupted by another one than who asked'
    for one in made:
      first, second = (round(at * 16000) for at in (one.start, one.end))
      asked = cut(one.start - turn_taking.BEFORE_S)
      assert one.user[asked:first - round(turn_taking.BACK_S * 16000)].std() == 0 and one.user[cut(one.end):].std() == 0
      assert (one.user[first:second].std() > 0.01) == (kind != 'alone')
      if kind == 'backchannel':
        assert one.end - one.start == pytest.approx(turn_taking.BACKCHANNEL_S, abs=0.01)
      if kind != 'alone':
        assert first_sound(one.user, one.start - 0.5) == pytest.approx(one.start, abs=0.03)


@pytest.mark.parametrize('left', [0.0, 0.06, 0.14])
def test_a_recording_that_ends_with_its_sound_or_soon_after_is_timed_by_the_sound(left):
  tight = [segment.Segment(name, reply(3.2 + left, (0.4, 1.6), (2.1, 3.2)), 's', '', name, 0.0, 'CC0-1.0', 'A', speaker='a') for name in 'xy']
  last = lambda audio: len(audio) / 16000 - first_sound(audio[::-1])
  for one in turn_taking.stimuli('end', tight, 2, np.random.default_rng(0)):
    assert one.end == pytest.approx(last(one.user), abs=0.03)
  for one in turn_taking.stimuli('interruption', tight, 2, np.random.default_rng(0)):
    asked = last(one.user[:round((one.start - 0.1) * 16000)])
    assert one.start - asked == pytest.approx(turn_taking.BEFORE_S, abs=0.03)
    assert first_sound(one.user, one.start - 0.1) == pytest.approx(one.start, abs=0.03) and one.end == pytest.approx(last(one.user), abs=0.03)


def cut(end):
  """The sample behind a sound that ends there, and what activity.speech reaches on."""
  return round((end + turn_taking.ON_S) * 16000)


def first_sound(audio, after=0.0):
  """Seconds into the audio at which something louder than hiss is first heard."""
  return after + float(np.argmax(np.abs(audio[round(after * 16000):]) > 0.02)) / 16000


@pytest.mark.slow
def test_replies_are_as_long_as_what_users_say_and_heed_whose_turn_it_is(codec_file, segments):
  codec, lm = weights.load(str(codec_file)), dataclasses.replace(LM, floor_frames=5)
  encoder = encoding.Encoder(codec, batch=2)
  params = jax.jit(AudioLM(lm).init)(jax.random.key(0), jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params']
  many = turn_taking.stimuli('end', segments, 2, np.random.default_rng(0))
  said = lambda floor: turn_taking.replies(many, lm, params, encoder, jax.random.key(0), sampling.Sampling(silence=int(encoder.silence()[0]), floor=floor))
  free, never = said(0.0), said(1.0)
  assert [len(one) for one in free] == [len(one.user) for one in many] == [len(one) for one in never]
  assert not np.array_equal(free[0], never[0])
