"""The codec as a tool: recordings to code files with their decoded wavs beside them, code files to wavs.

Each file is a task of its own, worked off as a stream, so memory does not grow with a recording's length. What is
there already and whole is kept; what cannot be decoded is named, and the others are done all the same.
"""
import collections
import dataclasses
import functools
import hashlib
import os
import time
import zlib
from pathlib import Path

import jax
import numpy as np
import soundfile
import tqdm

from telugu_s2s.audio import files
from telugu_s2s.codec import precision as precisions
from telugu_s2s.codec import streaming, weights
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import pool, shards
from telugu_s2s.tokens import code_file

REPORT = 'report.tsv'
MARK = 'telugu_s2s codec '       # how the comment of a decoded wav begins
COLUMNS = ('file', 'status', 'seconds', 'bytes', 'kbps', 'output', 'detail')


@dataclasses.dataclass(frozen=True)
class Task:
  """One file to do."""
  file: str                      # its path below the input, for the report
  source: str
  target: str                    # the path of what is made, without its extension
  codec: str                     # a released codec or a codec's file
  name: str                      # the codec's, of its codes
  identity: str                  # and of all its weights
  levels: int                    # codebooks that are stored and decoded, at most
  decode: bool                   # whether a recording's decoded wav is written too
  precision: str                 # of the weights


def run(config, workdir):
  """The job 'codec': everything in config.input goes through the codec into config.output, with a report.

  Raises:
    InputError: see `transcode`; or, after everything else is done, files were refused.
  """
  out = Path(config.output or Path(workdir) / 'decoded')
  rows = transcode(config.input, out, config.codec, config.levels, config.decode, config.workers, config.precision)
  refused = [row for row in rows if row['status'] == 'refused']
  if refused:
    raise InputError(f'{len(refused)} of {len(rows)} files were refused, such as {refused[0]["detail"]}; see {out / REPORT}')


def transcode(given, out, codec='', levels: int | None = None, decode: bool = True, workers: int = -1,
              precision: str = 'float32') -> list[dict]:
  """Recordings to code files and wavs, code files to wavs; prints a summary and writes report.tsv.

  Args:
    given: a file or a folder, see `sources`.
    out: the folder of what is made; made if missing.
    codec: a released codec or a codec's file.
    levels: codebooks that are stored and decoded, None for all.
    decode: whether a recording's decoded wav is written beside its code file.
    workers: processes on the CPU; -1 = one a core, or where there is an accelerator this one on it; 0 = this one.
    precision: of the weights, one of codec/precision.PRECISIONS. Codes that are there are kept, whichever they were made in.

  Returns:
    The rows of the report, see `transcoded`.

  Raises:
    InputError: the input or a setting cannot be used. A file that is refused is only a row.
  """
  begin = time.perf_counter()
  precisions.check(precision)
  trained, out = weights.load(codec), Path(out)
  levels = trained.config.codebooks if levels is None else levels
  if not 1 <= levels <= trained.config.codebooks:
    raise InputError(f'config.levels: {levels}; codec {trained.name} has 1 to {trained.config.codebooks}')
  if trained.config.rate != files.SAMPLE_RATE:
    raise InputError(f'config.codec: {trained.name} is for {trained.config.rate} Hz; recordings are read at '
                     f'{files.SAMPLE_RATE} Hz')
  if workers < -1:
    raise InputError(f'config.workers: {workers}; give -1 for one a core, 0 for none, or a number')
  found = sources(given, out)
  tasks = [Task(file, str(path), str(out / target), str(codec), trained.name, trained.identity, levels, decode, precision)
           for (file, path), target in zip(found.items(), targets(found))]
  try:
    for folder in {Path(task.target).parent for task in tasks} | {out}:
      folder.mkdir(parents=True, exist_ok=True)
      shards.sweep(folder)
  except OSError as problem:
    raise InputError(f'config.output: {problem.filename}: {problem.strerror}') from None
  rows = worked(tasks, workers)
  files.write(out / REPORT, corpus.table(COLUMNS, rows))
  summary(rows, time.perf_counter() - begin, trained.name, out)
  return rows


