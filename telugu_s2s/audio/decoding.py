"""An audio file as the samples that are in it: piece by piece, at its own rate, with all its channels.

libsndfile reads wav, flac, mp3 and ogg (Vorbis, Opus). AAC in any wrapping, and what phones and browsers record (m4a,
mp4, webm), FFmpeg reads through PyAV, which is an extra. The first bytes of a file decide, its name does not.
"""
import importlib.util
import os
import struct

import numpy as np
import soundfile

from telugu_s2s.audio import lengths
from telugu_s2s.errors import InputError

NOT_AUDIO = (1, 2, 7)    # libsndfile: unrecognised format, system error; 7 is what mpg123 says of text
NO_DECODER = 'no decoder'
PASSING = 'unreadable'   # of the reasons the one that may be another's next time: a disk or a server did not answer
INSTALL = 'pip install -e .[preparation] -c constraints.txt'
NO_LAST_PAGE = 'its last page is not marked as the last'
LACKING = f'AAC, MP4, WebM and files that do not tell their length are read by PyAV: {INSTALL}'
MOST_CHUNKS = 1000       # of a wav before its samples
NO_LENGTH = 0x7FFFF000   # from here on a wav's length is the mark of a writer that could not go back and fill it in
OGG_TAIL = 2**17         # bytes; a page takes at most 65,307


class Unreadable(InputError):
  """A file that gives no audio; `reason` is one of missing, non-audio, zero-second, corrupt, no decoder, unreadable."""

  def __init__(self, path, reason: str, detail: str, remedy: str = 'replace or remove the file'):
    super().__init__(f'{path}: {reason} ({detail}); {remedy}')
    self.path, self.reason, self.detail = str(path), reason, detail


def opened(path) -> '_Plain | _Container':
  """An audio file ready to decode, to be used in a `with`.

  Its `rate` is in Hz, `channels` a count, `declared` the frames that its headers speak of, 0 where they do not;
  `read(count)` gives f32[frames channels], none at the end; `seek(frame)` goes there where that is `exact`, and else nowhere,
  and says which frame is next;
  `cut` says how the end shows that more was there, or ''.

  Raises:
    Unreadable: there is no such file, or it is empty, or no audio that we know.
  """
  try:
    if os.path.getsize(path) == 0:
      raise Unreadable(path, 'zero-second', 'the file has no bytes')
    form = container(path) or lengths.misjudged(path)
    return _Container(path, form) if form else _Plain(path)
  except FileNotFoundError:
    raise Unreadable(path, 'missing', 'no such file') from None
  except OSError as error:
    raise Unreadable(path, PASSING, error.strerror or 'cannot be opened', 'see to the disk or the permissions, and start again') from None


def container(path) -> str:
  """FFmpeg's name of the format that a file begins like, '' where libsndfile can read it, if not to its end; see lengths.py."""
  with open(path, 'rb') as file:
    start = file.read(12)
    if at := lengths.behind_tag(start, 0):            # MP3 has a tag, AAC may
      file.seek(at)
      start = file.read(2)
  if start[4:8] == b'ftyp':
    return 'mp4'
  if start[:4] == b'\x1aE\xdf\xa3':
    return 'matroska'
  if start[:1] == b'\xff' and start[1:2] and start[1] & 0xF6 == 0xF0:
    return 'aac'
  return ''


def complete() -> bool:
  """Whether this installation decodes all that any can."""
  return importlib.util.find_spec('av') is not None


def undecodable(path) -> str:
  """Why an installation that is not `complete` cannot read a file, as its beginning tells, or ''. Raises OSError as `open` does."""
  return LACKING if container(path) else ''


