"""Engines behind one call."""
import sys

import ml_collections
import numpy as np
import pytest

from telugu_s2s.audio import activity, delivery, files
from telugu_s2s.corpora import sample
from telugu_s2s.dialogue import engines, synthesis
from telugu_s2s.errors import InputError

SAY = """import sys, wave, struct, math
text, out, voice = sys.argv[1:4]
if 'fail' in text: sys.exit('no such word')
if 'nothing' in text: sys.exit(0)
with wave.open(out, 'wb') as file:
  file.setnchannels(1); file.setsampwidth(2); file.setframerate(8000)
  level = 0 if 'quiet' in text else 9000
  file.writeframes(b''.join(struct.pack('<h', round(level * math.sin(i / (2 + len(voice))))) for i in range(400 * len(text))))
"""


@pytest.fixture
def program(tmp_path):
  (tmp_path / 'say.py').write_text(SAY)
  return f'{sys.executable} {tmp_path / "say.py"} {{text}} {{out}} {{voice}}'


def test_a_command_speaks_and_no_shell_reads_the_text(program, tmp_path):
  engine = engines.command(program, {'one': False, 'two': True}, 'CC-BY-4.0')
  text = f'$(touch {tmp_path}/x); "a" \'b\' {{out}}'
  said = engine.speak(text, 'one', 'happy', 1.0, 0)
  assert len(said.samples) == pytest.approx(2 * 400 * len(text), rel=0.01) and not (tmp_path / 'x').exists()
  assert (said.licence, said.speaker, said.emotion) == ('CC-BY-4.0', 'one', 'happy')
  assert engine.voices([text], 'train') == ['one'] and engine.voices([text], 'eval') == ['two']


@pytest.mark.parametrize('text, says', [('fail', 'status 1 and no file: no such word'), ('nothing', 'status 0 and no file'), ('quiet', 'silence')])
def test_a_command_that_fails_costs_one_text(program, text, says):
  with pytest.raises(engines.Unspoken, match=says):
    engines.command(program, {'one': False}, 'CC0-1.0').speak(text, 'one', '', 1.0, 0)


@pytest.mark.parametrize('template, says', [('', 'needs {out}'), ('say {text}', 'needs {out}'), ('say {out}', 'needs {out}'), ('no-such-program {text} {out}', 'no program'),
                                            ('say {text} {out} {colour}', 'cannot be read'), ('say "{text} {out}', 'cannot be read')])
def test_a_command_that_cannot_be_one_is_refused(template, says):
  with pytest.raises(InputError, match=f'config.command.*{says}'):
    engines.command(template, {'one': False}, 'CC0-1.0')


def test_people_say_what_they_have_said_whatever_the_punctuation(tmp_path):
  engine = engines.recorded(sample.folder(), 'CC0-1.0', tmp_path)
  text = 'నమస్కారం మీరు ఎలా ఉన్నారు'
  voices = engine.voices([text], 'train')
  assert len(voices) == 2 and engine.voices([text], 'eval') == [] and engine.voices([text, 'లేని మాట'], 'train') == []
  [mezzo] = [voice for voice in voices if voice.endswith('telugu_s2s-sample/sample-mezzo')]
  said = engine.speak(text, mezzo, 'happy', 1.5, 3)
  assert said.speaker == 'sample-mezzo'
  assert np.array_equal(said.samples, files.read(sample.folder() / 'audio/q001-mezzo.opus')[0])
  assert (said.source, said.licence, said.emotion) == ('telugu_s2s-sample', 'CC0-1.0', 'neutral') and engine.real
  with pytest.raises(engines.Unspoken, match='has not said'):
    engine.speak(text, 'sample-alto', '', 1.0, 0)


def test_people_of_one_name_are_two_voices_and_a_split_hears_its_own_recordings_alone(tmp_path):
  lines = ['path\tspeaker\tsource\ttext\tsplit']
  for number, (source, split) in enumerate([('one', 'train'), ('two', 'train'), ('one', 'eval'), ('one', 'train')]):
    files.write_wav(tmp_path / f'{number}.wav', np.full(1600, (number + 1) / 8, np.float32))
    lines.append(f'{number}.wav\tS1\t{source}\tవాన పడింది\t{split}')
  (tmp_path / 'MANIFEST.tsv').write_text('\n'.join(lines) + '\n')
  engine, text = engines.recorded(tmp_path, 'CC0-1.0', tmp_path), 'వాన పడింది.'
  heard = {}
  for split in ('train', 'eval'):
    for voice in engine.voices([text], split):
      said = [engine.speak(text, voice, '', 1.0, seed) for seed in range(20)]
      heard[split, voice] = {one.source for one in said}, {round(8 * float(one.samples[0])) - 1 for one in said}
  assert sorted(heard.values(), key=str) == [({'one'}, {0, 3}), ({'one'}, {2}), ({'two'}, {1})] and len({voice for _, voice in heard}) == 3


