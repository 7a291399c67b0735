"""Data sets that a hub keeps as parquet files: their list, and their rows with the audio written out as files.

Read with pyarrow alone: the hub's own loader executes nothing here, and a batch of rows is all that is in memory.
"""
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from telugu_s2s.audio import files
from telugu_s2s.corpora import ask, conversation
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.corpora.labels import TAGS, emotion, gender, held_out, spoken
from telugu_s2s.errors import InputError

HUB = 'https://huggingface.co'
ROWS = 32            # of a batch: 30 s at 48 kHz are 3 MB
MAGIC = ((b'RIFF', '.wav'), (b'RF64', '.wav'), (b'fLaC', '.flac'), (b'OggS', '.ogg'), (b'ID3', '.mp3'), (b'\x1aE\xdf\xa3', '.webm'))


def listing(service, about: Mapping, folders: Sequence[str] = (), hub: str = HUB) -> tuple[str, list[dict]]:
  """The revision of a data set, and its parquet files as {url, name, bytes, sha256}.

  Args:
    service: an ask.Service.
    about: `repo`, `config` (the folder in it, or a list of folders) and perhaps `revision`, a commit; without one the
      newest is taken and named.
    folders: these take the place of `config`.

  Raises:
    InputError: the answer is not what the hub gives, or a folder holds no parquet file.
  """
  repo = f'{hub}/api/datasets/{about["repo"]}'
  revision = about.get('revision') or service.get(repo, ask.a(dict))[0].get('sha', '')
  if not revision:
    raise InputError(f'{repo}: names no revision; has it moved?')
  found = {}
  for folder in folders or ([about['config']] if isinstance(about['config'], str) else about['config']):
    address = f'{repo}/tree/{revision}/{quote(folder)}?recursive=true'
    count = len(found)
    while address:
      entries, address = service.get(address, ask.a(list))
      found |= {entry['path']: _file(entry, f'{hub}/datasets/{about["repo"]}/resolve/{revision}')
                for entry in ask.dicts(entries) if isinstance(entry.get('path'), str) and entry['path'].endswith('.parquet')}
    if len(found) == count:
      raise InputError(f'{repo}: no parquet file in {folder or "it"}; has it moved? Name its folders in config.allow')
  return revision, list(found.values())


def _file(entry, place):
  lfs = entry.get('lfs') if isinstance(entry.get('lfs'), dict) else {}
  return {'url': f'{place}/{quote(entry["path"], errors="replace")}', 'name': ask.local_name(entry['path'].replace('/', '-')),
          'bytes': entry['size'] if isinstance(entry.get('size'), int) else None, 'sha256': str(lfs.get('oid') or '')}


def rows(folder, about: Mapping, names: Sequence[str] = ()) -> Iterator[dict | Skip]:
  """The rows of all parquet files below a folder, with the audio of each as a file below `audio/`.

  Args:
    folder: where the files are and the audio goes; what is there with the right size is kept.
    about: `columns`, ours to theirs, such as {'audio': 'audio_filepath', 'text': 'normalized'}; `audio` has to be there.
      `optional`, such columns that some files lack. `keep`, {column: value}: only rows with these values. `sides`: a
      recording of two channels is a conversation, one side a channel.
    names: of the files below `downloads` that count; () = all below the folder. Others may be of an earlier revision.

  Raises:
    InputError: pyarrow is missing, there is no parquet file, or one lacks a column.
  """
  if importlib.util.find_spec('pyarrow') is None:
    raise InputError('parquet files need pyarrow: pip install -e .[corpora] -c constraints.txt')
  folder, keep = Path(folder), about.get('keep', {})
  wanted = {folder / 'downloads' / name for name in names}
  paths = [path for path in sorted(folder.rglob('*.parquet')) if (path in wanted if wanted else not path.name.startswith('.'))]
  if not paths:
    raise InputError(f'config.folder: {folder} holds no .parquet file')
  for path in paths:
    number = 0
    for batch in _batches(path, {*about['columns'].values(), *keep}, set(about.get('optional', {}).values())):
      if isinstance(batch, str):
        yield Skip(path.relative_to(folder).as_posix(), 'corrupt', batch)
        break
      for row in batch:
        if all(row[name] == value for name, value in keep.items()):
          made = _row(folder, path, number, row, about['columns'] | about.get('optional', {}))
          yield from conversation.sides(folder, made) if about.get('sides') and isinstance(made, dict) else [made]
        number += 1


def _batches(path, names, optional):
  """Yields lists of rows {column: value}, and, where the file is damaged, why, as text."""
  import pyarrow
  from pyarrow import parquet
  try:
    with parquet.ParquetFile(path) as table:
      _check(path, table.schema_arrow.names, names)
      for batch in table.iter_batches(ROWS, columns=sorted(names | optional & set(table.schema_arrow.names))):
        yield batch.to_pylist()
  except (pyarrow.ArrowException, OSError) as problem:        # here nothing is written: it is the file
    yield str(problem).splitlines()[0][:200]


def _row(folder, path, number, row, columns):
  place = f'{path.relative_to(folder).as_posix()}#{number}'
  audio = row[columns['audio']]
  data = audio.get('bytes') if isinstance(audio, dict) else None
  if not data:
    return Skip(place, 'missing', 'the row holds no audio')
  ending = _ending(data)
  if not ending:
    return Skip(place, 'non-audio', f'begins with {data[:4]!r}')
  inside = path.relative_to(folder).with_suffix('').as_posix().removeprefix('downloads/')      # two folders may have files of one name
  out = folder / 'audio' / inside / f'{number:07}{ending}'
  if not out.is_file() or out.stat().st_size != len(data) or out.read_bytes() != data:      # rows move when one is withdrawn
    files.write(out, data)
  told = lambda value: value not in (None, '') and value == value        # NaN is how data frames write what is missing
  made = {ours: str(row[theirs]) for ours, theirs in columns.items() if ours != 'audio' and told(row.get(theirs))}
  if TAGS.search(made.get('text', '')):
    made = {'text_raw': made['text'], **made, 'text': spoken(made['text'])}
  for name, label in (('gender', gender), ('emotion', emotion)):
    if name in made:
      made[name] = label(made[name])
  return made | {'path': out.relative_to(folder).as_posix(), 'split': 'eval' if held_out(path.stem) else 'train'}


def _ending(data):
  """The extension of audio by how it begins, '' for what is none."""
  if data[4:8] == b'ftyp':
    return '.m4a'
  if data[:1] == b'\xff' and len(data) > 1:
    # A frame of ADTS, or of MPEG's layer III in any version, with its checksum or without.
    return '.aac' if data[1] & 0xF6 == 0xF0 else '.mp3' if data[1] & 0xE6 == 0xE2 else ''
  return next((ending for magic, ending in MAGIC if data.startswith(magic)), '')


def _check(path, names, needed):
  if missing := sorted(needed - set(names)):
    raise InputError(f'{path}: no column {", ".join(missing)}; it has {", ".join(names)}; mend its columns in catalogue.toml')
