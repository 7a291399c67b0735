"""Audio files of every format that is read, made on the spot: by libsndfile, and by FFmpeg where it has the encoder."""
import io
import pathlib
import tempfile

import av
import numpy as np
import soundfile

PLAIN = {'wav': ('WAV', 'PCM_16'), 'flac': ('FLAC', 'PCM_16'), 'mp3': ('MP3', None), 'ogg': ('OGG', 'VORBIS'),
         'opus': ('OGG', 'OPUS')}
CONTAINERS = {'m4a': ('ipod', 'aac'), 'mp4': ('mp4', 'aac'), 'aac': ('adts', 'aac'), 'webm': ('webm', 'libopus')}
FORMS = (*PLAIN, *CONTAINERS)


def encoded(samples, rate: int, form: str) -> bytes:
  """The bytes of a file. samples: f32[samples] or f32[samples channels]."""
  if form in PLAIN:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=PLAIN[form][0], subtype=PLAIN[form][1])
    return file.getvalue()
  return contained(samples, rate, *CONTAINERS[form])


def contained(samples, rate: int, form: str, codec: str, coding=None, **options) -> bytes:
  """The bytes of a container that FFmpeg writes, by its names of format, codec, and the options of both."""
  samples = np.asarray(samples, np.float32).reshape(len(samples), -1)
  layout = {1: 'mono', 2: 'stereo'}.get(samples.shape[1], f'{samples.shape[1]} channels')
  # Packed: of more than 8 planes PyAV 18.1 writes and reads beyond the last.
  frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format='flt', layout=layout)
  frame.sample_rate, frame.pts = rate, 0
  with tempfile.NamedTemporaryFile() as file, av.open(file.name, 'w', format=form, options=options) as target:
    stream = target.add_stream(codec, rate=rate, layout=layout, options=coding or {})
    cut = av.AudioResampler(stream.format.name, layout, rate, stream.codec_context.frame_size or None)
    for piece in cut.resample(frame) + cut.resample(None):
      target.mux(stream.encode(piece))
    target.mux(stream.encode(None))
    target.close()
    return pathlib.Path(file.name).read_bytes()


def wrapped(data: bytes, form: str) -> bytes:
  """The packets of a file's first sound in another container."""
  file = io.BytesIO()
  with av.open(io.BytesIO(data)) as source, av.open(file, 'w', format=form) as target:
    stream = target.add_stream_from_template(source.streams.audio[0])
    for packet in source.demux(audio=0):
      if packet.dts is not None:
        packet.stream = stream
        target.mux(packet)
  return file.getvalue()
