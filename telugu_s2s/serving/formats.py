"""How a session's audio stands in its events: pcm16 of several rates, G.711, Opus; to f32 at 16 kHz and back, piece by piece."""
from collections.abc import Iterator

import numpy as np

from telugu_s2s.audio import mark, shift, tempo
from telugu_s2s.audio.files import SAMPLE_RATE, pcm16
from telugu_s2s.errors import InputError
from telugu_s2s.serving.resampling import Resampler

PCM, ULAW, ALAW, OPUS = 'audio/pcm', 'audio/pcmu', 'audio/pcma', 'audio/opus'
RATES = (24_000, 16_000, 8_000, 48_000)        # of pcm16; the first is the protocol's
OPUS_BPS = 32_000
OPUS_RATE = 48_000                              # at which its decoder speaks, whatever was sent
PIECE_S = 1.0                                  # that are unpacked at a time: others wait, and a sample takes some 100 numbers to resample
ULAW_BIAS = 132                                # ITU-T G.711, in steps of 16-bit samples


def rate_of(form: dict) -> int:
  """Samples a second of a format such as {'type': 'audio/pcm', 'rate': 24000}."""
  return form['rate'] if form['type'] == PCM else SAMPLE_RATE if form['type'] == OPUS else 8_000


def has_opus() -> bool:
  """Whether the package is there that packs and unpacks Opus."""
  try:
    import av                     # of the extra `serving`; everything else goes without
  except ImportError:
    return False
  return 'libopus' in av.codecs_available


def _ulaw_table():
  code = ~np.arange(256, dtype=np.uint8)
  size = (((code & 15).astype(np.int32) << 3) + ULAW_BIAS << (code >> 4 & 7)) - ULAW_BIAS
  return np.where(code & 128, -size, size)


def _alaw_table():
  code = np.arange(256, dtype=np.uint8) ^ 0x55
  segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
  size = np.where(segment == 0, (step << 4) + 8, (step << 4) + 264 << np.maximum(segment - 1, 0))
  return np.where(code & 128, size, -size)


TABLES = {ULAW: _ulaw_table(), ALAW: _alaw_table()}


def _companded(samples, form: str) -> bytes:
  """Samples f32 as the nearest of the 256 that G.711 knows."""
  table = TABLES[form]
  order = np.argsort(table, kind='stable')
  middles = (table[order][1:] + table[order][:-1]) / 2
  return order[np.searchsorted(middles, samples * 32768.0)].astype(np.uint8).tobytes()


class Incoming:
  """A session's audio from its events."""

  def __init__(self, form: dict):
    self._type, rate = form['type'], OPUS_RATE if form['type'] == OPUS else rate_of(form)
    self._rate, self._width = rate, 2 if form['type'] == PCM else 1              # bytes of a sample
    self._resampler = Resampler(rate, SAMPLE_RATE) if rate != SAMPLE_RATE else None
    self._decoder = _opus('r') if self._type == OPUS else None

  def __call__(self, data: bytes) -> np.ndarray:
    """f32[samples] at 16 kHz. data: of Opus one packet.

    Raises:
      InputError: half a sample, or no Opus packet.
    """
    if self._type == PCM:
      if len(data) % 2:
        raise InputError(f'{len(data)} bytes are no whole number of 16-bit samples')
      samples = np.frombuffer(data, '<i2').astype(np.float32) / 32768
    elif self._type == OPUS:
      samples = _unpacked(self._decoder, data)
    else:
      samples = TABLES[self._type][np.frombuffer(data, np.uint8)].astype(np.float32) / 32768
    return samples if self._resampler is None else self._resampler(samples)

  def samples(self, data: bytes) -> int:
    """How many samples at 16 kHz these bytes are, about; 0 of Opus, whose packets are short."""
    return 0 if self._type == OPUS else len(data) // self._width * SAMPLE_RATE // self._rate

  def pieces(self, data: bytes) -> Iterator[np.ndarray]:
    """As the call, at most PIECE_S at a time. Raises InputError before the first where all of it is refused."""
    if self._type == OPUS:
      yield self(data)
      return
    if len(data) % self._width:
      self(data)                                   # says so
    size = round(PIECE_S * self._rate) * self._width
    for at in range(0, len(data), size):
      yield self(data[at:at + size])

  def rest(self) -> np.ndarray:
    """f32[samples] that were held back at the end of a turn."""
    return np.zeros(0, np.float32) if self._resampler is None else self._resampler.rest()


class Outgoing:
  """A reply's audio for its events.

  Args:
    key: of the mark in it (audio/mark.py), which takes 10 ms; '' = none.
    speed: see audio/tempo.py. semitones: by which it is spoken higher, see audio/shift.py.
  """

  def __init__(self, form: dict, key: str = '', speed: float = 1.0, semitones: float = 0.0):
    self._key, self._marked, self._shifter, self._stretcher = key, None, shift.Shifter(semitones), tempo.Stretcher(speed)
    self._type, rate = form['type'], rate_of(form)
    self._resampler = Resampler(SAMPLE_RATE, rate) if rate != SAMPLE_RATE else None
    self._encoder = _opus('w') if self._type == OPUS else None

  def __call__(self, samples) -> list[bytes]:
    """What to send of f32[samples] at 16 kHz, in as many pieces as the format wants. With a mark whole hops of it are taken."""
    return self._sent(self._stretcher(self._shifter(samples)))

  def rest(self) -> list[bytes]:
    """What was held back at the end of a reply."""
    last = np.concatenate([self._stretcher(self._shifter.rest()), self._stretcher.rest()])
    last = self._sent(np.pad(last, (0, mark.HOP + -len(last) % mark.HOP)) if self._key else last)
    if self._type == OPUS:
      return last + [bytes(packet) for packet in self._encoder.encode(None)]
    return last + ([] if self._resampler is None else self._pieces(self._resampler.rest()))

  def _sent(self, samples):
    if self._key:
      samples, self._marked = mark.marked(samples, self._key, self._marked)
    samples = samples if self._resampler is None else self._resampler(samples)
    return self._pieces(samples)

  def _pieces(self, samples):
    if not len(samples):
      return []
    if self._type == PCM:
      return [pcm16(samples).astype('<i2').tobytes()]
    if self._type == OPUS:
      return _packed(self._encoder, samples)
    return [_companded(samples, self._type)]


def _opus(mode: str):
  import av                       # here, since it is wanted for Opus alone
  codec = av.CodecContext.create('libopus', mode)
  codec.sample_rate, codec.layout = SAMPLE_RATE, 'mono'
  if mode == 'w':
    codec.format, codec.bit_rate = 's16', OPUS_BPS
    codec.options = {'frame_duration': '20', 'application': 'lowdelay'}
  codec.open()
  return codec


def _packed(encoder, samples):
  import av
  frame = av.AudioFrame.from_ndarray(pcm16(samples)[None], 's16', 'mono')
  frame.sample_rate = SAMPLE_RATE
  return [bytes(packet) for packet in encoder.encode(frame)]


def _unpacked(decoder, data):
  import av
  try:
    found = [frame.to_ndarray() for frame in decoder.decode(av.Packet(data))] if data else []
  except av.FFmpegError as problem:
    raise InputError(f'{len(data)} bytes are no Opus packet ({problem.strerror})') from None
  found = [x.reshape(-1).astype(np.float32) / (32768 if x.dtype == np.int16 else 1) for x in found]
  return np.concatenate([*found, np.zeros(0, np.float32)])
