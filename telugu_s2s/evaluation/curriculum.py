"""The whole way as one job: dialogues are spoken, stages 2, 3 and 4 trained, a question is answered, all is measured and told.

Each step is the job of another config file, in a folder of its own below the workdir. A step whose result is there for the same
inputs, its fields and what these name, files or earlier steps, is skipped; one that was cut off goes on. What was learnt or measured of
others is set aside in the step's folder, below earlier/. ledger.json has what each was thought to take, and took.
"""
import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from telugu_s2s.audio import files
from telugu_s2s.codec import weights
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import sample
from telugu_s2s.dialogue import spoken
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import answering, benchmark, control, evaluate, pairs, reply
from telugu_s2s.evaluation.pace import Pace
from telugu_s2s.evaluation.recipes import of
from telugu_s2s.tokens import batches, labels, vocabulary
from telugu_s2s.training import aligner, loop, stage1, stage2, stage3, stage4

DONE, LEDGER = 'done.json', 'ledger.json'
PROGRAMS = 'jax_compilation_cache_dir'
# What jobs leave that another one would go on from, or that tells of it; what is made of recordings looks after itself.
MADE = ('checkpoints', 'log.jsonl', 'tensorboard', 'samples', 'replies', 'config.json', 'labels.json', 'summary.json', 'codec.safetensors',
        'aligner.safetensors', vocabulary.FILE, 'answers.json', 'evaluate.json', DONE)
INPUTS = ('data.audio', 'dialogues', 'questions', 'question', 'codec')       # fields that name files


@dataclasses.dataclass(frozen=True)
class Step:
  """A job on the way."""
  name: str                      # of its folder
  config: object                 # of its job, resolved
  job: Callable                  # run(config, workdir)
  seconds: float                 # that it is thought to take
  result: str                    # a file that it ends with


@contextlib.contextmanager
def compiled_once():
  """What XLA compiles is kept in a folder until all steps are done: they let go of their programs, and compile many of the same.

  It goes then, as what is compiled for one CPU can crash on another. Who has such a folder keeps it.
  """
  if jax.config.jax_compilation_cache_dir:
    yield
    return
  with tempfile.TemporaryDirectory() as folder:
    try:
      _keep_programs(folder)
      os.environ[PROGRAMS.upper()] = folder       # of the processes that make tokens
      yield
    finally:
      os.environ.pop(PROGRAMS.upper(), None)
      _keep_programs(None)


def _keep_programs(folder) -> None:
  jax.config.update(PROGRAMS, folder)
  compilation_cache.reset_cache()                 # else JAX stays with what it found when it first compiled


@compiled_once()
def run(config, workdir):
  """The job: all steps, the ledger and a report."""
  workdir = loop.begin(config, workdir)
  steps, before, ledger = planned(config, workdir), {}, _ledger(workdir)
  keep = lambda: files.write(workdir / LEDGER, (json.dumps(ledger, indent=1) + '\n').encode())
  print('steps: ' + ', '.join(f'{one.name} {loop.clock(one.seconds)}' for one in steps) +
        f'; {loop.clock(sum(one.seconds for one in steps))} in all, as predicted', flush=True)
  for one in steps:
    folder = workdir / one.name
    inputs = before[str(folder)] = key(one, before)
    if _done(folder, one, inputs):
      print(f'\n=== {one.name}: there already, in {folder}', flush=True)
      continue
    print(f'\n=== {one.name}', flush=True)
    if ledger.get(one.name, {}).get('inputs') != inputs:
      set_aside(folder)
      ledger[one.name] = {'inputs': inputs, 'predicted_s': round(one.seconds, 1), 'spent_s': 0.0}
      keep()
    began, spent = time.monotonic(), ledger[one.name]['spent_s']
    try:
      one.job(one.config, folder)
    finally:
      ledger[one.name]['spent_s'] = round(spent + time.monotonic() - began, 1)
      keep()
    if not (folder / one.result).exists():
      print(f'{one.name} was stopped; the same command goes on from here')
      return
    files.write(folder / DONE, json.dumps({'inputs': inputs}).encode())
    jax.clear_caches()
  report(workdir, steps, ledger)


def _ledger(workdir) -> dict:
  try:
    return json.loads((workdir / LEDGER).read_bytes())
  except (OSError, ValueError):
    return {}


def set_aside(folder) -> None:
  """Moves what a step with other inputs made to folder/earlier/NUMBER, so that nobody goes on from it and nothing is lost."""
  there = [folder / name for name in MADE if (folder / name).exists()]
  if there:
    number = 1 + max((int(path.name) for path in (folder / 'earlier').glob('[0-9]*')), default=0)
    place = folder / 'earlier' / str(number)
    place.mkdir(parents=True)
    for path in there:
      path.rename(place / path.name)
    print(f'inputs have changed: what was made of the others is set aside in {place}', flush=True)


