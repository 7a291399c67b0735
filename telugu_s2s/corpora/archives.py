"""Archives from strangers, unpacked so that nothing leaves the folder, fills the disk or comes half into being."""
import dataclasses
import errno
import lzma
import os
import re
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError

BLOCK = 2**20
SMALL = 16 * 2**20           # below this a great ratio is no bomb: silence in wav packs a thousandfold
NAME_BYTES = 240             # of one part of a path; file systems hold 255
HEADER_BYTES = 2**20         # of a tar's long name or extended header, which the library reads in one piece
DAMAGE = (OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError,
          RuntimeError, OverflowError, IndexError, KeyError, struct.error)


@dataclasses.dataclass(frozen=True)
class Refused:
  """A member that was not unpacked, or '' for the rest of an archive that is damaged."""
  name: str
  reason: str
  detail: str = ''


class _Damaged(Exception):
  """What cannot be read; unlike DAMAGE it is never a fault of the disk that is written to."""


def unpack(archive, folder, *, wanted: Callable[[str], bool] = lambda name: True, most_bytes: int = 10**12,
           most_files: int = 10**7, most_ratio: float = 200.0) -> list[Refused]:
  """Unpacks a zip or tar archive (plain, gz, bz2, xz) into a folder, member by member.

  Args:
    wanted: which names to unpack; it gets them with forward slashes and without './'.
    most_bytes, most_files: limits on what is really written, whatever the headers say; refused members count as files.
    most_ratio: of bytes written to bytes of the archive, once 16 MiB are written.

  Returns:
    What was refused: paths that lead outside, links, devices, encrypted members, a name twice, and what is 'corrupt':
    a member, or, as '', all that follows where the archive itself is damaged. Whole members are kept.

  Raises:
    InputError: it is no archive, nothing in it can be read, a limit was passed, or the folder cannot be written.
  """
  archive, folder = Path(archive), Path(folder)
  if not archive.is_file():
    raise InputError(f'{archive}: no such file; fetch it again')
  try:
    folder.mkdir(parents=True, exist_ok=True)
    return _unpacked(archive, folder, wanted, most_bytes, most_files, int(archive.stat().st_size * most_ratio), most_ratio)
  except OSError as problem:
    raise InputError(f'{archive}: cannot be unpacked into {folder} ({problem}); make room there or choose another workdir') from None


def _unpacked(archive, folder, wanted, most_bytes, most_files, most_by_ratio, most_ratio):
  """Does the work of `unpack`; an OSError from here is one of the disk."""
  refused, seen, written, count, whole = [], {}, 0, 0, 0
  limit = (f'{most_bytes} bytes; raise config.most_gb if it is sound' if most_bytes <= max(SMALL, most_by_ratio) else
           f'{most_ratio:g} times its size (a bomb?); unpack it yourself if it is sound')
  members = _read(_members(archive))
  while True:
    try:
      name, fault, content = next(members, (None, None, None))
      if name is None:
        break
      parts = _parts(name)
      if not wanted('/'.join(parts) or name):
        continue
      if content or fault:
        count += 1
        if count > most_files:
          raise InputError(f'{archive}: more than {most_files} files; it is not what it says, or the limit is too low')
      fault = fault or (None if parts else ('outside', 'absolute, with .., or no name that a file can have'))
      if not content and not fault and not parts:      # './', the folder itself
        continue
      fault = fault or _clash(parts, seen, content is None) or _taken(folder, parts, content is None)
      if fault:
        refused.append(Refused(name, *fault))
      elif content:                                    # a folder is made when a file needs it
        try:
          written += _put(archive, folder.joinpath(*parts), content, min(most_bytes, max(SMALL, most_by_ratio)) - written, limit)
          whole += 1
        except _Damaged as problem:
          refused.append(Refused(name, 'corrupt', str(problem)))
    except _Damaged as problem:
      refused.append(Refused('', 'corrupt', str(problem)))
      break
  corrupt = [one for one in refused if one.reason == 'corrupt']
  if corrupt and not whole:
    raise InputError(f'{archive}: nothing in it can be read as zip or tar ({corrupt[0].detail}); fetch it again')
  return refused


def _read(pieces):
  """The same pieces; what goes wrong while they are read is _Damaged, unless the disk cannot be read at all."""
  try:
    yield from pieces
  except DAMAGE as problem:
    if isinstance(problem, OSError) and problem.errno not in (None, errno.EINVAL):
      raise
    # In one line: tarfile tells in five of all that it tried.
    raise _Damaged(' '.join(str(problem).split()) or type(problem).__name__) from None


