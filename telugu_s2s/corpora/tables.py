"""The files in which corpora list what they hold: found, and read line by line without trust in any of them."""
import json

from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError


def found(folder, *patterns):
  """Files of these names below a folder, in order, but for hidden ones, which archives of some systems hold beside each; InputError where there is none."""
  paths = sorted(path for pattern in patterns for path in folder.rglob(pattern) if not path.name.startswith('.'))
  if not paths:
    raise InputError(f'config.folder: {folder} holds no {" or ".join(patterns)}, with which this layout begins')
  return paths


def below(folder, path):
  """A path as the manifest has it. An absolute one or a '..' of a corpus stays: folder.py refuses what leads outside."""
  return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def bad(folder, path, line, detail):
  return Skip(f'{below(folder, path)}:{line}', 'bad row', detail)


def text(path):
  """The text of a file. Bytes that are no UTF-8 are replaced: the row suffers, the corpus does not."""
  return path.read_bytes().decode('utf-8-sig', 'replace')


def tsv(path):
  """Yields (line, fields). A quotation mark is a letter like any other, and so is a line separator inside a field."""
  for line, content in enumerate(text(path).replace('\r\n', '\n').split('\n'), 1):
    if content.strip():
      yield line, [field.strip() for field in content.split('\t')]


def named(path, needed):
  """Yields (line, {column: text}, or None where fields are missing) by the names in the first row."""
  rows_ = tsv(path)
  header = next(rows_, (1, []))[1]
  if not set(needed) <= set(header):
    raise InputError(f'{path}: the first row lacks {", ".join(sorted(set(needed) - set(header)))}; is it another version?')
  for line, fields in rows_:
    yield line, dict(zip(header, fields)) if len(fields) >= max(header.index(name) for name in needed) + 1 else None


def read_json(path, kind):
  """What a JSON file holds; InputError unless it is a `kind`."""
  try:
    value = json.loads(text(path), parse_constant=lambda name: None)           # NaN is how data frames write what is missing
  except (ValueError, OSError, RecursionError) as problem:
    raise InputError(f'{path}: not JSON ({problem}); fetch it again') from None
  if not isinstance(value, kind):
    raise InputError(f'{path}: holds no {"list" if kind is list else "dictionary"}; is it of another version?')
  return value
