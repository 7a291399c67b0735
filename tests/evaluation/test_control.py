"""What is asked for and what is heard: on sounds whose pitch and rate are known."""
import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.audio import activity, delivery, nonverbal, quality
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import control, recipes
from telugu_s2s.lm import sampling
from telugu_s2s.lm.model import AudioLM
from telugu_s2s.tokens import encoding, labels

from tests.evaluation.test_evaluate import LM


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


def test_a_knob_is_told_from_what_an_answer_does_by_itself():
  rng = np.random.default_rng(4)
  draw, bins = np.divmod(np.arange(60), 5)
  heard = 10 * rng.normal(size=12)[draw] + bins               # answers differ more than what is asked for
  heard[[3, 17]] = np.nan
  found = control.agreement(bins, heard, np.random.default_rng(0), draw)
  assert found['within'] > 0.9 > 0.5 > found['spearman']
  deaf = control.agreement(bins, 10 * rng.normal(size=12)[draw] + rng.normal(size=60), np.random.default_rng(0), draw)
  assert abs(deaf['within']) < 0.3


@pytest.mark.parametrize('speakers, takes', [(2, 4), (8, 3), (18, 1)])
def test_the_interval_of_a_knob_is_over_speakers_who_obey_unlike_and_holds_the_truth_as_often_as_it_says(speakers, takes):
  def drawn(rng, many, takes):
    group, bins = np.repeat(np.arange(many), 5 * takes), np.tile(np.arange(5), many * takes)
    return bins, rng.normal(0.3, 0.3, many)[group] * bins + rng.normal(size=many)[group] + rng.normal(size=len(bins)), group
  bins, values, _ = drawn(np.random.default_rng(0), 10_000, 1)
  truth, rng, held = control.spearman(bins, values), np.random.default_rng(speakers), []
  for _ in range(150):
    bins, values, group = drawn(rng, speakers, takes)
    found = control.agreement(bins, values, rng, groups=group)
    held.append(found['interval'][0] <= truth <= found['interval'][1])
  assert found['groups'] == speakers and 0.88 < np.mean(held) <= 1


def test_one_speaker_who_is_asked_nothing_tells_no_interval_and_none_leaves_what_a_correlation_can_be():
  bins = np.tile(np.arange(4), 2)
  assert np.isnan(control.agreement(bins, bins + 0.1, np.random.default_rng(0), groups=['a'] * 8)['interval']).all()
  low, high = control.agreement(bins, bins * [1, 1, 1, 1, 1, -1, 1, -1], np.random.default_rng(0), groups=['a'] * 4 + ['b'] * 4)['interval']
  assert -1 <= low < high <= 1


def test_utterances_of_one_speaker_go_together_or_those_that_answer_one_question():
  draw = np.arange(6)
  assert control.together(draw, 2, 3).tolist() == [0, 1, 0, 1, 0, 1]
  for speakers in (0, 1):
    assert control.together(draw, speakers, 3).tolist() == [0, 1, 2, 0, 1, 2]
    for questions in (0, 1):
      assert control.together(draw, speakers, questions).tolist() == draw.tolist(), 'all that differs is what is drawn'


def test_speech_that_is_played_faster_or_higher_is_heard_to_be_so(speech):
  config, model = types.SimpleNamespace(draws=3), types.SimpleNamespace(knob_bins=0, emotions=9)

  def say(given, draw, number):
    assert given['emotion'].tolist() == [-1] * 3, 'nothing is asked for'
    return given, [speech[one] for one in draw]
  above = lambda hertz, given: 12 * np.log2(hertz / 100) if len(given['emotion']) == len(hertz) else None
  found = control._played(config, model, say, above, lambda draw: draw, np.random.default_rng(0))
  for kind in ('speed', 'shift'):
    assert found[kind]['monotone'] and found[kind]['within'] > 0.9 and (found[kind]['n'], found[kind]['groups']) == (15, 3), found[kind]


