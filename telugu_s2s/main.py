"""The one door: reads --config and --workdir and runs the job that the config names.

    python -m telugu_s2s.main --help
"""
import contextlib
import difflib
import importlib
import inspect
import os
import re
import resource
import runpy
import signal
import sys

from absl import flags
import ml_collections
from ml_collections import config_flags
from ml_collections.config_flags import config_path

from telugu_s2s import usage
from telugu_s2s.errors import InputError

# config.job to the module whose run(config, workdir) does it. Imported when chosen, so that --help need not wait for jax.
JOBS = {
    'corpora': 'telugu_s2s.corpora.catalogue',
    'fetch': 'telugu_s2s.corpora.fetch',
    'sample': 'telugu_s2s.dialogue.sample',
    'dialogues': 'telugu_s2s.dialogue.grammar',
    'pairs': 'telugu_s2s.evaluation.pairs',
    'prepare': 'telugu_s2s.preparation.prepare',
    'tokenize': 'telugu_s2s.tokens.tokenize',
    'vocabulary': 'telugu_s2s.tokens.vocabulary',
    'aligner': 'telugu_s2s.training.aligner',
    'align': 'telugu_s2s.tokens.align',
    'stage1': 'telugu_s2s.training.stage1',
    'stage2': 'telugu_s2s.training.stage2',
    'stage3': 'telugu_s2s.training.stage3',
    'stage4': 'telugu_s2s.training.stage4',
    'reply': 'telugu_s2s.evaluation.reply',
    'distil': 'telugu_s2s.training.distilling',
    'serve': 'telugu_s2s.serving.server',
    'generate': 'telugu_s2s.evaluation.generate',
    'benchmark': 'telugu_s2s.evaluation.benchmark',
    'answers': 'telugu_s2s.evaluation.answering',
    'curriculum': 'telugu_s2s.evaluation.curriculum',
    'evaluate': 'telugu_s2s.evaluation.evaluate',
    'benchmark_serving': 'telugu_s2s.serving.benchmark',       # configs/benchmark.py:serving
    'describe': 'telugu_s2s.planning.describe',        # of the config of any size of stage 2: --config.job=describe
    'report': 'telugu_s2s.preparation.report',
    'carry': 'telugu_s2s.preparation.carry',
    'manifests': 'telugu_s2s.preparation.export',
    'codec': 'telugu_s2s.tokens.transcode',
    'export': 'telugu_s2s.codec.export',
    'average': 'telugu_s2s.codec.average',
    'package': 'telugu_s2s.serving.packaging',
    'mark': 'telugu_s2s.evaluation.marks',
}


def main(argv):
  """Runs a command line; returns 0, 2 after a mistake in the command or its input, 130 after Ctrl-C."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')    # XLA: errors only
  try:
    value, rest = take_config(argv[1:])
    if len(argv) == 1 or {'--help', '-help', '-h', 'help'} & set(rest):
      signal.signal(signal.SIGPIPE, signal.SIG_DFL)     # --help | head
      print(help_page(value))
      return 0
    config, workdir, hosts = parse(value, rest)
    if hosts:
      importlib.import_module('telugu_s2s.training.hosts').join(hosts)
    open_more()
    importlib.import_module(JOBS[config.job]).run(config, workdir)
    return 0
  except InputError as problem:
    print('error:', ' '.join(str(problem).split()), file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return 130


def open_more():
  """As many open files as the system lets: logins often begin with 1024, and thousands of hours are as many shards."""
  _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
  with contextlib.suppress(ValueError, OSError):        # some say unlimited and let no one have that
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def take_config(arguments):
  """What follows --config (None without one), and the other arguments in their order."""
  value, rest = None, []
  arguments = iter(arguments)
  for argument in arguments:
    if not (flag := re.fullmatch(r'--?config(?:=(.*))?', argument)):
      rest.append(argument)
    elif value is not None:
      raise InputError('--config is given twice')
    else:
      value = next(arguments, '') if flag[1] is None else flag[1]
  return value, rest


def find(value):
  """'configs/stage2.py:500m' as the path of a file, from here or from the repository's root, and its size ['500m']."""
  path, *size = value.split(':', 1)
  for place in (path, os.path.join(usage.ROOT, path)):
    if os.path.isfile(place):
      return place, size
  raise InputError(f'--config={path}: there is no such file; there are {usage.listed()}')


def help_page(value):
  """The jobs, with all fields of the config that --config names or the most used ones of stage 2."""
  if value is not None:
    path, size = find(value)
    fields = {name: default for name, default in flat(load(path, size)).items()
              if not isinstance(default, ml_collections.ConfigDict)}
    return usage.page(path, fields, f'Fields of {value}:', *size)
  fields = flat(load(usage.STAGE2, [])) if os.path.isfile(usage.STAGE2) else {}
  return usage.page(usage.STAGE2, {name: fields[name] for name in usage.MOST_USED if name in fields},
                    'Fields of stage 2 most often set:')


