"""How somebody speaks: voices whose pitch, pace and loudness are known."""
import csv

import numpy as np
import pytest

from telugu_s2s.audio import activity, delivery, files, nonverbal, tempo
from telugu_s2s.codec import weights
from telugu_s2s.preparation.measures import syllables
from telugu_s2s.preparation.prepare import SAMPLE
from telugu_s2s.tokens import encoding

RATE = files.SAMPLE_RATE


def chant(hz, per_second, seconds=4.0, softest=0.02):
  """Syllables of one vowel at so many a second, between which the voice sinks to `softest`. hz: a number or f[samples]."""
  t = np.arange(round(seconds * RATE)) / RATE
  phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz, len(t))) / RATE
  voice = sum(np.sin(k * phase) / k for k in range(1, 16))
  return (0.1 * voice * (softest + (1 - softest) * np.sin(np.pi * per_second * t) ** 2)).astype(np.float32)


def measured(samples):
  return delivery.measures(samples, np.ones(len(activity.speech(samples)), bool))


@pytest.mark.parametrize('per_second', [2, 3.5, 5, 8])
def test_syllables_of_a_chant_are_counted(per_second):
  samples = chant(150.0, per_second)
  assert delivery.nuclei(samples) == pytest.approx(4 * per_second, abs=1)


def test_noise_and_silence_have_no_syllables_and_no_pitch():
  hiss = (chant(150.0, 4) != 0) * np.random.default_rng(0).normal(size=4 * RATE) * np.sin(np.arange(4 * RATE) * 0.001)
  for samples in (0.05 * hiss.astype(np.float32), np.zeros(RATE, np.float32), np.zeros(1, np.float32)):
    found = measured(samples)
    assert found['syllables'] <= 1 and found['f0_median_hz'] is found['energy_range_db'] is None and found['voiced'] < 0.02


def test_median_and_range_of_a_glide_over_an_octave():
  hz = 120.0 * 2 ** np.linspace(0, 1, 4 * RATE)
  found = measured(chant(hz, 3, softest=0.3))
  assert found['f0_median_hz'] == pytest.approx(120 * 2 ** 0.5, rel=0.02)
  assert found['f0_range_st'] == pytest.approx(0.9 * 12, abs=0.3)      # the 5th to the 95th percentile of it
  assert found['voiced'] > 0.95


def test_the_range_of_energy_is_that_of_soft_and_loud_speech():
  hz = 150.0 * 2 ** (np.sin(6 * np.pi * np.arange(4 * RATE) / RATE) / 4)         # a vowel that stands still is a filler
  samples = chant(hz, 0.01, softest=1.0) * np.repeat([1.0, 0.1], 2 * RATE).astype(np.float32)
  assert measured(samples)['energy_range_db'] == pytest.approx(20, abs=1)       # a frame is 25 ms of a wave of 6.7


def test_only_spoken_frames_count_for_the_share_of_voice():
  samples = np.concatenate([chant(150.0, 3), np.zeros(4 * RATE, np.float32)])
  spoken = np.arange(len(activity.speech(samples))) < 400
  assert delivery.measures(samples, spoken)['voiced'] > 0.9
  assert delivery.measures(samples, spoken & False)['voiced'] == 0


def test_measures_do_not_depend_on_loudness():
  samples = files.read(SAMPLE / 'audio' / 'q001-mezzo.opus')[0]
  one, other = measured(samples), measured(0.25 * samples)
  assert one == pytest.approx(other, rel=0.02)


def test_syllables_heard_are_those_written():
  """Over forty sentences; one sentence is right within a sixteenth or so."""
  heard, written = counted(rows()[::12][:40], lambda samples: samples)
  assert len(heard) >= 30 and heard.sum() / written.sum() == pytest.approx(1, abs=0.04)
  assert np.abs(heard / written - 1).mean() < 0.07


@pytest.mark.parametrize('voice', ['mezzo', 'deep'])
def test_syllables_are_heard_after_the_codec_of_low_voices_too(voice):
  """A bass lost most of its pitch there, and with it a third of its syllables."""
  trained = weights.load('tiny')
  encoder = encoding.Encoder(trained, batch=1)
  spoken = [row for row in rows() if row['speaker'] == f'sample-{voice}'][::5][:20]
  whole = lambda samples: np.pad(samples, (0, -len(samples) % RATE))          # seconds, so that few programs are compiled
  heard, written = counted(spoken, lambda samples: encoding.decoded(trained, np.stack(encoder([whole(samples)])))[0])
  assert len(heard) >= 15 and heard.sum() / written.sum() == pytest.approx(1, abs=0.15)
  assert np.abs(heard / written - 1).mean() < 0.15


def rows():
  with open(SAMPLE / 'MANIFEST.tsv', encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))


def counted(these, change):
  """(syllables heard, syllables written) of the recordings whose text tells, after a change to them."""
  known = [(row, syllables(row['text'])) for row in these]
  heard = [measured(change(files.read(SAMPLE / row['path'])[0]))['syllables'] for row, count in known if count]
  return np.array(heard), np.array([count for _, count in known if count])


def test_who_breathes_and_hesitates_speaks_no_slower_and_no_other_way():
  rng, quiet = np.random.default_rng(0), np.zeros(4800, np.float32)
  t = np.arange(round(0.6 * RATE)) / RATE
  held = 0.3 * sum(np.sin(2 * np.pi * 90 * k * t) / k for k in range(1, 16)) * np.minimum(1, 20 * np.minimum(t, 0.6 - t))
  words = np.concatenate([quiet, chant(150.0, 4), quiet])
  begun = np.concatenate([quiet, 0.03 * nonverbal.breath(rng), quiet, held.astype(np.float32), words])
  plain, other = (delivery.measures(one, activity.speech(one)) for one in (words, begun))
  assert (plain['breaths'], plain['fillers']) == (0, 0) and (other['breaths'], other['fillers']) == (1, 1)
  for name, most in (('spoken_s', 0.25), ('syllables', 1.1), ('f0_median_hz', 2), ('energy_range_db', 1.5)):
    assert other[name] == pytest.approx(plain[name], abs=most), name
  assert other['syllables'] / other['spoken_s'] == pytest.approx(plain['syllables'] / plain['spoken_s'], rel=0.06)


def test_the_spectrum_of_the_same_words_moves_faster_the_faster_they_are_played(speech):
  for audio in speech:
    found = [delivery.change(made, activity.speech(made)) for speed in (0.6, 0.8, 1.0, 1.25, 1.5) for made in [tempo.stretched(audio, speed)]]
    assert found == sorted(found) and found[-1] > 1.4 * found[0]
    assert delivery.change(0.1 * audio, activity.speech(audio)) == pytest.approx(found[2], rel=0.01), 'however loud it is'
  assert np.isnan(delivery.change(speech[0], np.zeros(100, bool)))
