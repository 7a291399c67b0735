"""Dialogues as rows of two streams: the user asks, the assistant answers, and either may be interrupted.

A dialogue is the clips that share a label `dialogue`. Where it is known when each turn begins (they are parts of one
recording, or say `at_s`, when their file begins in the dialogue), turns lie there, overlaps and backchannels included;
elsewhere one comes after the other with a drawn pause.
"""
import collections
import dataclasses
import zlib

import numpy as np

from telugu_s2s.corpora import conversation
from telugu_s2s.errors import InputError
from telugu_s2s.tokens import batches, labels, slots
from telugu_s2s.tokens.batches import ASSISTANT, USER, Clips, Window
from telugu_s2s.tokens.census import Census
from telugu_s2s.tokens.epochs import Epochs, Mixture
from telugu_s2s.tokens.record import ABSENT
from telugu_s2s.tokens.scenes import Said, laid, of_clip

EXCHANGES, SWAPPED, INTERRUPTED, FOLLOWED, CLIPS = 'exchanges', 'swapped', 'interrupted', 'followed', 'clips'
PAUSE_S = 0.08, 0.48             # between turns of a dialogue without a timeline: drawn evenly
LEAD_S = 1.2                     # before the first turn of a row, at most: where a sound stands in a row must not tell which question it is
YIELD_S = 0.08                   # that an assistant who is interrupted speaks on
HOLD_S = 0.4                     # that it has spoken before, at least
NEXT_S = 0.2, 1.6                # from an answer to the question that follows it in a row: drawn evenly
BLANKS = 2                       # stretches of a frayed question that fall silent, each an eighth of it at most
ONSET_S = 0.32                   # of an answer, which tell most of which answer it is
TURN = 'turn'                    # what a clip is in a dialogue; another one (backchannel) is heard, not answered


@dataclasses.dataclass(frozen=True)
class Turn:
  """A clip in its dialogue."""
  clip: int
  speaker: str
  at_s: float | None = None      # None = not known
  act: str = TURN
  emotion: str = ''


@dataclasses.dataclass(frozen=True)
class Exchange:
  """Two turns of a dialogue, the second of which answers the first, by their places."""
  turns: tuple[Turn, ...]
  first: int
  second: int

  @property
  def asked(self) -> int:
    """The clip of the question."""
    return self.turns[self.first].clip

  @property
  def answered(self) -> int:
    """The clip of the answer."""
    return self.turns[self.second].clip

  @property
  def voice(self) -> tuple[str, str]:
    """Who answers, and with what emotion."""
    return self.turns[self.second].speaker, self.turns[self.second].emotion


def exchanges(clips: Clips) -> list[Exchange]:
  """Where a speaker follows another one in a dialogue, in the order of the clips that answer.

  Of turns that were cut into several clips these are the last one of the first and the first one of the second.

  Raises:
    InputError: a clip's at_s is no number.
  """
  dialogues = collections.defaultdict(list)
  for number in range(len(clips)):
    one = clips[number].labels
    if one.get('dialogue') and one.get('turn') is not None:
      custom = one.get('custom') or {}
      start_s, file_s = one.get('start_s') or 0.0, _seconds(custom.get('at_s'), one)
      turn = Turn(number, labels.speaker(one), None if file_s is None else file_s + start_s, custom.get('act') or TURN,
                  labels.named_emotion(one.get('emotion') or ''))
      dialogues[_dialogue(one)].append((one['turn'], start_s, number, turn, one.get('path')))
  found = []
  for rows in dialogues.values():
    rows.sort(key=lambda row: row[:3])
    turns = tuple(row[3] for row in rows)
    if len({row[4] for row in rows}) == 1 and rows[0][4] and turns[0].at_s is None:         # parts of one recording
      turns = tuple(dataclasses.replace(row[3], at_s=row[1]) for row in rows)
    main = [place for place, turn in enumerate(turns) if turn.act == TURN]
    found += [Exchange(turns, first, second) for first, second in zip(main, main[1:])
              if rows[first][0] != rows[second][0] and turns[first].speaker != turns[second].speaker]
  return sorted(found, key=lambda one: one.answered)


def _dialogue(labels) -> tuple:
  """What is one dialogue. Sides of one that was put together (it has `at_s`) may come from several corpora, and other generators use its name."""
  custom = labels.get('custom') or {}
  return (labels.get('source') if custom.get('at_s') in (None, '') else custom.get('generator', ''), labels['dialogue'])


