"""What --help prints: the jobs, their fields and defaults, all read from the config files themselves."""
import ast
import glob
import io
import os
import tokenize

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STAGE2 = os.path.join(ROOT, 'configs', 'stage2.py')
MOST_USED = ('data.audio', 'steps', 'batch', 'lr', 'seed', 'mesh.data', 'mesh.fsdp')    # of stage 2; a test keeps them true

PAGE = """\
telugu_s2s: from Telugu recordings to a voice that listens and answers, in JAX.
A job is a config file. It makes first what it needs and lacks; given again, it goes on where it stopped.

  python -m telugu_s2s.main --config=FILE[:SIZE] [--config.FIELD=VALUE ...] [--workdir=DIR]

Jobs [sizes, the first unless one is named]:
{jobs}

{title}
{fields}

  --workdir=DIR                   where every output goes; without it runs/CONFIG[-SIZE] below this folder
  --hosts=ADDRESS:PORT,N,NUMBER   this is process NUMBER of N that train as one; 'auto' under SLURM and on TPU slices
  --config=FILE --help            all fields of that config, with their defaults

Examples:
  python -m telugu_s2s.main --config=configs/stage2.py             # the sample corpus: minutes on any computer
  python -m telugu_s2s.main --config=configs/stage2.py --config.data.audio=DIR --workdir=runs/mine
  python -m telugu_s2s.main --config=configs/generate.py --config.run=runs/mine --config.prompt=FILE
  python -m telugu_s2s.main --config=configs/stage2.py:500m --config.job=describe     # what that size takes and costs
In a fresh clone, ./launch/run with the same arguments installs what the job needs and runs it."""


def page(path, fields, title, size=''):
  """The help page. fields: {name: default} of the config at `path` in a size, those to be shown under `title`."""
  jobs = [f'  --config={name:<22} {purpose(os.path.join(ROOT, name))}' for name in names()]
  notes = comments(path, size) if fields else {}
  lines = [f'  {f"--config.{name}={default}":<45} {notes.get(name) or notes.get(name.rpartition(".")[0], "")}'.rstrip()
           for name, default in fields.items()]
  return PAGE.format(jobs='\n'.join(jobs), title=title, fields='\n'.join(lines))


def names():
  """['configs/prepare.py', 'configs/stage1.py', ...]: the config files of this repository, from its root."""
  return [os.path.relpath(path, ROOT) for path in sorted(glob.glob(os.path.join(ROOT, 'configs', '*.py')))]


def listed():
  """The names in a line, or why there are none: the config files are no part of the package that pip installs."""
  return ', '.join(names()) or 'none beside an installed package: run this in a clone of the repository'


def purpose(path):
  """The first sentence of a config file's docstring, and its sizes."""
  with open(path, encoding='utf-8') as file:
    tree = ast.parse(file.read())
  sentence = ' '.join((ast.get_docstring(tree) or '').split('\n\n')[0].split()).split('. ')[0].rstrip('.')
  sizes = [', '.join(ast.literal_eval(node.value)) for node in tree.body
           if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'SIZES']
  return sentence + (f' [{sizes[0]}]' if sizes else '')


def comments(path, size=''):
  """What a config file notes at the end of a field's line, in a size or '' = the first: {'data.audio': 'a folder of wav, flac, ...'}."""
  with open(path, encoding='utf-8') as file:
    source = file.read()
  notes = {token.start[0]: token.string.lstrip('# ') for token in tokenize.generate_tokens(io.StringIO(source).readline)
           if token.type == tokenize.COMMENT}
  found = {}

  def note(name, node):
    group = isinstance(node, ast.Call) and node.keywords
    if group and node.end_lineno > node.lineno:
      for keyword, after in zip(node.keywords, [*node.keywords[1:], None]):
        if after is None or after.lineno > keyword.value.end_lineno:      # the last one of its line
          note(f'{name}.{keyword.arg}', keyword.value)
    elif node.end_lineno in notes:
      found[name] = notes[node.end_lineno]

  field = lambda node: ast.unparse(node).partition('.')[2]
  for node in statements(ast.parse(source).body, size):
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
      note(field(node.targets[0]), node.value)
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and node.end_lineno in notes:
      several, parts = node.targets[0].elts, notes[node.end_lineno].split('; ')      # of several fields each has its part, or all have one
      found |= zip(map(field, several), parts if len(parts) == len(several) else [notes[node.end_lineno]] * len(several))
  return found


def statements(nodes, size):
  """What makes a size: of an `if` that compares it with words, in get_config itself, only the side that is gone into."""
  for node in nodes:
    if isinstance(node, ast.FunctionDef) and node.name == 'get_config':
      yield from statements(node.body, size or (node.args.defaults[0].value if node.args.defaults else ''))
    elif isinstance(node, ast.If) and (words := compared(node.test)):
      yield from statements(node.body if size in words else node.orelse, size)
    else:
      yield from ast.walk(node)


def compared(test):
  """('a', 'b') of a test such as `size in ('a', 'b')`, ('a',) of `size == 'a'`, () of another."""
  if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], (ast.Eq, ast.In)):
    return ()
  try:
    words = ast.literal_eval(test.comparators[0])
  except ValueError:
    return ()
  return words if isinstance(words, tuple) else (words,)
