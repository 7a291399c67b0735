"""The config files of a checkout, for jobs that run or measure others."""
import runpy
from pathlib import Path

from telugu_s2s.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs'


def sizes(name: str) -> tuple[str, ...]:
  """Those of configs/NAME.py; none outside of a checkout."""
  path = CONFIGS / f'{name}.py'
  return runpy.run_path(str(path))['SIZES'] if path.is_file() else ()


def of(name: str, *size: str, **fields):
  """The config of configs/NAME.py in a size, with fields such as data__audio='..' for data.audio.

  Raises:
    InputError: outside of a checkout, where configs/ is not; or there is no such size.
  """
  path = CONFIGS / f'{name}.py'
  if not path.is_file():
    raise InputError(f'{path} is not there: run this job from a checkout')
  module = runpy.run_path(str(path))
  if size and size[0] not in module['SIZES']:
    raise InputError(f'configs/{name}.py has no size {size[0]!r}; give one of {", ".join(module["SIZES"])}')
  config = module['get_config'](*size)
  config.update_from_flattened_dict({field.replace('__', '.'): value for field, value in fields.items()})
  return config
