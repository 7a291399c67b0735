"""A recording as a small file of codes: which codec made it, how long it is, the codes packed bit by bit, a checksum.

The frame is that of every record, see preparation/shards.py. At 8 levels of 1024 codes, 25 times a second, a
minute takes 15 kB.
"""
import dataclasses
import json
import struct
from pathlib import Path

import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import shards

KIND = 'codes'
VERSION = 1
SUFFIX = '.codes'
BLOCK = 2**16                    # codes that are packed at once, whole bytes: each takes 80 times its size meanwhile


@dataclasses.dataclass(frozen=True)
class CodeFile:
  """What a code file holds."""
  codes: np.ndarray              # u16[t levels], t = samples / hop, rounded up; the first levels of the codec, or all
  samples: int                   # of the recording
  codec: str                     # name of the codec whose codes these are
  rate: int                      # samples a second
  hop: int                       # samples of one frame
  codebooks: int                 # levels that the codec has
  entries: int                   # codes of one codebook
  recording: str = ''            # checksum of the file that was encoded; '' = not known

  @property
  def levels(self) -> int:
    return self.codes.shape[1]

  @property
  def seconds(self) -> float:
    return self.samples / self.rate


def to_bytes(content: CodeFile) -> bytes:
  """The bytes of a code file; equal contents give equal bytes.

  Raises:
    ValueError: the codes do not fit the sizes beside them.
  """
  codes, frames = np.asarray(content.codes), _frames(content.samples, content.hop)
  if codes.ndim != 2 or len(codes) != frames or not 1 <= codes.shape[1] <= content.codebooks:
    raise ValueError(f'codes {codes.shape} where {content.samples} samples in frames of {content.hop} give {frames} '
                     f'frames of 1 to {content.codebooks} levels')
  if codes.size and not 0 <= codes.min() <= codes.max() < content.entries:
    raise ValueError(f'codes from {codes.min()} to {codes.max()}, a codebook has {content.entries}')
  header = {'codec': content.codec, 'rate': content.rate, 'hop': content.hop, 'codebooks': content.codebooks,
            'codes': content.entries, 'levels': codes.shape[1], 'samples': content.samples}
  if content.recording:
    header['recording'] = content.recording
  return shards.pack(KIND, VERSION, header, packed(codes, content.entries))


def from_bytes(data: bytes) -> CodeFile:
  """The content of a code file.

  Raises:
    ValueError: it is no code file, of another version, truncated or changed; the message says which.
  """
  try:
    _, header, payload = shards.unpack(data, KIND, VERSION)
  except ValueError:
    if data[:4] == shards.MAGIC[:len(data)] and len(data) < shards.HEAD.size + shards.CHECK.size:
      raise ValueError(f'truncated: it has {len(data)} bytes, fewer than any code file') from None
    if _size(data) not in (None, len(data)):
      raise ValueError(f'truncated or changed: it has {len(data)} bytes, its header tells of {_size(data)}') from None
    raise
  _check(header)
  shape = _frames(header['samples'], header['hop']), header['levels']
  if len(payload) != _payload(header):
    raise ValueError(f'{len(payload)} bytes of codes where {shape[0]} frames of {shape[1]} levels take {_payload(header)}')
  codes = unpacked(payload, shape, header['codes'])
  if codes.size and codes.max() >= header['codes']:
    raise ValueError(f'code {codes.max()}, a codebook has {header["codes"]}')
  return CodeFile(codes, header['samples'], header['codec'], header['rate'], header['hop'], header['codebooks'],
                  header['codes'], header.get('recording', ''))


def read(path) -> CodeFile:
  """The content of the code file at `path`.

  Raises:
    InputError: there is no such file, or see `from_bytes`.
  """
  try:
    return from_bytes(Path(path).read_bytes())
  except OSError as problem:
    raise InputError(f'{path}: {problem.strerror}') from None
  except ValueError as problem:
    raise InputError(f'{path}: {problem}; make it again from the recording, or copy it again') from None


def write(path, content: CodeFile) -> int:
  """Writes a code file, whole or not at all; returns its size in bytes."""
  data = to_bytes(content)
  files.write(path, data)
  return len(data)


def packed(codes, entries: int) -> bytes:
  """Codes below `entries`, in their order, each in as many bits as the largest needs, the highest bit first."""
  places, codes = np.arange(_bits(entries))[::-1], np.asarray(codes).reshape(-1, 1)
  return b''.join(np.packbits((codes[start:start + BLOCK].astype(np.uint32) >> places & 1).astype(np.uint8)).tobytes()
                  for start in range(0, len(codes), BLOCK))


def unpacked(data: bytes, shape: tuple[int, ...], entries: int) -> np.ndarray:
  """u16 codes of a shape from what `packed` gave."""
  bits, codes = _bits(entries), np.zeros(int(np.prod(shape)), np.uint16)
  values, data = 1 << np.arange(bits)[::-1], np.frombuffer(data, np.uint8)
  for start in range(0, len(codes), BLOCK):
    part = codes[start:start + BLOCK]
    part[:] = np.unpackbits(data[start * bits // 8:], count=len(part) * bits).reshape(-1, bits) @ values
  return codes.reshape(shape)


def _check(header):
  """Raises ValueError where a header lacks a field or has one that says nothing; its checksum holds, so its writer is to blame."""
  counts = {name: header.get(name) for name in ('samples', 'rate', 'hop', 'codebooks', 'codes', 'levels')}
  for name, value in counts.items():
    if type(value) is not int or value < (name != 'samples'):
      raise ValueError(f'{name} {value!r} in its header, which is to be a count')
  if header['levels'] > header['codebooks'] or header['codes'] > 2**16:
    raise ValueError(f'{header["levels"]} levels of {header["codebooks"]}, {header["codes"]} codes each, in its header')
  for name, value in (('codec', header.get('codec')), ('recording', header.get('recording', ''))):
    if not isinstance(value, str):
      raise ValueError(f'{name} {value!r} in its header, which is to be a name')


def _bits(entries):
  return max(1, (entries - 1).bit_length())


def _frames(samples, hop):
  return -(-samples // hop)


def _payload(header):
  """Bytes of the packed codes."""
  return -(-_frames(header['samples'], header['hop']) * header['levels'] * _bits(header['codes']) // 8)


def _size(data):
  """How many bytes a file has whose beginning this is, by its header; None where it cannot be told."""
  try:
    _, name, _, header = shards.HEAD.unpack_from(data)
    start = shards.HEAD.size + name
    return start + header + _payload(json.loads(data[start:start + header])) + shards.CHECK.size
  except (struct.error, ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
    return None