def sources(given, out) -> dict[str, Path]:
  """{path below the input: path} of the recordings and code files that are meant, in the order of their paths.

  Args:
    given: a file, or a folder, of which hidden files, other kinds of files, wavs that were decoded here before and the folder `out`
      are left alone.
    out: where the results go.

  Raises:
    InputError: there is no such file or folder, nothing is in it, or the results would go among the originals.
  """
  kinds = (*files.EXTENSIONS, code_file.SUFFIX)
  if not given:
    raise InputError(f'config.input is empty: give a file or a folder of {", ".join(kinds)} files')
  given = Path(given)
  if _odd(given) or _odd(out):
    raise InputError(f'config.input, config.output: {os.fsencode(given if _odd(given) else out)!r} is not UTF-8; rename it')
  if given.is_file():
    return {given.name: given}
  if not given.is_dir():
    raise InputError(f'config.input: {given} does not exist')
  if out.resolve() == given.resolve():
    raise InputError(f'config.output: {out} is the input; give another folder, so that originals and results stay apart')
  found, others = {}, collections.Counter()
  seen = {given.resolve(), out.resolve()}                 # a link to a folder above would be gone through again and again
  for parent, folders, names in os.walk(given, followlinks=True):
    folders[:] = sorted(name for name in folders if not name.startswith('.') and Path(parent, name).resolve() not in seen)
    seen |= {Path(parent, name).resolve() for name in folders}
    for path in (Path(parent, name) for name in names if not name.startswith('.')):
      if _odd(path):
        others['with a name that is not UTF-8'] += 1           # no library opens it, and no report can hold it
      elif path.exists() and not path.is_file():
        others['no regular file'] += 1           # whoever opened a pipe would wait for ever
      elif path.suffix.lower() == '.wav' and _comment(path)[1].startswith(MARK):
        others['decoded before'] += 1
      elif path.suffix.lower() in kinds:
        found[path.relative_to(given).as_posix()] = path
      else:
        others[path.suffix.lower() or 'without an extension'] += 1
  if others:
    print('left alone: ' + ', '.join(f'{count} {kind}' for kind, count in sorted(others.items())), flush=True)
  if not found:
    raise InputError(f'config.input: no {", ".join(kinds)} file in {given}')
  return dict(sorted(found.items()))


def _odd(path):
  """Whether the name of a path is not UTF-8."""
  return os.fsencode(path).decode('utf-8', 'replace') != str(path)


def targets(found) -> list[str]:
  """What is made of each path is called like it, without its extension, or with it where two would be called alike.

  found: paths such as 'talk/a.flac', which gives 'talk/a', or 'talk/a.flac' where there is a 'talk/a.wav' too.
  """
  names = {path: path[:-len(Path(path).suffix)] if Path(path).suffix else path for path in found}
  while True:
    # Some file systems do not tell small letters from capitals.
    count = collections.Counter(name.casefold() for name in names.values())
    clashing = [path for path, name in names.items() if count[name.casefold()] > 1 and name != path]
    if not clashing:
      return list(names.values())
    names |= {path: path for path in clashing}


def worked(tasks, workers: int) -> list[dict]:
  """The report's rows of tasks, in their order, worked off in this process or in `workers` others."""
  if workers == -1 and jax.default_backend() != 'cpu':
    workers = 0                  # one process has the accelerator for itself
  workers, rows = pool.count(workers, len(tasks)), {}
  ended = ((task, transcoded(task)) for task in tasks) if workers < 2 else \
      pool.results(transcoded, tasks, workers, pool.on_cpu(), 'config.workers')
  with tqdm.tqdm(total=len(tasks), unit='file', desc='codec') as bar:
    for task, row in ended:
      rows[task.file] = row
      if row['status'] == 'refused':
        bar.write(f'refused: {row["detail"]}')
      bar.update()
  return [rows[task.file] for task in tasks]


def transcoded(task: Task) -> dict:
  """Makes what is missing of one file; returns its row of the report: made, kept (it was there) or refused, and why."""
  row = {'file': task.file, 'status': 'refused', 'seconds': 0.0, 'bytes': 0, 'kbps': 0.0, 'output': '', 'detail': ''}
  try:
    row |= (from_codes if Path(task.source).suffix.lower() == code_file.SUFFIX else from_audio)(task)
  except InputError as problem:
    row['detail'] = str(problem)
  except OSError as problem:
    row['detail'] = f'{problem.filename or task.target}: {problem.strerror}'
  if row['seconds']:
    row['kbps'] = round(row['bytes'] * 8 / row['seconds'] / 1000, 3)
  return {**row, 'seconds': round(row['seconds'], 4)}


def from_audio(task: Task) -> dict:
  """A recording to its code file and, where it is wanted, the wav that this decodes to. Raises InputError, OSError."""
  path, recording = Path(task.target + code_file.SUFFIX), _checksum(task.source)
  content, wav = _kept(task, path, recording), Path(task.target + '.wav')
  made = content is None
  there = _there(wav, task.source) if task.decode else None        # refused before there are codes without a wav
  if made:
    content = dataclasses.replace(encoded(_codec(task.codec, task.identity, task.precision), task.source, task.levels), recording=recording)
    code_file.write(path, content)
  if task.decode:
    made |= written(task, content, there)
  elif made and wav.exists() and not wav.samefile(task.source):
    said = _comment(wav)[1]
    if said.startswith(MARK) and not said.startswith(_codes(content)):
      wav.unlink()                                 # of codes that are no longer there
  return {'status': 'made' if made else 'kept', 'seconds': content.seconds, 'bytes': path.stat().st_size,
          'output': path.name}


