"""Damaged, lying and hostile inputs made from real ones: each follows from its kind and number, and the path of the trap."""
import functools
import io
import json
import struct
import tarfile
import warnings
import zipfile

import numpy as np

from telugu_s2s.audio import files, opus
from telugu_s2s.preparation.prepare import SAMPLE
from tests.audio import encoders

SEED = 20_261_125
NAMES = ('q001-mezzo', 'a001-buzz', 'a002-deep')
ABSURD = (0, 1, 2, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
# Where headers keep rates, channels, counts and lengths: {format: [(mark, place behind its first byte, bytes)]}.
MP4 = [(box, place, 4) for box, places in {b'mvhd': (16, 20), b'mdhd': (16, 20), b'elst': (8, 12, 16), b'stts': (8, 12, 16),
       b'stsz': (8, 12, 16), b'stsc': (8, 12, 16), b'stco': (8, 12), b'mp4a': (20, 28, -4), b'esds': (9, 17, 25, 33),
       b'moov': (-4,), b'trak': (-4,), b'stbl': (-4,), b'mdat': (-4,), b'ftyp': (-4,)}.items() for place in places]
PAGE = [(b'OggS', 5, 1), (b'OggS', 6, 8), (b'OggS', 18, 4), (b'OggS', 26, 1)]
OPUS_HEAD = [(b'OpusHead', 8, 1), (b'OpusHead', 9, 1), (b'OpusHead', 10, 2), (b'OpusHead', 12, 4), (b'OpusHead', 16, 2),
             (b'OpusHead', 18, 1)]
FIELDS = {
    'wav': [(b'RIFF', 4, 4), (b'fmt ', 4, 4), (b'fmt ', 8, 2), (b'fmt ', 10, 2), (b'fmt ', 12, 4), (b'fmt ', 16, 4),
            (b'fmt ', 20, 2), (b'fmt ', 22, 2), (b'data', 4, 4)],
    'flac': [(b'fLaC', 5, 3), (b'fLaC', 8, 2), (b'fLaC', 10, 2), (b'fLaC', 14, 3), (b'fLaC', 18, 4), (b'fLaC', 21, 4)],
    'mp3': [(b'\xff\xf3', 2, 1), (b'\xff\xf3', 3, 1), (b'\xff\xfb', 2, 1), (b'Info', 4, 4), (b'Info', 8, 4), (b'Info', 12, 4)],
    'ogg': [(b'\1vorbis', 7, 4), (b'\1vorbis', 11, 1), (b'\1vorbis', 12, 4), (b'\1vorbis', 20, 4), (b'\1vorbis', 28, 1), *PAGE],
    'opus': [*OPUS_HEAD, *PAGE],
    'm4a': MP4, 'mp4': MP4,
    'aac': [(b'\xff\xf1', 1, 1), (b'\xff\xf1', 2, 1), (b'\xff\xf1', 3, 1), (b'\xff\xf1', 4, 2)],
    'webm': [*OPUS_HEAD, (b'\x1aE\xdf\xa3', 4, 1), (b'\x18S\x80g', 4, 8), (b'\x2a\xd7\xb1', 4, 3), (b'\x44\x89', 3, 8),
             (b'\x9f\x81', 2, 1), (b'\xb5\x84', 2, 4), (b'\xb5\x88', 2, 8), (b'\x56\xaa', 3, 3), (b'\x1f\x43\xb6\x75', 4, 8)]}


def generator(kind: str, number: int) -> np.random.Generator:
  return np.random.default_rng([SEED, *kind.encode(), number])


def one_of(rng, values):
  return values[int(rng.integers(len(values)))]


@functools.cache
def clips() -> dict[str, list[bytes]]:
  """{format: files of 0.3 to 1 s of speech}, mono at 16 kHz and stereo at 48 kHz."""
  voices = [files.read(SAMPLE / 'audio' / f'{name}.opus')[0][8000:][:length]
            for name, length in zip(NAMES, (16_000, 9_000, 5_000))]
  pairs = [(voices[0], 16_000), (voices[1], 16_000), (np.stack([np.repeat(voices[2], 3)] * 2, 1), 48_000)]
  return {form: [encoders.encoded(*pair, form) for pair in pairs] for form in encoders.FORMS}


def damaged(data: bytes, rng) -> bytes:
  """Bytes with one to three faults of a kind that disks, cables and interrupted copies make."""
  for _ in range(rng.integers(1, 4)):
    data, size = bytearray(data), len(data)
    start, length = (int(rng.integers(size + 1)), int(rng.integers(1, 200))) if size else (0, 1)
    match rng.integers(8):
      case 0 | 1:
        for at in rng.integers(min(size, one_of(rng, (64, 512, 2**30))), size=rng.integers(1, 20)) if size else ():
          data[at] ^= 1 << int(rng.integers(8))
      case 2:
        del data[start:]
      case 3:
        del data[start:start + length]
      case 4:
        data[start:start + length] = bytes(length)
      case 5:
        data[start:start] = data[int(rng.integers(size + 1)):][:length]
      case 6:
        data[start:start + length] = rng.bytes(length)
      case 7:
        data += rng.bytes(length)
  return bytes(data)


def misdescribed(data: bytes, form: str, rng) -> bytes:
  """A file whose headers hold one to three absurd numbers; the checksums of Ogg pages are right."""
  data = bytearray(data)
  for _ in range(rng.integers(1, 4)):
    mark, place, size = one_of(rng, FIELDS[form])
    value = (one_of(rng, ABSURD) if rng.random() < 0.7 else int(rng.integers(2**63))) % 256**size
    at, everywhere = data.find(mark), rng.random() < 0.3
    while at >= 0:
      if 0 <= at + place and at + place + size <= len(data):
        data[at + place:at + place + size] = value.to_bytes(size, one_of(rng, ('big', 'little')))
      at = data.find(mark, at + 1) if everywhere else -1
  try:
    return opus.numbered(bytes(data), 7) if form in ('ogg', 'opus') else bytes(data)
  except (ValueError, IndexError):
    return bytes(data)


def audio(number: int) -> tuple[str, bytes]:
  """A damaged file, and its name: at times with another format's beginning or another format's name."""
  rng = generator('audio', number)
  form = one_of(rng, encoders.FORMS)
  data, named = one_of(rng, clips()[form]), form
  chance = rng.random()
  if chance < 0.1:
    named = one_of(rng, encoders.FORMS)
  elif chance < 0.2:
    length = int(rng.integers(4, 64))
    data = one_of(rng, clips()[one_of(rng, encoders.FORMS)])[:length] + data[length:]
  if chance > 0.02:
    data = damaged(data, rng)
  return f'{number:05d}.{named}', data


def headers(number: int) -> tuple[str, bytes]:
  rng = generator('headers', number)
  form = one_of(rng, encoders.FORMS)
  return f'{number:05d}.{form}', misdescribed(one_of(rng, clips()[form]), form, rng)


CELLS = ('', ' ', '"', '"x', 'x"y"', '""', "'", 'a\tb', 'a,b', 'a\rb', 'a\nb', 'a\r\nb', '\0', 'a.wav\0.txt', '../secret', '../../x',
         'a.wav/..', '/etc/passwd', '{outside}/secret', 'outside/secret', 'loop/loop/a.wav', 'dangling', 'fifo', 'C:\\x', '..\\x',
         '\\\\host\\x', '~/x', '%2e%2e/x', '.', './', '//', 'a.wav/', './a.wav', 'A.WAV', 'folder', 'MANIFEST.tsv', 'x' * 300,
         'x/' * 3000, 'ఔను' * 100, 'x' * 140_000, '-1', '0', '1', '2', '1.5', '1e5', 'nan', 'inf', '9' * 30, '9' * 5000, '٣', '²',
         '\u2028', '\x85', '\x1c', '\ufeff', '\u202e', '😀', '=1+1', 'None', 'null', 'train', 'eval', 'CC0-1.0', 'CC-BY-NC-4.0')
COLUMNS = ('path', 'text', 'speaker', 'split', 'licence', 'channel', 'turn', 'start_s', 'end_s', 'mood', 'seconds', 'bytes', 'id', '')
LINES = ('[' * 100_000, '{"a":' * 100_000, '[]', '1', 'null', '"path"', '{', '{}', '{"path": null}', '{"path": 7}', '{"path": ["a.wav"]}',
         '{"path": "a.wav", "path": "b.wav"}', '{"path": "a.wav", "turn": 1e999}', '{"path": "b.wav", "turn": ' + '9' * 5000 + '}',
         '{"path": "b.wav", "turn": ' + '9' * 30 + '}', '{"path": "c.wav", "x": NaN}', '{"path": "\\ud800.wav"}',
         '{"path": "c.wav", "\\ud800": "\\udfff"}', '{"path": "b.wav", "text": "\\ud800"}', '{"path": "a.wav", "": {"": [{}]}}',
         '{"path": "c.wav", "text": {"a": [1, 2]}}', '{"path": "b.wav", "channel": true}', '{"path": "a.wav"} x', '\0', '\x1c')


def manifest(number: int, names, outside: str) -> tuple[str, bytes]:
  """A manifest of the files `names` with a few traps: its name and bytes."""
  rng = generator('manifests', number)
  form = one_of(rng, ('tsv', 'csv', 'jsonl'))
  columns = ['path', *(one_of(rng, COLUMNS[1:]) for _ in range(rng.integers(5)))]
  plain = {'split': 'train', 'licence': 'CC0-1.0', 'channel': '0', 'turn': '3', 'start_s': '0.1', 'end_s': '0.4'}
  rows = [[name, *(plain.get(column, 'ఔను') for column in columns[1:])] for name in names]
  for _ in range(rng.integers(1, 6)):
    row = one_of(rng, rows)
    row[int(rng.integers(len(columns)))] = one_of(rng, CELLS).replace('{outside}', outside)
  if form == 'jsonl':
    lines = [json.dumps(dict(zip(columns, row)), ensure_ascii=rng.random() < 0.5) for row in rows]
    for _ in range(rng.integers(3)):
      lines.insert(int(rng.integers(len(lines) + 1)), one_of(rng, LINES))
  else:
    if rng.random() < 0.3:
      rows = [row + ['more'] if rng.random() < 0.5 else row[:rng.integers(len(row) + 1)] for row in rows]
    if rng.random() < 0.1:
      columns = [one_of(rng, COLUMNS) for _ in columns]
    lines = [('\t' if form == 'tsv' else ',').join(row) for row in [columns, *rows]]
  text = one_of(rng, ('\n', '\n', '\n', '\r\n', '\r', '\n\n')).join(lines) + one_of(rng, ('', '\n', '"', '\n"x'))
  data = text.encode(one_of(rng, ['utf-8'] * 15 + ['utf-8-sig'] * 2 + ['utf-16', 'utf-32', 'cp1252']), 'replace')
  return f'MANIFEST.{form}', damaged(data, rng) if rng.random() < 0.3 else data


MEMBERS = ('a.wav', 'te/b.wav', './c.wav', 'te/../d.wav', '../evil', '../../../evil', '/{outside}/evil', '//evil', 'te/../../evil',
           'C:evil', 'C:\\evil', '..\\evil', 'way/evil', 'x' * 241, 'x/' * 2000 + 'x', 'dup', 'dup', 'Dup', 'caf\xe9', 'cafe\u0301',
           'a.wav/inside', '.hidden', '~', ' ', '...', 'con', 'te\u202evaw', 'MANIFEST.tsv', '-rf', 'tab\there', 'line\nhere')
KINDS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.CONTTYPE)
ARCHIVES = ('zip', 'zip', 'tar', 'tar.gz', 'tar.bz2', 'tar.xz')


