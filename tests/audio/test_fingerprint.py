"""Fingerprints: a copy stays near however it was treated, other speech is far."""
import io

import numpy as np
import pytest
import soundfile

from telugu_s2s.audio import files, fingerprint, opus
from telugu_s2s.preparation.prepare import SAMPLE

NAMES = ['q001-mezzo', 'a001-buzz', 'a001-tenor', 'a002-bright', 'a002-deep', 'a003-bright', 'a003-mezzo', 'a005-deep']
COPY, OTHER = 0.22, 0.34


@pytest.fixture(scope='module')
def voices():
  return {name: files.read(SAMPLE / 'audio' / f'{name}.opus')[0] for name in NAMES}


def noisy(audio, db):
  return audio + np.random.default_rng(0).normal(0, audio.std() * 10 ** (-db / 20), len(audio)).astype(np.float32)


def through_opus(audio, kbps):
  return soundfile.read(io.BytesIO(opus.encoded(audio, kbps)), dtype='float32')[0]


COPIES = {
    'gain': lambda x: files.pcm16(x * 0.05) / np.float32(32768),
    'noise': lambda x: noisy(x, 15),
    'opus': lambda x: through_opus(x, 16),
    'eight bits': lambda x: np.rint(x * 127) / np.float32(127),
    'cut by 130 ms': lambda x: x[2080:],
    'cut by half a step': lambda x: x[96:],
    'later by 130 ms': lambda x: np.concatenate([np.zeros(2080, np.float32), x]),
    'all at once': lambda x: through_opus(noisy(0.3 * x[2080:], 25), 24),
}


def distance(a, b, least: float = 0.5) -> float:
  """The bit error rate of two fingerprints u32[frames] over all shifts at which `least` of the shorter one overlaps; 1 where there is none."""
  overlap = max(1, round(least * min(len(a), len(b))))
  shifts = range(overlap - len(b), len(a) - overlap + 1) if min(len(a), len(b)) else ()
  rates = (fingerprint.error_rate(a, b, shift) for shift in shifts)
  return min((rate for rate, frames in rates if frames >= overlap), default=1.0)


@pytest.mark.parametrize('copy', COPIES)
def test_a_copy_is_near(voices, copy):
  for name, audio in voices.items():
    a, b = fingerprint.fingerprint(audio), fingerprint.fingerprint(COPIES[copy](audio))
    assert distance(a, b) == distance(b, a) < COPY, name


def test_other_sentences_of_a_voice_and_other_voices_of_a_sentence_are_far(voices):
  prints = {name: fingerprint.fingerprint(audio) for name, audio in voices.items()}
  for pair in [('a002-bright', 'a003-bright'), ('a002-deep', 'a005-deep'), ('q001-mezzo', 'a003-mezzo'), ('a001-buzz', 'a001-tenor'),
               ('a002-bright', 'a002-deep'), ('a003-bright', 'a003-mezzo'), ('q001-mezzo', 'a002-deep')]:
    assert distance(prints[pair[0]], prints[pair[1]]) > OTHER, pair


def test_bits_are_those_of_a_slow_version_of_the_definition(voices):
  audio = voices['a001-buzz'][:9000]
  low = np.array([np.dot(np.pad(audio.astype(float), 30)[at:at + 61], fingerprint._lowpass()) for at in range(0, 9000, 3)])
  edges = [300 * (2000 / 300) ** (band / 33) for band in range(34)]
  frames = []
  for start in range(0, len(low) - 2047, 64):
    power = abs(np.fft.rfft(low[start:start + 2048] * np.hanning(2049)[:-1])) ** 2
    spread = np.repeat(power, 200)                   # each bin as 200 slices of its width
    hz = (np.arange(len(spread)) / 200 - 0.5) * 16000 / 3 / 2048
    frames.append([spread[(hz >= lowest) & (hz < highest)].sum() for lowest, highest in zip(edges, edges[1:])])
  slope = -np.diff(frames, axis=1)
  words = [int(''.join('01'[int(bit)] for bit in row), 2) for row in np.diff(slope, axis=0) > 0]
  found = fingerprint.fingerprint(audio)
  assert len(found) == len(words) > 10
  assert fingerprint.error_rate(found, np.array(words, np.uint32), 0)[0] < 0.01


def test_the_filter_before_decimation_keeps_the_bands_and_stops_what_would_fold_onto_them():
  gain = 20 * np.log10(np.abs(np.fft.rfft(fingerprint._lowpass(), 16000)) + 1e-9)     # one bin a hertz
  assert abs(gain[300:2000]).max() < 0.1 and gain[3334:].max() < -60


def test_parts_of_a_long_file_are_transformed_apart_without_a_seam(voices):
  audio = np.tile(np.concatenate(list(voices.values())), 2)[:16000 * 16]
  whole = fingerprint.fingerprint(audio)
  assert whole.dtype == np.uint32 and len(whole) == (-(-len(audio) // 3) - 2048) // 64 > fingerprint.FRAMES
  later = fingerprint.fingerprint(audio[192 * 100:])
  assert fingerprint.error_rate(whole, later, 100)[0] < 0.001


@pytest.mark.parametrize('samples', [0, 1, 60, 61, 6000, 6333])
def test_what_is_too_short_has_no_frames_and_is_like_nothing(samples, voices):
  short = fingerprint.fingerprint(voices['a001-buzz'][:samples])
  assert len(short) == 0 and distance(short, short) == 1


def test_silence_is_like_nothing_not_like_other_silence(voices):
  silence = fingerprint.fingerprint(np.zeros(32000, np.float32))
  assert len(silence) and not silence.any() and distance(silence, silence) == 1
  padded = [fingerprint.fingerprint(np.pad(voices[name], (0, 64000))) for name in ('a002-bright', 'a003-bright')]
  assert distance(*padded, least=0.1) > 0.3


def test_a_part_of_the_other_counts_from_the_overlap_that_is_asked_for(voices):
  a = fingerprint.fingerprint(voices['q001-mezzo'])
  cut = len(a) // 3
  assert distance(a, a[cut:]) == 0 and distance(a[:-cut], a[cut:], least=0.4) == 0
  assert distance(a[:-cut], a[cut:], least=0.9) > 0.2
