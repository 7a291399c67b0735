"""Any folder of audio as a list of recordings, with or without a manifest.

A manifest is MANIFEST.tsv, .csv or .jsonl in the folder's root, one row a file or a part of one. `path`, relative to the folder,
is all it must have. Known columns become fields of `Recording`; any other is kept in `custom`. Without a manifest
every audio file below the folder is a recording.
"""
import collections
import csv
import dataclasses
import functools
import io
import itertools
import json
import math
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from telugu_s2s.audio.files import EXTENSIONS, read, write
from telugu_s2s.corpora import licences
from telugu_s2s.errors import InputError

MANIFESTS = ('MANIFEST.tsv', 'MANIFEST.csv', 'MANIFEST.jsonl')
REPORT = ('path', 'start_s', 'end_s', 'reason', 'detail')       # of a Skip, in the order of a report's columns
LICENCE = re.compile('(licen[cs]e|spdx)([_ ]?id)?', re.IGNORECASE)         # names of its column, the first way of writing it is ours
NUMBERS = ('turn', 'channel', 'start_s', 'end_s')                # columns that are no text
MOST = 5000          # letters of a cell of a report, more than a path may have: other programs read cells up to 128 KiB
SPLIT = 'train'      # of a recording whose split nobody names


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
  """One audio file, or one channel or part of it, and what is known of it; '' and None mean unknown.

  Millions of them are in memory at once.
  """
  path: str                        # below the folder, with forward slashes
  bytes: int = 0                   # of the file; 0 where an earlier recording is a part of it too
  split: str = SPLIT
  language: str = ''
  speaker: str = ''
  gender: str = ''                 # m, f, o or u
  style: str = ''
  emotion: str = ''
  text: str = ''
  text_provenance: str = 'none'    # human, aligned, asr or none
  licence: str = ''                # SPDX
  source: str = ''
  revision: str = ''
  dialogue: str = ''
  turn: int | None = None
  channel: int | None = None
  start_s: float | None = None     # the part of the file; None: from its beginning, to its end
  end_s: float | None = None
  custom: dict = dataclasses.field(default_factory=dict)


FIELDS = {field.name for field in dataclasses.fields(Recording)}
OURS = FIELDS - {'bytes', 'licence', 'custom'}      # names of columns; those of a licence: LICENCE
TEXTS = FIELDS - {'path', 'bytes', 'custom', *NUMBERS}
NO_CUSTOM = TEXTS | {'path', 'seconds', *NUMBERS}


@dataclasses.dataclass(frozen=True)
class Skip:
  """A file, or a span of it, that was left out, and why."""
  path: str
  reason: str                      # a word or two, the same for all of a kind
  detail: str = ''
  start_s: float | None = None     # None: the whole file
  end_s: float | None = None


def recordings(folder, licence: str, field: str = 'data.audio') -> tuple[list[Recording], list[Skip]]:
  """The recordings of a folder in the order of their paths, and what cannot be one.

  Args:
    folder: a folder of audio files, with an optional manifest in its root.
    licence: the SPDX identifier of a recording whose manifest names none.
    field: of the config that names the folder, for errors.

  Returns:
    Recordings, and skips for a missing file, a path that leaves the folder, a second row of one path,
    channel and part, a row that cannot be read, and, without a manifest, a file of another extension or a link back.

  Raises:
    InputError: the folder is missing or holds no audio, or its manifest has no column `path`.
  """
  folder = Path(folder)
  if not folder.is_dir():
    what = 'is no folder' if folder.exists() else 'does not exist'
    raise InputError(f'{field}: {folder} {what}; give a folder of {", ".join(EXTENSIONS)} files')
  manifest = manifest_of(folder)
  found, skips = _listed(folder, manifest, licence) if manifest else _walked(folder, licence)
  if not found:
    why = f' ({counted(reasons(skips))})' if skips else ''
    raise InputError(f'{field}: no audio file in {folder}{why}; '
                     f'it takes {", ".join(EXTENSIONS)} files' + (f' named in {manifest.name}' if manifest else ''))
  found.sort(key=lambda one: (one.path, *(-1 if value is None else value for value in (one.channel, one.start_s, one.end_s))))
  return [dataclasses.replace(one, bytes=0) if before and before.path == one.path and (one.start_s, one.end_s) != (None, None) else one
          for before, one in zip([None, *found], found)], skips


def manifest_of(folder) -> Path | None:
  """The manifest by which a folder is read, None where it has none."""
  return next((path for path in (Path(folder, name) for name in MANIFESTS) if path.is_file()), None)


def samples(folder, one: Recording):
  """The speech f32[samples] at 16 kHz of a recording of a folder, of its channel and part. Raises files.Unreadable."""
  return read(Path(folder, one.path), one.channel, one.start_s or 0.0, one.end_s)[0]


