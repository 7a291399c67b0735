"""What a run that trained the audio LM left: its config and its weights, and what it learnt from."""
import collections
import json
from pathlib import Path

import ml_collections

from telugu_s2s import axes
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.tokens import batches, labels
from telugu_s2s.training import checkpoints, lm_step, loop, packed, stage2

JOBS = ('stage2', 'stage3', 'stage4', 'distil')


def loaded(folder):
  """(model's Config, params, codec) of a run, from its newest whole checkpoint.

  Raises:
    InputError: the folder holds no such run, or none that was saved.
  """
  folder = Path(folder).absolute()
  config = config_of(folder)
  trained = weights.load(config.codec)
  model = stage2.sizes(config, trained)
  shapes = loop.abstract(lambda key: state_of(config, model, key), axes.mesh(), config.seed)
  saved = checkpoints.Checkpoints(folder / 'checkpoints', reads_only=True)
  try:
    step = saved.latest()
    if step is None:
      raise InputError(f'config.run: {folder} has no checkpoint yet; let configs/{config.job}.py save one')
    print(f'{folder}: step {step}, codec {trained.name}')
    name = 'mean' if 'mean' in shapes else 'params'              # as lm_step.learnt takes them
    return model, saved.part(step, {name: shapes[name]})[name], trained
  finally:
    saved.close()


def voice(name='') -> packed.Packed:
  """A trained model with all that belongs to it.

  Args:
    name: the folder of a run, whose newest whole checkpoint it is, or of a packed model, or a packed one's name on a hub; '' = the voice that
      the package ships.

  Raises:
    InputError: there is no such run or model, or it cannot be read.
  """
  name = name or packed.SHIPPED
  if not packed.is_packed(name):
    return packed.Packed(*loaded(name), labels.kept(name), {'stage': config_of(name).job}, Path(name))
  found = packed.load(name)
  print(f'{found.folder}: packed from {found.stage}, codec {found.codec.name}')
  return found


def continued(config, folder):
  """The config of a run, but for what `config`, of the job that goes on from it, says itself; its tokens and numbers are that run's.

  Where the transformer over frames begins anew, so do the numbers of speakers and the bins of knobs, which said something to that alone.
  """
  before = config_of(folder)
  found = ml_collections.ConfigDict(before.to_dict())
  found.unlock()
  found.update({name: value for name, value in config.to_dict().items() if name != 'data'})
  if found.get('accumulate') == 0:
    found.accumulate = parts(config.batch, max(1, before.batch // before.accumulate))
  # Those that tokens were made of; of tokens from elsewhere nobody knows.
  found.data.segments = config.data.get('segments', '') or (
      '' if config.data.tokens else found.data.get('segments', '') or str(Path(folder) / 'segments' / 'train'))
  table = Path(folder) / labels.FILE
  found.labels = str(table) if table.exists() and not config.get('anew') else ''
  found.data.tokens = config.data.tokens or str(stage2.folders(found, folder)[0].parent)
  if not config.data.tokens:
    learnt_from(folder, stage2.folders(found, folder)[0])
  return found


def learnt_from(folder, tokens) -> None:
  """Raises InputError where tokens are there and are others than a run has learnt from: made anew, say, of other speech."""
  try:
    content = json.loads((Path(tokens) / 'manifest.json').read_bytes())['content']
  except (OSError, ValueError, KeyError, TypeError):
    return                       # who reads them says what is wrong
  saved = checkpoints.Checkpoints(Path(folder).absolute() / 'checkpoints', reads_only=True)
  try:
    known = saved.agreed().get('data')
  finally:
    saved.close()
  if known not in (None, content):
    raise InputError(f'{tokens}: these are not the tokens that {folder} has learnt from; make them again of the same speech, or name those that '
                     'it has learnt from (config.data.tokens of a stage, config.tokens of a package)')


def tokens_of(folder, given: str = '') -> list[Path]:
  """The folders of tokens that a run and the runs that it goes on from have learnt from.

  given: folders instead of those, with commas between them.
  """
  if given:
    return [Path(name.strip()) for name in given.split(',') if name.strip()]
  found, first = [], folder
  while folder:
    try:
      config = config_of(folder)
    except InputError as problem:
      if folder == first:
        raise
      raise InputError(f'{folder}, which {first} goes on from, is not there, and with it what it learnt from; name all its training '
                       'tokens with config.tokens=A,B') from problem
    found.append(stage2.folders(config, Path(folder))[0])
    learnt_from(folder, found[-1])              # the licences of others would be told
    folder = config.get('run', '')
  return sorted({path.absolute() for path in found})


def sources(folders, codec: str) -> list[dict]:
  """Of the training tokens in folders, the rows that `licences.notice` takes, in the order of their names.

  Raises InputError where a folder holds no tokens of this codec: without them it is not known whom they owe attribution.
  """
  seconds, speakers, seen = collections.Counter(), collections.defaultdict(set), set()
  for folder in folders:
    clips = batches.Clips(folder, codec)
    for index in range(len(clips)):
      clip = clips[index]
      told = clip.labels
      if told.get('id') in seen:                 # two stages may read the same clips
        continue
      seen.add(told.get('id'))
      row = told['source'].split(';')[0].strip(), told['licence'], (told.get('custom') or {}).get('attribution', '')
      seconds[row] += len(clip.codes) / clips.manifest['frame_rate']
      speakers[row] |= {told.get('speaker', '')} - {''}
  return [{'source': row[0], 'licence': row[1], 'attribution': row[2], 'seconds': round(total, 3), 'speakers': len(speakers[row])}
          for row, total in sorted(seconds.items())]


def parts(batch: int, rows: int) -> int:
  """The fewest equal parts of a batch of which none has more rows; 1 of a batch of none, which `lm_step.check` refuses."""
  return next((count for count in range(1, batch + 1) if batch % count == 0 and batch // count <= rows), 1)


def state_of(config, model, key):
  """A fresh state of a run; its teacher is a part where there is one."""
  state = lm_step.init(model, stage2.optimiser_of(config), key, config.get('ema', 0.0))
  return state | {'teacher': state['params']} if config.job in ('distil', 'stage4') else state


def config_of(folder):
  """The config that a run was begun with. Raises InputError where the folder holds none."""
  try:
    found = json.loads((Path(folder) / 'config.json').read_bytes())
    is_model = 'format' in found
    config = None if is_model else ml_collections.ConfigDict(found)
  except (OSError, ValueError, TypeError):
    raise InputError(f'config.run: {folder} holds no run; train one with configs/stage2.py, and one that answers with configs/stage3.py on it') from None
  if is_model:
    raise InputError(f'config.run: {folder} is a packed model, which can be listened to and not trained on; give the run that it was packed from')
  if config.get('job') not in JOBS:
    raise InputError(f'config.run: {folder} is a run of {config.get("job")!r}, not of {", ".join(JOBS)}')
  return config
