"""What speaks the text of a dialogue: engines with one call, speak(text, voice, emotion, rate, seed) -> Spoken.

espeak-ng (synthesis.py), Festival's Telugu voice, any command, and people whose recordings are looked up. A trained model of
this project is one more, see own_voice.py. An engine that cannot give an emotion says which one it gave.
"""
import dataclasses
import functools
import importlib.metadata
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ml_collections
import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.dialogue import pairs, retrieval, synthesis
from telugu_s2s.errors import InputError

NAMES = ('espeak', 'festival', 'command', 'recorded', 'model')
WORDS_PER_MINUTE = 190           # of espeak-ng at rate 1; of Telugu's long words it speaks about 125
# How espeak-ng acts an emotion: (steps of its pitch, times its rate, steps of its range of pitch). After Murray and Arnott (1993,
# table 1), who say which way each goes; how far is our choice. A rule is no feeling: enough to test that what is asked for is heard.
ACTED = {'neutral': (0, 1.0, 0), 'happy': (14, 1.1, 30), 'sad': (-14, 0.8, -20), 'excited': (20, 1.2, 40), 'angry': (8, 1.15, 40),
         'fear': (16, 1.25, 30), 'surprise': (22, 1.05, 45), 'calm': (-8, 0.9, -30)}
TIMEOUT_S = 120
# Further voices of espeak-ng, of people's names, in which sentences are understood: others ring like robots or whisper.
VARIANTS = ('Alex', 'linda', 'Mike', 'belinda', 'paul', 'Annie', 'Hugo', 'steph', 'Denis', 'anika', 'boris', 'aunty', 'Marco', 'Andrea', 'zac', 'f1',
            'Lee', 'f3', 'adam', 'shelby', 'Gene', 'max', 'Alicia', 'm1', 'edward', 'Michael', 'quincy', 'm8', 'caleb', 'rob', 'Storm', 'victor')
NSK = 'telugu_NSK_diphone'
# A Telugu voice of Festival finds no intonation module of its own, and speaks fast: hence the three settings.
SCHEME = """(voice_{voice})
(Parameter.set 'Int_Method 'Simple)
(set! int_simple_params '((target_f0_mean {pitch}) (target_f0_std 15)))
(Parameter.set 'Duration_Stretch {stretch:.3f})
(utt.save.wave (utt.synth (Utterance Text "{text}")) "{out}" 'riff)
"""


class Unspoken(Exception):
  """One text that an engine could not say, and why; the job goes on."""


@dataclasses.dataclass(frozen=True)
class Spoken:
  """What an engine said: speech f32[samples] at 16 kHz, who and how, and whose it is."""
  samples: np.ndarray
  speaker: str
  gender: str
  emotion: str                   # as it came out
  source: str
  licence: str
  attribution: str = ''


@dataclasses.dataclass(frozen=True)
class Engine:
  """A way to speak. `speak` may be called from several threads, and its result follows from its arguments."""
  name: str
  version: str
  real: bool                     # people's recordings, not synthesis
  speak: Callable[[str, str, str, float, int], Spoken]
  voices: Callable[[Sequence[str], str], list[str]]      # those of a split that can say all of some texts
  skips: Sequence[corpus.Skip] = ()                      # recordings that it cannot say anything with


def voices_of(names: Mapping[str, bool]):
  """`Engine.voices` of voices that can say anything. names: {voice: whether it is held out}."""
  return lambda texts, split: [name for name, held in names.items() if held == (split == 'eval')]


def varied(voices: Mapping, variants: int) -> dict:
  """Voices of espeak and the first of VARIANTS beside them. Raises InputError where there are not so many."""
  if not 0 <= variants <= len(VARIANTS):
    raise InputError(f'config.variants {variants}: give 0 to {len(VARIANTS)}')
  return dict(voices) | {name: ml_collections.ConfigDict(dict(voice=f'te+{name}', pitch=50, gender='u', held_out=False)) for name in VARIANTS[:variants]}


