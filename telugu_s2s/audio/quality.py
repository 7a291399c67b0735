"""How near a decoded signal is to the original, by the measures that papers on codecs report.

All take samples at 16 kHz in [-1, 1], the reference first, both of one length and aligned: what shifts or scales a
signal is the caller's to undo, or to answer for. The measures that are neural networks stand in
`evaluation/perceptual.py`. Names are those of the columns of the tables that codecs are compared by.
"""
import functools
import importlib
import multiprocessing
import warnings

from absl import logging
import numpy as np

from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.mel import magnitudes, mel_filters

SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))   # window, bands
ACTIVE_DB = 40.0                 # a frame is speech that is at most so far below the clip's loudest
CLIPPED = 0.999                  # the magnitude from which a sample counts as clipped
F0_RANGE_HZ = (60.0, 500.0)
F0_GROSS = 0.2                   # an F0 further off than this share is another error than a wrong pitch
NAN = float('nan')
# What some measures need, and what installs it.
PACKAGES = {'pystoi': 'pip install -e .[evaluation] -c constraints.txt',
            'pyworld': 'pip install -e .[evaluation] -c constraints.txt',
            'pesq': 'pip install -e .[pesq] -c constraints.txt, which needs a C compiler'}


def measures(reference, decoded) -> dict[str, float]:
  """All measures of a pair: pesq_wb, stoi, estoi, si_sdr, ms_mel, mel80_db, lsd, those of F0, gain_db and clip_pct.

  What a player would clip is counted and clipped first. A measure that cannot be taken of this pair, or whose
  package is not installed, is nan.

  Raises:
    ValueError: the lengths differ.
  """
  reference, decoded = np.asarray(reference, np.float64), np.asarray(decoded, np.float64)
  if reference.shape != decoded.shape:
    raise ValueError(f'{len(decoded)} samples decoded of {len(reference)}: align and cut them first')
  clipped = clip_pct(decoded)
  decoded = np.clip(decoded, -1, 1)
  return {'pesq_wb': pesq(reference, decoded), 'stoi': stoi(reference, decoded),
          'estoi': stoi(reference, decoded, extended=True), 'si_sdr': si_sdr(reference, decoded),
          'ms_mel': ms_mel(reference, decoded), 'mel80_db': mel80_db(reference, decoded), 'lsd': lsd(reference, decoded),
          **f0_measures(reference, decoded), 'gain_db': gain_db(reference, decoded), 'clip_pct': clipped}


def si_sdr(reference, decoded) -> float:
  """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019), means removed."""
  reference, decoded = (np.asarray(x, np.float64) - np.mean(x, dtype=np.float64) for x in (reference, decoded))
  target = (decoded @ reference) / (reference @ reference + 1e-12) * reference
  noise = decoded - target
  if decoded @ decoded < 1e-12:        # silence matches nothing; the ratio of nothing to nothing would be better than that of a noisy copy
    noise = reference
  return float(10 * np.log10((target @ target + 1e-12) / (noise @ noise + 1e-12)))