def test_emotions_are_as_sure_as_there_are_speakers_to_tell_them_by(monkeypatch):
  config, names = types.SimpleNamespace(draws=24), [0, 3]
  monkeypatch.setattr(control, 'profiled', lambda segments: dict.fromkeys(names))
  monkeypatch.setattr(control, 'heard', lambda one: dict(zip(control.HEARD, one)))
  monkeypatch.setattr(control, 'nearest', lambda profiles, found: found[:, 1].astype(int))

  def say(given, draw, number):
    right = draw % 4 < 2                                      # two of four speakers do as they are asked, always
    return given, [(1.0, emotion if fine else -1, 0.0, 0.0) for emotion, fine in zip(given['emotion'], right)]
  found = control._emotions(config, [], say, lambda hertz, given: hertz, lambda draw: control.together(draw, 4, 0), np.random.default_rng(0))
  assert (found['n'], found['groups'], found['share']) == (48, 4, 0.5) and found['interval'] == [0.0, 1.0]


def test_ties_share_their_rank():
  x, y = [1, 2, 2, 3, 5], [2.0, 1.0, 4.0, 4.0, 9.0]
  ranks = [1, 2.5, 2.5, 4, 5], [2, 1, 3.5, 3.5, 5]
  assert control.spearman(x, y) == pytest.approx(np.corrcoef(*ranks)[0, 1])
  assert np.isnan(control.spearman(np.ones(4), np.arange(4)))


def test_an_emotion_is_the_one_whose_recordings_are_nearest():
  rng = np.random.default_rng(3)
  centre = {0: (-3.0, 3.0, 4.0, 15.0), 3: (4.0, 8.0, 6.0, 25.0)}
  drawn = lambda of: np.array(of) * (1 + 0.05 * rng.normal(size=(20, 4)))
  profiles = {number: drawn(of) for number, of in centre.items()}
  for number, of in centre.items():
    assert (control.nearest(profiles, drawn(of)) == number).all()
  assert control.nearest(profiles, np.full((2, 4), np.nan)).tolist() == [-1, -1]


def said(hertz, speaker, emotion='', syllables=4.0):
  """What a segment is to these measures."""
  audio = voice(hertz, syllables)
  quality = delivery.measures(audio, activity.speech(audio))
  return types.SimpleNamespace(audio=audio, source='made', speaker=speaker, emotion=emotion, quality=quality | {'syllables_per_s': syllables})


def test_emotions_are_known_by_what_they_do_to_a_voice_and_not_by_whose_it_is(tracker):
  some = [said(hertz * (0.85 if emotion == 'sad' else 1.2) * (1 + number / 200), speaker, emotion) for emotion in ('sad', 'happy')
          for speaker, hertz in (('low', 110), ('high', 210)) for number in range(2)]
  found = control.profiled([*some, said(150, 'third', 'angry'), said(150, 'low')])
  sad, happy = labels.emotion('sad'), labels.emotion('happy')
  assert found.keys() == {sad, happy}                     # of one angry recording nothing is known
  assert found[happy].shape == (4, 4) and found[happy][:, 0].min() > found[sad][:, 0].max() + 4
  assert np.ptp(found[sad][:, 0]) < 2.5                   # an octave apart in Hz


def test_the_ceiling_is_what_is_heard_of_recordings_after_the_codec(monkeypatch):
  some = [said(hertz * 1.12 ** step, speaker, syllables=2 + step) for speaker, hertz in (('low', 110), ('high', 200)) for step in range(5)]
  table = labels.Table(('made/low',), (110 * 1.12 ** 2,), {'pitch': [-3.0, -1.0, 1.0, 3.0], 'rate': [2.5, 3.5, 4.5, 5.5]})

  class Encoder:
    """A codec that changes nothing."""
    codec = None

    def __call__(self, clips):
      return clips
  monkeypatch.setattr(control.streaming, 'audio_of', lambda codec, codes, samples: codes[:samples])
  found = control.recorded(some, control.after_codec(some, Encoder()), table, np.random.default_rng(0))
  assert found.keys() == {'pitch', 'rate'} and found['pitch']['n'] == found['rate']['n'] == 10
  assert found['pitch']['spearman'] > 0.95 and found['pitch']['monotone'] and found['rate']['spearman'] > 0.9


