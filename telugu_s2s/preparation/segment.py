"""What crosses from preparation to the codec and the tokens: a stretch of speech with all that is known of it."""
import dataclasses
import hashlib

import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.preparation import shards

KIND = 'segment'
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Segment:
  """A stretch of mono 16 kHz speech. '' and None mean unknown."""
  id: str                          # unique in a corpus: its path, channel and start
  audio: np.ndarray                # f32[samples] in [-1, 1], each a multiple of 1/32768
  source: str                      # the corpus
  revision: str                    # of the corpus, or the hash of the original file
  path: str                        # of the original file in the corpus
  start_s: float                   # in the original file
  licence: str                     # SPDX
  licence_class: str               # A to E, see corpora/licences.py
  split: str = 'train'
  language: str = ''
  speaker: str = ''
  gender: str = ''                 # m, f, o or u
  style: str = ''
  emotion: str = ''
  text: str = ''
  text_provenance: str = 'none'    # human, aligned, asr or none
  dialogue: str = ''
  turn: int | None = None
  channel: int | None = None
  quality: dict = dataclasses.field(default_factory=dict)   # snr_db, clipped, bandwidth_hz, rms_dbfs, native_rate, and
                                   # where asked for mos or sig, bak, ovr and what measures.py adds; None = no such thing in it
  custom: dict = dataclasses.field(default_factory=dict)    # columns of a manifest that have no field here
  sha256: str = ''                 # of the 16-bit little-endian samples; '' until it is packed

  @property
  def seconds(self) -> float:
    return len(self.audio) / files.SAMPLE_RATE


def to_bytes(segment: Segment) -> bytes:
  """One record: the labels as a header, the audio as 16-bit FLAC. Same segment, same bytes."""
  return packed(segment)[0]


def packed(segment: Segment) -> tuple[bytes, str]:
  """The record of `to_bytes`, and the sha256 of its samples."""
  pcm = files.pcm16(segment.audio)
  header = {field.name: getattr(segment, field.name)
            for field in dataclasses.fields(segment) if field.name not in ('audio', 'sha256')}
  header['sha256'] = _hash(pcm)
  return shards.pack(KIND, VERSION, header, files.encoded(pcm, form='flac')), header['sha256']


def from_bytes(record: bytes) -> Segment:
  """The segment of a record.

  Raises:
    ValueError: it is no segment of this version, or is damaged.
  """
  _, header, payload = shards.unpack(record, KIND, VERSION)
  pcm, _ = files.decoded(payload)
  if _hash(pcm) != header['sha256']:
    raise ValueError(f'segment {header["id"]}: its samples are not those that were written')
  return Segment(audio=pcm.astype(np.float32) / 32768, **header)


def _hash(pcm):
  return hashlib.sha256(pcm.astype('<i2').tobytes()).hexdigest()
