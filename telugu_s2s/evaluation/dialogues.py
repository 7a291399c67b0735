"""How well turns are told apart and answers found, on speech whose speakers and answers are known."""
import collections
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from telugu_s2s.audio import files, level
from telugu_s2s.codec import weights
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import licences, sample
from telugu_s2s.dialogue import diarise, matched, retrieval, timing, voiceprint
from telugu_s2s.dialogue.timing import Span
from telugu_s2s.errors import InputError
from telugu_s2s.tokens import labels
from telugu_s2s.training import intervals

TURNS = 8
LONGEST_S = 8.0                  # of a clip that is heard
EDGE_DB = -35.0                  # below a clip's peak level, where its speech is taken to begin and end


def measured(folder, mixes: int, seed: int, vad: str, codec: str, workdir) -> dict:
  """Diarisation on mixes of a folder's held-out speakers, with each vector that is installed, and retrieval on the sample corpus."""
  result = {'diarisation': diarisation(folder, mixes, seed, vad), 'letters': by_text(sample.folder()),
            'codes': by_codes(sample.folder(), weights.load(codec))}
  for by, one in result['diarisation'].items():
    low, high = one['interval']
    print(f'diarisation, {by}, of {one["mixes"]} mixes: error {one["error"]:.1%} ({low:.1%} to {high:.1%}) = missed {one["missed"]:.1%} + false '
          f'alarm {one["false_alarm"]:.1%} + confusion {one["confusion"]:.1%}; with a collar of 0.25 s {one["collar"]:.1%}')
  for by in ('letters', 'codes'):
    found = result[by]
    print(f'answers found by {by} among {found["of"]}: {found["top1"]:.1%} at once, {found["top5"]:.1%} among five; chance {found["chance"]:.1%}')
  files.write(Path(workdir) / 'measure.json', (json.dumps(result, indent=1) + '\n').encode())
  return result


def diarisation(folder, mixes: int, seed: int, vad: str = 'energy') -> dict:
  """{vector: mean errors, the 95 % interval of their mean, nan of two speakers alone} over mixes of two held-out speakers who take turns."""
  speakers = held_out(folder)
  rng, rows, sides = np.random.default_rng(seed), collections.defaultdict(list), []
  names = sorted(speakers)
  ways = [by for by in voiceprint.BY if by == 'plain' or voiceprint.available()]
  for _ in range(mixes):
    two = [names[number] for number in rng.permutation(len(names))[:2]]
    sides.append(tuple(sorted(two)))
    samples, spans = mixed([speakers[name] for name in two], folder, rng)
    for by in ways:
      found = diarise.turns(samples, by, vad)
      rows[by].append(error(spans, found) | {'collar': error(spans, found, 0.25)['error']})
  result = {}
  for by, each in rows.items():
    errors = [one['error'] for one in each]
    result[by] = {name: float(np.mean([one[name] for one in each])) for name in each[0]} | {
        'mixes': mixes, 'interval': intervals.by_group(errors, sides, rng)}
  return result


def held_out(folder) -> dict[str, list]:
  """{speaker: recordings} of a folder's split eval, of speakers with two clips."""
  found = collections.defaultdict(list)
  for one in corpus.recordings(folder, licences.OWN)[0]:
    if one.split == 'eval' and one.speaker:
      found[labels.spoken_by(one)].append(one)
  found = {name: clips for name, clips in found.items() if len(clips) > 1}
  if len(found) < 2:
    raise InputError(f'config.folder: {folder} has no two speakers of split eval with two recordings each, of which dialogues are mixed')
  return found


def mixed(sides, folder, rng) -> tuple[np.ndarray, list[Span]]:
  """A dialogue of two speakers' clips, f32[samples], and who speaks when. Levels are equal; gaps are drawn, overlaps are not."""
  parts, spans, at = [], [], 0
  for turn in range(TURNS):
    clips = sides[turn % 2]
    one = clips[int(rng.integers(len(clips)))]
    samples = audible(corpus.samples(folder, one))[:round(LONGEST_S * files.SAMPLE_RATE)]
    samples = samples * 10 ** (-25 / 20) / (np.sqrt(np.mean(samples ** 2)) + 1e-9)
    parts.append(samples)
    spans.append(Span(at / files.SAMPLE_RATE, (at + len(samples)) / files.SAMPLE_RATE, str(turn % 2)))
    gap = np.zeros(round(max(0.05, timing.ASSUMED.gap_s.drawn(rng)) * files.SAMPLE_RATE), np.float32)
    parts.append(gap)
    at += len(samples) + len(gap)
  whole = np.concatenate(parts)
  noise = rng.standard_normal(len(whole)).astype(np.float32) * 10 ** (-65 / 20)
  return np.clip(whole + noise, -1, 1).astype(np.float32), spans


