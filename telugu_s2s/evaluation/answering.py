"""Whether a question gets its answer: what a model says is matched with all answers that there are, whoever's voice they are in.

Matched by dynamic time warping of cepstra whose mean was taken off, which tells sentences apart and hardly voices (Sakoe and
Chiba, 1978; Furui, 1981). Beside it stands retrieval: the answer of the question whose codes are most like those of the asked one.
"""
import collections
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import activity, files, mel
from telugu_s2s.corpora import sample
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import benchmark, generate, reply
from telugu_s2s.lm import sampling
from telugu_s2s.tokens import encoding
from telugu_s2s.training import loop, runs
from telugu_s2s.training.metrics import wilson

BANDS, CEPSTRA = 40, 12
WINDOW, HOP = 1024, 640          # 64 ms every 40 ms
SHORTEST = 10                    # frames of speech, below which nothing was said


def run(config, workdir):
  """The job: answers to the questions of a folder, matched with the answers of dialogues that were learnt; workdir/answers.json.

  Raises:
    InputError: a folder has no manifest, or no question has an answer.
  """
  workdir = loop.begin(config, workdir)
  model, params, trained = runs.loaded(config.run)
  learnt, asked = rows_of(config.dialogues or sample.folder()), rows_of(config.questions or sample.folder() / sample.ASKED)
  answers = {}
  for one in learnt:
    if one['style'] == 'answer' and one['split'] == 'train':
      answers.setdefault(one['sentence'], one)
  of = {one['text']: answer for one, answer in exchanges(learnt)}
  asked = [one for one in asked if of.get(one['text']) in answers][::config.every]
  if not asked:
    raise InputError(f'config.questions: none of these questions has an answer in {config.dialogues or "the sample corpus"}')
  encoder = encoding.Encoder(trained)
  codes = encoder([files.read(one['place'])[0] for one in asked])
  given, guidance = generate.guided(config, model, generate.conditions_of(config, model, encoding.Encoder(trained, batch=1)))
  said = spoken(model, params, trained, codes, encoder.silence().astype(np.int32), config, given, guidance)
  names, right = sorted(answers), [of[one['text']] for one in asked]
  known = [files.read(answers[name]['place'])[0] for name in names]
  questions = [(one, answer) for one, answer in exchanges(learnt) if one['split'] == 'train']
  heard = encoder([files.read(one['place'])[0] for one, _ in questions])
  result = {'model': score(matched(said, known, names), right), 'chance': 1 / len(names), 'answers': len(names),
            'retrieval': score(retrieved(codes, heard, [answer for _, answer in questions]), right), 'ceiling': ceiling(learnt, known, names)}
  result |= {'revision': loop.revision(), 'machine': benchmark.machine()}
  files.write(workdir / 'answers.json', (json.dumps(result, indent=1) + '\n').encode())
  for name in ('model', 'retrieval', 'ceiling'):
    if one := result[name]:
      print(f'{name:>10}: {one["share"]:.0%} right ({one["interval"][0]:.0%} to {one["interval"][1]:.0%}, n = {one["n"]})')
  print(f'    chance: {result["chance"]:.1%}, of {len(names)} answers; ceiling: other takes of the answers themselves, matched the same way')


def rows_of(folder) -> list[dict]:
  """The manifest rows of a folder, each with `place`, its file, and `sentence`, what is said whoever says it."""
  try:
    with open(Path(folder) / 'MANIFEST.tsv', encoding='utf-8', newline='') as file:
      rows = list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))
  except OSError as problem:
    raise InputError(f'config.dialogues, config.questions: {folder} has no MANIFEST.tsv ({problem}); give folders as of configs/pairs.py') from None
  return [one | {'place': Path(folder) / one['path'], 'sentence': one['text']} for one in rows]


def exchanges(rows) -> list[tuple[dict, str]]:
  """[(row of a question, the sentence that answers it)]."""
  last, found = {}, []
  for one in rows:
    if one['style'] == 'question':
      last[one['dialogue']] = one
    elif one['style'] == 'answer' and one['dialogue'] in last:
      found.append((last[one['dialogue']], one['sentence']))
  return found


def spoken(model, params, trained, codes, silence, config, given, guidance) -> list[np.ndarray]:
  """f32[samples], what the model says in config.seconds after each of the questions i[t q]."""
  longest, after = max(map(len, codes)), round(config.seconds * trained.config.frame_rate)
  quiet = lambda frames: np.tile(silence, (frames, 1))
  how, found = sampling.Sampling(0.0, 0, int(silence[0]), config.silence_bias, guidance=guidance), []
  for at in range(0, len(codes), config.batch):
    some = codes[at:at + config.batch]
    some = some + [some[-1]] * (config.batch - len(some))                    # one shape, one program
    # Silence comes first, so that all questions end at one frame.
    user = np.stack([np.concatenate([quiet(longest - len(one)), one.astype(np.int32), quiet(after + model.delay)]) for one in some])
    said = reply.answered(model, params, jnp.asarray(user), longest, silence, jax.random.key(config.seed), how,
                          {name: jnp.broadcast_to(value, (config.batch, *np.shape(value))) for name, value in given.items()})
    found += list(encoding.decoded(trained, said))
  return found[:len(codes)]


