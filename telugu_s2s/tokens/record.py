"""One clip as tokens: the codec's codes, the prosody codes, the segment's labels, and when its words are said if that is known."""
import dataclasses

import numpy as np

from telugu_s2s.preparation import segment, shards

KIND = 'tokens'
ABSENT = -1                      # an empty slot of a row, or a label that is not known: it adds exactly zero
VERSION = 1
TIMED = 2                        # version of a record with words; one without is written as before there were any
LABELS = tuple(field.name for field in dataclasses.fields(segment.Segment) if field.name not in ('audio',))


@dataclasses.dataclass(frozen=True)
class Word:
  """A word of a transcript, and where it is said."""
  text: str
  start: int                     # frame of the codec
  end: int                       # the frame behind its last one
  confidence: float              # of the aligner, 0 to 1


@dataclasses.dataclass(frozen=True)
class Tokens:
  """A clip between audio and language."""
  codes: np.ndarray              # u16[t q]
  prosody: np.ndarray            # u8[(t + 1) // 2], one for two frames
  codec: str                     # name of the codec whose codes these are
  codebook_codes: int            # entries of one codebook
  frame_rate: float              # frames a second
  labels: dict                   # the segment's, see preparation/segment.py
  words: tuple[Word, ...] | None = None    # of the transcript, in their order; None = it has none, or none that is aligned

  @property
  def seconds(self) -> float:
    return len(self.codes) / self.frame_rate


def to_bytes(tokens: Tokens) -> bytes:
  """One record: sizes and labels as a header, the codes as bytes, little-endian.

  Raises:
    ValueError: codes or prosody of the wrong shape or range, or words outside of the clip or not in their order.
  """
  codes, prosody = np.asarray(tokens.codes), np.asarray(tokens.prosody)
  if codes.ndim != 2 or prosody.shape != ((len(codes) + 1) // 2,):
    raise ValueError(f'{tokens.labels.get("id")}: codes {codes.shape} and prosody {prosody.shape} do not fit each other')
  if codes.size and not 0 <= codes.min() <= codes.max() < tokens.codebook_codes:
    raise ValueError(f'{tokens.labels.get("id")}: codes from {codes.min()} to {codes.max()}, '
                     f'a codebook has {tokens.codebook_codes}')
  if prosody.size and not 0 <= prosody.min() <= prosody.max() < 256:
    raise ValueError(f'{tokens.labels.get("id")}: prosody from {prosody.min()} to {prosody.max()}, a byte holds 255')
  header = {'frames': len(codes), 'codebooks': codes.shape[1], 'codes': tokens.codebook_codes,
            'codec': tokens.codec, 'frame_rate': tokens.frame_rate, 'labels': dict(tokens.labels)}
  payload = codes.astype('<u2').tobytes() + prosody.astype('u1').tobytes()
  if tokens.words is None:
    return shards.pack(KIND, VERSION, header, payload)
  starts = [word.start for word in tokens.words]
  if starts != sorted(starts) or not all(0 <= word.start <= word.end <= len(codes) for word in tokens.words):
    raise ValueError(f'{tokens.labels.get("id")}: words at {starts} are not in their order within {len(codes)} frames')
  header['words'] = [[word.text, word.start, word.end, word.confidence] for word in tokens.words]
  return shards.pack(KIND, TIMED, header, payload)


def from_bytes(record: bytes) -> Tokens:
  """The clip of a record.

  Raises:
    ValueError: it is no token record of these versions, or is damaged.
  """
  version, header, payload = shards.unpack(record, KIND)
  if version not in (VERSION, TIMED):
    raise ValueError(f'a {KIND} record of version {version}; this code reads versions {VERSION} and {TIMED}')
  frames, codebooks = header['frames'], header['codebooks']
  size = 2 * frames * codebooks
  if len(payload) != size + (frames + 1) // 2:
    raise ValueError(f'a token record of {frames} frames has {len(payload)} bytes of codes')
  return Tokens(np.frombuffer(payload[:size], '<u2').reshape(frames, codebooks), np.frombuffer(payload[size:], 'u1'),
                header['codec'], header['codes'], header['frame_rate'], header['labels'],
                tuple(Word(*word) for word in header['words']) if version == TIMED else None)
