"""Items of the controlled likelihood tests: two recordings joined at a pause, once as it should be and once not.

Both sides of a comparison are joined, in the same way and across different recordings, so that neither the join nor the room
of one recording tells them apart; in SALMon (Maimon et al., 2024) the right one is a whole recording and only the wrong one is
joined. Items come in couples: of the beginnings x0, x1 and the endings y0, y1, x0 wants y0 and x1 wants y1. A score that
looks at the ending alone is right in one item of a couple and wrong in the other: exactly chance.
"""
import collections
import dataclasses
import itertools

import numpy as np

from telugu_s2s.audio import activity, level, pitch, tempo
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.evaluation.alterations import SPEECH_DBFS, floored, higher, levelled
from telugu_s2s.tokens import labels, views

TASKS = ('speaker', 'gender', 'room', 'background', 'rate', 'pitch', 'energy', 'emotion', 'adjacency')
FADE = 320                       # samples of the cross-fade: 20 ms
HOP = level.HOP
SPOKEN = 0.5                     # least share of a side's frames that are speech
SNR_DB = 10.0                    # of the backgrounds
COLOURS = {'white': 0.0, 'pink': 0.5, 'brown': 1.0, 'blue': -0.5}      # see views.noise
ROOMS_S = {'small': (0.2, 3.0), 'large': (0.9, -3.0)}  # time of reverberation, and direct sound over reverberation in dB
RATES, SEMITONES, GAINS_DB = (0.8, 1.25), (-4.0, 4.0), (-6.0, 6.0)
HIGH_HZ = 165.0                  # a speaker whose median is above it counts as f where no label says


@dataclasses.dataclass(frozen=True)
class Side:
  """A stretch of a recording that begins or ends in a pause."""
  audio: np.ndarray                # f32[samples]
  recording: str
  speaker: str                     # of its source; '' where nobody is named
  labels: dict                     # language, set: the folder, gender, emotion: from `feeling`


@dataclasses.dataclass(frozen=True)
class Couple:
  """Two items: after x[0] y[0] is right and y[1] wrong, after x[1] the other way round."""
  task: str
  x: tuple[np.ndarray, np.ndarray]
  y: tuple[np.ndarray, np.ndarray]
  group: tuple[str, ...]           # whose speech it is: intervals are taken over speakers too
  turns: bool = False              # x is said by somebody else than y


