"""A trained voice as one folder, and back: sizes, weights and facts that belong together, checked when they are read.

  config.json           sizes, labels, versions, facts of the training, and the length and SHA-256 of each other file
  model.safetensors     the audio LM, parameters named by their path
  codec.safetensors     the codec that it speaks with; left out where that is one that the package ships
  vocabulary.model      of its text slot, where it has one
  README.md, NOTICE     the model card, and whom the data owes attribution; see card.py

config.json is written last: a folder without it is none. Nothing in a folder is code, and nothing is run.
"""
import dataclasses
import hashlib
import json
import os
import re
import struct
from pathlib import Path

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

import telugu_s2s
from telugu_s2s import axes
from telugu_s2s.audio import files
from telugu_s2s.codec import precision as precisions
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.lm.model import Config
from telugu_s2s.serving import card
from telugu_s2s.tokens import batches, labels
from telugu_s2s.tokens.vocabulary import FILE as VOCABULARY
from telugu_s2s.training import checkpoints, lm_step, loop, runs, stage2, texts, voices

FORMAT = 'telugu_s2s model 1'
NAMES = ('config.json', 'model.safetensors', 'codec.safetensors', VOCABULARY, 'README.md', 'NOTICE')
CONFIG, MODEL, CODEC, _, CARD, NOTICE = NAMES
DTYPES = {'F32': np.float32, 'F16': np.float16, 'BF16': jnp.bfloat16}
PRECISIONS = {'float32': np.float32, 'float16': np.float16, 'bfloat16': jnp.bfloat16}
CONFIG_BYTES = 16 * 2**20        # most of config.json: names of speakers are the larger part
REPOSITORY = r'[\w-][\w.-]*/[\w-][\w.-]*'


@dataclasses.dataclass(frozen=True)
class Packed:
  """A model that was packed for use."""
  model: Config
  params: dict                   # f32
  codec: weights.Trained
  labels: labels.Table           # whom and how it can be asked to speak; says nothing of single clips
  facts: dict                    # what the card says, see `facts_of`
  folder: Path


def run(config, workdir) -> None:
  """The job 'package': the newest checkpoint of `config.run` as a folder `config.out` below workdir.

  Raises:
    InputError: the run, its data or a setting cannot be used.
  """
  if config.precision not in PRECISIONS:
    raise InputError(f'config.precision: {config.precision!r}; give one of {", ".join(PRECISIONS)}')
  folder, out = Path(config.run).absolute(), Path(workdir) / config.out
  if (out / CONFIG).exists() and not is_packed(out):
    raise InputError(f'config.out: {out} holds something else, which its config.json would take the place of; give another folder')
  model, params, trained = runs.loaded(folder)
  facts = facts_of(folder, config, trained)
  if not config.codec_too and not facts['codec_released']:
    raise InputError(f'config.codec_too False: {trained.name} is no codec that the package ships; pack it too')
  narrow = narrowed(params, config.precision)
  if config.precision != 'float32':
    facts['loss_of_precision'] = lost(folder, model, params, restored(narrow), trained)
  codec_file = weights.file(runs.config_of(folder).codec) if config.codec_too else None
  pack(out, model, narrow, trained, codec_file, labels_of(folder), facts, folder / VOCABULARY)
  again = load(out)                              # what cannot be read again is found here, not by whoever gets it
  same = jax.tree.map(lambda x, y: np.array_equal(x, y), again.params, restored(narrow))
  if not all(jax.tree.leaves(same)):
    raise InputError(f'{out / MODEL}: the parameters that were written are not those that are read; look at the disk and pack again')
  for name in NAMES:
    if (out / name).exists():
      print(f'{out / name}: {(out / name).stat().st_size / 1e6:.2f} MB')
  print(f'{out}: {facts["stage"]}, step {facts["step"]}, {facts["parameters"]:,} parameters, {config.precision}, codec {trained.name}')


def facts_of(folder, config, trained) -> dict:
  """What is known of a run: stage, step, revision, precision, licence, data [{source, licence, seconds, ..}], what was measured."""
  summary, revision = folder / 'summary.json', folder / 'revision.txt'
  measured = json.loads(summary.read_bytes()) if summary.exists() else {}
  return {'stage': runs.config_of(folder).job, 'step': newest(folder),
          'revision': revision.read_text().strip() if revision.exists() else '', 'codec': trained.name,
          'codec_released': weights.is_released(trained), 'codec_too': config.codec_too, 'precision': config.precision,
          'licence': config.licence, 'name': config.name or Path(config.out).name,
          'data': runs.sources(runs.tokens_of(folder, config.tokens), trained.name), 'measured': measured}


def newest(folder) -> int:
  """The step of the run's newest whole checkpoint, which `runs.loaded` gives the weights of."""
  saved = checkpoints.Checkpoints(folder / 'checkpoints', reads_only=True)
  try:
    return saved.latest()
  finally:
    saved.close()