def parse(value, rest):
  """The locked config that `value` names with what the other arguments set in it; the working folder, made; and --hosts.

  Raises:
    InputError: a file, size, field, value or flag that is not there, cannot be read or cannot be written to.
  """
  if value is None:
    raise InputError(f'--config=FILE is missing; there are {usage.listed()}; --help says what they do')
  path, size = find(value)
  base = load(path, size)
  fields = flat(base)
  for argument in rest:
    if field := re.match(r'--?(?:no)?config\.([^=]+)', argument):
      check_field(argument, field[1], base, fields)
  argv = [sys.argv[0], '--config=' + ':'.join([path, *size]), *rest]
  run = '-'.join([os.path.basename(path).removesuffix('.py'), *size])
  try:
    chosen = config_flags.DEFINE_config_file('config', lock_config=True, sys_argv=argv)
    workdir = flags.DEFINE_string('workdir', os.path.join('runs', run), 'Where the outputs go.')
    hosts = flags.DEFINE_string('hosts', '', 'The processes that train as one; see training/hosts.py.')
    extra = flags.FLAGS(argv)[1:]
  except (flags.Error, TypeError, ValueError) as problem:
    raise InputError(refusal(str(problem), base)) from problem
  if extra:
    raise InputError(f'{extra[0]!r} is no flag: a field is set with --config.FIELD=VALUE')
  given = flat(chosen.value)
  for field, number in given.items():
    if field.rpartition('.')[2] == 'seed' and isinstance(number, int) and number < 0:
      raise InputError(f'config.{field} {number}: give 0 or more')
  if chosen.value.get('job') not in JOBS:
    raise InputError(f'--config={path}: job {chosen.value.get("job")!r} is none of {", ".join(JOBS)}')
  check_tuples(given, fields)
  try:
    os.makedirs(workdir.value, exist_ok=True)
  except OSError as problem:
    raise InputError(f'--workdir={workdir.value}: {problem.strerror}') from problem
  return chosen.value, workdir.value, hosts.value


def load(path, size):
  """What get_config of a config file returns."""
  try:
    module = runpy.run_path(path)
  except (SyntaxError, UnicodeDecodeError, OSError) as problem:
    raise InputError(f'--config={path}: it cannot be read as Python: {problem}') from problem
  if 'get_config' not in module:
    raise InputError(f'--config={path}: it defines no get_config()')
  try:
    inspect.signature(module['get_config']).bind(*size)
  except TypeError as problem:
    raise InputError(f'--config={path}:{":".join(size)}: this config has no sizes') from problem
  try:
    return module['get_config'](*size)
  except (KeyError, ValueError) as problem:
    if not size:
      raise
    sizes = module.get('SIZES')
    raise InputError(f'--config={path}:{size[0]}: there is no size {size[0]!r}' +
                     (f', only {", ".join(sizes)}' if sizes else f' ({problem})')) from problem


def flat(config, prefix=''):
  """Every field of a config by its path: {'data.audio': ''}, with the groups ('data') among them."""
  fields = {}
  for name, value in config.items():
    fields[prefix + name] = value
    if isinstance(value, ml_collections.ConfigDict):
      fields |= flat(value, f'{prefix}{name}.')
  return fields


def check_field(argument, name, config, fields):
  """Raises InputError, naming the nearest fields, unless `name` is a field that a command line can set."""
  if name not in fields:
    raise InputError(f'{argument}: the config has no field {name!r}; {nearest(name, fields)}')
  if isinstance(fields[name], ml_collections.ConfigDict):
    raise InputError(f'{argument}: {name} is a group; set ' + ', '.join(f'{name}.{field}' for field in fields[name]))
  if config_path.get_type(name, config) in (list, dict, type(None)):
    raise InputError(f'{argument}: {name} cannot be set here; edit a copy of the config file')


def check_tuples(given, defaults):
  """Raises InputError where a tuple holds another type than its default: the flag parser does not look inside."""
  for name, value in given.items():
    if isinstance(value, tuple) and defaults[name]:
      types = {type(x) for x in defaults[name]}
      if not {type(x) for x in value} <= types | ({int} if float in types else set()):
        raise InputError(f'--config.{name}={value!r}: {name} takes values such as {defaults[name]!r}')


def nearest(name, fields):
  """'the nearest: lr, data.lr' for a name that is no field: first those of the same last word, then the look-alikes."""
  def last(path):
    return path.rpartition('.')[2]

  like = difflib.get_close_matches(name, fields, 3, 0.5)
  like += [field for word in difflib.get_close_matches(last(name), map(last, fields), 3, 0.6)
           for field in fields if last(field) == word]
  found = list(dict.fromkeys([field for field in fields if last(field) == last(name)] + like))
  return 'the nearest: ' + ', '.join(found[:3]) if found else 'its fields: ' + ', '.join(
      field for field in fields if '.' not in field)


def refusal(message, config):
  """One line for what the flag parser said: the argument, and what its field takes."""
  found = re.search(r'--?(config\.([\w.]+)[^:]*?): ', message)
  if not found:
    return message.removeprefix('flag ')
  default = config_path.get_value(found[2], config)
  return (f'--{found[1]}: {found[2]} takes a value of type {config_path.get_type(found[2], config).__name__}' +
          (f', such as {default!r}' if default is not None else ''))


def with_large_pages():
  """Starts the process anew, once, with an allocator that asks for large pages: glibc reads its settings at the start alone.

  Every step of a training on CPUs asks for gigabytes and gives them back. In pages of 4 KB a fifth of its time went to that.
  """
  if sys.platform == 'linux' and 'GLIBC_TUNABLES' not in os.environ:
    os.environ['GLIBC_TUNABLES'] = 'glibc.malloc.hugetlb=1'
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == '__main__':
  with_large_pages()
  sys.exit(main(sys.argv))
