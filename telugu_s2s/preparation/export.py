"""Prepared segments for other toolkits: FLAC files, a Lhotse manifest and a NeMo manifest.

All labels go along: those that a toolkit knows under its own name, the others in Lhotse's `custom` and under their own
names in NeMo's row. Paths are relative to the folder, so that it can be moved.
"""
import concurrent.futures
import contextlib
import gzip
import hashlib
import io
import json
import re
from pathlib import Path

import soundfile
import tqdm

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import prepare, read, segment, shards

RECORDINGS, SUPERVISIONS, NEMO = 'recordings.jsonl.gz', 'supervisions.jsonl.gz', 'manifest.jsonl'
NOTICE = 'DATA_NOTICE.md'
BEGUN = 'audio.begun'        # names of the FLAC files of a run that is not over: one that is killed has no manifest that names them
BATCH = 128          # segments in memory at a time
THREADS = 8          # that wait for the disk
MINE = {'text_provenance', 'licence', 'revision'}        # what every row of ours says
PART_BYTES = 120     # of a name in a path: file systems take 255, with room for a temporary prefix


def run(config, workdir) -> dict:
  """The job 'manifests': `config.segments`, or segments made from `config.data`, in the folder `config.out`."""
  folder = Path(config.segments or Path(workdir) / 'segments')
  if not config.segments:
    prepare.prepare(prepare.Data(**config.data), folder)
  return write(folder, Path(workdir) / config.out)


def write(folder, out) -> dict:
  """Writes the segments of `folder` below `out`; returns {segments, seconds, written, removed}, files written and removed this time.

  A FLAC file that is there with the bytes it should have is kept. The manifests come last, whole or not at all.

  Raises:
    InputError: the folder holds no prepared segments, a shard or record is damaged, or another manifest is there.
  """
  folder, out = Path(folder), Path(out)
  manifest = shards.check(folder, segment.KIND)
  shards.sweep(out)
  before = listed(out / NEMO, 'audio_filepath', r'audio/.+\.flac') | _begun(out / BEGUN)
  total, named = {'segments': 0, 'seconds': 0.0, 'written': 0, 'removed': 0}, set()
  with (contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(THREADS) as threads,
        tqdm.tqdm(total=manifest['records'], unit='segment', desc='manifests') as bar):
    recordings, supervisions = (stack.enter_context(_zipped(out / name)) for name in (RECORDINGS, SUPERVISIONS))
    nemo = stack.enter_context(files.written(out / NEMO))
    for batch in _batches(folder, manifest):
      paths = [f'audio/{audio_name(header["id"])}' for header, _ in batch]
      for path in paths:
        if path in named:
          raise InputError(f'{folder}: two segments would be {path}; prepare it again from folders of other names')
        named.add(path)
      with open(out / BEGUN, 'a', encoding='utf-8') as begun:
        begun.writelines(json.dumps(path) + '\n' for path in paths)
      new = threads.map(lambda path, one: _put(out / path, one[1]), paths, batch)
      for (header, flac), path, was_new in zip(batch, paths, new):
        samples = soundfile.info(io.BytesIO(flac)).frames
        recordings.write(_line(lhotse_recording(header, path, samples)))
        supervisions.write(_line(lhotse_supervision(header, samples)))
        nemo.write(_line(nemo_row(header, path, samples)))
        total['segments'] += 1
        total['seconds'] += samples / files.SAMPLE_RATE
        total['written'] += was_new
      bar.update(len(batch))
    if (folder / NOTICE).is_file():      # licences go where the audio goes
      files.write(out / NOTICE, (folder / NOTICE).read_bytes())
  # Those of another profile, say, or of a run that was killed: no notice speaks of their licence now.
  for path in before - named:
    total['removed'] += (out / path).exists()
    (out / path).unlink(missing_ok=True)
  (out / BEGUN).unlink(missing_ok=True)
  print(f'{out}: {total["segments"]} segments, {total["seconds"] / 3600:.2f} h; {total["written"]} FLAC files are new'
        + f', {total["removed"]} that are not among them were removed' * (total['removed'] > 0),
        flush=True)
  return total