def archive(number: int, outside: str) -> tuple[str, bytes, int | None]:
  """An archive with traps: its name, its bytes and how many members it has, None once it is damaged too."""
  rng = generator('archives', number)
  form, file = one_of(rng, ARCHIVES), io.BytesIO()
  names = [one_of(rng, MEMBERS).replace('{outside}', outside.lstrip('/')) for _ in range(rng.integers(1, 8))]
  contents = [bytes(one_of(rng, (500_000, 3_000_000))) if rng.random() < 0.03 else one_of(rng, clips()['wav'])[:rng.integers(3000)]
              for _ in names]
  if form == 'zip':
    with warnings.catch_warnings(action='ignore'), zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as target:
      for name, content in zip(names, contents):
        one = zipfile.ZipInfo(name)
        one.external_attr = (0o120777 if rng.random() < 0.1 else 0o100644) << 16
        method = one_of(rng, [zipfile.ZIP_DEFLATED] * 4 + [zipfile.ZIP_STORED, zipfile.ZIP_LZMA])
        target.writestr(one, outside if one.external_attr >> 29 == 0o120777 >> 13 else content, method)
  else:
    with tarfile.open(fileobj=file, mode=f'w:{form[4:]}', format=one_of(rng, (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as target:
      for name, content in zip(names, contents):
        one = tarfile.TarInfo(name)
        if rng.random() < 0.2:
          one.type, one.linkname = one_of(rng, KINDS), one_of(rng, ('..', outside, outside + '/secret', 'a.wav'))
          one.name = one_of(rng, (name, 'way'))
        one.size = len(content) if one.isreg() else 0
        target.addfile(one, io.BytesIO(content))
  data = file.getvalue()
  if rng.random() < 0.35:
    return f'a.{form}', data, len(names)
  if rng.random() < 0.2:               # lengths and offsets of a zip's entries
    for mark in (b'PK\1\2', b'PK\3\4', b'PK\5\6'):
      at = data.find(mark)
      if at >= 0:
        place = at + int(rng.integers(4, 22))
        data = data[:place] + struct.pack('<I', one_of(rng, ABSURD) % 2**32) + data[place + 4:]
  return f'a.{form}', damaged(data, rng), None
