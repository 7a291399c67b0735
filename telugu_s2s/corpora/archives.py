"""Archives from strangers, unpacked so that nothing leaves the folder, fills the disk or comes half into being."""
import dataclasses
import errno
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError

BLOCK = 2**20
SMALL = 16 * 2**20           # below this a great ratio is no bomb: silence in wav packs a thousandfold
NAME_BYTES = 240             # of one part of a path; file systems hold 255, and the temporary name is longer
DAMAGE = (OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError,
          RuntimeError, struct.error)


@dataclasses.dataclass(frozen=True)
class Refused:
  """A member that was not unpacked, or '' for the rest of an archive that is damaged."""
  name: str
  reason: str
  detail: str = ''


def unpack(archive, folder, *, wanted: Callable[[str], bool] = lambda name: True, most_bytes: int = 10**12,
           most_files: int = 10**7, most_ratio: float = 200.0) -> list[Refused]:
  """Unpacks a zip or tar archive (plain, gz, bz2, xz) into a folder, member by member.

  Args:
    wanted: which names to unpack.
    most_bytes, most_files: limits on what is really written, whatever the headers say.
    most_ratio: of bytes written to bytes of the archive, once 16 MiB are written.

  Returns:
    What was refused: paths that lead outside, links, devices, encrypted members, a name twice, and what is 'corrupt':
    a member, or all that follows where the archive itself is damaged. Whole members are kept.

  Raises:
    InputError: it is no archive, nothing in it can be read, or a limit was passed.
  """
  archive, folder = Path(archive), Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  refused, seen, written, count, damaged = [], {}, 0, 0, 0
  ceiling = min(most_bytes, max(SMALL, int(archive.stat().st_size * most_ratio)))
  try:
    for name, fault, content in _members(archive):
      if not wanted(name):
        continue
      parts = _parts(name)
      fault = fault or (None if parts else ('outside', 'absolute, with .., or no name that a file can have'))
      if not fault and content is None:          # a folder: it is made when a file needs it
        continue
      fault = fault or _clash(parts, seen)
      if fault:
        refused.append(Refused(name, *fault))
        continue
      count += 1
      if count > most_files:
        raise InputError(f'{archive}: more than {most_files} files; it is not what it says, or the limit is too low')
      try:
        written += _put(archive, folder.joinpath(*parts), content, ceiling - written, most_bytes)
      except DAMAGE as problem:
        _ours(problem)
        refused.append(Refused(name, 'corrupt', str(problem)))
        damaged += 1
  except DAMAGE as problem:
    _ours(problem)
    if count == damaged:
      raise InputError(f'{archive}: it cannot be read as zip or tar ({problem}); fetch it again') from None
    refused.append(Refused('', 'corrupt', str(problem)))
  return refused


def _ours(problem):
  """Raises again what is no damage of the archive: our own limits, and a disk that is full or may not be written."""
  if isinstance(problem, InputError) or isinstance(problem, OSError) and problem.errno not in (None, errno.EINVAL):
    raise problem


def _members(archive):
  """Yields (name, fault or None, a function that opens it, or None for a folder)."""
  if zipfile.is_zipfile(archive):
    with zipfile.ZipFile(archive) as file:
      for one in file.infolist():
        kind = one.external_attr >> 16 & 0o170000
        fault = (('link', 'a symbolic link') if kind == 0o120000 else ('device', 'neither a file nor a folder')
                 if kind not in (0, 0o100000, 0o040000) else ('encrypted', 'it takes a password') if one.flag_bits & 1 else None)
        yield one.filename, fault, None if one.is_dir() else lambda one=one: file.open(one)
    return
  with tarfile.open(archive, 'r:*', errorlevel=1) as file:
    for one in file:
      fault = ('link', f'to {one.linkname}') if one.issym() or one.islnk() else None
      if not fault and not (one.isfile() or one.isdir()):
        fault = ('device', 'neither a file nor a folder')
      yield one.name, fault, (lambda one=one: file.extractfile(one)) if one.isfile() else None


def _put(archive, path, content, room, most_bytes):
  """Writes one member, whole or not at all; returns its bytes."""
  size = 0
  made = files.beside(path)
  try:
    with content() as source, open(made, 'wb') as target:
      while block := source.read(BLOCK):
        size += len(block)
        if size > room:
          raise InputError(f'{archive}: unpacks to more than {most_bytes} bytes or than such an archive can hold (a bomb?); '
                           f'stopped at {path.name}; raise config.most_gb if it is sound')
        target.write(block)
    os.replace(made, path)          # the whole archive is unpacked again after a crash: no fsync for each of its files
  finally:
    made.unlink(missing_ok=True)
  return size


def _parts(name):
  """The parts of a member's path below the folder, or () where it must not be one."""
  if not name or name.startswith(('/', '\\')) or '\0' in name or '\\' in name or re.match(r'[A-Za-z]:', name):
    return ()
  parts = tuple(part for part in name.split('/') if part not in ('', '.'))
  try:
    sound = all(part != '..' and len(part.encode()) <= NAME_BYTES for part in parts) and len(name.encode()) < 3000
  except UnicodeEncodeError:
    return ()
  return parts if sound else ()


def _clash(parts, seen):
  """Marks a path as taken; a fault where it, or a file that stands where it needs a folder, is there already.

  Names that differ in case only are one file on some machines.
  """
  folded = tuple(part.casefold() for part in parts)
  if any(seen.get(folded[:depth]) for depth in range(1, len(folded))):
    return 'duplicate', 'a file stands where its folder would be'
  if folded in seen:
    return 'duplicate', 'the name stands twice'
  for depth in range(1, len(folded)):
    seen[folded[:depth]] = False
  seen[folded] = True
  return None