def key(step: Step, before: dict[str, str]) -> str:
  """What a step's result follows from: its fields, what is in the files that they name, and the earlier steps that they name.

  before: the key of each earlier step by its folder. A path in one of them counts as that step's key and the name below it: so a step does
  not follow from those that it takes nothing of, nor from where the workdir lies.
  """
  def told(value):
    if isinstance(value, str):
      return next((inputs + value[len(folder):] for folder, inputs in before.items() if f'{value}/'.startswith(f'{folder}/')), value)
    if isinstance(value, dict):
      return {name: told(one) for name, one in value.items()}
    return [told(one) for one in value] if isinstance(value, (list, tuple)) else value

  named = {field: _content(field, value) for field in INPUTS if (value := _field(step.config, field))}
  return hashlib.sha256(json.dumps([told(step.config.to_dict()), named], sort_keys=True).encode()).hexdigest()[:16]


def _field(config, name: str):
  for part in name.split('.'):
    config = config.get(part, '') if config else ''
  return config


def _content(field: str, name: str) -> str:
  """The name of a codec, a checksum of a file, or one of the names and sizes in a folder and of its manifest, if it has one."""
  path = Path(name)
  if field == 'codec':
    return weights.load(name).identity
  if path.is_file():
    return hashlib.sha256(path.read_bytes()).hexdigest()
  manifest = corpus.manifest_of(path)
  told = json.dumps(sorted((one.relative_to(path).as_posix(), one.stat().st_size) for one in path.rglob('*') if one.is_file())).encode()
  return hashlib.sha256(told + (manifest.read_bytes() if manifest else b'')).hexdigest()


def _done(folder, step, inputs) -> bool:
  try:
    return json.loads((folder / DONE).read_bytes())['inputs'] == inputs and (folder / step.result).exists()
  except (OSError, ValueError, KeyError):
    return False


def check(config) -> None:
  """Raises InputError where a name is none: hours would pass before the step that needs it."""
  for field in ('data.audio', 'pairs.folder', 'pairs.questions', 'question'):
    name = _field(config, field)
    if name and not (Path(name).is_file() if field == 'question' else Path(name).is_dir()):
      raise InputError(f'config.{field}: there is no {"file" if field == "question" else "folder"} {name}')
  if folder := config.pairs.folder:
    sides = collections.defaultdict(set)
    for one in corpus.recordings(folder, '', 'config.pairs.folder')[0]:
      sides[one.dialogue].add(one.speaker)
    if not any(name and len(speakers - {''}) > 1 for name, speakers in sides.items()):
      raise InputError(f'config.pairs.folder: {folder} has no dialogue of two speakers; its manifest names them in columns dialogue, turn and speaker')
  if not 0 <= config.pairs.nonverbal <= 1:
    raise InputError(f'config.pairs.nonverbal {config.pairs.nonverbal}: give a share from 0 to 1')
  if config.emotion:
    labels.asked_emotion(config.emotion)
  if config.question:
    reply.question(config.question)
  if config.text.pieces < 0:
    raise InputError(f'config.text.pieces {config.text.pieces}: give the size of a vocabulary, or 0 for none')
  if 0 < config.stage4.steps < config.stage4.preference_steps:
    raise InputError(f'config.stage4.preference_steps {config.stage4.preference_steps}: give at most config.stage4.steps = {config.stage4.steps}')