def test_a_folder_without_text_has_nobody_to_look_up(tmp_path):
  files.write_wav(tmp_path / 'a.wav', np.ones(1600, np.float32) / 2)
  with pytest.raises(InputError, match='no recording with text and speaker'):
    engines.recorded(tmp_path, 'CC0-1.0', tmp_path)


def test_festival_is_asked_in_its_own_words_or_its_absence_is_told(tmp_path, monkeypatch):
  monkeypatch.setattr(engines.shutil, 'which', lambda name: None)
  with pytest.raises(InputError, match='apt-get install festival festival-te festvox-te-nsk'):
    engines.festival({engines.NSK: False})
  monkeypatch.setattr(engines.shutil, 'which', lambda name: '/bin/festival')
  scripts = []
  monkeypatch.setattr(engines, 'heard', lambda words, out: scripts.append(open(words[2], encoding='utf-8').read()) or np.ones(9, np.float32))
  engine = engines.festival({engines.NSK: False}, 'LicenseRef-own')
  said = engine.speak('వాన "పడింది"', engines.NSK, 'sad', 1.4, 0)
  assert '(voice_telugu_NSK_diphone)' in scripts[0] and 'Duration_Stretch 1.000' in scripts[0] and 'Text "వాన  పడింది "' in scripts[0]
  assert said.emotion == 'neutral' and said.gender == 'm'
  with pytest.raises(InputError, match='no name of a Festival voice'):
    engines.festival({'x) (system "ls")': False})


@pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')
def test_espeak_follows_from_its_arguments():
  voices = ml_collections.ConfigDict({'mezzo': dict(voice='te+f2', pitch=45, gender='f', held_out=False),
                                      'alto': dict(voice='te+f4', pitch=35, gender='f', held_out=True)})
  engine = engines.espeak(voices)
  first, slower = (engine.speak('వాన వెలిసింది', 'mezzo', 'sad', rate, 5) for rate in (1.0, 0.6))
  again = engines.espeak(voices).speak('వాన వెలిసింది', 'mezzo', 'sad', 1.0, 5)
  assert np.array_equal(first.samples, again.samples) and len(slower.samples) > 1.2 * len(first.samples)
  unknown = engine.speak('వాన వెలిసింది', 'mezzo', 'disgust', 1.0, 5)
  assert (first.emotion, unknown.emotion) == ('sad', 'neutral') and len(unknown.samples) < len(first.samples)
  assert (engine.voices(['x'], 'train'), engine.voices(['x'], 'eval')) == (['mezzo'], ['alto'])


@pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')
def test_what_is_asked_for_again_is_spoken_once_and_nobody_can_change_it(monkeypatch):
  spoken, calls = np.ones(160, np.float32), []
  monkeypatch.setattr(synthesis, 'speak', lambda *asked: calls.append(asked) or spoken.copy())
  engine = engines.espeak(ml_collections.ConfigDict({'mezzo': dict(voice='te+f2', pitch=45, gender='f', held_out=False)}))
  one, _, _ = (engine.speak(text, 'mezzo', 'happy', 1.0, 5) for text in ('వాన', 'వాన', 'ఎండ'))
  assert [asked[0] for asked in calls] == ['వాన', 'ఎండ']
  with pytest.raises(ValueError):
    one.samples[0] = 0


@pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')
def test_espeak_speaks_as_high_and_as_lively_as_it_is_asked():
  voices = ml_collections.ConfigDict({'mezzo': dict(voice='te+f2', pitch=45, gender='f', held_out=False)})

  def heard(emotion='neutral', **asked):
    samples = engines.espeak(voices, **asked).speak('వాన వెలిసింది, చెరువు నిండింది', 'mezzo', emotion, 1.0, 5).samples
    one = delivery.measures(samples, activity.speech(samples))
    return one['f0_median_hz'], one['f0_range_st']

  low, high = (heard(pitches=(step, step))[0] for step in (-20, 20))
  flat, lively = (heard(pitches=(0, 0), ranges=(step, step))[1] for step in (-40, 40))
  assert high > 1.3 * low and lively > 3 * flat
  assert heard('happy', pitches=(0, 0))[1] > 1.2 * heard('neutral', pitches=(0, 0))[1]


def test_limits_in_the_wrong_order_are_named():
  with pytest.raises(InputError, match=r'config.ranges \(9, -9\): give the lowest'):
    engines.espeak({}, ranges=(9, -9))
  with pytest.raises(InputError, match=r'config.pitches \(1,\): give the lowest'):
    engines.espeak({}, pitches=(1,))


def test_an_engine_that_is_none_is_named():
  config = ml_collections.ConfigDict(dict(engine='piper', voice_names='', held_out_names=''))
  with pytest.raises(InputError, match="'piper': choose one of espeak, festival, command, recorded, model"):
    engines.chosen(config, '')
