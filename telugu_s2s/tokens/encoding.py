"""Clips of any length through a codec's encoder, by one compiled program: as many streams at once as it has rows.

Where a clip ends, the next one takes its row, so little is computed for nothing. What stands behind a clip's end cannot
reach back into it, and a row knows nothing of its neighbours: a clip's codes do not depend on the clips beside it.
"""
import collections
import functools

import jax
import numpy as np

from telugu_s2s.codec import model, streaming, weights

# Codes are the same to the bit for one number of rows and one length of chunk: with others, one in a million is not.
ROWS = 16
CHUNK = streaming.CHUNK
GPU_ROWS, GPU_CHUNK = 128, 25    # a GPU's codes are not a CPU's to the bit, and it wants more at once


def decoded(trained: weights.Trained, codes) -> np.ndarray:
  """Speech f32[b samples] in [-1, 1] of codes i32[b t q], whole streams."""
  return np.clip(np.asarray(_decoded(trained.config, trained.params, codes)), -1, 1)


@functools.partial(jax.jit, static_argnums=0)
def _decoded(c, params, codes):
  return model.Codec(c).apply({'params': params}, codes, method='decode')[0]


class Encoder:
  """A codec that encodes clips of any length.

  Args:
    trained: the codec.
    batch, chunk: streams and frames of a step; None for what suits the device.
  """

  def __init__(self, trained: weights.Trained, batch: int | None = None, chunk: int | None = None):
    here = (ROWS, CHUNK) if jax.default_backend() == 'cpu' else (GPU_ROWS, GPU_CHUNK)
    self.codec, self._batch, self._chunk = trained, batch or here[0], chunk or here[1]
    self.useful, self.computed = 0, 0         # frames so far: of clips, and of all rows

  def __call__(self, clips) -> list[np.ndarray]:
    """Codes u16[t q] of each clip f32[samples], its last frame filled up with silence."""
    c, size = self.codec.config, self._chunk * self.codec.config.hop
    frames = [-(-len(clip) // c.hop) for clip in clips]
    codes = [np.zeros((count, c.codebooks), np.uint16) for count in frames]
    # The longest first: they end last, and the short ones fill the rows beside them.
    waiting = collections.deque(index for index in np.argsort([-count for count in frames], kind='stable') if frames[index])
    places = dict.fromkeys(range(self._batch))           # row -> (clip, chunk)
    state = model.empty_states(c, self._batch)[0]
    step = streaming.step(c, 'encode')
    while waiting or any(places.values()):
      audio, begins = np.zeros((self._batch, size), np.float32), np.zeros(self._batch, bool)
      for row, place in places.items():
        if place is None and waiting:
          places[row], begins[row] = (waiting.popleft(), 0), True
        if places[row]:
          index, number = places[row]
          part = clips[index][number * size:(number + 1) * size]
          audio[row, :len(part)] = part
      found, state = step(self.codec.params, audio, _begun_again()(state, begins))
      found = np.asarray(found)
      for row, place in places.items():
        if place:
          index, number = place
          begin, end = number * self._chunk, min((number + 1) * self._chunk, frames[index])
          codes[index][begin:end] = found[row, :end - begin]
          places[row] = (index, number + 1) if end < frames[index] else None
      self.computed += self._batch * self._chunk
    self.useful += sum(frames)
    return codes

  def silence(self) -> np.ndarray:
    """u16[q], the codes that lasting silence settles on."""
    return self([np.zeros(2 * self._chunk * self.codec.config.hop, np.float32)])[0][-1]


@functools.cache
def _begun_again():
  return jax.jit(streaming.begun_again, donate_argnums=0)