def test_breaths_are_counted_where_they_are_asked_for_and_where_not():
  rng, quiet = np.random.default_rng(5), np.zeros(4800, np.float32)
  breathed = lambda some: np.concatenate([quiet, 0.02 * nonverbal.breath(rng), quiet, voice(150, 4, 1.0)]) if some else voice(150, 4, 1.0)
  asked = np.array([0, 1, 1, 0, 1])
  counts = [nonverbal.heard(breathed(some)) for some in (0, 1, 1, 1, 0)]
  found = control.between('breath', asked, counts, 'ababa', rng)
  assert (found['none']['share'], found['none']['n'], found['some']['n']) == (0.5, 2, 3) and found['some']['share'] == pytest.approx(2 / 3)
  assert found['none']['groups'] == found['some']['groups'] == 2 and found['some']['interval'] == [0.0, 1.0]
  assert control.between('filler', asked[1:3], [nonverbal.heard(breathed(1))] * 2, 'ab', rng).keys() == {'some'}


@pytest.mark.slow
def test_a_voice_that_converses_is_heard_in_its_answers(codec_file):
  codec = weights.load(str(codec_file))
  model = dataclasses.replace(LM, knob_bins=3, emotions=9, speakers=4, nonverbal=True)
  params = jax.jit(AudioLM(model).init)(jax.random.key(0), jnp.zeros((1, 2, 4, model.codebooks), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params']
  params = jax.tree.map(lambda x: x + 0.5 * jax.random.normal(jax.random.key(x.size), x.shape), params)      # fresh heads tell nothing apart
  config = recipes.of('evaluate', 'stage4', draws=2, utterance_s=0.4, speakers=('b',))
  table = labels.Table(('made/a', 'made/b'), (120.0, 210.0))
  asked = [voice(150, 4, 0.5), voice(200, 3, 0.8)]
  found = control.measure(config, [], model, params, codec, table, asked)
  assert found['questions'] == 2 and found['speakers'] == 1 and found['by'] == 'questions' and set(control.HEARD) < found.keys()
  assert 'skipped' in found['emotion'] and 'recordings' not in found and found['speed']['n'] <= 2 * len(control.SPEEDS) and found['shift']['n'] <= 2 * len(control.SHIFTS)
  for name in labels.NONVERBAL:
    assert found[name]['none']['n'] == found[name]['some']['groups'] == 2 and found[name]['recordings'] == {}
  given = {'speaker': np.array([1, 1], np.int32)}
  how = sampling.Sampling(0.8, 100, 0, 0.0)
  encoder = encoding.Encoder(codec)
  one, other = (control.utterances(model, params, codec, given, 0.4, encoder(some), encoder.silence().astype(np.int32), jax.random.key(0), how)
                for some in (asked, asked[::-1]))
  assert one.shape == (2, round(0.4 * 16000)) and not np.array_equal(one[0], other[0])      # another question, another answer
  with pytest.raises(InputError, match="speaker 'c'"):
    control.measure(recipes.of('evaluate', 'stage4', speakers=('c',)), [], model, params, codec, table)


def test_what_hears_pitch_is_told_and_either_hears_it(monkeypatch):
  first = control.ear(), control.heard(voice(150, 4, 0.5))['pitch']
  monkeypatch.setattr(control.quality, 'optional', lambda name: None)
  assert control.ear() == 'audio/pitch.py' and first[0] in ('WORLD', 'audio/pitch.py')
  for hertz in (first[1], control.heard(voice(150, 4, 0.5))['pitch']):
    assert hertz == pytest.approx(150, rel=0.05)


def test_a_run_that_cannot_be_asked_is_refused():
  asked, plain, knobs = (types.SimpleNamespace(**of) for of in (
      dict(temperature=0.8, run='runs/plain'), dict(knob_bins=0, emotions=0, nonverbal=False), dict(knob_bins=5, emotions=0, nonverbal=False)))
  with pytest.raises(InputError, match='without knobs and emotions.*leave control out'):
    control.check(asked, plain, False)
  control.check(asked, knobs, False)
  asked.temperature = 0.0
  control.check(asked, knobs, True)
  with pytest.raises(InputError, match='config.temperature 0: a voice that answers nobody'):
    control.check(asked, knobs, False)