def ms_mel(reference, decoded) -> float:
  """Multi-scale log-mel distance: 0 for the same signal; the training measure of DAC (Kumar et al., 2023, 3.5).

  The mean over seven windows, 32 to 2048 samples with a hop of a quarter, of the mean absolute difference of
  log10 mel magnitudes, floored at 1e-5. DAC adds the seven, which is 7 times this.
  """
  distances = []
  for window, bands in SCALES:
    filters = mel_filters(SAMPLE_RATE, window, bands).T
    true, ours = (np.log10(np.maximum(magnitudes(x, window, window // 4) @ filters, 1e-5))
                  for x in (reference, decoded))
    distances.append(np.abs(ours - true).mean(dtype=np.float64))
  return float(np.mean(distances))


def mel80_db(reference, decoded) -> float:
  """Mean absolute difference in dB of the power in 80 mel bands, 32 ms every 10 ms, over the frames with speech.

  Speech is what lies within 40 dB of the reference's loudest frame, so silence does not count; bands are floored at -60 dB.
  """
  filters = mel_filters(SAMPLE_RATE, 512, 80).T
  true, ours = (np.square(magnitudes(x, 512, 160)) @ filters for x in (reference, decoded))
  difference = np.abs(10 * np.log10(np.maximum(true, 1e-6)) - 10 * np.log10(np.maximum(ours, 1e-6)))
  return float(difference[_active(true)].mean(dtype=np.float64))


def lsd(reference, decoded) -> float:
  """Log-spectral distance in dB: the mean over frames of 32 ms, every 8 ms, of the root mean square over frequencies.

  Magnitudes are floored at 1e-3; the floor moves the result by decibels, so it compares like with like only.
  """
  true, ours = (20 * np.log10(np.maximum(magnitudes(x, 512, 128), 1e-3)) for x in (reference, decoded))
  return float(np.sqrt(np.square(true - ours).mean(1, dtype=np.float64)).mean())


def gain_db(reference, decoded) -> float:
  """How much louder the decoded signal is, in dB of root mean square."""
  true, ours = (np.sqrt(np.mean(np.square(x), dtype=np.float64)) + 1e-9 for x in (reference, decoded))
  return float(20 * np.log10(ours / true))


def clip_pct(samples) -> float:
  """Percent of the samples that are clipped, at 0.999 of full scale or beyond."""
  return 100 * float(np.mean(np.abs(samples) >= CLIPPED))


def stoi(reference, decoded, extended: bool = False) -> float:
  """Short-time objective intelligibility, 0 to 1 (Taal et al., 2011; extended: Jensen and Taal, 2016).

  nan for less than 0.4 s of speech, where pystoi has 1e-5 or fails, or without the package pystoi.
  """
  package = optional('pystoi')
  if package is None or not np.any(reference):
    return NAN
  with warnings.catch_warnings():
    warnings.simplefilter('error', RuntimeWarning)      # pystoi warns where speech is too short
    try:
      return float(package.stoi(np.asarray(reference, np.float64), np.asarray(decoded, np.float64), SAMPLE_RATE, extended))
    except (RuntimeWarning, np.exceptions.AxisError):
      return NAN


def pesq(reference, decoded) -> float:
  """Wideband PESQ, 1.04 to 4.64 (ITU-T P.862.2, before its second corrigendum, as the literature has it).

  nan where it finds no speech, or without the package pesq.
  """
  package = optional('pesq')
  if package is None or not np.any(reference) or not np.any(decoded):
    return NAN
  score = package.pesq(SAMPLE_RATE, np.asarray(reference, np.float32), np.asarray(decoded, np.float32), 'wb',
                       on_error=package.PesqError.RETURN_VALUES)
  return float(score) if score > 0 else NAN


def f0_measures(reference, decoded) -> dict[str, float]:
  """How well pitch is kept, by WORLD's DIO and StoneMask (Morise et al., 2016) every 10 ms.

  Returns:
    Over the frames with speech (see `mel80_db`). vuv_err: percent of them voiced in one signal only. Of those
    voiced in both, f0_gpe: percent whose F0 is off by more than 20%; f0_rmse_hz: root mean square difference;
    f0_cents: the same in cents, without the gross errors. All four are nan without the package pyworld, the last
    three where under 5 frames are voiced in both.
  """
  package = optional('pyworld')
  if package is None:
    return dict.fromkeys(('f0_rmse_hz', 'f0_cents', 'f0_gpe', 'vuv_err'), NAN)
  true, ours = (world_f0(package, x) for x in (reference, decoded))
  active = _active(np.square(magnitudes(reference, 512, 160)))[:len(true)]
  active = np.pad(active, (0, len(true) - len(active)), mode='edge')
  result = {'f0_rmse_hz': NAN, 'f0_cents': NAN, 'f0_gpe': NAN,
            'vuv_err': 100 * float(((true > 0) != (ours > 0))[active].mean())}
  both = active & (true > 0) & (ours > 0)
  if both.sum() < 5:
    return result
  true, ours = true[both], ours[both]
  gross = np.abs(ours / true - 1) > F0_GROSS
  cents = 1200 * np.log2(ours[~gross] / true[~gross])
  return {**result, 'f0_rmse_hz': float(np.sqrt(np.square(ours - true).mean())), 'f0_gpe': 100 * float(gross.mean()),
          'f0_cents': float(np.sqrt(np.square(cents).mean())) if len(cents) else NAN}


def world_f0(package, samples) -> np.ndarray:
  """Fundamental frequency in Hz every 10 ms, 0 where unvoiced. package: pyworld, see `optional`."""
  samples = np.asarray(samples, np.float64)
  rough, times = package.dio(samples, SAMPLE_RATE, *F0_RANGE_HZ, frame_period=10.0)
  return package.stonemask(samples, rough, times, SAMPLE_RATE)


def _active(power):
  """bool[frames] of frames with speech. power: f32[frames, bands]."""
  level = 10 * np.log10(power.sum(1, dtype=np.float64) + 1e-10)
  return level > level.max() - ACTIVE_DB


@functools.cache
def optional(name: str, remedy: str = ''):
  """A package that only some measures need, or None; the first time, says what installs it (by default as in PACKAGES)."""
  try:
    return importlib.import_module(name)
  except ImportError as problem:
    if multiprocessing.parent_process() is None:        # what starts workers says it once for all of them
      logging.warning('%s (its measures are nan; to have them: %s)', problem, remedy or PACKAGES[name])
    return None
