"""What a voice does between its words: audible breaths and filled pauses, found in the sound alone, and breaths that are made.

A breath is noise that rises out of silence. A filled pause ("uh", "um") is a vowel that stands still: its pitch, its level and the shape
of its spectrum hardly move (Goto, Itou and Hayamizu, A real-time filled pause detection system, 1999, 2). The limits were chosen on
fillers of espeak-ng and on breaths from `breath`, as they are and after the codecs, and on read speech, which has few of either.
"""
import numpy as np

from telugu_s2s.audio import activity, level, pitch
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.mel import log_mel

BANDS = 24
LOUD = 95                        # percentile of the frames' level that speech is told by
# A breath, in dB below speech at its loudest and at its softest, above the noise floor (10th percentile), and above what is before it.
BREATH_S = 0.22
SOFT_DB, FAINT_DB, FLOOR_DB, RISE_DB = 10.0, 45.0, 6.0, 8.0
BEFORE = 8                       # frames of 10 ms
# A filled pause: how far the shape of its spectrum (mean over bands), its pitch and its level move within 0.1 s.
FILLER_S, FILLER_DB, FILLER_ST, LEVEL_DB = 0.35, 3.0, 1.2, 4.0
FAR, SMOOTH, FILLER_HOLE = 5, 7, 3       # frames: to either side, of the mean, that may lack it
FILLER_FAINT_DB, BANDS_DB = 25.0, 50.0   # below speech no voice is one; below the loudest band nothing is looked at
MADE_S = (0.25, 0.5)             # of breaths that are made
# Resonances of a breath's noise, (lowest, highest centre, width) in Hz, and where it loses its lows: our choice.
RESONANCES, LOWS_HZ = ((600, 900, 300), (1400, 1900, 400), (2400, 3000, 600), (3600, 4400, 1200)), 400


def found(samples, f0) -> dict[str, list]:
  """{breaths, fillers: where they are, [(first frame, the one behind)] of 10 ms}. f0: of the samples, from `pitch.track`."""
  loud = level.frame_dbfs(samples)
  bands = log_mel(np.pad(samples, (0, max(0, 512 - len(samples)))), bands=BANDS)
  frames = min(len(f0), len(loud), len(bands))
  f0, loud, bands = f0[:frames], loud[:frames], bands[:frames]
  return {'breaths': breaths(f0, loud), 'fillers': fillers(f0, loud, bands)}


def heard(samples) -> dict[str, int]:
  """{breaths, fillers: how many} of a recording f32[samples] at 16 kHz."""
  return {name: len(spans) for name, spans in found(samples, pitch.track(samples)).items()}


def no_words(f0, spans: dict) -> np.ndarray:
  """bool[frames], where `found` has something, and around it, as far as `activity.speech` reaches, where there is no voice.

  How fast, how high and how lively somebody speaks is told by the rest: who breathes and hesitates speaks no slower between.
  """
  out = np.zeros(len(f0), bool)
  for start, end in (one for some in spans.values() for one in some):
    near = slice(max(0, start - activity.BACK), end + activity.ON)
    out[near] |= f0[near] == 0
    out[start:end] = True
  return out


def breaths(f0, loud) -> list[tuple[int, int]]:
  """Where somebody is heard to breathe, [(first frame, the one behind)] of 10 ms. f0: Hz, 0 = no voice; loud: dBFS, both f32[frames]."""
  speech, floor = np.percentile(loud, [LOUD, 10])
  soft = (f0 == 0) & (loud > max(floor + FLOOR_DB, speech - FAINT_DB, activity.SILENCE_DBFS)) & (loud < speech - SOFT_DB)
  found = []
  for start, end in _long(soft, BREATH_S):
    top = start + int(np.argmax(loud[start:end]))
    # What is loudest at its beginning is the end of a word, dying away in the room.
    if loud[top] - loud[max(0, start - BEFORE):top + 1].min() >= RISE_DB:
      found.append((start, end))
  return found


def fillers(f0, loud, bands) -> list[tuple[int, int]]:
  """Where a vowel stands still, as `breaths`. bands: f32[frames BANDS] in dB, of `log_mel`."""
  frames = len(f0)
  if frames <= 2 * FAR:
    return []
  bands = np.maximum(bands, bands.max() - BANDS_DB)
  padded = np.pad(bands, ((SMOOTH // 2, SMOOTH // 2), (0, 0)), mode='edge')
  shape = np.lib.stride_tricks.sliding_window_view(padded, SMOOTH, 0).mean(-1)
  shape = shape - shape.mean(1, keepdims=True)
  semitones = 12 * np.log2(np.maximum(f0, 1.0))
  both = (f0[2 * FAR:] > 0) & (f0[:-2 * FAR] > 0)
  still = np.zeros(frames, bool)
  still[FAR:-FAR] = (both & (np.abs(shape[2 * FAR:] - shape[:-2 * FAR]).mean(1) < FILLER_DB) &
                     (np.abs(semitones[2 * FAR:] - semitones[:-2 * FAR]) < FILLER_ST) &
                     (np.abs(loud[2 * FAR:] - loud[:-2 * FAR]) < LEVEL_DB))
  still &= (f0 > 0) & (loud > np.percentile(loud, LOUD) - FILLER_FAINT_DB)
  return [(start - FAR, end + FAR) for start, end in _long(still, FILLER_S - 2 * FAR * level.HOP / SAMPLE_RATE, FILLER_HOLE)]


def _long(flags, least_s: float, hole: int = 0) -> list[tuple[int, int]]:
  """Runs of so many seconds at least; holes of up to `hole` frames in them are passed over."""
  return [(start, end) for start, end in activity.closed(activity.runs(flags), hole) if (end - start) * level.HOP >= round(least_s * SAMPLE_RATE)]


def breath(rng) -> np.ndarray:
  """f32[samples] of peak 1: noise as of a mouth that takes breath, for dialogues that are made; nobody's breath, and nobody's property."""
  frames, spare = round(rng.uniform(*MADE_S) * SAMPLE_RATE), 512
  noise = np.fft.rfft(rng.normal(size=frames + 2 * spare))
  hertz = np.fft.rfftfreq(frames + 2 * spare, 1 / SAMPLE_RATE)
  shape = sum(1 / (1 + ((hertz - rng.uniform(low, high)) / width) ** 2) for low, high, width in RESONANCES) * hertz / (hertz + LOWS_HZ)
  x = np.fft.irfft(noise * shape, frames + 2 * spare)[spare:spare + frames]
  x = x * np.sin(np.pi * (np.arange(frames) / frames) ** 1.3) ** 1.2       # in slowly, and over sooner
  return (x / np.abs(x).max()).astype(np.float32)
