"""The house itself: who may import whom, what is never done, and configs that load."""
import ast
import importlib.metadata
import os
import pathlib
import re
import runpy
import sys

from ml_collections.config_flags import config_path
import pytest

from telugu_s2s import main, usage

ROOT = pathlib.Path(usage.ROOT)
PACKAGE = ROOT / 'telugu_s2s'
ROOMS = ['errors', 'axes', 'audio', 'corpora', 'preparation', 'codec', 'tokens', 'lm', 'dialogue', 'training',
         'planning', 'evaluation', 'serving']
# The pure models: arrays in, arrays out.
PURE = {'codec': {'errors', 'axes', 'audio', 'codec'}, 'lm': {'errors', 'axes', 'codec', 'lm'}}
PURE_LIBRARIES = {'jax', 'flax', 'numpy', 'optax', 'safetensors'}
# What numpy.random offers without a hidden state.
SEEDED = {'default_rng', 'Generator', 'SeedSequence', 'PCG64', 'Philox'}
BUILT = {'.git', '.venv', 'runs', 'build', '__pycache__', '.pytest_cache', '.hypothesis', '.ipynb_checkpoints'}

SOURCES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding='utf-8'))
           for path in sorted(PACKAGE.rglob('*.py'))}
CONFIGS = [pathlib.Path(path) for path in usage.names()]


def house_files():
  for folder, folders, names in os.walk(ROOT):
    folders[:] = [name for name in folders if name not in BUILT and not name.endswith('.egg-info')]
    yield from (pathlib.Path(folder, name) for name in names)


