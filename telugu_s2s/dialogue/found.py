"""Dialogues in recordings of two people: turns that a list names, that channels part, or that diarisation finds in one channel.

Of one channel, turns over which the other speaks are left out, as nothing here parts voices; of two channels they stay.
"""
import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from telugu_s2s.audio import activity, decoding, files
from telugu_s2s.audio.level import HOP
from telugu_s2s.corpora import conversation
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.dialogue import diarise, pairs, timing
from telugu_s2s.dialogue.pairs import Aside, Dialogue, Turn, Unit
from telugu_s2s.errors import InputError

LAYOUTS = ('', 'indicvoices_raw', 'diarised', 'two_channel')
GAP_S = -0.5, 2.0                # between two turns of one dialogue; beyond, another dialogue begins
TURN_S = 0.3, 30.0
OVERLAP_S = 0.2                  # of a turn in one channel over which somebody else speaks, at most
HANGOVER_S = 0.1                 # by which activity reaches further beyond the end of speech than before its beginning
JOINED_S = 0.5                   # a pause within a turn of a channel
UNTOLD = {'text': '', 'text_provenance': '', 'text_raw': ''}     # of a part: a text belongs to the whole


@dataclasses.dataclass(frozen=True)
class How:
  """How recordings are read."""
  voiceprint: str = 'plain'
  vad: str = 'energy'
  longest_s: float = 60.0        # of a dialogue


@dataclasses.dataclass(frozen=True)
class Part:
  """A turn of a recording, before it is cut out."""
  start_s: float
  end_s: float
  speaker: str
  labels: Mapping                # of Turn
  channel: int | None = None
  file_s: float = 0.0            # of the dialogue, where the recording's file begins

  @property
  def seconds(self) -> float:
    return self.end_s - self.start_s


def units(config, how: How, out) -> tuple[list[Unit], list[corpus.Skip]]:
  """A unit for each conversation of `config.folder`, `config.count` at most (0 = all), and for each recording in which no row names a turn.

  Raises:
    InputError: the folder or its manifest cannot be used, or there is no such layout.
  """
  if not config.folder:
    raise InputError('config.folder is empty: name a folder of conversations')
  if not 0 < config.longest_s < math.inf:
    raise InputError(f'config.longest_s {config.longest_s}: give seconds of a dialogue')
  folder, groups = Path(config.folder), {}
  rows, skips = recordings(config, folder)
  for one in rows:
    groups.setdefault((one.source, one.dialogue or one.path.rpartition('.')[0]), []).append(one)
  names = pairs.named('\0'.join(key) for key in groups)         # a-b of c is another one than b-c of a
  chosen = drawn([group[0].split for group in groups.values()], config.count, config.seed)
  if len(chosen) < len(groups):
    print(f'{folder}: {len(chosen)} of {len(groups)} conversations, drawn from each split; config.count=0 takes all')
  named = list(zip(names.values(), groups.values()))
  named = [named[number] for number in chosen]
  content = pairs.contents(folder, itertools.chain(*(group for _, group in named)), out)
  return [Unit(name, functools.partial(dialogues, folder, name, group, how), pairs.hashed([(one, content[one.path]) for one in group]))
          for name, group in named], skips


def drawn(splits: Sequence[str], count: int, seed: int) -> list[int]:
  """The numbers of `count` conversations in their order, of each split in its share, and one at least as far as they go; of all for 0."""
  if not count:
    return list(range(len(splits)))
  rng, ranks = np.random.default_rng(seed), []
  for split in sorted(set(splits)):
    numbers = rng.permutation([number for number, one in enumerate(splits) if one == split])
    ranks += [(place / len(numbers), split, int(number)) for place, number in enumerate(numbers)]
  return sorted(number for *_, number in sorted(ranks)[:count])


def recordings(config, folder) -> tuple[list[corpus.Recording], list[corpus.Skip]]:
  """The recordings of a folder, turns of a conversation each, as config.layout has them, and skips.

  Raises:
    InputError: the folder or its manifest cannot be used, or there is no such layout.
  """
  if config.layout not in LAYOUTS:
    raise InputError(f'config.layout {config.layout!r}: choose one of {", ".join(LAYOUTS[1:])}, or leave it empty for a manifest, or none')
  if not config.layout:
    return corpus.recordings(folder, config.licence, 'config.folder')
  fields = {field.name for field in dataclasses.fields(corpus.Recording)}
  every = list(getattr(conversation, config.layout)(folder))
  rows, skips = ([one for one in every if isinstance(one, kind)] for kind in (dict, corpus.Skip))
  if not rows:
    raise InputError(f'config.folder: {folder} holds no conversation in the layout {config.layout}')
  given = {'licence': config.licence, 'source': folder.resolve().name}
  return [corpus.Recording(**given | {'text_provenance': 'human' if row.get('text') else 'none'} |
                           {name: value for name, value in row.items() if name in fields},
                           custom={name: value for name, value in row.items() if name not in fields and isinstance(value, str)}) for row in rows], skips