def audible(samples) -> np.ndarray:
  """Samples without the silence at their ends."""
  loud = level.frame_dbfs(samples)
  found = np.flatnonzero(loud > loud.max() + EDGE_DB)
  return samples[found[0] * level.HOP:found[-1] * level.HOP + level.FRAME]


def by_text(folder) -> dict:
  """How often the own answer of a question is found by letters, in a folder whose dialogues are a question and an answer."""
  asked, answered = questions(folder)
  return accuracy([retrieval.grams(one.text) for one in asked], [retrieval.grams(one.text) for one in answered])


def by_codes(folder, trained) -> dict:
  """The same by the codes of the recordings, which other speakers speak."""
  asked, answered = questions(folder)
  bags = matched.coded(folder, asked + answered, trained)
  return accuracy(bags[:len(asked)], bags[len(asked):])


def questions(folder) -> tuple[list, list]:
  """The questions of a folder and, at the same places, their answers, of the last telling of each."""
  found = collections.defaultdict(dict)
  for one in corpus.recordings(folder, licences.OWN)[0]:
    if one.style in ('question', 'answer') and one.text:
      found[one.dialogue.rpartition('-')[0]].setdefault(one.dialogue, {})[one.style] = one
  both = [found[name][max(found[name])] for name in sorted(found)]
  both = [one for one in both if len(one) == 2]
  return [one['question'] for one in both], [one['answer'] for one in both]


def accuracy(questions: Sequence[collections.Counter], answers: Sequence[collections.Counter]) -> dict:
  """How often the answer at a question's own place is found: {top1, top5, chance: shares, of: a count}."""
  index = retrieval.Index(answers)
  ranks = []
  for number, question in enumerate(questions):
    scores = index.scores(question)
    ranks.append(int(np.sum(scores > scores[number]) + np.sum(scores[:number] == scores[number])))
  ranks = np.array(ranks)
  return {'top1': float(np.mean(ranks < 1)), 'top5': float(np.mean(ranks < 5)), 'chance': 1 / len(answers), 'of': len(questions)}


def error(reference: Sequence[Span], found: Sequence[Span], collar_s: float = 0.0) -> dict:
  """The diarisation error of found turns: {error, missed, false_alarm, confusion}, shares of the reference's speech.

  Speakers are matched so that the error is least. collar_s: around each edge of the reference nothing is counted.
  """
  end_s = max(one.end_s for one in [*reference, *found])
  frames = round(end_s * files.SAMPLE_RATE / level.HOP) + 1
  names = sorted({one.speaker for one in reference})
  if len(names) > 2 or len({one.speaker for one in found}) > 2:
    raise ValueError('more than two speakers')
  raster = lambda spans, name: _raster([one for one in spans if one.speaker == name], frames)
  there = np.stack([raster(reference, name) for name in (names + [''])[:2]])
  heard = np.stack([raster(found, name) for name in ('0', '1')])
  counted = np.ones(frames, bool)
  for one in reference if collar_s else ():
    for edge in (one.start_s, one.end_s):
      counted[max(0, round((edge - collar_s) * files.SAMPLE_RATE / level.HOP)):round((edge + collar_s) * files.SAMPLE_RATE / level.HOP)] = False
  there, heard = there[:, counted], heard[:, counted]
  speech = there.sum()
  least = lambda heard: np.minimum(there.sum(0), heard.sum(0)).sum() - (there & heard).sum()
  missed = np.maximum(there.sum(0) - heard.sum(0), 0).sum()
  alarm = np.maximum(heard.sum(0) - there.sum(0), 0).sum()
  confusion = min(least(heard), least(heard[::-1]))
  return {name: float(value / speech) for name, value in (
      ('error', missed + alarm + confusion), ('missed', missed), ('false_alarm', alarm), ('confusion', confusion))}


def _raster(spans, frames):
  """bool[frames] of 10 ms, where any of the spans is."""
  result = np.zeros(frames, bool)
  for one in spans:
    result[round(one.start_s * files.SAMPLE_RATE / level.HOP):round(one.end_s * files.SAMPLE_RATE / level.HOP)] = True
  return result