def sides(segments, x_s: float, y_s: float) -> tuple[list[Side], list[Side]]:
  """All stretches of x_s seconds and a fade that end in a pause, and all of y_s seconds that begin after one.

  A pause is 200 ms and more without speech, see audio/activity.py. Of it 150 ms stand behind a beginning and 50 before an
  ending, so that every join holds 180 ms of it, the fade being common to both.

  segments: of preparation/segment.py, any number.
  """
  first, second = [], []
  size_x, size_y = round(x_s * SAMPLE_RATE) + FADE, round(y_s * SAMPLE_RATE)
  for one in segments:
    audio = one.audio - np.mean(one.audio, dtype=np.float64).astype(np.float32)       # no DC that tells recordings apart
    spoken = activity.speech(audio)
    known = {'language': one.language, 'set': one.path.rpartition('/')[0], 'gender': one.gender,
             'emotion': feeling(one)}
    made = lambda part: Side(part, one.path, labels.spoken_by(one), known)
    for start, end in activity.runs(spoken):
      at = end * HOP - size_x
      if end < len(spoken) and at >= 0 and spoken[at // HOP:end].mean() >= SPOKEN:
        first.append(made(audio[at:at + size_x]))
      at = start * HOP
      if start > 0 and at + size_y <= len(audio) and spoken[start:start + size_y // HOP].mean() >= SPOKEN:
        second.append(made(audio[at:at + size_y]))
  return first, second


def feeling(one) -> str:
  """The emotion of a segment by one name, whatever its corpus calls it; '' where it is unknown."""
  word = (one.emotion or '').strip().lower()
  return labels.named_emotion(word) or ('' if word in labels.UNKNOWN else word)


def joined(x, y) -> np.ndarray:
  """f32[samples]: the last 20 ms of x fade into the first 20 ms of y, with the power of both kept."""
  up = np.linspace(0, 1, FADE, dtype=np.float32)
  return np.concatenate([x[:-FADE], x[-FADE:] * np.sqrt(1 - up) + y[:FADE] * np.sqrt(up), y[FADE:]]).astype(np.float32)


def couples(task, segments, count, x_s, y_s, rng) -> tuple[list[Couple], str]:
  """At most `count` couples of a task, drawn evenly over the pairs of speakers that there are; or none, and why."""
  if task == 'adjacency':
    return _adjacent(segments, count, x_s, y_s, rng)
  stretch = RATES[1] if task == 'rate' else 1.0
  first, second = sides(segments, x_s * stretch, y_s * stretch)
  if task in ('speaker', 'gender', 'emotion'):
    found, why = _of_voices(task, first, second, rng)
  else:
    found, why = _of_recordings(first, second, rng), 'no speaker has two recordings that are long enough'
  made = []
  for x, y, group in itertools.islice(found, count):
    made.append(changed(task, x, y, group, round(x_s * SAMPLE_RATE) + FADE, round(y_s * SAMPLE_RATE), rng))
  return made, '' if made else why


def changed(task, x, y, group, size_x, size_y, rng) -> Couple:
  """The couple of two beginnings and two endings, with what the task does to them, all of one level and floor."""
  x, y = [levelled(one.audio) for one in x], [levelled(one.audio) for one in y]
  if task == 'room':
    seeds = rng.integers(2 ** 31, size=2)
    of = lambda audio, number: views.in_room(audio, *list(ROOMS_S.values())[number], np.random.default_rng(seeds[number]))
  elif task == 'background':
    names = rng.choice(list(COLOURS), 2, replace=False)
    of = lambda audio, number: audio + np.float32(10 ** ((SPEECH_DBFS - SNR_DB) / 20)) * views.noise(len(audio), COLOURS[names[number]], rng)
  elif task == 'rate':
    of = lambda audio, number: tempo.stretched(audio, RATES[number])
  elif task == 'pitch':
    of = lambda audio, number: higher(audio, SEMITONES[number])
  else:
    of = lambda audio, number: audio
  x, y = [of(one, number)[-size_x:] for number, one in enumerate(x)], [of(one, number)[:size_y] for number, one in enumerate(y)]
  x, y = ([_fitted(one, size, front) for one in many] for many, size, front in ((x, size_x, True), (y, size_y, False)))
  parts = x + y
  if task != 'background':
    parts = floored([levelled(part) for part in parts], rng)
  parts = [levelled(part) for part in parts]
  if task == 'energy':
    parts = [part * 10 ** (GAINS_DB[number % 2] / 20) for number, part in enumerate(parts)]
  parts = [np.clip(part, -1, 1).astype(np.float32) for part in parts]
  return Couple(task, tuple(parts[:2]), tuple(parts[2:]), group)


def _fitted(audio, size, front):
  spare = max(0, size - len(audio))
  return np.pad(audio, (spare, 0) if front else (0, spare))


def _of_recordings(first, second, rng):
  """Endless (x, y, group): a beginning and an ending of other recordings of one speaker, each of them twice."""
  fits = lambda x, y: x.speaker == y.speaker != '' and x.recording != y.recording
  for x, y in _endless(first, second, fits, lambda x, y: x.speaker, rng):
    yield (x, x), (y, y), (x.speaker,)


def _endless(first, second, fits, group, rng):
  """Pairs that fit, endlessly: each time of a group drawn evenly, since some have many more; nothing where none fits."""
  groups = collections.defaultdict(list)
  for x, y in itertools.product(first, second):
    if fits(x, y):
      groups[group(x, y)].append((x, y))
  names = sorted(groups)
  while names:
    for number in rng.permutation(len(names)):
      pairs = groups[names[number]]
      yield pairs[rng.integers(len(pairs))]


def genders(sides) -> dict:
  """{speaker: m or f}, by label or else by the median pitch of what is known of the speaker."""
  heard = collections.defaultdict(list)
  for one in sides:
    heard[one.speaker].append(one)
  found = {}
  for name, many in heard.items():
    labelled = {one.labels['gender'] for one in many} & {'m', 'f'}
    hertz = np.concatenate([pitch.track(one.audio) for one in many[:6]])
    voiced = hertz[hertz > 0]
    found[name] = labelled.pop() if len(labelled) == 1 else 'f' if len(voiced) and np.median(voiced) > HIGH_HZ else 'm'
  return found


def _of_voices(task, first, second, rng):
  """((x0, x1), (y0, y1), group) of two voices, or of two emotions of one; and why there may be none."""
  emotion = lambda one: (one.speaker, one.labels['emotion'])
  same = emotion if task == 'emotion' else lambda one: (one.speaker, '')
  begins, ends = collections.defaultdict(list), collections.defaultdict(list)
  for many, found in ((first, begins), (second, ends)):
    for one in many:
      if one.speaker and (task != 'emotion' or one.labels['emotion']):
        found[same(one)].append(one)
  rich = sorted(key for key in begins if any(x.recording != y.recording for x in begins[key] for y in ends.get(key, ())))
  where = {key: begins[key][0].labels for key in rich}
  # Voices of one corpus and language only: others would be told apart by their microphones.
  if task == 'emotion':
    pairs = [(a, b) for a, b in itertools.combinations(rich, 2) if a[0] == b[0]]
    why = 'no speaker has two recordings of each of two labelled emotions'
  else:
    of = genders([one for key in rich for one in begins[key]])
    fits = lambda a, b: all(where[a][name] == where[b][name] for name in ('set', 'language'))
    pairs = [(a, b) for a, b in itertools.combinations(rich, 2) if fits(a, b) and (of[a[0]] == of[b[0]]) == (task == 'speaker')]
    why = f'no two speakers of {"one gender" if task == "speaker" else "two genders"} in one corpus have two recordings each'

  def endless():
    while pairs:
      for number in rng.permutation(len(pairs)):
        chosen = [_apart(begins[key], ends[key], rng) for key in pairs[number]]
        (x0, y0), (x1, y1) = chosen
        yield (x0, x1), (y0, y1), tuple(sorted({key[0] for key in pairs[number]}))
  return endless(), why


def _apart(first, second, rng):
  """A beginning and an ending of two recordings, of which there are some."""
  while True:
    x, y = first[rng.integers(len(first))], second[rng.integers(len(second))]
    if x.recording != y.recording:
      return x, y


def _adjacent(segments, count, x_s, y_s, rng):
  """Couples of two turns with what follows each, where who goes on is the same in both; every pair of turns once."""
  dialogues = collections.defaultdict(list)
  for one in segments:
    if one.dialogue and one.turn is not None and activity.speech(one.audio).any():
      dialogues[one.source, one.dialogue].append(one)
  found = []
  for turns in dialogues.values():
    turns.sort(key=lambda one: (one.turn, one.start_s))
    found += [(a, b) for a, b in zip(turns, turns[1:]) if b.turn != a.turn]
  by, other = labels.spoken_by, lambda pair: labels.spoken_by(pair[0]) != labels.spoken_by(pair[1])
  pairs = [(one, two) for one, two in itertools.combinations(found, 2)
           if by(one[1]) == by(two[1]) and other(one) == other(two) and one[1].dialogue != two[1].dialogue
           and not any(a.text and a.text == b.text for a, b in zip(one, two))]
  made = []
  for number in rng.permutation(len(pairs))[:count]:
    one, two = pairs[number]
    x, y = [_end(pair[0].audio, x_s) for pair in (one, two)], [_begin(pair[1].audio, y_s) for pair in (one, two)]
    parts = [levelled(part) for part in floored([levelled(part) for part in x + y], rng)]
    made.append(Couple('adjacency', tuple(parts[:2]), tuple(parts[2:]), (by(one[1]),), other(one)))
  return made, '' if made else 'no two turns of dialogues or passages are followed by the same speaker'


def _end(audio, seconds):
  """The last `seconds` and a fade up to the pause behind the speech, silence before it where it is shorter."""
  end, size = activity.runs(activity.speech(audio))[-1][1] * HOP, round(seconds * SAMPLE_RATE) + FADE
  return _fitted(audio[max(0, end - size):end], size, True)


def _begin(audio, seconds):
  """The first `seconds` from 50 ms before the speech on."""
  start, size = activity.runs(activity.speech(audio))[0][0] * HOP, round(seconds * SAMPLE_RATE)
  return _fitted(audio[start:start + size], size, False)