def _walked(folder, licence):
  """All audio files below a folder; hidden files and folders are passed over."""
  found, skips, seen, source = [], [], {os.path.realpath(folder)}, folder.resolve().name

  def closed(problem):
    skips.append(Skip(os.path.relpath(problem.filename, folder), 'unreadable', f'a folder that cannot be listed: {problem.strerror}'))
  for parent, folders, names in os.walk(folder, onerror=closed, followlinks=True):
    visible, folders[:] = sorted(name for name in folders if not name.startswith('.')), []
    for name in visible:
      path = Path(parent, name)
      if (place := os.path.realpath(path)) in seen:          # a link to a folder above would go round for ever
        skips.append(Skip(path.relative_to(folder).as_posix(), 'duplicate', 'a link to a folder that is read already'))
      else:
        seen.add(place)
        folders.append(name)
    for name in sorted(names):
      path = Path(parent, name)
      relative = path.relative_to(folder).as_posix()
      if name.startswith('.'):
        continue
      if (spelled := os.fsencode(relative).decode('utf-8', 'backslashreplace')) != relative:
        skips.append(Skip(spelled, 'bad name', 'not UTF-8: no manifest can hold it; rename it'))
      elif path.suffix.lower() not in EXTENSIONS:
        skips.append(Skip(relative, 'non-audio', f'extension {path.suffix!r}'))
      elif not path.is_file():
        skips.append(Skip(relative, 'missing', 'a link to nothing'))
      else:
        found.append(Recording(relative, path.stat().st_size, licence=licence, source=source))
  return found, skips


def _listed(folder, manifest, licence):
  """The recordings that a manifest names."""
  found, skips, seen, source = [], [], set(), folder.resolve().name
  for line, row in _rows(manifest):
    if row is None or not row.get('path', ''):
      skips.append(Skip(f'{manifest.name}:{line}', 'bad row', 'no path' if row is not None else 'not a JSON object'))
      continue
    path = PurePosixPath(row['path'].replace('\\', '/'))
    if not path.parts or '\0' in row['path']:
      skips.append(Skip(f'{manifest.name}:{line}', 'bad row', f'{row["path"]!r} names no file'))
      continue
    if path.is_absolute() or '..' in path.parts or re.match('[A-Za-z]:', path.parts[0]):       # a time of day may stand in a name
      skips.append(Skip(row['path'], 'outside', f'{manifest.name} line {line}: paths are relative, without ..'))
      continue
    try:
      one = _recording(str(path), row, licence, source)
    except ValueError as error:
      skips.append(Skip(str(path), 'bad row', f'{manifest.name} line {line}: {error}'))
      continue
    part = one.path, one.channel, one.start_s, one.end_s
    if part in seen:
      skips.append(Skip(one.path, 'duplicate', f'{manifest.name} line {line} names it again'))
      continue
    seen.add(part)
    try:
      status = os.stat(folder / path)
    except OSError:
      status = None
    if status and stat.S_ISREG(status.st_mode):
      found.append(dataclasses.replace(one, bytes=status.st_size))
    else:
      skips.append(Skip(one.path, 'missing', f'{manifest.name} line {line}: no such file'))
  return found, skips


def _rows(manifest):
  """Yields (line number, {column: text} or None) of a manifest."""
  try:
    text = manifest.read_text('utf-8-sig')
  except UnicodeDecodeError as error:
    raise InputError(f'{manifest}: not UTF-8 at byte {error.start}; save it as UTF-8') from None
  if manifest.suffix == '.csv':
    yield from _csv_rows(manifest, text)
    return
  # Not splitlines: a text may hold U+2028 and its like, which JSON leaves as they are.
  lines = ((line, content) for line, content in enumerate(re.split('\r\n|\r|\n', text), 1) if content.strip())
  if manifest.suffix == '.jsonl':
    for line, content in lines:
      yield line, _json_row(content)
    return
  # A tab cannot stand in a cell of a .tsv, a quotation mark can: there it is a letter like any other.
  names = _columns(tuple(next(lines, (1, ''))[1].split('\t')))
  _check_named(manifest, names)
  for line, content in lines:
    yield line, dict(itertools.zip_longest(names, map(str.strip, content.split('\t')[:len(names)]), fillvalue=''))


def _csv_rows(manifest, text):
  rows = csv.DictReader(io.StringIO(text, newline=''))
  rows.fieldnames = _columns(tuple(rows.fieldnames or ()))
  _check_named(manifest, rows.fieldnames)
  try:
    for row in rows:
      yield rows.line_num, {name: (value or '').strip() for name, value in row.items() if name is not None}
  except csv.Error as error:
    raise InputError(f'{manifest}: line {rows.line_num}: {error}; is a quotation mark left open?') from None


@functools.lru_cache(maxsize=16)
def _columns(names):
  """Names of columns without the blanks around them; one of ours in capitals is ours, unless another is called so. Else their labels would be lost."""
  names = [name.strip() for name in names]
  return [name.lower() if name.lower() in OURS and name.lower() not in names else name for name in names]