def dialogues(folder, name, group: Sequence[corpus.Recording], how: How) -> list[Dialogue | Aside]:
  """The dialogues of a conversation, each of two speakers who follow one another without a long pause.

  Raises:
    Aside: there is none.
    Unreadable: the recording cannot be decoded.
  """
  splits = {one.split for one in group}
  if len(splits) > 1:
    raise Aside('splits', f'its turns are in {", ".join(sorted(splits))}')
  audio = Audio(folder)
  parts = sorted(_parts(audio, group, how), key=lambda one: (one.start_s, one.end_s))
  channels = len({(one.labels['path'], one.channel) for one in parts}) > 1
  silent = [one for one in parts if not audio.cut(one).any()]                  # a name that was taken out, a row beyond the end
  left_out = set(map(id, silent))
  usable = [one for one in parts if id(one) not in left_out and TURN_S[0] <= one.seconds <= TURN_S[1]
            and (channels or _overlap(one, parts) <= OVERLAP_S)]
  found = []
  for run in runs(usable, parts, how.longest_s):
    begins = run[0].start_s
    turns = [Turn(one.start_s - begins, audio.cut(one), act=timing.act(one, run) if channels else timing.TURN,
                  **{key: value for key, value in one.labels.items() if key != 'path'}, speaker=one.speaker, channel=one.channel) for one in run]
    found.append(Dialogue(f'{name}-{len(found):03}', group[0].split, turns))
  if not found:
    raise Aside('no exchange', f'{len(parts)} turns of {len({one.speaker for one in parts})} speakers, none of which follows another one closely')
  return found + [Aside('silent', f'{one.labels["path"]} from {one.start_s:g} s') for one in silent]


def _overlap(one, parts):
  return sum(max(0.0, min(one.end_s, other.end_s) - max(one.start_s, other.start_s)) for other in parts if other.speaker != one.speaker)


def runs(usable: Sequence[Part], parts: Sequence[Part], longest_s: float):
  """The stretches of usable turns, of two speakers, that follow one another; what is left out between two ends a stretch."""
  kept, run = set(map(id, usable)), []
  for one in parts:
    two = {other.speaker for other in run} | {one.speaker}
    floor = max((other.end_s for other in run), default=one.start_s)
    follows = id(one) in kept and len(two) <= 2 and one.start_s - floor <= GAP_S[1] and one.end_s - (run or [one])[0].start_s <= longest_s
    other_s = max((other.end_s for other in run if other.speaker != one.speaker), default=one.start_s)
    if one.start_s - other_s < GAP_S[0] and one.end_s > other_s:
      follows = False                # one broke in long before the other ended, whatever they said meanwhile
    if not follows:
      if len({other.speaker for other in run}) == 2:
        yield run
      run = []
    if id(one) in kept:
      run = [*run, one]
  if len({other.speaker for other in run}) == 2:
    yield run


def _parts(audio, group, how):
  """The turns of a conversation: as rows name them, of each channel, or as they sound.

  Raises:
    Aside: turns that are files of their own do not say when they begin.
  """
  apart = len({one.path for one in group}) > 1
  for one in group:
    labels = pairs.told(one, path=one.path)
    at_s = conversation.seconds(one.custom.get('at_s'))
    if apart and one.speaker and (at_s is not None or one.turn is not None and one.end_s is None):
      if at_s is None:
        raise Aside('no times', f'{one.path} is a turn in a file of its own; a column at_s is to say at which second of the dialogue it begins')
      end_s = len(audio.whole(one.path, one.channel)) / files.SAMPLE_RATE if one.end_s is None else one.end_s
      yield Part(at_s + (one.start_s or 0.0), at_s + end_s, one.speaker, labels, one.channel, at_s)
    elif one.end_s is not None and one.speaker:
      yield Part(one.start_s or 0.0, one.end_s, one.speaker, labels, one.channel)
    elif one.channel is not None:
      for start_s, end_s in spoken(audio.whole(one.path, one.channel), how.vad):
        yield Part(start_s, end_s, one.speaker or f'{stem(one.path)}-{one.channel}', labels | UNTOLD, one.channel)
    elif audio.channels(one.path) == 2:
      for channel in (0, 1):
        for start_s, end_s in spoken(audio.whole(one.path, channel), how.vad):
          yield Part(start_s, end_s, f'{stem(one.path)}-{channel}', labels | UNTOLD | {'gender': ''}, channel)
    else:
      for span in diarise.turns(audio.whole(one.path, None), how.voiceprint, how.vad):
        yield Part(max(0.0, span.start_s), span.end_s, f'{stem(one.path)}-{span.speaker}', labels | UNTOLD | {'gender': ''})


def stem(path) -> str:
  """What a recording's speakers are called by: its path without its ending."""
  return path.rpartition('.')[0] or path


def spoken(samples, vad):
  """[(start, end)] in s of what is said in a channel."""
  seconds = HOP / files.SAMPLE_RATE
  joined = activity.closed(activity.runs(activity.speech(samples, vad)), JOINED_S / seconds)
  return [(round(start * seconds, 3), round(max(end * seconds - HANGOVER_S, (start + 1) * seconds), 3)) for start, end in joined]


class Audio:
  """The recordings of one conversation, each decoded once."""

  def __init__(self, folder):
    self._folder, self._kept = Path(folder), {}

  def channels(self, path) -> int:
    with decoding.opened(self._folder / path) as file:
      return file.channels

  def whole(self, path, channel):
    if (path, channel) not in self._kept:
      self._kept[path, channel] = files.read(self._folder / path, channel)[0]
    return self._kept[path, channel]

  def cut(self, part):
    samples = self.whole(part.labels['path'], part.channel)
    return samples[round((part.start_s - part.file_s) * files.SAMPLE_RATE):round((part.end_s - part.file_s) * files.SAMPLE_RATE)]