def espeak(voices: Mapping, pitches=(-6, 6), ranges=(0, 0)) -> Engine:
  """espeak-ng.

  Args:
    voices: {name: mapping of voice, pitch, gender, held_out}.
    pitches, ranges: steps of its pitch and of its range of pitch, drawn evenly around a voice's own with its emotion.

  Raises:
    InputError: the engine is not installed, or pitches or ranges end before they begin.
  """
  for name, limits in (('pitches', pitches), ('ranges', ranges)):
    if len(limits) != 2 or limits[0] > limits[1]:
      raise InputError(f'config.{name} {tuple(limits)}: give the lowest, then the highest')
  if not synthesis.available():
    raise InputError("config.engine espeak: espeakng-loader is not installed; run: pip install -e .[sample] -c constraints.txt")

  @functools.lru_cache(maxsize=64)       # an answer that is said once alike in all takes of a dialogue is spoken once
  def speak(text, voice, emotion, rate, seed):
    one, emotion = voices[voice], emotion if emotion in ACTED else 'neutral'
    (higher, faster, wider), rng = ACTED[emotion], np.random.default_rng(seed)
    drawn = lambda middle, steps: middle + int(rng.integers(steps[0], steps[1] + 1))
    within = lambda value, limits: int(np.clip(round(value), *limits))
    pitch, pitch_range = drawn(one.pitch + higher, pitches), drawn(synthesis.OWN_RANGE + wider, ranges)
    samples = synthesis.speak(text, one.voice, within(WORDS_PER_MINUTE * rate * faster, synthesis.WORDS_PER_MINUTE),
                              within(pitch, synthesis.PITCH), within(pitch_range, synthesis.PITCH_RANGE))
    samples.flags.writeable = False
    return Spoken(samples, f'espeak-{voice}', one.gender, emotion, 'espeak-ng', 'CC0-1.0')

  return Engine('espeak', importlib.metadata.version('espeakng-loader'), False, speak,
                voices_of({name: one.held_out for name, one in voices.items()}))


def festival(voices: Mapping[str, bool], licence: str = '') -> Engine:
  """Festival with voices such as telugu_NSK_diphone, of people's recorded diphones.

  Args:
    voices: {voice: whether it is held out}.
    licence: SPDX identifier of what it says; that of a person's diphones is for whoever uses them to judge.
  """
  program = shutil.which('festival')
  if not program:
    raise InputError('config.engine festival: there is no such program; run: apt-get install festival festival-te festvox-te-nsk; '
                     'or take config.engine=espeak')
  for voice in voices:
    if not voice.replace('_', '').isalnum():
      raise InputError(f'config.voice_names: {voice!r} is no name of a Festival voice; one is {NSK}')

  def speak(text, voice, emotion, rate, seed):
    pitch = 120 + int(np.random.default_rng(seed).integers(-8, 9))
    with tempfile.TemporaryDirectory() as folder:
      out, script = Path(folder, 'out.wav'), Path(folder, 'say.scm')
      said = text.replace('\\', ' ').replace('"', ' ')
      script.write_text(SCHEME.format(voice=voice, pitch=pitch, stretch=1.4 / rate, text=said, out=out), 'utf-8')
      samples = heard([program, '--batch', str(script)], out)
    return Spoken(samples, voice, 'm' if voice == NSK else 'u', 'neutral', f'festival {voice}', licence)

  return Engine('festival', '2', False, speak, voices_of(voices))


def command(template: str, voices: Mapping[str, bool], licence: str) -> Engine:
  """Any program: a command line with {text} or {text_file}, and {out}; {voice}, {emotion}, {rate} and {seed} if it takes them.

  No shell reads it: each word is one argument, whatever the text holds.

  Args:
    voices: {voice: whether it is held out}.
    licence: SPDX identifier of what it says.
  """
  try:
    words = shlex.split(template)
    for word in words:
      word.format(text='', text_file='', out='', voice='', emotion='', rate='', seed='')
  except (ValueError, KeyError, IndexError) as problem:
    raise InputError(f'config.command: {template!r} cannot be read ({problem}); give PROGRAM --text {{text}} --out {{out}}') from None
  if not words or not any('{out}' in word for word in words) or not any('{text' in word for word in words):
    raise InputError(f'config.command: {template!r} needs {{out}}, the wav file to write, and {{text}} or {{text_file}}')
  if not shutil.which(words[0]):
    raise InputError(f'config.command: there is no program {words[0]!r}; give its path')

  def speak(text, voice, emotion, rate, seed):
    with tempfile.TemporaryDirectory() as folder:
      out, text_file = Path(folder, 'out.wav'), Path(folder, 'text.txt')
      text_file.write_text(text, 'utf-8')
      given = dict(text=text, text_file=text_file, out=out, voice=voice, emotion=emotion, rate=f'{rate:.3f}', seed=seed)
      samples = heard([word.format(**given) for word in words], out)
    return Spoken(samples, voice, 'u', emotion, Path(words[0]).name, licence)

  return Engine('command', template, False, speak, voices_of(voices))