def labels_of(folder) -> labels.Table:
  """The table of the run, without its clips: numbers of people remain, who spoke when does not."""
  return dataclasses.replace(labels.kept(folder), clips=(), content='', strange={})


def narrowed(params, precision: str) -> dict:
  """{'path/of/parameter': array}: matrices in another precision, vectors in float32, as codec/precision.py parts them."""
  flat = flax.traverse_util.flatten_dict(jax.device_get(params), sep='/')
  small = flax.traverse_util.flatten_dict(precisions.converted(params, 'bfloat16'), sep='/')
  kind = lambda name: PRECISIONS[precision] if small[name].dtype == jnp.bfloat16 else np.float32
  made = {name: np.asarray(x, kind(name)) for name, x in flat.items()}
  for name, x in made.items():
    if not np.isfinite(x.astype(np.float32)).all():
      raise InputError(f'{name} holds numbers that are not finite in {precision}; pack with config.precision=float32 or bfloat16, '
                       'and if they are not finite there, from an earlier checkpoint')
  return made


def restored(flat) -> dict:
  """The parameters, f32, of {'path/of/parameter': array}."""
  return flax.traverse_util.unflatten_dict({name: np.asarray(x, np.float32) for name, x in flat.items()}, sep='/')


def lost(folder, model, params, narrow, trained) -> dict | None:
  """{float32, packed: nats a code of its held-out clips, as stage 2 measures}, printed; None where those are gone."""
  config = runs.config_of(folder)
  tokens = stage2.folders(config, Path(folder))[1]
  if not tokens.exists():
    return print(f'{tokens}: no held-out tokens, so what narrower weights cost was not measured')
  config, text = texts.continued(config, folder, model)
  clips = batches.Clips(tokens, trained.name)
  asked = None                                   # of older tokens nobody wrote down who speaks
  if (tokens / labels.FILE).exists():
    asked = voices.of_held_out(config, model, labels_of(folder), clips, tokens, trained.config.frame_rate)
  tests = batches.evaluation(clips, stage2.window_of(config, model), config.batch // config.accumulate, text, asked)
  score = jax.jit(lambda params, batch: lm_step.parts_of(model, params, batch))
  found = {name: stage2.evaluated(score, one, tests, axes.mesh())['codes'] for name, one in (('float32', params), ('packed', narrow))}
  print(f'held-out loss: {found["float32"]:.4f} nats a code, packed {found["packed"] - found["float32"]:+.5f}')
  return found


def pack(out, model, flat, trained, codec_file, table, facts, vocabulary=None) -> None:
  """Writes a folder that `load` reads.

  Args:
    out: the folder; a model in it is replaced.
    flat: {'path/of/parameter': array}, as `narrowed` makes them.
    codec_file: of `trained`; None = it is not copied.
    table: labels.Table.
    facts: as `facts_of` gives them.
    vocabulary: a file, copied where it exists.
  """
  out = Path(out)
  (out / CONFIG).unlink(missing_ok=True)         # until it is whole again it is no model
  facts['parameters'] = sum(x.size for x in flat.values())
  content = {MODEL: saved(flat), CARD: card.card(facts, model, trained.config, table).encode(), NOTICE: card.notice(facts).encode()}
  if codec_file:
    content[CODEC] = Path(codec_file).read_bytes()
  if vocabulary and Path(vocabulary).exists():
    content[VOCABULARY] = Path(vocabulary).read_bytes()
  for name, data in content.items():
    files.write(out / name, data)
  for name in {VOCABULARY, CODEC} - content.keys():
    (out / name).unlink(missing_ok=True)
  config = {'format': FORMAT, 'model': dataclasses.asdict(model), 'codec': {'name': trained.name, **dataclasses.asdict(trained.config)},
            'labels': dataclasses.asdict(table), 'emotions': table.felt if model.emotions else (), 'facts': facts,
            'versions': {'telugu_s2s': telugu_s2s.__version__, 'jax': jax.__version__, 'revision': loop.revision()},
            'files': {name: {'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest()} for name, data in content.items()}}
  files.write(out / CONFIG, (json.dumps(config, indent=1, ensure_ascii=False) + '\n').encode())


def saved(flat) -> bytes:
  """The bytes of a safetensors file; the same arrays give the same bytes."""
  return safetensors.numpy.save(dict(sorted(flat.items())), {'format': FORMAT})


def load(name, revision: str = '', cache=None) -> Packed:
  """A packed model: from a folder, or from a hub by 'owner/name', where `name` is no folder.

  Args:
    revision: of the hub: a tag or a commit; '' = the newest. HF_HUB_OFFLINE=1 takes what was fetched before.
    cache: where the hub's files are kept; None = where huggingface_hub keeps them.

  Raises:
    InputError: there is no such model, or it is damaged, or of another version; the message says which file.
  """
  folder = Path(name)
  if not folder.is_dir():
    folder = fetched(str(name), revision, cache)
  config = described(folder)
  try:
    model = Config(**config['model'])
    shapes = jax.eval_shape(lambda: lm_step.fresh(model, jax.random.key(0)))
    table = labels.table(config['labels'])
    expected, facts = config['codec']['name'], dict(config['facts'])
  except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as problem:
    raise InputError(f'{folder / CONFIG}: its sizes make no model of this version ({problem}); it was packed by telugu_s2s '
                     f'{config.get("versions", {}).get("telugu_s2s", "?")}, this is {telugu_s2s.__version__}') from None
  whole(folder, config['files'])
  flat = arrays(folder / MODEL)
  try:
    weights.fit_shapes({name.replace('/', '.'): x.shape for name, x in flat.items()}, shapes)
  except ValueError as problem:
    raise InputError(f'{folder / MODEL}: not the weights of {CONFIG} ({problem}); pack it again') from None
  codec = weights.load(folder / CODEC) if CODEC in config['files'] else weights.released(expected) or weights.load()
  if codec.name != expected or (codec.config.codebooks, codec.config.codes) != (model.codebooks, model.codes):
    raise InputError(f'{folder / CODEC if CODEC in config["files"] else "the codec of this package"}: codec {codec.name}, the model speaks '
                     f'with {expected}; pack it again, with its codec')
  return Packed(model, jax.tree.map(jnp.asarray, restored(flat)), codec, table, facts, folder)


def is_packed(name) -> bool:
  """Whether `load` is to be asked for it: a packed folder, or, where there is no such folder, a name of a hub. A run is neither."""
  folder = Path(name)
  if not folder.is_dir():
    # Where its first part is a folder here, it is a run or a model of that folder, and is not there.
    return bool(re.fullmatch(REPOSITORY, str(name))) and not folder.parent.is_dir()
  try:
    return 'format' in json.loads((folder / CONFIG).read_bytes())
  except (OSError, ValueError, RecursionError):
    return False


def described(folder) -> dict:
  """What config.json of a folder says. Raises InputError where there is none, or it is none of ours."""
  path = Path(folder) / CONFIG
  try:
    if path.stat().st_size > CONFIG_BYTES:
      raise ValueError(f'{path.stat().st_size} bytes')
    config = json.loads(path.read_bytes())
    if config['format'] != FORMAT:
      raise ValueError(f'format {config["format"]!r}, this version reads {FORMAT!r}')
    if not {MODEL} <= config['files'].keys() <= set(NAMES):
      raise ValueError(f'files {sorted(config["files"])}')
    return config
  except FileNotFoundError:
    raise InputError(f'{folder}: no packed model, it has no {CONFIG}; make one with configs/package.py') from None
  except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
    raise InputError(f'{path}: describes no packed model ({problem}); get it again, or pack it again') from None


def whole(folder, listed) -> None:
  """Raises InputError where a file is not of the length and the SHA-256 that config.json says."""
  for name, row in listed.items():
    path = Path(folder) / name
    try:
      size = os.path.getsize(path)
      if size != row['bytes']:
        raise ValueError(f'{size} bytes of {row["bytes"]}')
      with open(path, 'rb') as file:
        if hashlib.file_digest(file, 'sha256').hexdigest() != row['sha256']:
          raise ValueError('its SHA-256 is another one')
    except (OSError, ValueError, KeyError, TypeError) as problem:
      raise InputError(f'{path}: damaged or not the file that was packed ({problem}); get the folder again') from None


def arrays(path) -> dict:
  """{'path/of/parameter': array} of a safetensors file. Raises InputError where it is none, or holds other than numbers."""
  try:
    found = {}
    for name, row in safetensors.deserialize(Path(path).read_bytes()):
      dtype = np.dtype(DTYPES[row['dtype']])
      found[name] = np.frombuffer(row['data'], dtype).reshape(row['shape'])
      if not np.isfinite(found[name].astype(np.float32)).all():
        raise ValueError(f'{name} is not finite')
    return found
  except (safetensors.SafetensorError, OSError, KeyError, ValueError, struct.error) as problem:
    raise InputError(f'{path}: no weights of a model ({problem}); only safetensors are read, never pickles') from None


def fetched(name: str, revision: str = '', cache=None) -> Path:
  """The folder of a hub's model on this machine, fetched where it is not there yet. Raises InputError where it cannot be."""
  if not re.fullmatch(REPOSITORY, name):
    raise InputError(f'{name}: no such folder, and no model of a hub, which is called owner/name')
  try:
    import huggingface_hub
    from huggingface_hub import errors
  except ImportError:
    raise InputError(f'{name}: no such folder; to get it from a hub: pip install -e .[hub] -c constraints.txt') from None
  try:
    return Path(huggingface_hub.snapshot_download(name, revision=revision or None, cache_dir=cache, allow_patterns=list(NAMES)))
  except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.HFValidationError, OSError, ValueError) as problem:
    raise InputError(f'{name}{revision and "@" + revision}: cannot be fetched from the hub ({str(problem).splitlines()[0]}); '
                     'see to name, revision and network, or fetch it once and set HF_HUB_OFFLINE=1') from None
