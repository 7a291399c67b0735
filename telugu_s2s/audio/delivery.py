"""How somebody speaks: how high, how lively, how loud and soft, how fast, with what between. A few numbers a segment, from the sound alone."""
import numpy as np

from telugu_s2s.audio import level, nonverbal, pitch
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.mel import log_mel, magnitudes

# How syllables are counted. Chosen on the recordings of Common Voice, SMC and the sample corpus whose text says how many there are,
# as recorded and after the codecs.
VOWEL_HZ = (300.0, 1750.0)      # where a vowel outdoes the consonants beside it
SMOOTH = 5                      # frames of 10 ms
DIP_DB = 1.0                    # between two syllables
FAINT_DB = 15.0                 # below the loud frames (95th percentile): no syllable
# Of the syllables in their text, so many stand out in recordings of Telugu and Malayalam (138 of Common Voice and SMC)
# and in the sample corpus (0.96, 1.01, 0.97).
HEARD = 0.97
LEAST_FRAMES = 20                # of speech, 0.2 s: what has less says nothing of how fast it changes
CHANGE_FLOOR_DB = 30.0           # below the loudest 1 % of a spectrogram, under which its bands are all alike
LEAST_VOICED = 0.1              # of spoken frames: what has less, as whispers and noise do, has no syllable that can be told


def measures(samples, spoken) -> dict:
  """f0_median_hz, f0_range_st, voiced, energy_range_db, spoken_s, by `nuclei` syllables, and by `nonverbal` breaths and fillers of speech.

  Breaths and fillers count in no other measure.

  Args:
    samples: f32[samples] at 16 kHz.
    spoken: bool[frames], which 10 ms frames are speech, by `activity.speech`.

  Returns:
    f0_range_st and energy_range_db: from the 5th to the 95th percentile of the pitch and the level of voiced frames,
    in semitones and dB; they and the median are None where no frame is voiced. voiced: the share of spoken frames
    with a pitch. spoken_s: how long they are. syllables: 0 where the share is below LEAST_VOICED.
  """
  f0 = pitch.track(samples)[:len(spoken)]
  f0 = np.pad(f0, (0, len(spoken) - len(f0)))
  between = nonverbal.found(samples, f0)
  out = nonverbal.no_words(f0, between)
  voiced, spoken = (f0 > 0) & ~out, spoken & ~out
  result = {'f0_median_hz': None, 'f0_range_st': None, 'energy_range_db': None}
  if voiced.any():
    low, middle, high = np.percentile(f0[voiced], [5, 50, 95])
    soft, loud = np.percentile(level.frame_dbfs(samples)[voiced], [5, 95])
    result = {'f0_median_hz': round(float(middle), 1), 'f0_range_st': round(float(12 * np.log2(high / low)), 2),
              'energy_range_db': round(float(loud - soft), 2)}
  share = float(voiced[spoken].mean()) if spoken.any() else 0.0
  return result | {'voiced': round(share, 3), 'syllables': nuclei(samples, out) / HEARD if share >= LEAST_VOICED else 0.0,
                   'spoken_s': float(spoken.sum()) * level.HOP / SAMPLE_RATE, **{name: len(spans) for name, spans in between.items()}}


def change(samples, spoken) -> float:
  """How fast the spectrum of speech moves: its bands' mean change in a second, in units of their mean deviation from their means.

  (After Furui, 1986, 'On the role of spectral transition for speech perception'.) In 104 recordings of Telugu and Malayalam it
  goes with the syllables a second of their texts as counted ones do (Spearman 0.72, 0.70; the product of both 0.78), and with the tempo at which
  each is played more closely (0.98, 0.83; 0.94). nan where less than LEAST_FRAMES are spoken.
  """
  bands = log_mel(samples)                                 # dB, frames of 10 ms
  bands = np.maximum(bands, np.percentile(bands, 99) - CHANGE_FLOOR_DB)
  spoken = np.pad(spoken, (0, max(0, len(bands) - len(spoken))))[:len(bands)]
  if spoken.sum() < LEAST_FRAMES:
    return float('nan')
  bands = _smoothed(bands)
  moved = np.abs(np.diff(bands, axis=0))[spoken[1:] & spoken[:-1]].mean()
  return float(moved / (np.abs(bands[spoken] - bands[spoken].mean(0)).mean() + 1e-9) * SAMPLE_RATE / level.HOP)


def nuclei(samples, out=()) -> int:
  """How many syllables stand out: peaks of the vowels' level with a dip between them (de Jong and Wempe, 2009).

  Unlike theirs a peak needs no pitch: after a codec low voices often have none that a tracker finds. So noise has nuclei too.
  out: bool[frames], where there are none.
  """
  power = np.square(magnitudes(np.pad(samples, (0, max(0, 512 - len(samples)))), 512, 160))
  low, high = (round(hz * 512 / SAMPLE_RATE) for hz in VOWEL_HZ)
  contour = 10 * np.log10(power[:, low:high].sum(1) + 1e-10)
  contour = _smoothed(contour)
  loud = np.percentile(contour, 95) - FAINT_DB
  return sum(1 for peak in _peaks(contour.tolist()) if contour[peak] > loud and not (peak < len(out) and out[peak]))


def _smoothed(x):
  """f[frames ...], each frame with those about it, SMOOTH in all."""
  taper = np.hanning(SMOOTH + 2)[1:-1]
  padded = np.pad(x, [(SMOOTH // 2,) * 2] + [(0, 0)] * (x.ndim - 1), mode='edge')
  return np.apply_along_axis(np.convolve, 0, padded, taper / taper.sum(), 'valid')


def _peaks(contour):
  """Indices of maxima that rise by DIP_DB from the dip before and fall by as much after."""
  result, at, rising, extreme = [], 0, True, contour[0]
  for index, value in enumerate(contour):
    if (value > extreme) == rising:
      at, extreme = index, value
    elif abs(value - extreme) > DIP_DB:
      if rising:
        result.append(at)
      at, rising, extreme = index, not rising, value
  return result