def imports(tree):
  """The full names that a file imports: 'telugu_s2s.codec.model' for each way to write it."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'imports are written from the root: from telugu_s2s.room import part'
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def rooms_of(tree):
  return {name.split('.')[1] for name in imports(tree) if name.startswith('telugu_s2s.')}


def requirements():
  """The distributions that setup.py names: {'base': {'jax', ...}, 'cuda': {...}}."""
  found = {}
  for node in ast.parse((ROOT / 'setup.py').read_text()).body:
    if isinstance(node, ast.Assign) and node.targets[0].id in ('BASE', 'EXTRAS'):
      value = ast.literal_eval(node.value)
      found |= value if isinstance(value, dict) else {'base': value}
  return {extra: {canonical(re.match(r'[\w.-]+', line)[0]) for line in lines} for extra, lines in found.items()}


def canonical(name):
  return re.sub(r'[-_.]+', '-', name).lower()


@pytest.mark.parametrize('file', [name for name in SOURCES if '/' in name or name in ('errors.py', 'axes.py')])
def test_a_room_imports_only_rooms_above_it(file):
  room = file.split('/')[0].removesuffix('.py')
  assert room in ROOMS, 'a new room: give it a place in the order of the design'
  above = ROOMS[:ROOMS.index(room) + 1]
  assert rooms_of(SOURCES[file]) <= set(above)


@pytest.mark.parametrize('file', [name for name in SOURCES if name.split('/')[0] in PURE])
def test_models_are_pure(file):
  assert rooms_of(SOURCES[file]) <= PURE[file.split('/')[0]]
  libraries = {name.split('.')[0] for name in imports(SOURCES[file])} - {'telugu_s2s'} - sys.stdlib_module_names
  assert libraries <= PURE_LIBRARIES


@pytest.mark.parametrize('file', SOURCES)
def test_only_main_reads_flags_and_only_the_engine_knows_ray(file):
  names = set(imports(SOURCES[file]))
  if file != 'main.py':
    assert not [name for name in names if re.match(r'absl\.(flags|app)|ml_collections\.config_flags', name)]
  if file != 'preparation/engine.py':
    assert not [name for name in names if name.split('.')[0] == 'ray']


@pytest.mark.parametrize('file', SOURCES)
def test_nothing_loads_code_from_data_or_hides_its_randomness(file):
  for name in imports(SOURCES[file]):
    assert name.split('.')[0] not in ('pickle', 'cPickle', 'dill', 'cloudpickle', 'shelve', 'marshal', 'joblib', 'random')
  for node in ast.walk(SOURCES[file]):
    if isinstance(node, ast.Call):
      assert ast.unparse(node.func) not in ('eval', 'exec', 'os.system', 'os.popen'), ast.unparse(node)
      for keyword in node.keywords:
        assert (keyword.arg, getattr(keyword.value, 'value', None)) not in (('shell', True), ('allow_pickle', True))
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ('np.random', 'numpy.random'):
      assert node.attr in SEEDED, f'{ast.unparse(node)} has a state that no seed of the config reaches'


@pytest.mark.parametrize('folder', sorted({str(pathlib.Path(file).parent) for file in SOURCES}))
def test_every_folder_of_modules_is_a_package(folder):
  assert (PACKAGE / folder / '__init__.py').is_file(), 'without it setup.py leaves the folder out'


def test_files_stay_short_and_small():
  files = list(house_files())
  assert not [str(path) for path in files if path.suffix == '.py' and len(path.read_text(encoding='utf-8').splitlines()) > 400]
  # The released codec is the one file that has to be large: it makes every job run offline.
  assert not [str(path) for path in files if path.stat().st_size > ((40 if path.suffix == '.safetensors' else 2) << 20)]
  assert not [str(path) for path in files if path.stem in ('utils', 'common', 'helpers', 'base') and path.suffix == '.py']


def test_what_is_imported_is_declared():
  declared = set().union(*requirements().values())
  owners = importlib.metadata.packages_distributions()
  for file, tree in SOURCES.items():
    for name in {name.split('.')[0] for name in imports(tree)} - {'telugu_s2s'} - sys.stdlib_module_names:
      assert {canonical(owner) for owner in owners.get(name, [name])} & declared, f'{file} imports {name}: not in setup.py'


def test_constraints_pin_every_requirement_and_name_no_place():
  lines = (ROOT / 'constraints.txt').read_text().splitlines()
  assert all(re.fullmatch(r'[\w.-]+==[\w.]+( ; .+)?', line) for line in lines)
  pinned = {canonical(line.split('==')[0]) for line in lines}
  assert set().union(*requirements().values()) <= pinned


@pytest.mark.parametrize('file', CONFIGS, ids=str)
def test_a_config_loads_in_each_of_its_sizes(file):
  text = (ROOT / file).read_text(encoding='utf-8')
  module = runpy.run_path(str(ROOT / file))
  assert len(text.splitlines()) <= 80
  assert f'python -m telugu_s2s.main --config={file}' in module['__doc__']
  sizes = module.get('SIZES', ())
  assert bool(sizes) == bool(module['get_config'].__code__.co_argcount), 'sizes are listed in SIZES, the default first'
  for size in [[], *([size] for size in sizes)]:
    config = main.load(str(ROOT / file), size)
    for name, default in main.flat(config).items():
      kind = config_path.get_type(name, config)
      assert kind not in (list, type(None)), f'{name} could not be set on the command line: a tuple or a placeholder can'
      assert not isinstance(default, str) or '\n' not in default
  if sizes:
    assert repr(module['get_config']()) == repr(module['get_config'](sizes[0]))


@pytest.mark.parametrize('file', CONFIGS, ids=str)
def test_a_config_names_a_job_that_exists(file):
  module = main.JOBS[main.load(str(ROOT / file), []).job]
  tree = SOURCES[module.removeprefix('telugu_s2s.').replace('.', '/') + '.py']
  run = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == 'run']
  assert [argument.arg for argument in run[0].args.args] == ['config', 'workdir']


def test_every_job_has_a_config():
  describes = {'describe'}                       # another job's config: --config.job=describe
  sizes = lambda file: [[], *([size] for size in runpy.run_path(str(ROOT / file)).get('SIZES', ()))]
  assert set(main.JOBS) - describes == {main.load(str(ROOT / file), size).job for file in CONFIGS for size in sizes(file)}
