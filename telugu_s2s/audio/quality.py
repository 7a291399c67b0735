"""How near a decoded signal is to the original, by the measures that papers on codecs report.

All take f32[samples] at 16 kHz in [-1, 1], the reference first, both of one length and aligned: what shifts or
scales a signal is the caller's to undo, or to answer for.
"""
import functools
import importlib
import warnings

from absl import logging
import numpy as np

from telugu_s2s.audio import pitch
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.mel import magnitudes, mel_filters

SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))   # window, bands


def measures(reference, decoded) -> dict[str, float]:
  """All measures of a pair: si_sdr (dB), mel_distance, stoi, estoi, pesq, f0_cents, f0_gross, voicing_error.

  A measure that cannot be taken of this pair, or whose package is not installed, is nan.

  Raises:
    ValueError: the lengths differ.
  """
  reference, decoded = np.asarray(reference, np.float32), np.asarray(decoded, np.float32)
  if reference.shape != decoded.shape:
    raise ValueError(f'{len(decoded)} samples decoded of {len(reference)}: align and cut them first')
  return {'si_sdr': si_sdr(reference, decoded), 'mel_distance': mel_distance(reference, decoded),
          'stoi': stoi(reference, decoded), 'estoi': stoi(reference, decoded, extended=True),
          'pesq': pesq(reference, decoded), **f0_measures(reference, decoded)}


def si_sdr(reference, decoded) -> float:
  """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019), means removed, from -120 to 120."""
  reference, decoded = (np.asarray(x, np.float64) - np.mean(x, dtype=np.float64) for x in (reference, decoded))
  target = (decoded @ reference) / (reference @ reference + 1e-12) * reference
  noise = decoded - target
  return float(np.clip(10 * np.log10((target @ target + 1e-12) / (noise @ noise + 1e-12)), -120, 120))


def mel_distance(reference, decoded) -> float:
  """Multi-scale log-mel distance: 0 for the same signal; the training measure of DAC (Kumar et al., 2023, 3.5).

  The mean over seven windows, 32 to 2048 samples with a hop of a quarter, of the mean absolute difference of
  log10 mel magnitudes, floored at 1e-5. DAC adds the seven, which is 7 times this.
  """
  distances = []
  for window, bands in SCALES:
    filters = mel_filters(SAMPLE_RATE, window, bands).T
    ours, true = (np.log10(np.maximum(magnitudes(x, window, window // 4) @ filters, 1e-5))
                  for x in (decoded, reference))
    distances.append(np.abs(ours - true).mean(dtype=np.float64))
  return float(np.mean(distances))


def stoi(reference, decoded, extended: bool = False) -> float:
  """Short-time objective intelligibility, 0 to 1 (Taal et al., 2011; extended: Jensen and Taal, 2016).

  nan for less than 0.4 s of speech, or without the package pystoi.
  """
  package = _package('pystoi', 'evaluation')
  if package is None or not np.any(reference):
    return float('nan')
  with warnings.catch_warnings():
    warnings.simplefilter('error', RuntimeWarning)      # pystoi warns, and gives 1e-5, where speech is too short
    try:
      return float(package.stoi(reference, decoded, SAMPLE_RATE, extended=extended))
    except RuntimeWarning:
      return float('nan')


def pesq(reference, decoded) -> float:
  """Wideband PESQ, 1.04 to 4.64 (ITU-T P.862.2); nan where it finds no speech, or without the package pesq."""
  package = _package('pesq', 'pesq')
  if package is None:
    return float('nan')
  score = package.pesq(SAMPLE_RATE, reference, decoded, 'wb', on_error=package.PesqError.RETURN_VALUES)
  return float(score) if score > 0 else float('nan')


def f0_measures(reference, decoded) -> dict[str, float]:
  """How well pitch is kept.

  Returns:
    f0_cents: RMS difference in cents over the frames voiced in both and less than 20% apart; nan if there are
    under 5. f0_gross: the share of frames voiced in both that are further apart. voicing_error: the share of the
    frames voiced in either that are voiced in one only; nan if none is.
  """
  true, ours = pitch.track(reference), pitch.track(decoded)
  either, both = (true > 0) | (ours > 0), (true > 0) & (ours > 0)
  ratio = ours[both] / true[both]
  gross = np.abs(ratio - 1) > 0.2
  cents = 1200 * np.log2(ratio[~gross])
  nan = float('nan')
  return {'f0_cents': float(np.sqrt(np.mean(cents**2))) if len(cents) >= 5 else nan,
          'f0_gross': float(gross.mean()) if len(ratio) else nan,
          'voicing_error': float(1 - both.sum() / either.sum()) if either.any() else nan}


@functools.cache
def _package(name, extra):
  """An optional package, or None; the first time, says how to get it."""
  try:
    return importlib.import_module(name)
  except ImportError:
    logging.warning('%s is not installed, its measure is nan: pip install telugu_s2s[%s]', name, extra)
    return None
