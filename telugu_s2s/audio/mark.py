"""A mark in generated speech: a keyed pattern of small gains, which a detector with the key finds and speech hides.

Cells of 150 Hz and 10 ms become louder or softer by a decibel and a half, as the key says. The pattern is multiplied, so that it is
masked by what it changes, and loudness does not matter (after the patchwork of Bender et al., 1996, 'Techniques for data
hiding'). It tells whoever wants to know; it does not resist whoever wants it gone.

The detector keeps what varies from cell to cell by more than its neighbours do, in time and in frequency, and correlates
that with the pattern in every position, so that a part of a recording is enough.
"""
import dataclasses
import hashlib

import numpy as np

from telugu_s2s.audio import files

SYNTHETIC = 'synthetic speech, telugu_s2s'       # the comment in files of generated speech
WINDOW, HOP = 320, 160                           # samples: 20 ms and 10 ms; a tick of 40 ms is four hops
BINS, LOWEST = 3, 6                              # of 50 Hz: of a cell, and below the first one
BANDS = (WINDOW // 2 - LOWEST) // BINS           # up to 8 kHz
PERIOD = 100                                     # hops until the pattern comes again: 1 s
STRENGTH_DB = 1.5
OFFSETS = 4                                      # positions within a hop that the detector tries
CLIP_DB = 4.0                                    # of a cell's difference: a few onsets would outweigh all else
FLOOR_DB = 50.0                                  # below the loudest cell: what a codec or a narrow band has taken away
MARKED = 5.0                                     # a score that chance gives once in 10,000: 400 positions, each normal
LEAST_S = 0.5                                    # that can be judged
_TAPER = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(WINDOW) + 0.5) / WINDOW))      # its square adds up to one


@dataclasses.dataclass(frozen=True)
class State:
  """What a stream that is being marked remembers."""
  heard: np.ndarray              # the last samples, of which half a window is still open
  begun: np.ndarray              # the part of the coming output that is made already
  hop: int                       # the next place in the pattern


def pattern(key: str) -> np.ndarray:
  """f64[hop band] of 1 and -1, the louder and the softer cells of a key."""
  seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], 'little')
  return np.random.default_rng(seed).choice([-1.0, 1.0], (PERIOD, BANDS))


def marked(samples, key: str, state: State | None = None, strength_db: float = STRENGTH_DB) -> tuple[np.ndarray, State]:
  """The next samples of a stream, marked, 10 ms late, and the state for those after them.

  Args:
    samples: f32[n * HOP].
    state: what the call before gave; None at the beginning.
    strength_db: of the gains, up and down.
  """
  if len(samples) % HOP:
    raise ValueError(f'{len(samples)} samples are no multiple of {HOP}')
  state = state or State(np.zeros(HOP), np.zeros(HOP), 0)
  hops = len(samples) // HOP
  x = np.concatenate([state.heard, samples])
  spectrum = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP] * _TAPER)      # [hop bin]
  louder = pattern(key)[(state.hop + np.arange(hops)) % PERIOD]
  spectrum[:, LOWEST:LOWEST + BANDS * BINS] *= np.repeat(10 ** (strength_db / 20 * louder), BINS, axis=1)
  made = np.fft.irfft(spectrum, WINDOW) * _TAPER
  out = made[:, :HOP] + np.concatenate([state.begun[None], made[:-1, HOP:]])
  return out.reshape(-1).astype(np.float32), State(x[len(x) - HOP:], made[-1, HOP:], state.hop + hops)


def whole(samples, key: str, strength_db: float = STRENGTH_DB) -> np.ndarray:
  """A whole recording, marked, of the same length and not late."""
  padded = np.pad(samples, (0, HOP + -len(samples) % HOP))
  return marked(padded, key, strength_db=strength_db)[0][HOP:HOP + len(samples)]


def score(samples, key: str) -> float:
  """How much the cells of a recording agree with a key, in standard deviations of what chance gives, at the best position.

  samples: f32[samples] at 16 kHz, any part of a recording of LEAST_S or more.
  """
  return scores(samples, [key])[0]


def scores(samples, keys) -> list[float]:
  """The score of each key, for many of them faster than one by one."""
  if len(samples) < LEAST_S * files.SAMPLE_RATE:
    raise ValueError(f'{len(samples)} samples are fewer than {LEAST_S} s')
  found = [(np.fft.rfft(folded, axis=0).conj(), spread) for folded, spread in folds(samples)]

  def best(wanted):
    return max(float(np.fft.irfft((one * wanted).sum(1), PERIOD).max() / spread) for one, spread in found)
  return [best(np.fft.rfft(pattern(key), axis=0)) for key in keys]


def folds(samples):
  """For each position within a hop, what stands out in the cells of all periods together, [hop band], and its spread."""
  for offset in range(OFFSETS):
    part = np.asarray(samples, np.float64)[offset * HOP // OFFSETS:]
    windows = np.lib.stride_tricks.sliding_window_view(part, WINDOW)[::HOP] * _TAPER
    power = np.square(np.abs(np.fft.rfft(windows)))[:, LOWEST:LOWEST + BANDS * BINS]
    level = 10 * np.log10(power.reshape(len(power), BANDS, BINS).sum(2) + 1e-12)
    difference = level
    for axis in (0, 1):
      around = np.pad(difference, [(1, 1) if axis == at else (0, 0) for at in (0, 1)], mode='edge')
      count = level.shape[axis]
      difference = difference - (around.take(range(count), axis) + around.take(range(2, count + 2), axis)) / 2
    difference = np.clip(difference, -CLIP_DB, CLIP_DB) * (level > level.max() - FLOOR_DB)
    folded = np.pad(difference, ((0, -len(level) % PERIOD), (0, 0))).reshape(-1, PERIOD, BANDS).sum(0)
    yield folded, np.sqrt(np.square(folded).sum()) + 1e-9        # of sums with random signs: no assumption on speech is needed
