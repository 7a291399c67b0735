"""Opus bytes that depend on the samples alone.

libsndfile numbers each Ogg stream at random, so that the same samples give other bytes every time. Here the
number is taken from the audio, which lets a corpus be remade and compared byte for byte.
"""
import io
import struct
import zlib

import numpy as np
import soundfile

POLYNOMIAL = 0x04C11DB7    # checksum of an Ogg page (RFC 3533, section 6), highest bit first, from 0
HEADER = 27                # bytes of a page before its segment table; [14:18] stream number, [22:26] checksum


def _table():
  rows = []
  for byte in range(256):
    crc = byte << 24
    for _ in range(8):
      crc = (crc << 1) ^ (POLYNOMIAL if crc & 0x80000000 else 0)
    rows.append(crc & 0xFFFFFFFF)
  return tuple(rows)


TABLE = _table()


def page_checksum(page: bytes) -> int:
  """The checksum of an Ogg page whose checksum field holds zeros."""
  crc = 0
  for byte in page:
    crc = ((crc << 8) & 0xFFFFFFFF) ^ TABLE[(crc >> 24) ^ byte]
  return crc


def numbered(ogg: bytes, number: int) -> bytes:
  """The same Ogg stream under another stream number.

  Raises:
    ValueError: the bytes are not whole Ogg pages.
  """
  pages, start = [], 0
  while start < len(ogg):
    if ogg[start:start + 4] != b'OggS':
      raise ValueError(f'no Ogg page at byte {start} of {len(ogg)}')
    segments = ogg[start + HEADER - 1]
    end = start + HEADER + segments + sum(ogg[start + HEADER:start + HEADER + segments])
    page = bytearray(ogg[start:end])
    page[14:18] = struct.pack('<I', number)
    page[22:26] = bytes(4)
    page[22:26] = struct.pack('<I', page_checksum(page))
    pages.append(bytes(page))
    start = end
  return b''.join(pages)


def encoded(samples, kbps: float, rate: int = 16_000) -> bytes:
  """An Ogg Opus file of about `kbps`; the same samples give the same bytes with the same libopus.

  Args:
    samples: f32[samples] mono, in [-1, 1].
    kbps: from 6 to 256, on average; the file's headers add about 1 kB.
    rate: 8, 12, 16, 24 or 48 kHz.
  """
  if not 6 <= kbps <= 256:
    raise ValueError(f'{kbps} kbit/s is outside what Opus takes, 6 to 256')
  samples = np.ascontiguousarray(samples, np.float32)
  file = io.BytesIO()
  # libsndfile's scale of Opus bitrates: level 0 is 256 kbit/s a channel, level 1 is 6
  soundfile.write(file, samples, rate, format='OGG', subtype='OPUS', compression_level=(256 - kbps) / 250)
  return numbered(file.getvalue(), zlib.crc32(samples.tobytes()))
