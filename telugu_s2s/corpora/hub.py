"""Data sets that a hub keeps as parquet files: their list, and their rows with the audio written out as files.

Read with pyarrow alone: the hub's own loader executes nothing here, and a batch of rows is all that is in memory.
"""
import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from telugu_s2s.audio import files
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.corpora.layouts import HELD_OUT, gender
from telugu_s2s.errors import InputError

HUB = 'https://huggingface.co'
PAGE = 1000          # entries that the hub lists at once
ROWS = 32            # of a batch: 30 s at 48 kHz are 3 MB
MAGIC = ((b'RIFF', '.wav'), (b'fLaC', '.flac'), (b'OggS', '.ogg'), (b'ID3', '.mp3'), (b'\xff\xfb', '.mp3'), (b'\xff\xf3', '.mp3'),
         (b'\xff\xf2', '.mp3'))


def listing(get, about: Mapping, hub: str = HUB) -> tuple[str, list[dict]]:
  """The revision of a data set, and its parquet files as {url, name, bytes, sha256}.

  Args:
    get: a function from an address to the bytes there.
    about: `repo`, `config` (the folder in it) and perhaps `revision`, a commit; without one the newest is taken and named.

  Raises:
    InputError: the answer is not what the hub gives, or holds no parquet file, or more than one page.
  """
  revision = about.get('revision') or _answer(get, f'{hub}/api/datasets/{about["repo"]}', dict).get('sha', '')
  address = f'{hub}/api/datasets/{about["repo"]}/tree/{revision}/{quote(about["config"])}?recursive=true'
  entries = _answer(get, address, list)
  if len(entries) >= PAGE:
    raise InputError(f'{address}: {len(entries)} files, more than one page; name the part you want in config.urls')
  found = [{'url': f'{hub}/datasets/{about["repo"]}/resolve/{revision}/{quote(entry["path"])}', 'name': entry['path'].replace('/', '-'),
            'bytes': entry.get('size'), 'sha256': (entry.get('lfs') or {}).get('oid', '')}
           for entry in entries if isinstance(entry, dict) and str(entry.get('path', '')).endswith('.parquet')]
  if not revision or not found:
    raise InputError(f'{address}: no parquet file; has {about["repo"]} moved?')
  return revision, found


def rows(folder, columns: Mapping[str, str], keep: Mapping[str, str]) -> Iterator[dict | Skip]:
  """The rows of all parquet files below a folder, with the audio of each as a file below `audio/`.

  Args:
    folder: where the files are and the audio goes; what is there with the right size is kept.
    columns: our column to theirs, such as {'audio': 'audio_filepath', 'text': 'normalized'}; `audio` has to be there.
    keep: only rows with these values, such as {'language': 'Telugu'}.

  Raises:
    InputError: pyarrow is missing, there is no parquet file, or one lacks a column.
  """
  if importlib.util.find_spec('pyarrow') is None:
    raise InputError('parquet files need pyarrow: pip install -e .[corpora] -c constraints.txt')
  folder = Path(folder)
  paths = sorted(folder.rglob('*.parquet'))
  if not paths:
    raise InputError(f'config.folder: {folder} holds no .parquet file')
  for path in paths:
    number = 0
    for batch in _batches(path, {*columns.values(), *keep}):
      if isinstance(batch, str):
        yield Skip(path.relative_to(folder).as_posix(), 'corrupt', batch)
        break
      for row in batch:
        if all(row[name] == value for name, value in keep.items()):
          yield _row(folder, path, number, row, columns)
        number += 1


def _batches(path, names):
  """Yields lists of rows {column: value}, and, where the file is damaged, why, as text."""
  import pyarrow
  from pyarrow import parquet
  try:
    with parquet.ParquetFile(path) as table:
      _check(path, table.schema_arrow.names, names)
      for batch in table.iter_batches(ROWS, columns=sorted(names)):
        yield batch.to_pylist()
  except (pyarrow.ArrowException, OSError) as problem:        # here nothing is written: it is the file
    yield str(problem).splitlines()[0][:200]


def _row(folder, path, number, row, columns):
  place = f'{path.relative_to(folder).as_posix()}#{number}'
  audio = row[columns['audio']]
  data = audio.get('bytes') if isinstance(audio, dict) else None
  if not data:
    return Skip(place, 'missing', 'the row holds no audio')
  ending = next((ending for magic, ending in MAGIC if data.startswith(magic)), '')
  if not ending:
    return Skip(place, 'non-audio', f'begins with {data[:4]!r}')
  out = folder / 'audio' / path.stem / f'{number:07}{ending}'
  if not out.is_file() or out.stat().st_size != len(data):
    files.write(out, data)
  made = {ours: str(row[theirs]) for ours, theirs in columns.items() if ours != 'audio' and row[theirs] not in (None, '')}
  if 'gender' in made:
    made['gender'] = gender(made['gender'])
  held = set(path.stem.replace('-', '_').split('_')) & set(HELD_OUT)
  return made | {'path': out.relative_to(folder).as_posix(), 'split': 'eval' if held else 'train'}


def _check(path, names, needed):
  if missing := sorted(needed - set(names)):
    raise InputError(f'{path}: no column {", ".join(missing)}; it has {", ".join(names)}; mend its columns in catalogue.toml')


def _answer(get, address, kind):
  try:
    value = json.loads(get(address))
  except ValueError as problem:
    raise InputError(f'{address}: not JSON ({problem})') from None
  if not isinstance(value, kind):
    raise InputError(f'{address}: not the {kind.__name__} that the hub gives')
  return value
