"""Audio files to arrays and back: any rate and channel count in, 16 kHz mono out.

Everything after this file knows one kind of signal: f32[samples] in [-1, 1] at 16 kHz.
"""
import contextlib
import hashlib
import io
import math
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from telugu_s2s.audio import decoding
from telugu_s2s.audio.decoding import Unreadable

SAMPLE_RATE = 16_000
EXTENSIONS = ('.wav', '.flac', '.mp3', '.ogg', '.opus', '.m4a', '.aac', '.mp4', '.webm')
RATES = 1_000, 768_000   # Hz; beyond them a header is damaged, and resampling would take all memory or time
BLOCK_S = 10.0           # decoded at a time: bounds the memory of a long file at a high native rate
BLOCK_SAMPLES = 2**24    # over all channels, likewise
LARGEST = 1e30           # of a sample whose sums with others are still finite in float32
NAME_BYTES = 255         # of a file's name, in most file systems
MARGIN_S = 0.1           # decoded on either side of a part, so that the resampler meets what is there


def blocks(path, channel: int | None = None, start_s: float = 0.0, end_s: float | None = None) -> Iterator[tuple[np.ndarray, int]]:
  """Decodes a file piece by piece, so that memory does not grow with its length.

  Args:
    path: a wav, flac, mp3, ogg, opus, m4a, aac, mp4 or webm file, of any rate and channel count.
    channel: the one channel to keep; None, or a file with fewer channels, gives their mean.
    start_s, end_s: the part to decode, None = to the end of the file. Lossy files are decoded from their beginning; for
      many parts of one see parts.py.

  Yields:
    (f32[samples] at 16 kHz, native rate in Hz), about 10 s at a time; together the whole file, or the part of it that
    is there.

  Raises:
    Unreadable: see `decoding.opened`; or decoding fails, ends before the declared length or the mark of the end, or
      gives samples that are not finite, or nearly so; or the file ends before the part begins.
  """
  with decoding.opened(path) as file:
    rate, declared = file.rate, file.declared
    if not RATES[0] <= rate <= RATES[1]:
      raise Unreadable(path, 'corrupt', f'a rate of {rate} Hz')
    resample = None
    if rate != SAMPLE_RATE:
      resample = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype='float32', quality='VHQ')
    both = rate // math.gcd(rate, SAMPLE_RATE)          # frames after which a sample of either rate falls on one instant
    first = decoded = file.seek(max(0, int((start_s - MARGIN_S) * rate) // both * both))
    early = round(start_s * SAMPLE_RATE) - first * SAMPLE_RATE // rate
    left = math.inf if end_s is None else round(end_s * SAMPLE_RATE) - round(start_s * SAMPLE_RATE)
    stop = math.inf if end_s is None else (end_s + MARGIN_S) * rate
    given = False
    while left:
      x = file.read(int(min(BLOCK_S * rate, BLOCK_SAMPLES / file.channels, max(0, stop - decoded))))
      decoded, last = decoded + len(x), not len(x)
      if not (np.abs(x) < LARGEST).all():          # nor of what is not a number
        at = decoded - len(x) + int(np.argmin((np.abs(x) < LARGEST).all(1)))
        raise Unreadable(path, 'corrupt', f'samples are not finite at {at / rate:.1f} s')
      one = channel is not None and channel < x.shape[1]
      x = np.ascontiguousarray(x[:, channel] if one else x.mean(1))
      if resample is not None and decoded > first:
        x = resample.resample_chunk(x, last=last)
      x, early = x[early:], max(0, early - len(x))
      x = x[:int(min(left, len(x)))]
      left -= len(x)
      given = given or len(x) > 0
      if len(x):
        yield np.clip(x, -1, 1), rate
      if last:
        break
    if decoded == 0:
      raise Unreadable(path, 'zero-second', 'it holds no samples')
    if not given:
      raise Unreadable(path, 'zero-second', f'it ends after {decoded / rate:.1f} s, before its part at {start_s:g} s')
    if decoded >= stop or not left:
      return                          # how the file ends is not known
    if decoded < declared - 0.1 * rate:
      raise Unreadable(path, 'corrupt', f'{decoded / rate:.1f} s decode of the {declared / rate:.1f} s declared')
    if file.cut:
      raise Unreadable(path, 'corrupt', f'it breaks off after {decoded / rate:.1f} s: {file.cut}')


def read(path, channel: int | None = None, start_s: float = 0.0, end_s: float | None = None) -> tuple[np.ndarray, int]:
  """A whole file, or the part from start_s to end_s, as f32[samples] at 16 kHz, mono, and its native rate in Hz.

  An hour takes 230 MB; `blocks` gives the same samples piece by piece. Raises as `blocks` does.
  """
  pieces, rate = [], SAMPLE_RATE
  for piece, rate in blocks(path, channel, start_s, end_s):
    pieces.append(piece)
  return np.concatenate(pieces), rate


def pcm16(samples) -> np.ndarray:
  """Samples in [-1, 1] as i16[samples]; what lies outside is clipped.

  A float that came from 16 bits (k / 32768) goes back to the same k.
  """
  return np.clip(np.rint(np.asarray(samples, np.float64) * 32768), -32768, 32767).astype(np.int16)


def encoded(samples, rate: int = SAMPLE_RATE, form: str = 'wav', comment: str = '') -> bytes:
  """The bytes of a 16-bit audio file, 'wav' or 'flac'; for Opus see opus.py.

  Args:
    samples: f32[samples] in [-1, 1], or i16[samples], which are kept bit for bit.
    rate: in Hz.
    comment: kept in the file, in a wav as LIST/INFO/ICMT; '' = none.
  """
  samples = np.asarray(samples)
  if samples.dtype != np.int16:
    samples = pcm16(samples)
  file = io.BytesIO()
  with soundfile.SoundFile(file, 'w', rate, 1, format=form.upper(), subtype='PCM_16') as sound:
    if comment:
      sound.comment = comment
    sound.write(samples)
  return file.getvalue()


def decoded(data: bytes) -> tuple[np.ndarray, int]:
  """i16[samples] and the rate in Hz of the bytes of a mono audio file; exact for 16-bit wav and flac."""
  samples, rate = soundfile.read(io.BytesIO(data), dtype='int16')
  return samples, rate


def beside(path) -> Path:
  """Where a file is made before it gets its name: in the same folder, marked with this machine and process."""
  path, start = Path(path), f'{temporary_prefix()}{os.getpid()}-'
  path.parent.mkdir(parents=True, exist_ok=True)
  name = os.fsencode(path.name)
  # A letter of Telugu is three bytes: names of 60 letters would not fit behind the mark.
  fits = len(start) + len(name) <= NAME_BYTES
  return path.with_name(start + (path.name if fits else hashlib.sha256(name).hexdigest()[:32]))


def temporary_prefix() -> str:
  """How the names of this machine's unfinished files begin; the number of the process follows.

  Containers of one host name each count their processes from 1: what they count in tells them apart.
  """
  try:
    space = os.stat('/proc/self/ns/pid').st_ino
  except OSError:                # no Linux
    space = 0
  return f'.tmp-{socket.gethostname()}-{space}-'


def settle(made, path) -> None:
  """Gives a finished temporary file its name, after it, and then the folder, has reached the disk."""
  with open(made, 'rb+') as file:
    os.fsync(file.fileno())
  os.replace(made, path)
  if os.name == 'posix':
    folder = os.open(Path(path).parent, os.O_RDONLY)
    try:
      os.fsync(folder)
    finally:
      os.close(folder)


@contextlib.contextmanager
def written(path) -> Iterator[BinaryIO]:
  """A binary file to write to, which gets its name once all went well."""
  made = beside(path)
  try:
    with open(made, 'wb') as file:
      yield file
    settle(made, path)
  finally:
    made.unlink(missing_ok=True)


def write(path, data: bytes) -> None:
  """Puts bytes under a name, whole or not at all."""
  with written(path) as file:
    file.write(data)


def write_wav(path, samples, rate: int = SAMPLE_RATE, comment: str = '') -> None:
  """Writes a 16-bit wav file, whole or not at all. samples: f32[samples] in [-1, 1]; comment: see `encoded`."""
  write(path, encoded(samples, rate, 'wav', comment))