def _seconds(value, labels) -> float | None:
  if value in (None, ''):
    return None
  if (found := conversation.seconds(value)) is None:
    raise InputError(f'clip {labels.get("id")}: at_s {value!r} is no number of seconds; mend the manifest that it came from')
  return found


@dataclasses.dataclass(frozen=True)
class Heard:
  """How the user's side reaches the model, which hears it through a microphone."""
  clips: Clips | None = None     # the clips in views that a microphone makes of them (rooms, noise, telephones); None = as they are
  echoes: Clips | None = None    # and as it hears them from a loudspeaker: the assistant's voice in the user's stream
  noises: np.ndarray | None = None         # i32[n m q], what stands between turns instead of silence
  share: float = 0.5             # of the rows, how many have views, how many echo, and how many noise
  frayed: float = 0.0            # of a question's frames, how many are lost at most, and as many said twice

  def question(self, clips: Clips, number: int, view: int, rng) -> np.ndarray:
    """Codes i32[t q] of the user's clip: in one of these views, or in a view of the clips themselves, and frayed."""
    if self.clips is None or rng is None or rng.random() >= self.share:
      codes = clips.view(number, view).codes.astype(np.int32)
    else:
      codes = self._view(self.clips, number, rng)
    return self._frayed(codes, clips.silence, rng) if self.frayed and rng is not None else codes

  def _frayed(self, codes, silence, rng):
    """The same question, as long, but no voice's pace and no single frame to know it by (after SpecAugment, Park et al., 2019)."""
    many = int(rng.integers(0, round(self.frayed * len(codes)) + 1))
    lost, doubled = (rng.permutation(len(codes))[:many] for _ in range(2))
    times = np.ones(len(codes), int)
    times[doubled] += 1
    times[lost] -= 1
    codes = codes[np.repeat(np.arange(len(codes)), times)]
    for _ in range(BLANKS):
      frames = int(rng.integers(0, len(codes) // 8 + 1))
      start = int(rng.integers(0, len(codes) - frames + 1))
      codes[start:start + frames] = silence
    return codes

  def echo(self, number: int, rng) -> np.ndarray | None:
    """Codes i32[t q] of the assistant's clip as the microphone hears it, or None."""
    return None if self.echoes is None or rng is None or rng.random() >= self.share else self._view(self.echoes, number, rng)

  def background(self, frames: int, rng) -> np.ndarray | None:
    """Codes i32[frames q] of noise alone, or None for silence."""
    if self.noises is None or rng is None or rng.random() >= self.share:
      return None
    one = self.noises[int(rng.integers(len(self.noises)))]
    return np.resize(np.roll(one, int(rng.integers(len(one))), 0), (frames, one.shape[1]))

  @staticmethod
  def _view(clips, number, rng):
    return clips.view(number, int(rng.integers(1, clips.views)) if clips.views > 1 else 0).codes.astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Scenes:
  """Casts exchanges as rows."""
  clips: Clips
  rate: float                    # frames a second
  heard: Heard = Heard()
  history: int = 0               # frames before a question that are heard too, at most
  floor: int = 0                 # frames of a model's floor_frames, see lm/model.py; 0 = rows say nothing of it
  onset: float = 1.0             # how much an answer's first ONSET_S count in learning, beside its other frames
  overlap: int | None = None     # frames that an answer may begin before its question's end; None = as many as in the timeline
  retold: float = 0.0            # of answers whose words the same speaker has said elsewhere too, how many are said as there
  text: slots.Text | None = None           # how the text slot is filled; None = there is none. In dialogues text comes with the voice

  def row(self, exchange: Exchange, window: Window, view=0, rng=None, swapped=False, then: Exchange | None = None,
          breaks_in=True, led=True, reserve=0) -> dict:
    """A row, see `scenes.laid`. Of a question that is too long the beginning is left out, of an answer its end.

    Args:
      view: of the clips.
      rng: draws pauses, views, noises and what comes before; None = the mean pause and nothing else.
      swapped: the assistant asks, and the user answers.
      led: what comes first may come later, by up to LEAD_S, where there is room.
      reserve: frames of an answer that is longer than this one: as much of what comes before is left out as for that.
      then: another exchange. Its question comes while the answer is said, and is answered instead, or, where it does not break in,
        comes after it; of what was before that so much is left out that the last answer fits in.
    """
    said = self._said(exchange, window.frames, view, rng, swapped, reserve)
    if led and rng is not None:
      said = self._later(said, window.frames, rng)
    if then is not None:
      said = self._gone_on(said, then, breaks_in, window.frames, view, rng)
    row = laid(said, window, self.clips.silence, self.heard.background(window.frames, rng), self.floor)
    return row | ({'task': np.int32(slots.DIALOGUE), 'ahead': np.int32(0)} if self.text else {})

  def pause(self, rng) -> int:
    """Frames between two turns."""
    low, high = (max(1, round(seconds * self.rate)) for seconds in PAUSE_S)
    return round((low + high) / 2) if rng is None else int(rng.integers(low, high + 1))

  def _said(self, exchange, frames, view, rng, swapped, reserve):
    """The turns up to the answer with their places, as many as fit in; the question and the answer come last."""
    every, first = exchange.turns[:exchange.second + 1], exchange.first
    timed = [round((one.at_s - every[0].at_s) * self.rate) for one in every] if all(one.at_s is not None for one in every) else []
    if timed:                    # a conversation may have hundreds of turns, and what is too long ago to be heard need not be read
      near = [place for place, start in enumerate(timed) if start >= timed[first] - self.history or place == exchange.second]
      every, timed, first = [every[place] for place in near], [timed[place] for place in near], near.index(first)
    mine = every[-1].speaker
    sides = [ASSISTANT if (one.speaker == mine) != swapped else USER for one in every]
    parts = [self._part(one.clip, side, view, rng) for one, side in zip(every, sides)]
    starts, before = timed, 0
    if not timed:
      for codes, *_ in parts:
        starts.append(before + self.pause(rng) if starts else 0)
        before = starts[-1] + len(codes)
    asked = starts[first]
    if self.overlap is not None:
      starts[-1] = max(starts[-1], asked + len(parts[first][0]) - self.overlap)
    answer = starts[-1]
    room = frames - min(max(reserve, len(parts[-1][0])), frames // 2) - 1         # 1: where prosody would not come at an even frame
    begin = next((start for start in sorted(starts) if 0 <= asked - start <= self.history and answer - start <= room),
                 max(asked, answer - room))
    kept = [place for place, start in enumerate(starts) if start >= min(begin, asked)]
    return [Said(parts[place][0], sides[place], starts[place] - begin, *parts[place][1:], last=place == len(every) - 1)
            for place in kept]

  def _later(self, said, frames, rng):
    """The same turns up to LEAD_S later, as far as the last one still ends in the row."""
    drawn, room = int(rng.integers(0, round(LEAD_S * self.rate) + 1)), frames - 1 - (said[-1].start + len(said[-1].codes))
    return [dataclasses.replace(one, start=one.start + max(0, min(drawn, room))) for one in said]

  def _part(self, clip, side, view, rng):
    """(codes, prosody, echo, text) of a clip on a side."""
    if side == USER:
      return self.heard.question(self.clips, clip, view, rng), None, None, None
    tokens = self.clips.view(clip, view)
    echo = self.heard.echo(clip, rng)
    text = self.text and self.text.slot(tokens, slots.beside(tokens), True, len(tokens.codes), 0)
    return tokens.codes.astype(np.int32), tokens.prosody, echo, text

  def _gone_on(self, said, exchange, breaks_in, frames, view, rng):
    """The same turns, then the user asks something else, which is answered; where it breaks in the turn before breaks off."""
    last = dataclasses.replace(said[-1], start=said[-1].start + said[-1].start % 2, last=False)        # where it will lie
    if breaks_in:
      hold = round(HOLD_S * self.rate)
      begin = last.start + int(rng.integers(hold, max(hold + 1, len(last.codes) - hold)))
      spoken = begin + round(YIELD_S * self.rate) - last.start
      cut = lambda x: None if x is None else x[:spoken]
      last = dataclasses.replace(last, codes=last.codes[:spoken], echo=cut(last.echo), text=cut(last.text))
    else:
      begin = last.start + len(last.codes) + round(rng.uniform(*NEXT_S) * self.rate)
    question = self._part(exchange.asked, USER, view, rng)[0]
    answer, prosody, echo, text = self._part(exchange.answered, ASSISTANT, view, rng)
    at = begin + len(question) + self.pause(rng)
    late = max(0, min(at + len(answer) + 2 - frames, at - frames // 2))        # 2: an answer begins at an even frame, and stays at one
    every = [*said[:-1], last, Said(question, USER, begin), Said(answer, ASSISTANT, at, prosody, echo, text, last=True)]
    return [dataclasses.replace(one, start=one.start - late - late % 2) for one in every]


class Cast(batches.Cast):
  """Exchanges as rows of dialogue, and clips with one silent side, as in stage 2."""

  def __init__(self, window, scenes: Scenes, found: list[Exchange], asked, text):
    """text: of the clips, see Census."""
    super().__init__(window, scenes.clips.silence, scenes.text, asked)
    self._scenes, self._found, self._says, self._voices = scenes, found, text, collections.defaultdict(list)
    self._takes = collections.defaultdict(list)
    for one in found:
      self._voices[one.voice].append(one)
      self._takes[self._told(one)].append(one.turns[one.second])

  def _one(self, item, rng, window):
    kind, number, view = item
    scenes = self._scenes
    if kind == CLIPS:
      tokens = scenes.clips.view(number, view)
      return of_clip(super()._one(tokens, rng, window), self._silence, scenes.floor) | {'asked': asked_at(np.zeros(0, bool), ABSENT)}
    exchange, other = self._retold(self._found[number], rng), None
    if kind in (INTERRUPTED, FOLLOWED):
      same = self._voices[exchange.voice]          # the assistant's voice stays what it is, and so does what it feels
      other = self._retold(same[int(rng.integers(len(same)))], rng, as_felt=True)
    found = scenes.row(exchange, window, view, rng, kind == SWAPPED, other, kind == INTERRUPTED)
    known = {}
    if self._asked:
      voice = exchange.asked if kind == SWAPPED else (other or exchange).answered
      known = self._asked.row(scenes.clips.view(voice, view), True, rng)
    answer = found.pop('answer') & (kind != SWAPPED)
    # Not the very first frame: by that it is told when to begin, which would be learnt as so many times as likely.
    place = np.cumsum(answer)
    onset = answer & (1 < place) & (place <= round(ONSET_S * scenes.rate))
    found['weight'] = np.where(onset, scenes.onset, 1).astype(np.float32) * found['weight']
    return found | {'asked': asked_at(answer, self._way(other or exchange))} | known

  def _way(self, exchange):
    """A number for what its answer says and, where answers are retold and as far as that can be asked for, who says it and how it feels.

    Told from the same words in another voice, who is asked reads what is asked for before it begins: likelihood hardly teaches that, for it
    shows in a frame or two of each answer, and in other ones in each answer. Where answers are not retold the question tells the voice.
    """
    said, asked = sentence(self._scenes.clips, self._says, exchange.answered), self._asked if self._scenes.retold else None
    speaker, emotion = exchange.voice
    voice = speaker if asked and asked.speakers else '', emotion if asked and asked.emotions else ''
    return zlib.crc32('/'.join([str(said), *voice]).encode()) % 2**31 if any(voice) else said

  def _told(self, exchange):
    """(speaker, number of the text) of its answer; the number is 0 where the text is not known."""
    return exchange.turns[exchange.second].speaker, int(self._says[exchange.answered])

  def _retold(self, exchange, rng, as_felt=False):
    """The exchange, its answer now and then that of another take.

    Else a recording of a question goes with one recording of its answer, which is then known by it and said so whatever is asked for.
    as_felt: a take with the same emotion.
    """
    key, share, now = self._told(exchange), self._scenes.retold, exchange.turns[exchange.second]
    takes = [one for one in self._takes[key] if not as_felt or one.emotion == now.emotion] if share and key[1] else ()
    if len(takes) < 2 or rng.random() >= share:
      return exchange
    other = takes[int(rng.integers(len(takes)))]
    turns = list(exchange.turns)
    turns[exchange.second] = dataclasses.replace(now, clip=other.clip, emotion=other.emotion)
    return dataclasses.replace(exchange, turns=tuple(turns))


def sentence(clips, text, number: int) -> int:
  """A number for what a clip says: its text's, where that is known, since two takes of a sentence answer one question, else its codes', as it is."""
  return (int(text[number]) or zlib.crc32(clips.view(number, 0).codes.tobytes())) % 2**31


def asked_at(answer, way: int) -> np.ndarray:
  """i32[3], the first frame of an answer of the assistant, the one behind its last, and a number for what it says and how.

  All are ABSENT where there is no answer. answer: bool[t].
  """
  frames = np.flatnonzero(answer)
  return np.array([frames[0], frames[-1] + 1, way] if len(frames) else [ABSENT] * 3, np.int32)


def balanced(found: list[Exchange], exponent: float, most: float = 4.0) -> np.ndarray:
  """f64[n], how often each exchange comes so that voices (speaker and emotion) do so alike: exponent 1 = equally, 0 = as they are.

  most: times that an exchange of a seldom voice comes, at most.
  """
  count = collections.Counter(one.voice for one in found)
  mean = len(found) / len(count)
  return np.minimum(most, np.array([(mean / count[one.voice]) ** exponent for one in found]))


def make(scenes: Scenes, found: list[Exchange], window: Window, *, batch, seed, times: dict, process=0, processes=1, views='turns',
         asked: labels.Asked | None = None, counted: Census, often=None):
  """Endless batches of exchanges and of single clips, as `batches.make`.

  Args:
    times: {SWAPPED, INTERRUPTED, FOLLOWED, CLIPS: how often each exchange comes with its sides swapped, interrupted and followed by
      another one, and each clip alone, an epoch}; each exchange as it is comes once.
    counted: the clips' census.
    often: f[n], from `balanced`; None = each exchange once.

  Raises:
    InputError: there are no exchanges.
  """
  clips = scenes.clips
  if not found:
    raise InputError(f'{clips!r}: no turn follows another one: no two clips have the same label `dialogue`, another `turn` and another '
                     '`speaker`')
  both = np.array([counted.frames[one.asked] + counted.frames[one.answered] for one in found]) + round((PAUSE_S[1] + LEAD_S / 2) * scenes.rate) + 2
  behind = np.minimum(scenes.history, [sum(counted.frames[turn.clip] for turn in one.turns[:one.first]) for one in found])
  kinds = (EXCHANGES, SWAPPED, INTERRUPTED, FOLLOWED, CLIPS)
  frames = np.concatenate([both + behind] * 2 + [both + behind + round(both.mean())] * 2 + [counted.frames])
  source = np.repeat(np.arange(5, dtype=np.int32), [len(found)] * 4 + [len(clips)])
  items = Census(frames, source, np.zeros(len(frames), np.uint64), kinds)
  apart = np.where(source == kinds.index(CLIPS), round(scenes.text.apart()), 0) if scenes.text else 0
  epochs = Epochs(items, batches.needs(frames + apart, window), window.frames, window.clips, Mixture(times), clips.views, views, seed,
                  None if often is None else np.concatenate([*[often] * 4, np.ones(len(clips))]))

  def read(item, view):
    kind = kinds[source[item]]
    return kind, item - kinds.index(kind) * len(found), view

  return batches.endless(epochs, read, Cast(window, scenes, found, asked, counted.text), batch, seed, process, processes)


def tests(scenes: Scenes, found: list[Exchange], window: Window, batch: int, questions=None, asked: labels.Asked | None = None) -> list[dict]:
  """Every exchange once, its two turns alone, in batches whose weight is on the answers; the last is filled with rows of weight 0.

  questions: [n], Exchange whose question comes before each answer; None = its own.
  """
  window, scenes = dataclasses.replace(window, trailing=0), dataclasses.replace(scenes, heard=Heard(), history=0)

  def one(number):
    mine, other = found[number], (questions or found)[number]
    pair = (dataclasses.replace(other.turns[other.first], at_s=None), dataclasses.replace(mine.turns[mine.second], at_s=None))
    made = scenes.row(Exchange(tuple(dataclasses.replace(turn, speaker=str(place)) for place, turn in enumerate(pair)), 0, 1), window)
    known = asked.row(scenes.clips[mine.answered], True) if asked else {}
    return {name: value for name, value in made.items() if name != 'answer'} | {'weight': made['answer'].astype(np.float32)} | known

  return batches.stacked([one(number) for number in range(len(found))], batch)
