"""A voice that was packed as one folder, read and checked: sizes, weights and facts that belong together.

  config.json           sizes, labels, versions, facts of the training, and the length and SHA-256 of each other file
  model.safetensors     the audio LM, parameters named by their path
  codec.safetensors     the codec that it speaks with; left out where that is one that the package ships
  vocabulary.model      of its text slot, where it has one
  README.md, NOTICE     the model card, and whom the data owes attribution; see serving/card.py

serving/packaging.py writes it. Nothing in it is code, and nothing is run.
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

import telugu_s2s
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.lm.model import Config
from telugu_s2s.tokens import labels
from telugu_s2s.tokens.vocabulary import FILE as VOCABULARY
from telugu_s2s.training import lm_step

SHIPPED = Path(__file__).parents[1] / 'serving' / 'toy'    # a toy that was trained on the sample corpus and dialogues of it, synthetic all
FORMAT = 'telugu_s2s model 1'
NAMES = ('config.json', 'model.safetensors', 'codec.safetensors', VOCABULARY, 'README.md', 'NOTICE')
CONFIG, MODEL, CODEC, _, CARD, NOTICE = NAMES
DTYPES = {'F32': np.float32, 'F16': np.float16, 'BF16': jnp.bfloat16}
CONFIG_BYTES = 16 * 2**20        # most of config.json: names of speakers are the larger part
REPOSITORY = r'[\w-][\w.-]*/[\w-][\w.-]*'


@dataclasses.dataclass(frozen=True)
class Packed:
  """A trained model with what belongs to it, packed or not, see `runs.voice`."""
  model: Config
  params: dict                   # f32
  codec: weights.Trained
  labels: labels.Table           # whom and how it can be asked to speak; of a packed one says nothing of single clips
  facts: dict                    # what the card says, see serving/packaging.py; of a run its stage alone
  folder: Path

  @property
  def stage(self) -> str:
    """The job that trained it: stage2, stage3, stage4, distil."""
    return self.facts['stage']


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
    raise InputError(f'{name}: no such folder here, neither a run nor a model; to get one of that name from a hub: pip install -e .[hub] -c constraints.txt') from None
  try:
    return Path(huggingface_hub.snapshot_download(name, revision=revision or None, cache_dir=cache, allow_patterns=list(NAMES)))
  except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.HFValidationError, OSError, ValueError) as problem:
    raise InputError(f'{name}{revision and "@" + revision}: cannot be fetched from the hub ({str(problem).splitlines()[0]}); '
                     'see to name, revision and network, or fetch it once and set HF_HUB_OFFLINE=1') from None


def restored(flat) -> dict:
  """The parameters, f32, of {'path/of/parameter': array}."""
  return flax.traverse_util.unflatten_dict({name: np.asarray(x, np.float32) for name, x in flat.items()}, sep='/')
