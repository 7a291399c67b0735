"""Dialogues from text: cast, spoken by an engine, begun with breaths and fillers, and laid out in time with the listener's backchannels."""
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from telugu_s2s.audio import files, nonverbal
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.dialogue import grammar, pairs, sample, timing
from telugu_s2s.dialogue.engines import Engine, Unspoken
from telugu_s2s.dialogue.pairs import Aside, Dialogue, Turn, Unit
from telugu_s2s.dialogue.timing import BACKCHANNEL, Timing
from telugu_s2s.errors import InputError

# What a listener says. Dealt out to the splits, since a sentence of eval is never in train.
BACKCHANNELS = {'train': ('ఆఁ', 'అవును', 'సరే', 'ఊఁ', 'నిజమే'), 'eval': ('ఓహో', 'అలాగా', 'హ్మ్')}
# What one says while thinking, and how: slowly, without melody.
FILLERS, FILLER_RATE, FILLER_EMOTION = ('ఆఁ', 'ఊఁ', 'మ్'), 0.45, 'calm'
MADE = 'made'                    # in the place of a folder of breaths: those of `nonverbal.breath`
MANY = 16                        # of them
BREATH_DB = -20.0                # their peak, well below speech, whose peak is at -3 dBFS
OWN = 'telugu_s2s', 'CC0-1.0'    # the grammar and these words, written for this project


@dataclasses.dataclass(frozen=True)
class How:
  """What a dialogue is made with."""
  engine: Engine
  timing: Timing
  seed: int
  rates: tuple = (0.85, 1.2)     # of speaking, drawn evenly; 1 = the engine's own
  emotions: tuple = ('neutral',)
  extras: bool = True            # backchannels, fillers and breaths, as often as the timing has them
  breaths: tuple = ()            # Turns whose samples are breaths
  takes: int = 1                 # of each dialogue, in other voices
  answerers: tuple = ()          # voices that answer, and nobody else does, outside of split eval; () = any
  answer_once: bool = False      # a voice says an answer the same way in all takes of one emotion


def from_grammar(config, how: How) -> list[Unit]:
  """`config.count` dialogues and stories from a grammar."""
  slots, templates = grammar.load(config.grammar or grammar.GRAMMAR)
  rows = grammar.written(slots, templates, config.count, config.seed, config.eval_share)
  return units(rows, how, OWN)


def from_text(config, how: How) -> list[Unit]:
  """The first `config.count` dialogues of a sentences.tsv; that of the sample corpus where none is named."""
  path = config.sentences
  rows = sample.read_sentences(path or sample.sample.folder() / 'sentences.tsv')
  named = {}
  for row in rows:
    if row['dialogue']:
      named.setdefault(row['dialogue'], []).append(row)
  if not named:
    raise InputError(f'config.sentences: {path} has no row with a dialogue')
  chosen = list(named.values())[:config.count]
  if len(chosen) < len(named):
    print(f'{path or sample.SOURCE}: the first {len(chosen)} of {len(named)} dialogues, as many as config.count says')
  texts = (Path(path).name, config.licence) if path else (sample.SOURCE, sample.LICENCE)
  return units([row for group in chosen for row in group], how, texts)


def units(rows: Sequence[Mapping], how: How, texts: tuple[str, str]) -> list[Unit]:
  """A unit for each dialogue of rows with dialogue, kind, text and split."""
  groups = {}
  for row in rows:
    groups.setdefault(row['dialogue'], []).append(row)

  names = pairs.named(groups)
  takes = [''] if how.takes == 1 else [f'-{take + 1}' for take in range(how.takes)]
  return [Unit(names[key] + take, functools.partial(_alone, names[key] + take, group, how, texts), pairs.hashed(
      [(row['kind'], row['text'], row['split']) for row in group], texts)) for key, group in groups.items() for take in takes]


def _alone(*given):
  return [spoken(*given)]


def spoken(name: str, rows: Sequence[Mapping], how: How, texts: tuple[str, str]) -> Dialogue:
  """A dialogue of rows, each side in one voice, of another speaker; of a story one side tells and the other listens.

  Raises:
    Aside: no two voices can say it, or the engine fails.
  """
  rng, split = pairs.rng_of(how.seed, name), rows[0]['split']
  sides = ['b' if row['kind'] == 'answer' else 'a' for row in rows]
  voices = cast([[row['text'] for row, side in zip(rows, sides) if side == one] for one in 'ab'], split, how, rng)
  # Each side feels for itself and has its own pace: else a question would tell by how it is said which recording answers it, and
  # who answers would not heed what is asked for.
  emotions = {side: str(rng.choice(how.emotions)) for side in 'ab'}
  rates = {side: float(rng.uniform(*how.rates)) for side in 'ab'}
  said = []
  for row, side in zip(rows, sides):
    drawn, rate = rng, rates[side]
    if how.answer_once and side == 'b':
      drawn = pairs.rng_of(how.seed, row['text'] + emotions[side])
      rate = float(drawn.uniform(*how.rates))
    said.append(_said(how, row['text'], voices[side], emotions[side], rate, drawn))
  seconds = [_audible_s(one.samples) for one in said]
  starts = timing.laid(list(zip(sides, seconds)), how.timing, rng)
  turns = [_turn(one, at, row['text'], row['kind']) for one, at, row in zip(said, starts, rows)]
  if how.extras:
    turns = _with_extras(turns, sides, starts, seconds, voices, split, how, rates, rng)
  first = min(one.at_s for one in turns)
  return Dialogue(name, split, [dataclasses.replace(one, at_s=one.at_s - first) for one in turns], texts=texts)


