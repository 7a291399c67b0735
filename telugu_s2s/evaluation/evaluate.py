"""What a trained voice can do, measured: controlled likelihood tests, its voice over minutes, control, turn-taking."""
import itertools
import json
import math
import sys
import time
from pathlib import Path

import jax

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import sample
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import benchmark, control, drift, likelihood, splices, turn_taking
from telugu_s2s.lm import drawing
from telugu_s2s.preparation import prepare, read
from telugu_s2s.tokens import batches, labels
from telugu_s2s.training import loop, packed, runs, stage2

TESTS = ('likelihood', 'voice', 'turns', 'control')
CONVERSE = ('stage3', 'stage4')  # jobs whose runs hear a second speaker


def run(config, workdir):
  """The job: the tests of config.tests on the voice config.run, their tables on the screen and in workdir/evaluate.json.

  An evaluate.json that is there already is kept as evaluate-1.json, or the next number: other tests, which took hours, may stand in it.

  Raises:
    InputError: there is no such test or task, or the run cannot be asked what a test asks.
  """
  check(config)
  workdir = loop.begin(config, workdir)
  voice = runs.voice(config.run)
  model, params, codec = voice.model, voice.params, voice.codec
  converses = voice.stage in CONVERSE
  if 'turns' in config.tests and not converses:
    raise InputError(f'config.tests turns: {voice.folder} is of {voice.stage}, which hears nobody; give one of stage 3, or leave turns out')
  # Refuses what cannot be drawn with, before it takes long.
  drawing.settings(model, [drawing.Sampling(config.temperature, config.top_k, silence_bias=config.silence_bias, guidance=config.guidance,
                                            floor=config.floor)])
  table, asked = None, ()
  if 'control' in config.tests:
    control.check(config, model, converses)
    table, asked = voice.labels if voice.labels != labels.Table() else None, questions(config.questions) if converses else ()
    if table:
      control.speakers_of(config, model, table)                                # raises where a name is none
  result = {'run': voice.stage, 'parameters': sum(x.size for x in jax.tree.leaves(params)), 'codec': codec.name, 'seed': config.seed}
  segments = held_out(config, workdir)
  result |= {'clips': len(segments), 'speakers': len({labels.spoken_by(one) for one in segments} - {''}),
             'seconds': round(sum(one.seconds for one in segments), 1)}
  result |= {'command': 'python -m telugu_s2s.main ' + ' '.join(sys.argv[1:]), 'revision': loop.revision(), 'machine': benchmark.machine(),
             'date': time.strftime('%Y-%m-%d')}
  began = time.monotonic()
  set_aside(workdir / 'evaluate.json')

  def keep():
    files.write(workdir / 'evaluate.json', (json.dumps(result | {'wall_s': round(time.monotonic() - began, 1)}, indent=1) + '\n').encode())

  for name in config.tests:
    print(f'\n--- {name}', flush=True)
    if name == 'likelihood':
      result[name] = {}
      for task, found in likelihood.measured(config, segments, model, params, codec, bigram_of(voice), converses):
        result[name][task] = found
        keep()             # each takes minutes
    elif name == 'voice':
      result[name] = drift.measure(config, segments, model, params, codec)
      drift.show(result[name])
    elif name == 'turns':
      result[name] = turn_taking.measure(config, segments, model, params, codec)
      turn_taking.show(result[name])
    else:
      result[name] = control.measure(config, segments, model, params, codec, table, asked)
      control.show(result[name])
    keep()
  print(f'written to {workdir / "evaluate.json"}')


def set_aside(path) -> None:
  """Gives a file, if it is there, the first name with a number behind it that is free."""
  if path.exists():
    names = (path.with_name(f'{path.stem}-{number}{path.suffix}') for number in itertools.count(1))
    other = next(name for name in names if not name.exists())
    path.rename(other)
    print(f'what was measured before is kept as {other}')


def check(config) -> None:
  """Raises InputError where a test, a task, a size or a folder is none: hours would pass before the test that needs it."""
  for field, known in (('tests', TESTS), ('tasks', splices.TASKS)):
    wrong = set(config[field]) - set(known)
    if wrong:
      raise InputError(f'config.{field}: {", ".join(sorted(wrong))}: give some of {", ".join(known)}')
  for field in ('clips', 'voices', 'stimuli', 'draws'):
    if config[field] < 1:
      raise InputError(f'config.{field} {config[field]}: give 1 or more; config.tests says what is measured')
  if config.count < 2 or min(config.beginning_s, config.ending_s) < 0.2 or len(config.local_s) != 2 or not (
      0 <= config.local_s[0] < config.local_s[1]):
    raise InputError(f'config.count {config.count}, beginning_s {config.beginning_s}, ending_s {config.ending_s}, '
                     f'local_s {config.local_s}: give at least 2 items, 0.2 s and 0.2 s, and a stretch of the ending')
  if not 0 < config.minutes < math.inf or not config.temperature >= 0:
    raise InputError(f'config.minutes {config.minutes}, temperature {config.temperature}: give more than 0, and 0 or more')
  if 'voice' in config.tests and (config.minutes < drift.LEAST_M or config.prompt_s < 0.2):
    raise InputError(f'config.minutes {config.minutes}, prompt_s {config.prompt_s}: a voice takes {drift.LEAST_M:g} minutes and 0.2 s at least')
  if 'control' in config.tests and not 0.2 <= config.utterance_s < math.inf:
    raise InputError(f'config.utterance_s {config.utterance_s}: give the seconds of what is said, 0.2 or more')
  if 'turns' in config.tests and config.dialogues and not Path(config.dialogues).is_dir():
    raise InputError(f'config.dialogues: there is no folder {config.dialogues}')


def held_out(config, workdir) -> list:
  """The segments that are measured on, of config.data, at most config.clips spread over them."""
  full = {'measures': 'full'} if 'control' in config.tests else {}             # knobs of recordings
  prepare.prepare(prepare.Data(**config.data, **full), workdir / 'segments')
  segments = read.Segments(workdir / 'segments')
  return [segments[number] for number in read.spread(len(segments), config.clips)]


def questions(folder: str) -> list:
  """The recordings f32[samples] of split eval of a folder; '' = the sample corpus's questions in the held-out voice."""
  path = Path(folder or sample.folder() / sample.ASKED)
  held = [one for one in corpus.recordings(path, '', 'config.questions')[0] if one.split == 'eval']
  found = [corpus.samples(path, one) for one in held]
  if not found:
    raise InputError(f'config.questions: {path} has no recording of split eval')
  return found


def bigram_of(voice):
  """`likelihood.counted` of what a voice was trained on, or None, and says so, where its tokens are gone or it is packed."""
  try:
    if packed.is_packed(voice.folder):
      raise InputError(f'{voice.folder} is packed, without what it was trained on')
    tokens = stage2.folders(runs.config_of(voice.folder), voice.folder)[0]
    return likelihood.counted(batches.Clips(tokens, voice.codec.name), voice.codec.config.codes)
  except InputError as problem:
    print(f'no bigram beside it: {problem}')
    return None
