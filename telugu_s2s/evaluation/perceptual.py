"""How a decoded signal sounds, by networks that learnt it from listeners, and all measures of a pair of files.

The networks come with their packages; each is loaded at its first use and runs on one CPU thread. Where a package
is missing its measures are nan. All take samples at 16 kHz in [-1, 1].
"""
import contextlib
import dataclasses
import functools
import importlib.util
import io
import sys
import types

from absl import logging
import numpy as np

from telugu_s2s.audio import files, opinion, quality
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.audio.quality import NAN
from telugu_s2s.dialogue import voiceprint

# Two packages ask pip for others that cannot be had everywhere, and run without: resemblyzer for a voice activity
# detector without wheels (webrtcvad-wheels takes its place), distillmos for torchaudio.
NETWORKS = ('pip install -e .[perceptual] -c constraints.txt && '
            'pip install --no-deps resemblyzer==0.1.4 distillmos==0.9.1 xls-r-sqa==0.1.0')
PACKAGES = dict.fromkeys(('visqol', 'ai_edge_litert', 'resemblyzer', 'speechmos', 'onnxruntime', 'distillmos',
                          'xls_r_sqa', 'torch'), NETWORKS)
ALONE = ('dns_ovrl', 'dns_sig', 'dns_bak', 'dns_p808', 'distillmos')     # measures that need no reference
DNSMOS_WINDOWS = 2               # of 9 s each
_speaker_encoder = voiceprint.network


def measures(reference, decoded) -> dict[str, float]:
  """visqol, spk_sim and the measures of `alone` of the decoded signal brought to the reference's level.

  The level is mended because DNSMOS rises as a signal gets quieter; by 12 dB at most.

  Raises:
    ValueError: the lengths differ.
  """
  reference, decoded = np.asarray(reference, np.float64), np.clip(np.asarray(decoded, np.float64), -1, 1)
  if reference.shape != decoded.shape:
    raise ValueError(f'{len(decoded)} samples decoded of {len(reference)}: align and cut them first')
  gain = np.clip(quality.gain_db(reference, decoded), -12, 12)
  return {'visqol': visqol(reference, decoded), 'spk_sim': speaker_similarity(reference, decoded),
          **alone(decoded * 10 ** (-gain / 20))}


def alone(samples) -> dict[str, float]:
  """What needs no reference: dnsmos and distillmos. Another sentence would score as well: read it beside the others."""
  samples = np.clip(np.asarray(samples, np.float64), -1, 1)
  return {**dnsmos(samples), 'distillmos': distillmos(samples)}


def visqol(reference, decoded) -> float:
  """ViSQOL in speech mode with its lattice mapping (Chinen et al., 2020), about 1 to 4.6; nan where it finds no speech."""
  api = _visqol()
  if api is None or not np.any(reference):
    return NAN
  try:
    return float(api.measure_from_arrays(reference, decoded, SAMPLE_RATE).moslqo)
  except (ValueError, IndexError, RuntimeError) as problem:       # a clip too short for one of its patches
    logging.info('visqol: %s', problem)
    return NAN


def speaker_similarity(reference, decoded) -> float:
  """Cosine of the GE2E embeddings (Wan et al., 2018) that Resemblyzer has of both; two sentences of two voices: 0.58."""
  if _speaker_encoder() is None or not np.any(reference) or not np.any(decoded):
    return NAN
  return voiceprint.similarity(*map(voiceprint.ge2e, (reference, decoded)))


def dnsmos(samples) -> dict[str, float]:
  """DNSMOS P.835 (dns_sig, dns_bak, dns_ovrl) and P.808 (dns_p808), 1 to 5: the mean of the first 9 s and the last.

  So the tables of codecs have it; see audio/opinion.py.
  """
  if quality.optional('onnxruntime', NETWORKS) is None or importlib.util.find_spec('speechmos') is None:
    return dict.fromkeys(('dns_sig', 'dns_bak', 'dns_ovrl', 'dns_p808'), NAN)
  found = opinion.p835(samples, DNSMOS_WINDOWS)
  return {'dns_sig': found['sig'], 'dns_bak': found['bak'], 'dns_ovrl': found['ovr'], 'dns_p808': opinion.p808(samples, DNSMOS_WINDOWS)}


def distillmos(samples) -> float:
  """DistillMOS (Stahl and Gamper, 2025), 1 to 5: an opinion score distilled from a large speech model."""
  network = _distillmos()
  if network is None:
    return NAN
  torch = quality.optional('torch', NETWORKS)
  with torch.no_grad():
    return float(network(torch.tensor(samples, dtype=torch.float32)[None]).item())


@functools.cache
def _visqol():
  package = quality.optional('visqol', NETWORKS)
  # Without the lattice's runtime it would take another mapping, whose numbers cannot be compared with these.
  if package is None or quality.optional('ai_edge_litert.interpreter', NETWORKS) is None:
    return None
  api = package.VisqolApi()
  api.create(mode='speech', use_lattice_model=True)
  return api


@functools.cache
def _distillmos():
  with _without_torchaudio(), contextlib.redirect_stdout(io.StringIO()):       # it prints where its weights lie
    package = quality.optional('distillmos', NETWORKS)
    if package is None:
      return None
    quality.optional('torch', NETWORKS).set_num_threads(1)
    return package.ConvTransformerSQAModel().train(False)


@contextlib.contextmanager
def _without_torchaudio():
  """Lets distillmos be imported: it asks for torchaudio, which only its command line uses."""
  if 'torchaudio' in sys.modules or importlib.util.find_spec('torchaudio'):
    yield
    return
  sys.modules['torchaudio'] = types.ModuleType('torchaudio')
  try:
    yield
  finally:
    del sys.modules['torchaudio']


@dataclasses.dataclass(frozen=True)
class Pair:
  """A recording and what a codec made of it, as files."""
  reference: str
  channel: int | None            # of the reference
  decoded: str                   # its samples are those of the reference's beginning
  takes: str = 'all'             # 'all', 'plain' (what audio/quality.py has) or 'pesq_wb'


def measured(pair: Pair) -> dict:
  """The measures of a pair that it takes; with all of them also `reference`, what those of `alone` say of the recording."""
  decoded = files.read(pair.decoded)[0]
  reference = files.read(pair.reference, pair.channel)[0][:len(decoded)]
  if pair.takes == 'pesq_wb':
    return {'pesq_wb': quality.pesq(reference, decoded)}
  row = quality.measures(reference, decoded)
  if pair.takes == 'all':
    row |= {**measures(reference, decoded), 'reference': alone(reference)}
  return row