def ceiling(rows, known, names) -> dict | None:
  """`score` of other takes of the answers, by voices other than that of the take that is known; None where there is none."""
  first, others = {}, {}
  for one in rows:
    if one['style'] == 'answer' and one['split'] == 'train':
      first.setdefault(one['sentence'], one)
      if one['speaker'] != first[one['sentence']]['speaker']:
        others.setdefault(one['sentence'], one)
  some = sorted(others)[::3]
  return score(matched([files.read(others[name]['place'])[0] for name in some], known, names), some) if some else None


def cepstra(samples) -> np.ndarray:
  """f32[frames 24]: cepstra 1 to 12 with their slopes, each dimension of mean 0 and deviation 1 over what is spoken; may be empty."""
  if len(samples) <= WINDOW:
    return np.zeros((0, 2 * CEPSTRA), np.float32)
  spoken = np.flatnonzero(activity.speech(samples))
  if not len(spoken):
    return np.zeros((0, 2 * CEPSTRA), np.float32)
  ten_ms = files.SAMPLE_RATE // 100
  part = samples[spoken[0] * ten_ms:(spoken[-1] + 1) * ten_ms]
  if len(part) <= WINDOW:
    return np.zeros((0, 2 * CEPSTRA), np.float32)
  bands = np.maximum(mel.log_mel(part, bands=BANDS, window=WINDOW, hop=HOP), -60)
  number = np.arange(1, CEPSTRA + 1)[:, None]
  x = bands @ np.cos(np.pi * number * (np.arange(BANDS) + 0.5) / BANDS).T
  x = np.concatenate([x, np.gradient(x, axis=0)], 1) if len(x) > 1 else np.concatenate([x, np.zeros_like(x)], 1)
  return ((x - x.mean(0)) / np.maximum(x.std(0), 1e-3)).astype(np.float32)


def warped(one: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
  """f64[k], the distance of a recording to each of others along the best path, by the frames of both. one: f32[n d]; others: f32[m d]."""
  longest = max(map(len, others))
  far = np.full((len(others), len(one), longest), np.inf)
  for place, other in enumerate(others):
    far[place, :, :len(other)] = np.sqrt(np.maximum(
        (one ** 2).sum(1)[:, None] + (other ** 2).sum(1) - 2 * one @ other.T, 0))
  total = np.full((len(others), len(one) + 1, longest + 1), np.inf)
  total[:, 0, 0] = 0
  for diagonal in range(2, len(one) + longest + 1):          # all cells i + j of one sum at once
    i = np.arange(max(1, diagonal - longest), min(len(one), diagonal - 1) + 1)
    j = diagonal - i
    steps = np.minimum(np.minimum(total[:, i - 1, j], total[:, i, j - 1]), total[:, i - 1, j - 1])
    total[:, i, j] = far[:, i - 1, j - 1] + steps
  ends = np.array([total[place, len(one), len(other)] for place, other in enumerate(others)])
  return ends / (len(one) + np.array([len(other) for other in others]))


def matched(said: Sequence[np.ndarray], answers: Sequence[np.ndarray], sentences: Sequence[str]) -> list[str]:
  """The sentence of the nearest answer of what was said each time, '' where nothing was. said, answers: f32[samples] at 16 kHz."""
  known = [cepstra(answer) for answer in answers]
  found = []
  for one in map(cepstra, said):
    found.append(sentences[int(np.argmin(warped(one, known)))] if len(one) >= SHORTEST else '')
  return found


def retrieved(asked: Sequence[np.ndarray], questions: Sequence[np.ndarray], sentences: Sequence[str]) -> list[str]:
  """The sentence that answers the question whose codes are most like those asked, by how often pairs of codes follow each other.

  asked, questions: i[t q], codes; level 0 counts. sentences: of the answer of each question.
  """
  def profile(codes):
    level = codes[:, 0].tolist()
    return collections.Counter(level) + collections.Counter(zip(level, level[1:]))

  every = [profile(codes) for codes in questions]
  rare = collections.Counter(one for each in every for one in each)
  weigh = lambda counts: {one: count * np.log(len(every) / rare[one]) for one, count in counts.items() if one in rare}
  norm = lambda values: max(1e-9, sum(value * value for value in values.values()) ** 0.5)
  known = [(one, norm(one)) for one in map(weigh, every)]
  found = []
  for one in map(weigh, map(profile, asked)):
    found.append(sentences[int(np.argmax([sum(value * other.get(name, 0.0) for name, value in one.items()) / size for other, size in known]))])
  return found


def score(found: Sequence[str], right: Sequence[str]) -> dict:
  """{share: how many are right, interval: its 95 % interval, n}."""
  hits = [one == other for one, other in zip(found, right, strict=True)]
  return {'share': float(np.mean(hits)), 'interval': wilson(float(np.mean(hits)), len(hits)), 'n': len(hits)}
