"""Whether a question gets its answer: what a model says is matched with all answers that there are, whoever's voice they are in.

Matched by dynamic time warping of cepstra whose mean was taken off, which tells sentences apart and hardly voices (Sakoe and
Chiba, 1978; Furui, 1981). Beside it stands retrieval: the answer of the question whose codes are most like those of the asked one.
"""
import collections
import difflib
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import activity, files, level, mel
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import sample
from telugu_s2s.dialogue import engines, retrieval
from telugu_s2s.dialogue import matched as matching
from telugu_s2s.dialogue import sample as spoken_sample
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import benchmark, generate, reply
from telugu_s2s.lm import sampling
from telugu_s2s.tokens import encoding
from telugu_s2s.training import intervals, loop, runs, texts

BANDS, CEPSTRA = 40, 12
WINDOW, HOP = 1024, 640          # 64 ms every 40 ms
SHORTEST = 10                    # frames of speech, below which nothing was said


def run(config, workdir):
  """The job: answers to the questions of a folder, matched with the answers of dialogues that were learnt; workdir/answers.json.

  Raises:
    InputError: there is no such folder, no question has an answer, or there are not so many voices.
  """
  if min(config.every, config.batch) < 1 or not generate.LEAST_S <= config.seconds < float('inf'):
    raise InputError(f'config.every {config.every}, config.batch {config.batch}, config.seconds {config.seconds}: give 1, 1 and '
                     f'{generate.LEAST_S:g} s or more')
  workdir = loop.begin(config, workdir)
  voice = runs.voice(config.run)
  model, params, trained = voice.model, voice.params, voice.codec
  folders = Path(config.dialogues or sample.folder()), Path(config.questions or sample.folder() / sample.ASKED)
  learnt, asked = (corpus.recordings(folder, '')[0] for folder in folders)
  takes, pairs = answers_of(learnt), exchanges(learnt)
  of = collections.defaultdict(set)              # of a question all of its answers, any of which is right
  for question, answer in pairs:
    of[question.text] |= {answer.text} & takes.keys()
  asked = [one for one in asked if of.get(one.text)][::config.every]
  if not asked:
    raise InputError(f'config.questions: none of these questions has an answer in {folders[0]}')
  encoder, names, right = encoding.Encoder(trained), sorted(takes), [of[one.text] for one in asked]
  heard = lambda folder, some: [corpus.samples(folder, one) for one in some]
  sentences = [one.text for one in asked]
  codes = encoder(heard(folders[1], asked) + anew(sentences, learnt, config.voices, config.seed))
  sentences, right = sentences * (1 + config.voices), right * (1 + config.voices)
  given, guidance = generate.guided(config, voice, generate.conditions_of(config, voice, encoding.Encoder(trained, batch=1)))
  vocabulary = texts.of_run(voice.folder, model)
  said, words = spoken(model, params, trained, codes, encoder.silence().astype(np.int32), config, given, guidance)
  first = {name: min(takes[name], key=begun) for name in names}
  known = [cepstra(one) for one in heard(folders[0], first.values())]
  others = {name: other for name, some in takes.items() if (other := next((one for one in some if one.speaker != first[name].speaker), None))}
  tried = sorted(others)[::3]
  found = {'model': (matched(said, known, names), right), 'retrieval': (retrieved(codes, pairs, folders[0], trained), right),
           'words': (written(vocabulary, words, names), right if words else []),
           'ceiling': (matched(heard(folders[0], [others[name] for name in tried]), known, names), [{name} for name in tried])}
  result = {name: share(*both, tried if name == 'ceiling' else sentences, config.seed) for name, both in found.items()}
  result |= {'chance': chance(right, len(names)), 'answers': len(names), 'revision': loop.revision(), 'machine': benchmark.machine()}
  files.write(workdir / 'answers.json', (json.dumps(result, indent=1) + '\n').encode())
  for name in found:
    if one := result[name]:
      print(f'{name:>10}: {one["share"]:.0%} right ({one["interval"][0]:.0%} to {one["interval"][1]:.0%}, n = {one["n"]})')
  print(f'    chance: {result["chance"]:.1%}, of {len(names)} answers; ceiling: other takes of the answers themselves, matched the same way')


def anew(sentences: Sequence[str], learnt, voices: int, seed: int) -> list[np.ndarray]:
  """f32[samples] of each sentence, said by one voice of espeak-ng after the other that no recording of `learnt` has.

  Raises:
    InputError: there are not so many, or the engine is not installed.
  """
  known = {one.speaker for one in learnt}
  free = [name for name in engines.VARIANTS if f'espeak-{name}' not in known]
  if not 0 <= voices <= len(free):
    raise InputError(f'config.voices {voices}: give 0 to {len(free)}, the voices of espeak-ng that the dialogues do not have')
  if not voices:
    return []
  engine = engines.espeak(engines.varied({}, len(engines.VARIANTS)), (0, 0))
  return [spoken_sample.finished(engine.speak(text, name, 'neutral', 1.0, seed).samples) for name in free[:voices] for text in sentences]