def listed(manifest, field: str, form: str) -> set[str]:
  """The files that an earlier run named in a field of its manifest's rows, JSON by line; none where there is no such manifest.

  Args:
    form: a regular expression of the names that such a run gives. They are removed when they are out of date, so others' must not be among them.

  Raises:
    InputError: a row is none of such a run: somebody's own manifest is there.
  """
  if not manifest.exists():
    return set()
  try:
    named, ours = set(), True
    with open(manifest, encoding='utf-8', newline='\n') as lines:             # a text may hold other ends of lines
      for row in map(json.loads, lines):
        named.add(row[field])
        ours = ours and MINE <= row.keys() and bool(re.fullmatch(form, row[field])) and '..' not in row[field].split('/')
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    ours = False
  if not ours:
    raise InputError(f'{manifest} is not what this job writes, and its recordings are not to be touched; give another config.out')
  return named


def _begun(path) -> set[str]:
  """What runs that were killed may have written. The last line may be cut off: of its file nothing was there yet."""
  lines = path.read_text('utf-8').split('\n')[:-1] if path.exists() else []
  return {json.loads(line) for line in lines}


def lhotse_recording(header: dict, path: str, samples: int) -> dict:
  """A row of Lhotse's RecordingSet. header: the labels of a segment."""
  return {'id': header['id'], 'sources': [{'type': 'file', 'channels': [0], 'source': path}], 'channel_ids': [0],
          'sampling_rate': files.SAMPLE_RATE, 'num_samples': samples, 'duration': samples / files.SAMPLE_RATE}


def lhotse_supervision(header: dict, samples: int) -> dict:
  """A row of Lhotse's SupervisionSet; every label that it has no field for is in `custom`, which has its own `custom`."""
  known = ('id', 'text', 'language', 'speaker', 'gender')
  return {**{name: header[name] for name in known}, 'recording_id': header['id'], 'start': 0.0,
          'duration': samples / files.SAMPLE_RATE, 'channel': 0,
          'custom': {name: value for name, value in header.items() if name not in known}}


def nemo_row(header: dict, path: str, samples: int) -> dict:
  """A row of NeMo's manifest: its own names first, every other label under ours."""
  rest = {name: value for name, value in header.items() if name not in ('text', 'language', 'speaker')}
  return {'audio_filepath': path, 'duration': samples / files.SAMPLE_RATE, 'text': header['text'],
          'lang': header['language'], 'speaker': header['speaker'], **rest}


def audio_name(name: str) -> str:
  """A segment's id as a path of a FLAC file that any system takes and that stays below its folder.

  Signs that some file system refuses are written as %XX, and so is %: other ids give other names. What is too long
  is cut, and tells itself apart by a hash.
  """
  parts = []
  for part in f'{name}.flac'.split('/'):
    safe = ''.join(f'%{ord(sign):02X}' if sign in '%:\\*?"<>|' or ord(sign) < 32 else sign for sign in part)
    if not safe.strip('.'):
      safe = '%' + safe.replace('.', '%2E')
    if len(safe.encode()) > PART_BYTES:
      end = '.flac' if safe.endswith('.flac') else ''
      start = safe.encode()[:PART_BYTES - 25].decode(errors='ignore')
      safe = f'{start}-{hashlib.sha256(part.encode()).hexdigest()[:16]}{end}'
    parts.append(safe)
  return '/'.join(parts)


def _batches(folder, manifest):
  """Yields lists of (labels, bytes of a FLAC file), in the order of the manifest."""
  for row in manifest['shards']:
    places = shards.kept(row)
    if not places:
      continue
    source = shards.Records(Path(folder) / row['file'])
    for start in range(0, len(places), BATCH):
      batch = []
      for place in places[start:start + BATCH]:
        try:
          _, header, flac = shards.unpack(source[place], segment.KIND, segment.VERSION)
        except (ValueError, RuntimeError) as problem:
          raise read.damaged(f'{folder}: {row["file"]}', place, problem) from problem
        batch.append((header, flac))
      yield batch


def _put(path, data):
  """Writes a file unless it is there with these bytes; says whether it did."""
  try:
    if path.stat().st_size == len(data) and path.read_bytes() == data:
      return False
  except FileNotFoundError:
    pass
  files.write(path, data)
  return True


@contextlib.contextmanager
def _zipped(path):
  """As `files.written`, gzipped; no time and no name go in, so that equal content gives equal files."""
  with files.written(path) as file, gzip.GzipFile('', 'wb', 6, file, mtime=0) as zipped:
    yield zipped


def _line(row):
  return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b'\n'
