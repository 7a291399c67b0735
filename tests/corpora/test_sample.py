"""The embedded sample corpus is what its card says."""
import collections
import csv
import re
import unicodedata

import numpy as np
import pytest
import soundfile

from telugu_s2s.corpora import sample

TELUGU = re.compile(r'[\u0C00-\u0C7F ,.?]+')       # letters and the punctuation of a spoken sentence; no digits


def table(name):
  with open(sample.folder() / name, encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))


@pytest.fixture(scope='module')
def sentences():
  return table('sentences.tsv')


@pytest.fixture(scope='module')
def rows():
  return table('MANIFEST.tsv')


def some(rows, count, seed=0):
  """`count` rows of each speaker."""
  rng = np.random.default_rng(seed)
  for speaker in sorted({row['speaker'] for row in rows}):
    of_speaker = [row for row in rows if row['speaker'] == speaker]
    yield from rng.choice(of_speaker, count, replace=False)


def test_it_is_large_enough_and_small_enough(sentences, rows):
  pairs = {row['dialogue'] for row in sentences if row['kind'] == 'question'}
  assert len(sentences) >= 360 and len(pairs) >= 110
  assert len({row['speaker'] for row in rows}) >= 6
  minutes = sum(float(row['seconds']) for row in rows) / 60
  assert 30 <= minutes <= 40
  sizes = [file.stat().st_size for file in sample.folder().rglob('*') if file.is_file() and file.suffix != '.pyc']
  assert sum(sizes) <= 7.5e6 and max(sizes) < 2e6


def test_sentences_are_telugu_in_nfc_and_all_different(sentences):
  for row in sentences:
    assert TELUGU.fullmatch(row['text']), row
    assert unicodedata.is_normalized('NFC', row['text']) and row['text'] == ' '.join(row['text'].split())
    assert row['text'].endswith('?' if row['kind'] == 'question' else '.')
  for column in ('id', 'text'):
    assert len({row[column] for row in sentences}) == len(sentences)


def test_sentences_differ_by_more_than_their_punctuation(sentences):
  words = [re.sub('[,.?]', '', row['text']) for row in sentences]
  assert len(set(words)) == len(words)
  openings = collections.Counter(' '.join(text.split()[:2]) for text in words)
  endings = collections.Counter(' '.join(text.split()[-2:]) for text in words)
  assert max(openings.values()) <= 4 and max(endings.values()) <= 4     # no template is worn out


def test_a_pair_is_a_question_then_its_answer_and_a_story_has_five_to_eight_turns(sentences):
  units = collections.defaultdict(list)
  for row in sentences:
    units[row['dialogue']].append(row)
  for row in units.pop(''):
    assert row['kind'] == 'statement' and row['turn'] == ''
  for name, unit in units.items():
    assert [int(row['turn']) for row in unit] == list(range(1, len(unit) + 1)), name
    assert len({(row['topic'], row['split']) for row in unit}) == 1, name
    kinds = [row['kind'] for row in unit]
    assert kinds == ['question', 'answer'] or (set(kinds) == {'story'} and 5 <= len(kinds) <= 8), name


def test_every_file_is_listed_and_every_row_has_its_file(rows):
  files = {f'audio/{file.name}' for file in (sample.folder() / 'audio').iterdir()}
  assert files == {row['path'] for row in rows} and len(files) == len(rows)


def test_rows_have_all_labels_and_the_text_of_their_sentence(sentences, rows):
  of = {row['id']: row for row in sentences}
  heard = collections.defaultdict(set)
  for row in rows:
    sentence = of[row['sentence']]
    assert (row['text'], row['split'], row['style']) == (sentence['text'], sentence['split'], sentence['kind'])
    assert (row['language'], row['emotion'], row['licence'], row['source']) == (
        'te', 'neutral', 'CC0-1.0', 'telugu_s2s-sample')
    assert row['gender'] in 'mf' and row['rate'] in ('slow', 'normal', 'fast')
    heard[row['sentence']].add(row['speaker'])
  assert set(heard) == set(of) and all(2 <= len(voices) <= 3 for voices in heard.values())


def test_one_voice_and_the_held_out_sentences_are_absent_from_train(rows):
  by_split = {split: [row for row in rows if row['split'] == split] for split in ('train', 'eval')}
  assert len(by_split['train']) + len(by_split['eval']) == len(rows)
  speakers = {split: {row['speaker'] for row in part} for split, part in by_split.items()}
  assert len(speakers['train']) >= 5 and len(speakers['eval'] - speakers['train']) == 1
  texts = {split: {row['text'] for row in part} for split, part in by_split.items()}
  assert not texts['train'] & texts['eval']
  assert 0.06 < len(texts['eval']) / len(texts['train'] | texts['eval']) < 0.12


def test_question_and_answer_have_different_voices_and_a_story_has_one(rows):
  tellings = collections.defaultdict(list)
  for row in rows:
    if row['dialogue']:
      tellings[row['dialogue']].append(row)
  pairs = 0
  for name, telling in tellings.items():
    assert sorted(int(row['turn']) for row in telling) == list(range(1, len(telling) + 1)), name
    voices = {row['speaker'] for row in telling}
    if telling[0]['style'] == 'story':
      assert len(voices) == 1, name
    else:
      pairs += 1
      assert len(telling) == len(voices) == 2, name
  assert pairs >= 220


def test_audio_has_the_listed_length_and_no_clipping_and_short_silent_ends(rows):
  for row in some(rows, 4):
    samples, rate = soundfile.read(sample.folder() / row['path'])
    assert rate == 16_000 and samples.ndim == 1
    assert abs(len(samples) / rate - float(row['seconds'])) < 1e-3
    peak = np.abs(samples).max()
    assert -6 < 20 * np.log10(peak) < -1, row['path']         # -3 dBFS before Opus
    loud = np.flatnonzero(np.abs(samples) > 0.02 * peak)
    for end in (loud[0], len(samples) - loud[-1]):
      assert 0.08 < end / rate < 0.3, row['path']


def test_slow_speech_is_slower_than_normal_and_fast_is_faster(rows):
  pace = {}                       # letters a second, less the silent ends
  for rate in ('slow', 'normal', 'fast'):
    those = [row for row in rows if row['rate'] == rate]
    pace[rate] = sum(len(row['text']) for row in those) / sum(float(row['seconds']) - 0.3 for row in those)
  assert pace['normal'] > 1.15 * pace['slow'] and pace['fast'] > 1.15 * pace['normal']


def median_f0(samples, rate):
  """Median F0 in Hz of the voiced frames, by autocorrelation."""
  found = []
  for start in range(0, len(samples) - 1024, 512):
    x = samples[start:start + 1024] - samples[start:start + 1024].mean()
    if np.sqrt(np.mean(x**2)) < 0.03:
      continue
    r = np.fft.irfft(np.abs(np.fft.rfft(x, 2048)) ** 2)[:1024] / (1024 - np.arange(1024))
    lags = np.arange(rate // 350, rate // 60)
    peaks = [lag for lag in lags if r[lag] > max(r[lag - 1], r[lag + 1], 0.6 * r[0] / 1024)]
    if peaks:
      best = max(r[peaks])
      found.append(rate / next(lag for lag in peaks if r[lag] > 0.9 * best))
  return np.median(found)


def test_every_voice_has_its_own_pitch(rows):
  pitch = collections.defaultdict(list)
  for row in some(rows, 6):
    pitch[row['speaker']].append(median_f0(*soundfile.read(sample.folder() / row['path'])))
  medians = sorted(np.median(values) for values in pitch.values())
  assert all(high > 1.1 * low for low, high in zip(medians, medians[1:])), medians