def heard(words, out) -> np.ndarray:
  """Runs a program and returns the file that it wrote, f32[samples]. Raises Unspoken where it fails, or writes no sound."""
  try:
    done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
  except (OSError, subprocess.TimeoutExpired) as problem:
    raise Unspoken(f'{words[0]}: {problem}') from None
  if done.returncode or not out.is_file():
    last = done.stderr.decode(errors='replace').strip().rpartition('\n')[2]
    raise Unspoken(f'{words[0]} ends with status {done.returncode} and {"a" if out.is_file() else "no"} file: {last[:200]}')
  try:
    samples = files.read(out)[0]
  except files.Unreadable as problem:
    raise Unspoken(f'{words[0]}: {problem}') from None
  if not samples.any():
    raise Unspoken(f'{words[0]} wrote silence')
  return samples


def recorded(folder, licence: str, out) -> Engine:
  """People: a folder of recordings with text, in which a sentence is looked up by its letters. Rate and emotion are theirs.

  A voice is a speaker of a source in a split: sources may call two people alike, and one split never hears the other's recordings.

  Raises:
    InputError: the folder cannot be used, or has no recording with text and speaker.
  """
  found, (rows, skips) = {}, corpus.recordings(folder, licence, 'config.folder')
  told = [one for one in rows if one.text and one.speaker]
  for one in told:
    found.setdefault(retrieval.plain(one.text), {}).setdefault(f'{one.split}: {one.source}/{one.speaker}', []).append(one)
  if not found:
    raise InputError(f'config.folder: {folder} has no recording with text and speaker, so nothing can be looked up in it')

  def voices(texts, split):
    able = [{name for name, takes in found.get(retrieval.plain(text), {}).items() if takes[0].split == split} for text in texts]
    return sorted(set.intersection(*able)) if able else []

  def speak(text, voice, emotion, rate, seed):
    takes = found.get(retrieval.plain(text), {}).get(voice, [])
    if not takes:
      raise Unspoken(f'{voice} has not said {text!r}')
    one = takes[int(np.random.default_rng(seed).integers(len(takes)))]
    try:
      samples = corpus.samples(folder, one)
    except files.Unreadable as problem:
      raise Unspoken(str(problem)) from None
    return Spoken(samples, one.speaker, one.gender, one.emotion, one.source, one.licence, one.custom.get('attribution', ''))

  content = pairs.contents(folder, told, out)
  return Engine('recorded', pairs.hashed([(one, content[one.path]) for one in told]), True, speak, voices, skips)


def chosen(config, out, model: Engine | None = None) -> Engine:
  """The engine that a config names. out: the folder of the job. model: the one of config.run, made by whoever may load it.

  Raises:
    InputError: there is no such engine, or it is not installed.
  """
  held = {name: False for name in names(config.voice_names)} | {name: True for name in names(config.held_out_names)}
  if config.engine == 'espeak':
    return espeak(varied(config.voices, config.variants), tuple(config.pitches), tuple(config.ranges))
  if config.engine == 'festival':
    return festival(held or {NSK: False}, config.licence)
  if config.engine == 'command':
    if len(held) < 2:
      raise InputError('config.voice_names: name the voices of config.command, at least two, parted by commas')
    return command(config.command, held, config.licence)
  if config.engine == 'recorded':
    return recorded(config.folder, config.licence, out)
  if config.engine == 'model' and model:
    return model
  raise InputError(f'config.engine {config.engine!r}: choose one of {", ".join(NAMES)}; model takes config.run')


def names(given: str) -> list[str]:
  """Those that a setting has, parted by commas."""
  return [name.strip() for name in given.split(',') if name.strip()]