def _members(archive):
  """Yields (name, fault or None, a function that opens it, or None for a folder)."""
  with open(archive, 'rb') as file:
    first = file.read(4)
  # A tar may end with a zip inside it, which is_zipfile takes for the whole: the first bytes go before it.
  if first in (b'PK\3\4', b'PK\5\6') or not _is_tar(archive) and zipfile.is_zipfile(archive):
    with zipfile.ZipFile(archive) as file:
      for one in file.infolist():
        # Not `filename`, which the library cuts at a NUL.
        yield one.orig_filename, _zip_fault(one), None if one.is_dir() else lambda one=one: file.open(one)
    return
  with tarfile.open(archive, 'r:*', errorlevel=1, tarinfo=_Header) as file:
    while one := file.next():
      file.members.clear()                  # the library would keep them all
      fault = ('link', f'to {one.linkname}') if one.issym() or one.islnk() else None
      if not fault and not (one.isfile() or one.isdir()):
        fault = ('device', 'neither a file nor a folder')
      yield one.name, fault, (lambda one=one: file.extractfile(one)) if one.isfile() else None
    # The library stops without a word at a header that it cannot read, and before the checksum of a gz.
    file.fileobj.seek(file.offset)
    if file.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
      raise tarfile.ReadError('it ends without the mark of its end: cut off, or a header is damaged')
    for _ in range(64):                     # MiB; a tar is padded by some KiB
      if not file.fileobj.read(BLOCK):
        break


def _is_tar(archive):
  try:
    with tarfile.open(archive, 'r:*', tarinfo=_Header):
      return True
  except DAMAGE:
    return False


class _Header(tarfile.TarInfo):
  """A tar header that does not fill the memory."""

  def _proc_member(self, file):
    if self.size > HEADER_BYTES and self.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE,
                                                  tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
      raise tarfile.SubsequentHeaderError(f'a header of {self.size} bytes, more than {HEADER_BYTES}')
    return super()._proc_member(file)


def _zip_fault(one):
  """Why a member of a zip is not taken, or None."""
  kind = one.external_attr >> 16 & 0o170000
  if kind == 0o120000:
    return 'link', 'a symbolic link'
  if kind not in (0, 0o100000, 0o040000):
    return 'device', 'neither a file nor a folder'
  if one.flag_bits & 0x41:
    return 'encrypted', 'it takes a password'
  if one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):    # the library unpacks others without a bound
    return 'compression', f'method {one.compress_type}; stored and deflated are read'
  return None


def _put(archive, path, content, room, limit):
  """Writes one member, whole or not at all; returns its bytes."""
  size = 0
  made = files.beside(path.with_name('unpacked'))       # short, whatever the member is called
  made.unlink(missing_ok=True)
  try:
    with open(made, 'xb') as target:
      for block in _read(_blocks(content)):
        size += len(block)
        if size > room:
          raise InputError(f'{archive}: unpacks to more than {limit}; stopped at {path.name!r}')
        target.write(block)
    os.replace(made, path)          # the whole archive is unpacked again after a crash: no fsync for each of its files
  finally:
    made.unlink(missing_ok=True)
  return size


def _blocks(content):
  with content() as source:
    while block := source.read(BLOCK):
      yield block


def _parts(name):
  """The parts of a member's path below the folder, or () where it must not be one."""
  if not name or name.startswith('/') or '\0' in name or '\\' in name:
    return ()
  parts = tuple(part for part in name.split('/') if part not in ('', '.'))
  try:
    sound = len(name.encode()) < 3000 and all(len(part.encode()) <= NAME_BYTES for part in parts)
  except UnicodeEncodeError:
    return ()
  if any(part == '..' or re.match('[A-Za-z]:', part) or part.startswith(files.temporary_prefix()) for part in parts):
    return ()
  return parts if sound else ()


def _clash(parts, seen, folder):
  """Marks a path as taken; a fault where it, or a file that stands where it needs a folder, is there already.

  Names that differ in case, or in how an accent is written, are one file on some machines.
  """
  folded = tuple(unicodedata.normalize('NFC', part).casefold() for part in parts)
  if any(seen.get(folded[:depth]) for depth in range(1, len(folded))):
    return 'duplicate', 'a file stands where its folder would be'
  if folded in seen and not (folder and not seen[folded]):
    return 'duplicate', 'the name stands twice'
  for depth in range(1, len(folded)):
    seen[folded[:depth]] = False
  seen[folded] = not folder
  return None


def _taken(root, parts, folder):
  """A fault where what stands on the disk already would lead elsewhere or be in the way."""
  for depth in range(1, len(parts) + folder):
    path = root.joinpath(*parts[:depth])
    if path.is_symlink():
      return 'outside', f'{path} is a link'
    if path.exists() and not path.is_dir():
      return 'duplicate', f'{path} is a file, where its folder would be'
  if not folder and root.joinpath(*parts).is_dir() and not root.joinpath(*parts).is_symlink():
    return 'duplicate', 'a folder of that name is there'
  return None
