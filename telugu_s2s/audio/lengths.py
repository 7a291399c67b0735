"""Files in which libsndfile would stop too early, told by their own bytes: FFmpeg, which reads to the end, takes them.

MP3 of varying bitrate without a table of its frames, for its length is guessed then; MP3 and Ogg that were joined end to end, of
which the first alone would be heard; FLAC from a writer that could not go back and fill its length in. Where the second of two
MP3s does not decode behind the first, FFmpeg says so, and the file is refused instead of cut.
"""
import mmap
import os

SIDE_INFO = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}      # bytes, by MPEG-1 and mono
BITRATES = {True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),     # kbit/s of Layer III, by MPEG-1
            False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)}
RATES = (44_100, 48_000, 32_000, 0)


def misjudged(file, start: int) -> str:
  """'mp3', 'ogg' or 'flac' where that is so, as FFmpeg calls them, and '' of any other file.

  Args:
    file: open for reading, in bytes; its position does not matter.
    start: where its sound begins, behind a tag.
  """
  if start >= os.fstat(file.fileno()).st_size:
    return ''
  with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
    if data[start:start + 4] == b'fLaC':
      return 'flac' if len(data) >= start + 26 and not data[start + 21] & 15 and not any(data[start + 22:start + 26]) else ''
    if data[start:start + 4] == b'OggS':
      return 'ogg' if _joined_ogg(data, start) else ''
    return 'mp3' if _misjudged_mp3(data, start) else ''


def _joined_ogg(data, at) -> bool:
  """Whether a stream begins behind the end of another (RFC 3533, section 4)."""
  ended = False
  while data[at:at + 4] == b'OggS' and len(data) >= at + 27:
    kind, segments = data[at + 5], data[at + 26]
    if ended and kind & 2:
      return True
    ended |= bool(kind & 4)
    at += 27 + segments + sum(data[at + 27:at + 27 + segments])
  return False


def _misjudged_mp3(data, start) -> bool:
  first = _mp3_frame(data, start)
  if not first:
    return False
  mpeg_1, mono, length = first[0], first[2], first[3]
  table = start + 4 + SIDE_INFO[mpeg_1, mono]
  if data[table:table + 4] in (b'Xing', b'Info'):
    flags = data[table + 7] if len(data) > table + 7 else 0
    size = int.from_bytes(data[table + 8 + 4 * (flags & 1):][:4]) if flags & 2 else 0
    return bool(size) and _goes_on(data, start + size, first[:2])
  if data[start + 36:start + 40] == b'VBRI':
    return False
  at = start
  while (frame := _mp3_frame(data, at)) and frame[:2] == first[:2]:
    if abs(frame[3] - length) > 1:               # a byte is padding
      return True
    at += frame[3]
  return False


def _goes_on(data, at, kind) -> bool:
  """Whether two more frames lie there, behind a tag or not."""
  at = behind_tag(data[at:at + 10], at)
  frame = _mp3_frame(data, at)
  after = frame and _mp3_frame(data, at + frame[3])
  return bool(after) and frame[:2] == after[:2] == kind


def behind_tag(head: bytes, at: int) -> int:
  """Where what follows an ID3v2 tag begins, its length being written in 7 bits a byte; `at` where there is none. head: 10 bytes at `at`."""
  if head[:3] != b'ID3' or len(head) < 10:
    return at
  return at + 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))


def _mp3_frame(data, at):
  """(MPEG-1, rate in Hz, mono, bytes) of the Layer III frame there, or None (ISO 11172-3, 2.4.1.3)."""
  head = data[at:at + 4]
  if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
    return None
  version = head[1] >> 3 & 3                     # 3 is MPEG-1, 2 MPEG-2, 0 MPEG-2.5
  mpeg_1, rate = version == 3, RATES[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2, 1: 0}[version]
  bitrate = BITRATES[mpeg_1][head[2] >> 4]
  if version == 1 or not rate or not bitrate:
    return None
  return mpeg_1, rate, head[3] >> 6 == 3, (144_000 if mpeg_1 else 72_000) * bitrate // rate + (head[2] >> 1 & 1)