def cast(texts, split, how, rng) -> dict:
  """{side: voice} of two different voices that can say each side's texts; of a side that says nothing any other voice, if there is one."""
  engine, answerers = how.engine, how.answerers if texts[1] and split != 'eval' else ()
  first = [one for one in engine.voices(texts[0], split) if one not in answerers]
  voices = {}
  for one in (first[number] for number in rng.permutation(len(first))):
    second = [other for other in engine.voices(texts[1] or texts[0], split) if other != one and (not answerers or other in answerers)]
    if second:
      return {'a': one, 'b': second[int(rng.integers(len(second)))]}
    if not texts[1]:
      voices = {'a': one, 'b': ''}
  if not voices:
    raise Aside('no voice', f'{engine.name} has no two voices of split {split} for it')
  return voices


def _said(how, text, voice, emotion, rate, rng):
  """What the engine says, cut to what is heard and brought to one level. Raises Aside where it says nothing."""
  try:
    one = how.engine.speak(text, voice, emotion, rate, int(rng.integers(2**31)))
  except (Unspoken, InputError) as problem:
    raise Aside(pairs.UNSPOKEN, str(problem)) from None
  if not one.samples.any():
    raise Aside(pairs.UNSPOKEN, f'{voice} is silent')
  return dataclasses.replace(one, samples=sample.finished(one.samples))


def _audible_s(samples):
  return len(samples) / files.SAMPLE_RATE - 2 * sample.END_S


def _turn(one, start_s, text, style, act=timing.TURN):
  """A Turn whose speech is heard from start_s on: its file begins with a moment of silence before that."""
  return Turn(start_s - sample.END_S, one.samples, one.speaker, one.source, one.licence, act, text, '', one.gender, style, one.emotion,
              attribution=one.attribution)


def _with_extras(turns, sides, starts, seconds, voices, split, how, rates, rng):
  """The turns, begun with breaths and fillers, which move what follows, and with backchannels of the listener within them."""
  moved, result, said, speak = 0.0, [], {}, not how.engine.real

  def short(text, side, emotion, rate):
    """What an engine says of a short word, once a side and dialogue; None where it cannot."""
    key = text, side, rate
    if key not in said:
      drawn = pairs.rng_of(how.seed, text) if how.answer_once and side == 'b' else rng
      try:
        said[key] = _said(how, text, voices[side], emotion, rate, drawn)
      except Aside:
        said[key] = None
    return said[key]

  for turn, side, start, length in zip(turns, sides, starts, seconds):
    before = {}
    if how.breaths and rng.random() < how.timing.breaths:
      before['<breath>'] = how.breaths[int(rng.integers(len(how.breaths)))]
    if speak and rng.random() < how.timing.fillers:
      if one := short(str(rng.choice(FILLERS)), side, FILLER_EMOTION, FILLER_RATE):
        before['<uh>'] = one
    begun = _begun(dataclasses.replace(turn, at_s=turn.at_s + moved), before)
    moved += (len(begun.samples) - len(turn.samples)) / files.SAMPLE_RATE
    result.append(begun)
    listener = 'b' if side == 'a' else 'a'
    for at in timing.backchannels(length, how.timing, rng) if speak and voices[listener] else ():
      word = str(rng.choice(BACKCHANNELS[split]))
      if one := short(word, listener, 'neutral', rates[listener]):
        result.append(_turn(one, start + moved + at, word, BACKCHANNEL, BACKCHANNEL))
  return [one for one in result if one.act != BACKCHANNEL or not _busy(one, result)]


def _begun(turn, before: Mapping):
  """A turn that begins with {mark: what has samples, source, licence and attribution}; each has its moment of silence at its beginning."""
  if not before:
    return turn
  samples = np.concatenate([one.samples for one in (*before.values(), turn)])
  return dataclasses.replace(turn, samples=samples, text_raw=' '.join([*before, turn.text]),
                             mixed=tuple((one.source, one.licence, one.attribution) for one in before.values()))


def _busy(one, turns) -> bool:
  """Whether somebody would say a backchannel while they say something else."""
  return any(other is not one and other.speaker == one.speaker and other.at_s < one.end_s and one.at_s < other.end_s for other in turns)


def breaths(folder, licence: str, seed: int = 0) -> tuple[Turn, ...]:
  """The breaths in a folder of recordings, with their licences, MANY that are made for MADE, () for ''. They go to whoever speaks next."""
  if not folder:
    return ()
  if folder == MADE:
    rng = np.random.default_rng(seed)
    return tuple(_breath(nonverbal.breath(rng), *OWN) for _ in range(MANY))
  rows, skips = corpus.recordings(folder, licence, 'config.breaths')
  found = []
  for one in rows:
    try:
      found.append(_breath(corpus.samples(folder, one), one.source, one.licence, one.custom.get('attribution', '')))
    except files.Unreadable as problem:
      skips.append(corpus.Skip(one.path, problem.reason, problem.detail))
  if skips:
    print(f'{folder}: {len(found)} breaths; set aside: {corpus.counted(corpus.reasons(skips))}')
  if not found:
    raise InputError(f'config.breaths: {folder} has no recording of a breath that can be used')
  return tuple(found)


def _breath(samples, source, licence, attribution=''):
  """A breath as quiet as BREATH_DB, behind a moment of silence."""
  quiet = samples * min(1.0, 10 ** (BREATH_DB / 20) / max(float(np.abs(samples).max()), 1e-6))
  return Turn(0.0, np.pad(quiet, (round(sample.END_S * files.SAMPLE_RATE), 0)).astype(np.float32), '', source, licence, attribution=attribution)