def share(said, wanted, sentences, seed: int) -> dict | None:
  """How often what was said is one of what was wanted, over sentences where one comes more than once; None where nothing was wanted."""
  if not wanted:
    return None
  right = np.array([float(one in known) for one, known in zip(said, wanted)])
  if len(set(sentences)) == len(sentences):
    return intervals.share(right)
  return intervals.share_by_group(right, sentences, np.random.default_rng(seed))


def chance(right, answers: int) -> float:
  """How often one of so many answers, drawn evenly, is right. right: of each question, its answers."""
  return sum(map(len, right)) / (len(right) * answers)


def answers_of(recordings) -> dict[str, list[corpus.Recording]]:
  """{sentence: its takes} of the answers of split train."""
  found = collections.defaultdict(list)
  for one in recordings:
    if one.style == 'answer' and one.split == 'train':
      found[one.text].append(one)
  return dict(found)


def begun(recording) -> bool:
  """Whether a breath or a filler comes before its words, by its marks."""
  return bool(recording.custom.get('text_raw'))


def exchanges(recordings) -> list[tuple[corpus.Recording, corpus.Recording]]:
  """[(question, answer)] of dialogues: each answer with the question before it."""
  dialogues, found = collections.defaultdict(list), []
  for one in recordings:
    if one.dialogue:
      dialogues[one.source, one.dialogue].append(one)
  for rows in dialogues.values():
    question = None
    for one in sorted(rows, key=lambda row: row.turn or 0):
      if one.style == 'question':
        question = one
      elif one.style == 'answer' and question:
        found.append((question, one))
        question = None
  return found


def spoken(model, params, trained, codes, silence, config, given, guidance) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """What the model says in config.seconds after each of the questions i[t q]: f32[samples], and the texts i32[t] of one with a text slot."""
  longest, after = max(map(len, codes)), round(config.seconds * trained.config.frame_rate)
  how = sampling.Sampling(0.0, 0, int(silence[0]), config.silence_bias, guidance=guidance, floor=config.floor)
  found, words = [], []
  for at in range(0, len(codes), config.batch):
    some = codes[at:at + config.batch]
    some = some + [some[-1]] * (config.batch - len(some))                    # one shape, one program
    user = jnp.asarray(reply.lined_up(some, silence, longest, after + model.delay))
    said, text = reply.answered(model, params, user, longest, silence, jax.random.key(config.seed), how,
                          {name: jnp.broadcast_to(value, (config.batch, *np.shape(value))) for name, value in given.items()})
    found += list(encoding.decoded(trained, said))
    words += [] if text is None else list(np.asarray(text))
  return found[:len(codes)], words[:len(codes)]


def written(vocabulary, words, sentences: Sequence[str]) -> list[str]:
  """The sentence whose letters are most like those of each text i32[t], '' where it holds no word."""
  found = [vocabulary.decode(one) for one in words]
  like = lambda text: [difflib.SequenceMatcher(None, text, sentence, autojunk=False).ratio() for sentence in sentences]
  return [sentences[int(np.argmax(like(text)))] if text else '' for text in found]


def cepstra(samples) -> np.ndarray:
  """f32[frames 24]: cepstra 1 to 12 with their slopes, each dimension of mean 0 and deviation 1 over what is spoken; may be empty."""
  spoken = np.flatnonzero(activity.speech(samples))
  part = samples[spoken[0] * level.HOP:(spoken[-1] + 1) * level.HOP] if len(spoken) else samples[:0]
  if len(part) <= WINDOW:
    return np.zeros((0, 2 * CEPSTRA), np.float32)
  bands = np.maximum(mel.log_mel(part, bands=BANDS, window=WINDOW, hop=HOP), -60)
  number = np.arange(1, CEPSTRA + 1)[:, None]
  x = bands @ np.cos(np.pi * number * (np.arange(BANDS) + 0.5) / BANDS).T
  x = np.concatenate([x, np.gradient(x, axis=0)], 1)
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


def matched(said: Sequence[np.ndarray], known: Sequence[np.ndarray], sentences: Sequence[str]) -> list[str]:
  """The sentence of the nearest answer of what was said each time, '' where nothing was. said: f32[samples]; known: `cepstra` of answers."""
  found = []
  for one in map(cepstra, said):
    found.append(sentences[int(np.argmin(warped(one, known)))] if len(one) >= SHORTEST else '')
  return found


def retrieved(asked: Sequence[np.ndarray], pairs, folder, trained) -> list[str]:
  """The sentence that answers the learnt question whose codes are most like those asked, i[t q], see dialogue/retrieval.py."""
  pairs = [one for one in pairs if one[0].split == 'train']
  index = retrieval.Index(matching.coded(folder, [question for question, _ in pairs], trained))
  return [pairs[int(np.argmax(index.scores(retrieval.pairs_of_codes(codes[:, 0]))))][1].text for codes in asked]