def _check_named(manifest, names):
  if 'path' not in names:
    raise InputError(f'{manifest}: no column named path in its first row; it reads {", ".join(names)[:200] or "nothing"}')


def _json_row(line):
  try:
    row = json.loads(line, parse_constant=lambda name: None)                   # NaN is how data frames write what is missing
  except (ValueError, RecursionError):
    return None
  if not isinstance(row, dict):
    return None
  # JSON can write half a surrogate pair, which no file name and no text file can hold.
  clean = lambda text: text.strip().encode('utf-8', 'replace').decode()
  return {name: clean(value) if isinstance(value, str) else '' if value is None else json.dumps(value)
          for name, value in zip(_columns(tuple(map(clean, row))), row.values())}


def _recording(path, row, licence, source):
  """A manifest's row as a Recording. Raises ValueError for a turn or channel that is no whole number, or a part that is none."""
  # Of the same speaker, licence and so on one string, not as many as there are rows.
  known = {name: value if name == 'text' else sys.intern(value) for name, value in row.items() if name in TEXTS and value}
  known['licence'] = _licence(row, licence)
  known.setdefault('source', source)
  if 'text' in known:
    known.setdefault('text_provenance', 'human')
  for name in ('turn', 'channel'):
    if row.get(name):
      known[name] = _whole(name, row[name])
  known |= {name: _seconds(name, row[name]) for name in ('start_s', 'end_s') if row.get(name)}
  if known.get('end_s', math.inf) <= known.get('start_s', 0.0):
    raise ValueError(f'start_s {known.get("start_s", 0):g} is not before end_s {known["end_s"]:g}')
  rest = {name: value for name, value in row.items() if value and name not in NO_CUSTOM}
  return Recording(path, custom=rest, **known)


def _licence(row, default):
  """The licence of a row by whatever name its column has. Raises ValueError where two columns disagree."""
  named, told = _of_licence(tuple(row))
  given = {row[name].upper(): name for name in named if row[name]}
  if len(given) > 1:
    raise ValueError('columns ' + ' and '.join(f'{name} ({row[name]})' for name in given.values()) + ' disagree about the licence')
  if given:
    return sys.intern(row[next(iter(given.values()))])
  # An empty cell says that the licence is unknown, and so does a column about licences that is read by no name: that is not ours to fill.
  return '' if told else default


@functools.lru_cache(maxsize=16)
def _of_licence(names):
  """Of a row's columns those that hold its licence, and whether any is about licences."""
  return [name for name in names if LICENCE.fullmatch(name)], any(re.search('licen[cs]e', name, re.IGNORECASE) for name in names)


def _whole(name, value):
  whole, _, rest = value.partition('.')        # '1.0' is how data frames write 1 where another row has none
  if not whole.isdecimal() or rest.strip('0'):
    raise ValueError(f'{name} {value!r} is not a whole number')
  return int(whole)


def _seconds(name, value):
  try:
    number = float(value)
  except ValueError:
    number = math.nan
  if not 0 <= number < math.inf:
    raise ValueError(f'{name} {value!r} is no time in seconds')
  return number


def licensed(found: Iterable[Recording], profile: str) -> tuple[list[Recording], list[Skip]]:
  """The recordings whose licence a build profile lets in, and skips for the others. Nothing gets into a build past this.

  Raises:
    InputError: there is no such profile.
  """
  allowed, result, skips = licences.classes(profile), [], []
  for one in found:
    letter = licences.licence_class(one.licence)
    if letter in allowed:
      result.append(one)
    else:
      skips.append(Skip(one.path, 'licence', f'{one.licence or "unknown"}, class {letter}, is not in profile {profile}'))
  return result, skips


def reasons(skips: Iterable[Skip]) -> dict[str, int]:
  """How many were skipped for each reason, in the order of the alphabet."""
  return dict(sorted(collections.Counter(skip.reason for skip in skips).items()))


def counted(counts: Mapping[str, int]) -> str:
  """Reasons and their counts as '3 missing, 1 duplicate'; '' for none."""
  return ', '.join(f'{count} {reason}' for reason, count in counts.items())


def report(path, skips: Iterable[Skip], columns: Sequence[str] = REPORT) -> None:
  """Writes skips as a table, a line each, with these of their fields."""
  short = lambda value: value[:MOST] if isinstance(value, str) else value
  write(path, table(columns, ({name: short(getattr(skip, name)) for name in columns} for skip in skips)))


def table(columns: Sequence[str], rows: Iterable[Mapping]) -> bytes:
  """Rows as TSV below these names: white space inside a cell is a blank, what a row lacks is empty."""
  clean = lambda value: '' if value is None else ' '.join(str(value).split())
  lines = [columns, *([clean(row.get(name)) for name in columns] for row in rows)]
  return ('\n'.join(map('\t'.join, lines)) + '\n').encode('utf-8', 'replace')
