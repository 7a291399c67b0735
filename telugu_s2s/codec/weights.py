"""A codec as one file: its parameters as safetensors, its sizes in the file's metadata, its name from both."""
import hashlib
import json
import dataclasses
from pathlib import Path

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from telugu_s2s.codec import precision as precisions
from telugu_s2s.codec.model import Codec, Config
from telugu_s2s.errors import InputError

RELEASED = {size: Path(__file__).parent / 'released' / f'{size}.safetensors' for size in ('tiny', 'small')}       # see the model card there


@dataclasses.dataclass(frozen=True)
class Trained:
  """A codec that can be used."""
  config: Config
  params: dict                   # f32, or as `precision.converted` makes them
  name: str                      # of its codes: rate, codebooks and a hash of the weights that they were first made with
  identity: str = ''             # of all its weights; another one than `name` where the decoder alone was trained on


def to_bytes(params, config: Config, facts: dict) -> bytes:
  """The file of a codec, with float16 parameters (half the size; the model card measures the file as it ships).

  facts: {str: str} of how it was trained, kept in the metadata.
  """
  sizes = json.dumps(dataclasses.asdict(config))
  return safetensors_bytes(params, {'format': 'telugu_s2s codec 1', 'config': sizes, 'digest': digest(sizes, halved(params)), **facts})


def safetensors_bytes(params, metadata: dict) -> bytes:
  """Parameters as a safetensors file, in float16; the same ones give the same bytes. metadata: {str: str}."""
  data = safetensors.numpy.save(halved(params), metadata)
  end = 8 + int.from_bytes(data[:8], 'little')         # the header's length stands in front of it
  header = json.loads(data[8:end])
  header['__metadata__'] = dict(sorted(metadata.items()))           # safetensors writes it in an order of the moment
  text = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
  text += b' ' * (-len(text) % 8)
  return len(text).to_bytes(8, 'little') + text + data[end:]


def halved(params) -> dict:
  """{name: array} of parameters in float16, as a file has them."""
  return {name: np.asarray(x, np.float16) for name, x in flax.traverse_util.flatten_dict(jax.device_get(params), sep='.').items()}


def codes_kept(before, params, config: Config) -> dict[str, str]:
  """What `to_bytes` is told of a codec whose decoder alone was trained on: that its codes keep their name. {} where others changed too.

  before: the file of the codec that it was.
  """
  then, now = coding(opened(file(before))[1]), coding(halved(params))
  if now.keys() != then.keys() or any(now[name].tobytes() != then[name].tobytes() for name in then):
    return {}
  return {'codes': json.dumps([load(before).name, digest(json.dumps(dataclasses.asdict(config)), now)])}


def coding(flat) -> dict:
  """Of arrays {name: array} those that codes are made by."""
  return {name: x for name, x in flat.items() if not name.startswith('decoder.')}


def file(codec) -> Path:
  """Where a codec is: 'tiny' or 'small', the released ones, or its file; '' is tiny."""
  return RELEASED.get(str(codec or 'tiny')) or Path(codec)


def is_released(trained: Trained) -> bool:
  """Whether it is one of the released codecs, its decoder included."""
  return any(one.identity == trained.identity for one in map(load, RELEASED))


def released(name: str) -> Trained | None:
  """The released codec whose codes have this name; None where there is none."""
  return next((trained for trained in map(load, RELEASED) if trained.name == name), None)


def load(codec='', precision: str = 'float32') -> Trained:
  """A released codec, or the one in a file.

  Args:
    codec: 'tiny' or 'small', or the file; '' is tiny.
    precision: one of precision.PRECISIONS; int8 runs through `streaming` alone. The codes keep their name: any of
      them decodes what another encoded.

  Raises:
    InputError: there is no such file, or it is not a codec's, or is damaged.
  """
  path = file(codec)
  try:
    metadata, flat = opened(path)
    config = Config(**json.loads(metadata['config']))
    fit({name: x.shape for name, x in flat.items()}, config)
    if strange := [name for name, x in flat.items() if not np.isfinite(x).all()]:
      raise ValueError(f'{strange[0]} is not finite')
    whole = digest(metadata['config'], flat)
    if metadata.get('digest', whole) != whole:
      raise ValueError('its weights are not those that were written')
    name, made_by = json.loads(metadata.get('codes', '["", ""]'))
    if name and made_by != digest(metadata['config'], coding(flat)):
      raise ValueError(f'its codes are named {name}, and are made by other weights')
  except FileNotFoundError:
    raise InputError(f'{path}: no such codec file; give {" or ".join(RELEASED)}, which are released, or train one with '
                     'configs/stage1.py') from None
  except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
    raise InputError(f'{path}: not a codec file ({problem}); give one that configs/stage1.py made') from problem
  whole = f'{config.frame_rate:g}hz-{config.codebooks}x{config.codes}-{whole}'
  return Trained(config, precisions.converted(tree(flat), precision), name or whole, whole)


def opened(path) -> tuple[dict, dict]:
  """The metadata of a safetensors file and its arrays, {name: array}. Raises as safetensors does."""
  with safetensors.safe_open(path, 'np') as file:
    return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}


def digest(text: str, flat) -> str:
  """12 digits of a hash of a text and arrays {name: array}, for names of what was trained."""
  total = hashlib.sha256(text.encode())
  for name in sorted(flat):
    total.update(name.encode() + flat[name].tobytes())
  return total.hexdigest()[:12]


def tree(flat) -> dict:
  """The parameters, f32, of arrays {name: array}."""
  return flax.traverse_util.unflatten_dict({name: jnp.asarray(x, jnp.float32) for name, x in flat.items()}, sep='.')


def fit(shapes, config: Config) -> None:
  """Raises ValueError where {name: shape} are not those of a codec of these sizes."""
  fit_shapes(shapes, jax.eval_shape(Codec(config).init, jax.random.key(0), jax.ShapeDtypeStruct((1, config.hop), jnp.float32))['params'])


def fit_shapes(shapes, made) -> None:
  """Raises ValueError where {name: shape} are not those of the parameters `made`, which may be abstract."""
  wanted = {name: x.shape for name, x in flax.traverse_util.flatten_dict(made, sep='.').items()}
  for name in sorted(wanted.keys() | shapes.keys()):
    if shapes.get(name) != wanted.get(name):
      raise ValueError(f'{name} is {shapes.get(name)}, its sizes ask for {wanted.get(name)}')
