"""A codec over streams in chunks of one length: one compiled program serves clips of any length.

Only the chunk at hand and the state are held, and what is filled in behind a clip's end cannot reach back into it.
"""
import functools
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.codec.model import Codec, Config, empty_states
from telugu_s2s.codec.precision import dense
from telugu_s2s.codec.transformer import EMPTY, apart, are_apart, together
from telugu_s2s.codec.weights import Trained

CHUNK = 50                       # frames that are read at a time
FEW = 4                          # frames of a chunk in which reading the weights takes longer than computing with them


def encode(trained: Trained, parts: Iterable, chunk: int = CHUNK) -> Iterator[np.ndarray]:
  """Codes of a batch of streams, as their audio comes in.

  Args:
    trained: the codec.
    parts: f32[b t], successive pieces of any length.
    chunk: frames that are read at a time. Float32 sums in another order, so that one code in some ten thousand, that
      was as near to two, may turn out the other; with one chunk and batch the codes are the same to the bit.

  Yields:
    i32[b chunk q]; what stands behind the last sample is silence.

  Raises:
    ValueError: a sample is not finite: it would stay in the stream's memory for good.
  """
  state, hop, params = None, trained.config.hop, _params(trained, chunk)
  for number, part in enumerate(_pieces(parts, chunk * hop)):
    if not np.isfinite(part).all():
      raise ValueError(f'samples are not finite near {number * chunk / trained.config.frame_rate:.1f} s')
    state = empty_states(trained.config, len(part))[0] if state is None else state
    codes, state = step(trained.config, 'encode')(params, part, state)
    yield np.asarray(codes)


def decode(trained: Trained, parts: Iterable, chunk: int = CHUNK) -> Iterator[np.ndarray]:
  """Audio f32[b chunk*hop] in [-1, 1] of a batch of streams, as their codes come in.

  Args:
    trained: the codec.
    parts: integers [b t q], successive pieces of any length, with all or only the first levels.
    chunk: frames that are read at a time.
  """
  state, params = None, _params(trained, chunk)
  for part in _pieces(parts, chunk):
    state = empty_states(trained.config, len(part))[1] if state is None else state
    audio, state = step(trained.config, 'decode')(params, part.astype(np.int32), state)
    yield np.clip(np.asarray(audio), -1.0, 1.0)


def codes_of(trained: Trained, audio) -> np.ndarray:
  """Codes i32[t q] of a whole clip f32[samples], its last frame filled up with silence."""
  frames = -(-len(audio) // trained.config.hop)
  parts = [codes[0] for codes in encode(trained, [np.asarray(audio, np.float32)[None]])]
  return np.concatenate([*parts, np.zeros((0, trained.config.codebooks), np.int32)])[:frames]


def audio_of(trained: Trained, codes, samples: int) -> np.ndarray:
  """The clip f32[samples] in [-1, 1] of codes [t q], of all or only the first levels."""
  parts = [audio[0] for audio in decode(trained, [np.asarray(codes)[None]])]
  return np.concatenate([*parts, np.zeros(0, np.float32)])[:samples]


def roundtrip(trained: Trained, audio, levels: int | None = None) -> np.ndarray:
  """Audio f32[samples] through a codec and back; levels: how many codebooks are decoded, None for all."""
  return audio_of(trained, codes_of(trained, audio)[:, :levels], len(audio))


@functools.cache
def step(config: Config, method: str):
  """The compiled step of a stream: (params, audio or codes, state) -> (codes or audio, state).

  params: the codec's, of chunks of FEW frames `taken_apart`. method: 'encode' or 'decode'. Compiled once for each batch, chunk
    and number of levels.
  """
  return jax.jit(lambda params, x, state: run(config, params, jnp.asarray(x), state, method))


def run(config: Config, params, x, state, method: str):
  """A chunk of streams through one half of a codec, `method`. Returns its result and the state; see `step`."""
  return Codec(config, are_apart(params)).apply({'params': dense(together(params))}, x, state, method=method)


taken_apart = jax.jit(apart)


def _params(trained, chunk):
  return taken_apart(trained.params) if chunk <= FEW else trained.params


def begun_again(state, rows):
  """The state of an encoder or a decoder in which some streams have heard nothing: where others take their places.

  Args:
    state: of b streams, as `empty_states` and the steps give it.
    rows: bool[b].
  """
  def one(path, x):
    name = jax.tree_util.keystr(path, simple=True, separator='.')
    rows_of = rows[None] if name in ('cache.k', 'cache.v') else rows           # behind the layers
    rows_of = rows_of.reshape(rows_of.shape + (1,) * (x.ndim - rows_of.ndim))
    return jnp.where(rows_of, jnp.asarray(EMPTY if name == 'cache.position' else 0, x.dtype), x)
  return jax.tree_util.tree_map_with_path(one, state)


def _pieces(parts, size):
  """Successive arrays [b t ...] as arrays [b size ...], the last one filled up with zeros."""
  held, count = [], 0
  for part in parts:
    while count + part.shape[1] >= size:
      yield np.concatenate([*held, part[:, :size - count]], 1)
      part, held, count = part[:, size - count:], [], 0
    if part.shape[1]:
      held.append(part)
      count += part.shape[1]
  if held:
    last = np.concatenate(held, 1)
    yield np.pad(last, [(0, 0), (0, size - count)] + [(0, 0)] * (last.ndim - 2))