class _Plain:
  """What libsndfile reads."""

  def __init__(self, path):
    self._path = path
    try:
      self._file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
      reason = 'non-audio' if error.code in NOT_AUDIO else 'corrupt'
      # What libsndfile says of a format that no decoder of its knows is that there were no file, or a fault of the system.
      said = 'the format is not recognised' if error.code in NOT_AUDIO else error.error_string.strip('. ')
      raise Unreadable(path, reason, said) from None
    except TypeError:   # soundfile asks for the rate of a file whose extension means headerless samples
      raise Unreadable(path, 'non-audio', 'the format is not recognised') from None
    self.rate, self.channels, self.cut = self._file.samplerate, self._file.channels, ''
    # Behind a seek libsndfile gives other samples of Vorbis' last page, and of MP3's first frames.
    self.exact = self._file.seekable() and self._file.format not in ('OGG', 'MP3')
    with open(path, 'rb') as file:
      self.declared = round(self._file.frames * _wav_share(file))
      if _unfinished_ogg(file):
        self.cut = NO_LAST_PAGE

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self._file.close()

  def seek(self, frame: int) -> int:
    try:
      return self._file.seek(min(frame, self._file.frames)) if self.exact else 0
    except (soundfile.LibsndfileError, RuntimeError) as error:
      raise _fails(self._path, frame / self.rate, error) from None

  def read(self, count: int) -> np.ndarray:
    try:
      return self._file.read(count, dtype='float32', always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
      raise _fails(self._path, self._file.tell() / self.rate, error) from None


class _Container:
  """What FFmpeg reads: the first sound of a file, whatever else is in it.

  What an encoder put in front of the sound is cut where the file tells of it: mp4 does, webm does, bare AAC does not
  and keeps 20 to 50 ms. Behind it, the file's length counts, to the millisecond. Gaps between packets are closed.
  """

  def __init__(self, path, form):
    self._path, self.cut, self.exact, self._decoded = path, '', False, 0
    if not complete():
      raise Unreadable(path, NO_DECODER, LACKING, 'install it, or convert the file')
    import av      # a fifth of a second, and not in every installation
    self._fault = av.error.FFmpegError
    self._bytes = open(path, 'rb')          # by name FFmpeg would also follow addresses and play lists
    if form == 'ogg' and _unfinished_ogg(self._bytes):
      self.cut = NO_LAST_PAGE
    self._bytes.seek(0)
    try:
      self._file = av.open(self._bytes, format=form, metadata_errors='replace')
      if not self._file.streams.audio:
        raise Unreadable(path, 'non-audio' if self._file.streams.video else 'corrupt', 'it describes no sound')
      stream = self._file.streams.audio[0]
      self._frames = _floating(self._file.decode(stream), av.AudioResampler('flt'))
      self._next = next(self._frames, None)
      if self._next is None:
        raise Unreadable(path, 'zero-second', 'no sample in it decodes')
    except (self._fault, ValueError, LookupError) as error:
      self._bytes.close()
      if isinstance(error, Unreadable):
        raise
      raise Unreadable(path, 'corrupt', _words(error)) from None
    self.rate, self.channels = self._next.sample_rate, self._next.layout.nb_channels
    seconds = 0.0
    if form == 'mp4' and stream.duration:
      seconds = float(stream.duration * stream.time_base)
    elif form == 'matroska' and self._file.duration and len(self._file.streams) == 1:
      seconds = self._file.duration / av.time_base
    self.declared = round(seconds * self.rate)

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self._file.close()
    self._bytes.close()

  def seek(self, frame: int) -> int:
    return 0      # packets tell times in their own way: what comes before is decoded and dropped

  def read(self, count: int) -> np.ndarray:
    """At least `count` frames, fewer at the end."""
    pieces, size = [np.zeros((0, self.channels), np.float32)], 0
    while size < count and self._next is not None:
      frame, at_s = self._next, self._decoded / self.rate
      try:
        self._next = next(self._frames, None)
      except (self._fault, ValueError) as error:
        raise _fails(self._path, at_s, _words(error)) from None
      x = frame.to_ndarray()
      pieces.append(x.T if frame.format.is_planar else x.reshape(-1, self.channels))
      self._decoded += frame.samples
      over = self._decoded - self.declared
      if self._next is None and self.declared and 0 < over < frame.samples:
        pieces[-1] = pieces[-1][:-over]
      size += len(pieces[-1])
    return np.concatenate(pieces)


def _fails(path, at_s, error):
  return Unreadable(path, 'corrupt', f'decoding fails after {at_s:.1f} s: {error}')


def _words(error):
  """What FFmpeg says, without the number and the name of the file."""
  return (getattr(error, 'strerror', None) or str(error) or type(error).__name__).splitlines()[0]


def _floating(frames, convert):
  """The same frames in floats, whatever the samples were.

  Of more than 7 channels that lie apart PyAV 18.1 reads beyond the last, so they are put side by side. The rest are not,
  which is twice as fast.
  """
  form = None
  for frame in frames:
    if form not in (None, (frame.sample_rate, frame.layout.nb_channels)):
      raise ValueError('rate or channels change')
    form = frame.sample_rate, frame.layout.nb_channels
    yield from [frame] if frame.format.name == 'fltp' and form[1] < 8 else convert.resample(frame)


def _wav_share(file) -> float:
  """How many times the samples present a wav declares, above 1 where it was cut off; 1 for any other file."""
  size, start = os.fstat(file.fileno()).st_size, file.read(12)
  order = {b'RIFF': '<', b'RF64': '<', b'RIFX': '>'}.get(start[:4])
  if not order or start[8:] != b'WAVE':
    return 1.0
  large = None
  for _ in range(MOST_CHUNKS):
    head = file.read(8)
    if len(head) < 8:
      break
    name, length = struct.unpack(order + '4sI', head)
    if name == b'ds64':
      large = struct.unpack(order + 'QQ', file.read(16).ljust(16, b'\0'))[1]
      file.seek(-16, os.SEEK_CUR)
    if name == b'data':
      if large is not None and length == 0xFFFFFFFF:
        length = large
      present = size - file.tell()
      known = length < NO_LENGTH or large is not None
      return length / present if known and 0 < present < length else 1.0
    file.seek(length + length % 2, os.SEEK_CUR)
  return 1.0


def _unfinished_ogg(file) -> bool:
  """Whether an Ogg file ends before a page that says that it is the last (RFC 3533, section 6)."""
  file.seek(0)
  if file.read(4) != b'OggS':
    return False
  size = os.fstat(file.fileno()).st_size
  file.seek(max(0, size - OGG_TAIL))
  tail = file.read()
  start = tail.rfind(b'OggS\0')
  if start < 0 or len(tail) < start + 27:
    return True
  segments = tail[start + 27:start + 27 + tail[start + 26]]
  return not tail[start + 5] & 4 or start + 27 + tail[start + 26] + sum(segments) > len(tail)
