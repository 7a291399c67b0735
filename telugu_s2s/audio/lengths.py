"""Files in which libsndfile would stop too early, told by their own bytes: FFmpeg, which reads to the end, takes them.

MP3 of varying bitrate without a table of its frames, for its length is guessed then; MP3 and Ogg that were joined end to end, of
which the first alone would be heard; FLAC from a writer that could not go back and fill its length in. Where the second of two
MP3s does not decode behind the first, FFmpeg says so, and the file is refused instead of cut.
"""
SIDE_INFO = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}      # bytes, by MPEG-1 and mono
BITRATES = {True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),     # kbit/s of Layer III, by MPEG-1
            False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)}
RATES = (44_100, 48_000, 32_000, 0)


def misjudged(path) -> str:
  """'mp3', 'ogg' or 'flac' where that is so, as FFmpeg calls them, and '' of any other file. Raises OSError as `open` does."""
  with open(path, 'rb') as file:
    def at(place: int, count: int) -> bytes:
      file.seek(place)
      return file.read(count)
    start = behind_tag(at(0, 10), 0)
    begins = at(start, 26)
    if begins[:4] == b'fLaC':
      return 'flac' if len(begins) == 26 and not begins[21] & 15 and not any(begins[22:26]) else ''
    if begins[:4] == b'OggS':
      return 'ogg' if _joined_ogg(at, start) else ''
    return 'mp3' if _misjudged_mp3(at, start) else ''


def _joined_ogg(at, place) -> bool:
  """Whether a stream begins behind the end of another (RFC 3533, section 4). at: gives bytes, see `misjudged`."""
  ended = False
  while (page := at(place, 27 + 255))[:4] == b'OggS' and len(page) >= 27:
    kind, segments = page[5], page[26]
    if ended and kind & 2:
      return True
    ended |= bool(kind & 4)
    place += 27 + segments + sum(page[27:27 + segments])
  return False


def _misjudged_mp3(at, start) -> bool:
  first = _mp3_frame(at, start)
  if not first:
    return False
  mpeg_1, mono, length = first[0], first[2], first[3]
  table = at(start + 4 + SIDE_INFO[mpeg_1, mono], 16)
  if table[:4] in (b'Xing', b'Info'):
    flags = table[7] if len(table) > 7 else 0
    size = int.from_bytes(table[8 + 4 * (flags & 1):][:4]) if flags & 2 else 0
    return bool(size) and _goes_on(at, start + size, first[:2])
  if at(start + 36, 4) == b'VBRI':
    return False
  place = start
  while (frame := _mp3_frame(at, place)) and frame[:2] == first[:2]:
    if abs(frame[3] - length) > 1:               # a byte is padding
      return True
    place += frame[3]
  return False


def _goes_on(at, place, kind) -> bool:
  """Whether two more frames lie there, behind a tag or not."""
  place = behind_tag(at(place, 10), place)
  frame = _mp3_frame(at, place)
  after = frame and _mp3_frame(at, place + frame[3])
  return bool(after) and frame[:2] == after[:2] == kind


def behind_tag(head: bytes, at: int) -> int:
  """Where what follows an ID3v2 tag begins, its length being written in 7 bits a byte; `at` where there is none. head: 10 bytes at `at`."""
  if head[:3] != b'ID3' or len(head) < 10:
    return at
  return at + 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))


def _mp3_frame(at, place):
  """(MPEG-1, rate in Hz, mono, bytes) of the Layer III frame there, or None (ISO 11172-3, 2.4.1.3)."""
  head = at(place, 4)
  if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
    return None
  version = head[1] >> 3 & 3                     # 3 is MPEG-1, 2 MPEG-2, 0 MPEG-2.5
  mpeg_1, rate = version == 3, RATES[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2, 1: 0}[version]
  bitrate = BITRATES[mpeg_1][head[2] >> 4]
  if version == 1 or not rate or not bitrate:
    return None
  return mpeg_1, rate, head[3] >> 6 == 3, (144_000 if mpeg_1 else 72_000) * bitrate // rate + (head[2] >> 1 & 1)