def planned(config, workdir) -> list[Step]:
  """The steps, each with its config and how long it may take. Raises InputError as `check` does."""
  check(config)
  size, seed, codec, steps = config.size, config.seed, config.codec, []
  at = lambda *names: str(Path(workdir, *names))
  pace, audio_s = Pace.here(), corpus_s(config.data.audio)
  if config.stage1.steps:
    train1 = of('stage1', config.stage1.size, seed=seed, steps__reconstruction=config.stage1.steps, steps__adversarial=0, steps__decoder=0,
                data__audio=config.data.audio)
    steps.append(Step('stage1', train1, stage1.run, pace.codec(train1), 'codec.safetensors'))
    codec = at('stage1', 'codec.safetensors')
  said = config.pairs
  folder, spoken_s = said.folder or at('pairs', 'pairs'), corpus_s(said.folder) if said.folder else pace.speech_s(said)
  if not said.folder:
    made = of('pairs', 'text', seed=seed, count=said.count, takes=said.takes, variants=said.variants,
              answerers=tuple(said.answerers), answer_once=said.answer_once, emotions=tuple(said.emotions), rates=tuple(said.rates),
              pitches=tuple(said.pitches), ranges=tuple(said.ranges), extras=False, breaths=spoken.MADE if said.nonverbal else '',
              breathed=said.nonverbal, filled=said.nonverbal)
    steps.append(Step('pairs', made, pairs.run, pace.spoken(said), 'pairs/MANIFEST.tsv'))
  text = {}
  if config.text.pieces:
    trained = of('aligner', 'toy' if size == 'toy' else 'full', seed=seed, data__audio=folder, steps__peaks=config.text.peaks,
                 steps__edges=config.text.edges)
    words = of('vocabulary', segments=at('aligner', 'segments', 'train'), size=config.text.pieces)
    steps += [Step('aligner', trained, aligner.run, pace.aligned(trained), 'aligner.safetensors'),
              Step('vocabulary', words, vocabulary.run, pace.COMPILED_S, vocabulary.FILE)]
    # All words with the voice: so they are in dialogues, and a toy has nothing to spare.
    text = dict(text__vocabulary=at('vocabulary', vocabulary.FILE), text__aligner=at('aligner', 'aligner.safetensors'),
                **dict(text__shares=(1.0, 0.0, 0.0)) if size == 'toy' else {})
  tokens = dict(data__tokens=at('tokens', 'aligned' if text else 'tokens'), data__segments=at('tokens', 'segments', 'train'))
  # A toy's answers are told from all of their batch, which is small.
  heard = dict(heard__views=config.heard.views, heard__echoes=config.heard.echoes, **dict(accumulate=1) if size == 'toy' else {})
  # Else as the size has it.
  between = ({'model__nonverbal': True} if said.nonverbal else {}) | ({'model__user_every': config.user_every} if config.user_every else {})
  unheard = dict(continue_frames=0) if size == 'toy' else {}                   # after its few steps it has nothing to say yet
  train2 = of('stage2', size, seed=seed, codec=codec, data__audio=config.data.audio, **between, **text, **unheard, **_steps(config.stage2))
  data = of('stage2', size, seed=seed, codec=codec, data__audio=folder, **text)
  listen = of('stage3', seed=seed, run=at('stage2'), listen_steps=config.listen.steps, replay=0.0, swapped=0.0, interrupted=0.0, followed=0.0,
              **tokens, **heard, **_steps(config.listen))
  train3 = of('stage3', seed=seed, run=at('listen' if config.listen.steps else 'stage2'), **tokens, **_steps(config.stage3), **heard)
  train4 = of('stage4', seed=seed, run=at('stage3'), **tokens, **_steps(config.stage4), **heard)
  question = config.question or str(min((sample.folder() / 'asked' / 'audio').glob('*.opus')))
  asked = of('reply', seed=seed, run=at('stage4'), question=question, emotion=config.emotion, temperature=0.0, count=1)
  measured = of('evaluate', 'stage4', seed=seed, run=at('stage4'), data__audio=measured_on(said.folder) if said.folder else folder, **dict(config.evaluate),
                speakers=() if said.folder else tuple(f'espeak-{name}' for name in said.answerers))
  evaluate.check(measured)
  stage3.check(train3, 'config.stage3')
  stage3.check(train4, 'config.stage4')
  model = stage2.sizes(train2, weights.load(config.codec))
  heard_s = (config.heard.views + config.heard.echoes) * pace.tokenised(spoken_s)
  steps += [
      Step('tokens', data, tokenised, pace.tokenised(spoken_s), f'{"aligned" if text else "tokens"}/eval/manifest.json'),
      Step('stage2', train2, stage2.run, pace.tokenised(audio_s) + pace.trained(model, train2), 'summary.json')]
  if config.listen.steps:
    steps.append(Step('listen', listen, stage3.run, heard_s + pace.trained(model, listen), 'summary.json'))
    heard_s = 0.0                  # stage 3 takes over what was made then
  steps += [
      Step('stage3', train3, stage3.run, heard_s + pace.trained(model, train3), 'summary.json'),
      Step('stage4', train4, stage4.run, pace.trained(model, train4), 'summary.json'),
      Step('reply', asked, reply.run, pace.COMPILED_S, 'replies')]
  if said.questions or not said.folder:
    known = of('answers', seed=seed, run=at('stage4'), dialogues=folder, questions=said.questions)
    steps.append(Step('answers', known, answering.run, 2 * pace.COMPILED_S, 'answers.json'))
  return steps + [Step('evaluate', measured, evaluate.run, pace.evaluated(measured), 'evaluate.json')]


