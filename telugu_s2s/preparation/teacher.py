"""What a first code level is taught with where there is no transcript: features of speech that tell sounds apart.

`mel` needs nothing: a log-mel spectrum with its neighbours, free of each clip's mean level and colour. It tells
sounds apart, and speakers too. `whisper` is the encoder of Whisper tiny (Radford et al., 2022) as it comes in the
package pipecat-ai, fine-tuned there to hear the end of a turn (BSD-2-Clause): it was trained on many languages'
transcripts and is the better teacher.
"""
import importlib.metadata

import numpy as np

from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.mel import magnitudes, mel_filters, log_mel
from telugu_s2s.errors import InputError

WINDOW_S = 8                     # of audio that the encoder reads at a time
OVERLAP_S = 1                    # read twice, so that no frame stands at a window's edge
LAYER = 'add_390'                # the third of four layers: the last is bent to its task
MODEL = 'smart-turn-v3.2-cpu.onnx'
NEIGHBOURS = 4                   # frames of 10 ms to each side, for `mel`


def features(name: str, hop: int):
  """The function from audio f32[t] to features f32[t/hop c], rounded up; name: 'mel' or 'whisper'; hop in samples.

  Raises:
    InputError: there is no such teacher, or what it needs is not installed.
  """
  if name not in ('mel', 'whisper'):
    raise InputError(f"config.teacher.name: {name!r} is no teacher; take 'mel', 'whisper' or '' for none")
  inner, step = (mel, 160) if name == 'mel' else (Whisper(), 320)
  if hop % step:
    raise InputError(f'config.teacher.name: {name} has a frame every {step} samples, which does not divide the hop of {hop}')

  def pooled(audio):
    frames = -(-len(audio) // hop)
    found = inner(np.pad(audio, (0, frames * hop - len(audio))))
    return found[:frames * (hop // step)].reshape(frames, hop // step, -1).mean(1)

  return pooled


def mel(audio) -> np.ndarray:
  """f32[t/160 c]: log-mel bands with four frames to each side, each band free of the clip's mean."""
  found = log_mel(np.pad(audio, (0, max(0, 512 - len(audio)))), bands=40)[:len(audio) // 160]
  found = np.maximum(found, found.max() - 60) / 20          # what lies 60 dB below the peak is silence
  found = found - found.mean(0)
  padded = np.pad(found, ((NEIGHBOURS, NEIGHBOURS), (0, 0)), mode='edge')
  return np.concatenate([padded[at:at + len(found)] for at in range(2 * NEIGHBOURS + 1)], 1).astype(np.float32)


class Whisper:
  """The third layer of the encoder: f32[t/320 384] of audio f32[t]."""

  def __init__(self):
    try:
      import onnx
      import onnxruntime
      path = next(str(file.locate()) for file in importlib.metadata.files('pipecat-ai') if file.name == MODEL)
    except (ImportError, importlib.metadata.PackageNotFoundError, StopIteration, TypeError) as problem:
      raise InputError(f'config.teacher.name: the teacher whisper is not installed ({problem}): pip install '
                       "-e .[teacher] -c constraints.txt, then pip install --no-deps pipecat-ai==1.14.0; or take mel") from problem
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info(LAYER, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1       # one process a core does the work
    self._session = onnxruntime.InferenceSession(model.SerializeToString(), options, ['CPUExecutionProvider'])

  def __call__(self, audio) -> np.ndarray:
    size, overlap = WINDOW_S * SAMPLE_RATE, OVERLAP_S * SAMPLE_RATE
    parts, start = [], 0
    while True:
      found = self._window(audio[start:start + size])
      skip = overlap // 640 if start else 0                  # half of the overlap, in frames
      parts.append(found[skip:])
      if start + size >= len(audio):
        return np.concatenate(parts)[:-(-len(audio) // 320)]
      parts[-1] = parts[-1][:len(parts[-1]) - overlap // 640]
      start += size - overlap

  def _window(self, audio):
    log = whisper_mel(np.pad(audio, (0, WINDOW_S * SAMPLE_RATE - len(audio))))
    return self._session.run([LAYER], {'input_features': log[None]})[0][0][:-(-len(audio) // 320)]


def whisper_mel(audio) -> np.ndarray:
  """f32[80 t/160]: Whisper's log-mel (Radford et al., 2022, 2.2) of audio scaled to unit variance."""
  audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
  power = np.square(magnitudes(audio, 400, 160)[:-1]) @ mel_filters(SAMPLE_RATE, 400, 80).T
  log = np.log10(np.maximum(power, 1e-10))
  return ((np.maximum(log, log.max() - 8) + 4) / 4).T.astype(np.float32)