def from_codes(task: Task) -> dict:
  """A code file to its wav. Raises InputError, OSError."""
  content = code_file.read(task.source)
  if content.codec != task.name:
    raise InputError(f'{task.source}: codes of codec {content.codec}, this is {task.name}; set config.codec to {_known(content.codec)}')
  c = _codec(task.codec, task.identity, task.precision).config
  if (content.rate, content.hop, content.codebooks, content.entries) != (c.rate, c.hop, c.codebooks, c.codes):
    raise InputError(f'{task.source}: {content.codebooks} x {content.entries} codes of {content.hop} samples at {content.rate} Hz, codec {task.name} '
                     f'has {c.codebooks} x {c.codes} of {c.hop} at {c.rate}; make it again from the recording')
  made = written(task, dataclasses.replace(content, codes=content.codes[:, :task.levels]), _there(Path(task.target + '.wav'), task.source))
  return {'status': 'made' if made else 'kept', 'seconds': content.seconds, 'bytes': os.stat(task.source).st_size,
          'output': Path(task.target).name + '.wav'}


def encoded(trained, path, levels: int) -> code_file.CodeFile:
  """The first levels of a recording's codes, read in the chunks that `streaming` reads a whole clip in: the same bits.

  Raises:
    Unreadable: see `files.blocks`.
  """
  c, lengths = trained.config, []

  def heard():
    for block, _ in files.blocks(path):
      lengths.append(len(block))
      yield block[None]

  parts = [codes[0, :, :levels].astype(np.uint16) for codes in streaming.encode(trained, heard())]
  samples = sum(lengths)
  return code_file.CodeFile(np.concatenate(parts)[:-(-samples // c.hop)], samples, trained.name, c.rate, c.hop,
                            c.codebooks, c.codes)


def written(task: Task, content: code_file.CodeFile, there) -> bool:
  """Writes the 16-bit wav that codes decode to, of as many samples as the recording had; False if it is there.

  Its comment says of which codes it was made, so that a wav of others, or of nobody's, is told apart. there: from `_there`.

  Raises:
    InputError: the wav cannot be written.
  """
  path = Path(task.target + '.wav')
  by = task.identity if task.precision == 'float32' else f'{task.identity} in {task.precision}'
  comment = _codes(content) + ('' if by == content.codec else f', decoded by {by}')
  if there == (content.samples, comment):
    return False
  made, left = files.beside(path), content.samples
  try:
    with soundfile.SoundFile(made, 'w', content.rate, 1, 'PCM_16', format='WAV') as file:
      file.comment = comment
      for part in streaming.decode(_codec(task.codec, task.identity, task.precision), [content.codes[None]]):
        file.write(files.pcm16(part[0, :left]))
        left -= min(left, part.shape[1])
    files.settle(made, path)
  except soundfile.LibsndfileError as problem:
    raise InputError(f'{path}: it cannot be written ({problem.error_string.strip(". ")}); is the disk full?') from None
  finally:
    made.unlink(missing_ok=True)
  return True


def summary(rows, wall_s: float, codec: str, out) -> None:
  """Prints what was done, how fast, and how small it is."""
  count = collections.Counter(row['status'] for row in rows)
  total = lambda field, *states: sum(row[field] for row in rows if row['status'] in states)
  seconds, made_s = total('seconds', 'made', 'kept'), total('seconds', 'made')
  print(f'codec {codec}: {len(rows)} files, {seconds / 3600:.3f} h: {count["made"]} made, {count["kept"]} kept since they '
        f'were there, {count["refused"]} refused')
  if seconds:
    print(f'{made_s:.1f} s of audio in {wall_s:.1f} s, {made_s / wall_s:.1f} x real time; '
          f'{total("bytes", "made", "kept") * 8 / seconds / 1000:.2f} kbit/s with headers; in {out}', flush=True)


@functools.cache
def _codec(path, identity, precision):
  """The codec in a file; `identity` is there so that another codec under the same path is loaded anew."""
  return weights.load(path, precision)


@functools.cache
def _known(name) -> str:
  """What config.codec is to be for codes of a codec."""
  return next((one for one in weights.RELEASED if weights.load(one).name == name), 'the file of that codec')


def _checksum(path) -> str:
  """Of a file's bytes. A recording of the same name, and even of the same time, may be another."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()[:16]


def _kept(task, path, recording):
  """The code file that an earlier run made of the same recording; None if it has to be made."""
  try:
    content = code_file.read(path)
  except InputError:
    return None
  return content if (content.codec, content.levels, content.recording) == (task.name, task.levels, recording) else None


def _codes(content) -> str:
  """How the comment of a wav begins that is made of these codes."""
  return f'{MARK}{content.codec}, {content.levels} levels, codes {zlib.crc32(np.ascontiguousarray(content.codes)):08x}'


def _there(path, source):
  """`_comment` of a wav that was made here before, None where there is none. Raises InputError where its name is taken by another file."""
  if not path.exists():
    return None
  found = _comment(path)
  if not found[1].startswith(MARK) or path.samefile(source):
    raise InputError(f'{path}: it is there and was not made from codes; move it, or give another config.output')
  return found


def _comment(path):
  """(samples, comment) of a wav; (0, '') of a file that is none."""
  try:
    with soundfile.SoundFile(path) as file:
      return file.frames, file.comment
  except soundfile.LibsndfileError:
    return 0, ''