def measured_on(folder) -> str:
  """The folder if it has a split eval; else '', the sample corpus, which takes its place in stage 2 too."""
  return folder if any(one.split == 'eval' for one in corpus.recordings(folder, '')[0]) else ''


def corpus_s(folder) -> float:
  """Seconds that a folder's manifest names; of the sample corpus where there is no folder, and 0 where it does not say."""
  try:
    found = corpus.recordings(folder or sample.folder(), '')[0]
  except InputError:
    return 0.0
  return sum(float(one.custom.get('seconds') or 0) for one in found)


def _steps(asked) -> dict:
  """The fields of a stage that the curriculum sets; 0 leaves a stage's own."""
  return {name: value for name, value in dict(asked).items() if value}


def tokenised(config, workdir) -> None:
  """Segments and tokens of the dialogues, in the folders that stage 2 would give them."""
  trained = weights.load(config.codec)
  loop.begin(config, workdir)
  train, held_out = stage2.token_folders(config, workdir, trained)
  for folder in (train, held_out):
    print(f'{folder}: {len(batches.Clips(folder, trained.name))} clips')


def report(workdir, steps, ledger) -> None:
  """Prints and writes report.md: what each step took, what was measured, and where the answer is to be heard."""
  lines = ['# From recordings to an answer', '', f'On {benchmark.machine()}, revision {loop.revision()}.', '', '| step | predicted | measured |',
           '|---|---|---|']
  known = [(one.name, ledger[one.name]) for one in steps if one.name in ledger]
  lines += [f'| {name} | {loop.clock(one["predicted_s"])} | {loop.clock(one["spent_s"])} |' for name, one in known]
  predicted, spent = (sum(one[name] for _, one in known) for name in ('predicted_s', 'spent_s'))
  lines += [f'| all | {loop.clock(predicted)} | {loop.clock(spent)} |', '']
  lines += [line for one in steps for line in summarised(one.name, Path(workdir) / one.name / one.result)]
  question = next(one.config.question for one in steps if one.name == 'reply')
  answer = min((Path(workdir) / 'reply' / 'replies').glob('*-both.wav'), default=None)
  lines += ['', f'The question {question} with its answer: {answer}' if answer else 'No answer was written.']
  text = '\n'.join(lines) + '\n'
  files.write(Path(workdir) / 'report.md', text.encode())
  print(f'\n{text}\nwritten to {Path(workdir) / "report.md"}')


def summarised(name: str, path) -> list[str]:
  """What a step's result says, in lines."""
  if path.suffix != '.json':
    return []
  found, percent = json.loads(path.read_bytes()), lambda one: f'{one["share"]:.0%} ({one["interval"][0]:.0%} to {one["interval"][1]:.0%})'
  if name == 'stage2':
    return ['Held-out nats a code: ' + ', '.join(f'{one} {value:.3f}' for one, value in found['weighted_nats'].items()) + '.']
  if name == 'stage3':
    return [f'Held-out answers likelier after their own question: before {percent(found["before"])}, after {percent(found["after"])}; chance 50 %.'
            if found['after']['n'] else 'All held-out questions say the same, so whether answers go with them was not measured.']
  if name == 'stage4':
    return ['Held-out answers likelier than a worse one: ' + ', '.join(f'{kind} {percent(one)}' for kind, one in found['after'].items()) +
            '; chance 50 %.' if found['after'] else 'Held-out answers stand beside no worse ones: none was to be had.']
  if name == 'answers':
    return [f'Questions that were learnt, asked in a voice that was not: {percent(found["model"])} get their answer, by retrieval of codes '
            f'{percent(found["retrieval"])}, chance {found["chance"]:.1%}; ' + (
                f'written, it says the right one in {percent(found["words"])}; ' if found.get('words') else '') +
            f'the answers themselves in that voice are told apart in {percent(found["ceiling"]) if found["ceiling"] else "no case that was tried"}.']
  if name == 'evaluate' and (heard := found.get('control')):
    knobs, emotion = ', '.join(f'{knob} {heard[knob]["spearman"]:+.2f}' for knob in control.ASKED if knob in heard), heard.get('emotion', {})
    between = [f'A {name} is heard in {percent(heard[name]["some"])} of answers that are to have one, in {percent(heard[name]["none"])} of those '
               'that are not.' for name in labels.NONVERBAL if name in heard]
    return [f'What is asked for and what is heard go together (Spearman): {knobs or "no knobs"}' + (
        f'; {percent(emotion)} of answers are nearest to the emotion asked for, chance {emotion["chance"]:.0%}.' if 'share' in emotion else '.'), *between]
  return []
