"""The job that remakes the sample corpus, and the engine below it."""
import csv
import importlib.util
import io
import pathlib

import numpy as np
import pytest
import soundfile

from telugu_s2s.corpora import sample as shipped
from telugu_s2s.dialogue import sample, synthesis
from telugu_s2s.errors import InputError

CONFIG = pathlib.Path(__file__).parents[2] / 'configs/sample.py'
needs_engine = pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')


@pytest.fixture
def config():
  spec = importlib.util.spec_from_file_location('sample_config', CONFIG)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config()


@pytest.fixture
def few(tmp_path):
  """A sentences.tsv of two pairs, a statement and a story's opening; and a function that writes another."""
  lines = (shipped.folder() / 'sentences.tsv').read_text(encoding='utf-8').splitlines()

  def write(ids, name='few.tsv'):
    path = tmp_path / name
    path.write_text('\n'.join(line for line in lines if line.split('\t')[0] in ('id', *ids)) + '\n', encoding='utf-8')
    return str(path)
  return write


def manifest(folder):
  with open(folder / 'MANIFEST.tsv', encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))


def contents(folder):
  return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob('*')) if file.is_file()}


def test_the_plan_is_the_shipped_manifest(config):
  planned = sample.plan(sample.read_sentences(shipped.folder() / 'sentences.tsv'), config)
  there = manifest(shipped.folder())
  assert [{**row, 'seconds': ''} for row in there] == [{k: str(v) for k, v in row.items()} for row in planned]


def test_another_seed_gives_another_plan(config):
  sentences = sample.read_sentences(shipped.folder() / 'sentences.tsv')
  first = sample.plan(sentences, config)
  config.seed = 1
  assert sum(a['speaker'] == b['speaker'] for a, b in zip(first, sample.plan(sentences, config))) < len(first) / 2


def test_a_sentence_left_out_changes_no_other(config):
  sentences = sample.read_sentences(shipped.folder() / 'sentences.tsv')
  whole = {row['path']: row for row in sample.plan(sentences, config)}
  part = sample.plan([row for row in sentences if row['dialogue'] != 'pair002'], config)
  assert len(part) == len(whole) - 4 and all(whole[row['path']] == row for row in part)


@needs_engine
def test_the_job_gives_the_same_bytes_again(config, few, tmp_path):
  config.sentences = few(['q001', 'a001', 'q014', 'a014', 's002', 't011', 't012'])
  config.out = str(tmp_path / 'one')
  sample.run(config, tmp_path / 'unused')
  one = contents(tmp_path / 'one')
  sample.run(config, tmp_path / 'unused')                            # over itself
  assert contents(tmp_path / 'one') == one and len(one) == 2 * 7 + 2 + 2        # and of split train one question, asked by the held-out voice
  config.out, config.sentences = '', few(['s002', 'q014', 'a014'], 'fewer.tsv')
  sample.run(config, tmp_path / 'work')                              # another order, fewer before it
  two = contents(tmp_path / 'work/sample')
  assert len(two) == 2 * 3 + 2 and all(one[name] == data for name, data in two.items() if name.startswith('audio'))


@needs_engine
def test_the_job_gives_what_is_shipped(config):
  """Bit for bit on the platform of the card; elsewhere floating point may move a sample, so length and spectrum."""
  of_speaker = {row['speaker']: row for row in manifest(shipped.folder())}
  for row in of_speaker.values():
    row.update(words_per_minute=int(row['words_per_minute']), pitch=int(row['pitch']))
    data, seconds = sample.utterance(row, config.kbps)
    assert abs(seconds - float(row['seconds'])) < 0.05, row['path']
    spectra = []
    for file in (io.BytesIO(data), shipped.folder() / row['path']):
      samples = soundfile.read(file)[0]
      frames = np.lib.stride_tricks.sliding_window_view(samples, 512)[::256] * np.hanning(512)
      spectra.append(np.log(np.mean(np.abs(np.fft.rfft(frames)) ** 2, 0) + 1e-9))
    assert np.corrcoef(*spectra)[0, 1] > 0.98, row['path']


@needs_engine
def test_speech_depends_on_its_arguments_and_not_on_what_was_said_before():
  text = 'వాన వెలిసింది.'
  first = synthesis.speak(text, 'te+m4', 180, 40)
  synthesis.speak('చెరువు నిండింది.', 'te+f2', 220, 60)
  assert np.array_equal(synthesis.speak(text, 'te+m4', 180, 40), first)
  assert first.dtype == np.float32 and 0.05 < np.abs(first).max() < 1
  assert len(synthesis.speak(text, 'te+m4', 120, 40)) > 1.2 * len(first)


@needs_engine
@pytest.mark.parametrize('text,voice,rate,pitch,says', [
    ('వాన', 'te+nobody', 180, 40, "no voice 'te\\+nobody'"),
    ('వాన', 'zz', 180, 40, "no voice 'zz'"),
    ('వాన', 'te', 20, 40, 'rate 20 .* outside 80 to 450'),
    ('వాన', 'te', 180, 100, 'pitch 100 .* outside 0 to 99'),
    ('', 'te', 180, 40, 'says nothing'),
])
def test_a_request_that_cannot_be_spoken_is_named(text, voice, rate, pitch, says):
  with pytest.raises(InputError, match=says):
    synthesis.speak(text, voice, rate, pitch)


def test_without_the_package_the_user_is_told_what_to_install(config, few, tmp_path, monkeypatch):
  monkeypatch.setattr(synthesis, 'available', lambda: False)
  config.sentences = few(['s002'])
  with pytest.raises(InputError, match=r'pip install -e .\[sample\] -c constraints.txt'):
    sample.run(config, tmp_path)
  assert not [file for file in (tmp_path / 'sample').rglob('*') if file.is_file()]


def test_a_job_that_stops_half_way_leaves_the_corpus_as_it_was(config, few, tmp_path, monkeypatch):
  def pretend(row, kbps):
    if row['sentence'] == broken:
      raise KeyboardInterrupt
    return row['path'].encode() + version, 1.0
  monkeypatch.setattr(sample, 'utterance', pretend)
  config.sentences, broken, version = few(['q001', 'a001', 's002']), '', b'1'
  sample.run(config, tmp_path)
  before = contents(tmp_path / 'sample')
  broken, version = 's002', b'2'
  with pytest.raises(KeyboardInterrupt):
    sample.run(config, tmp_path)
  assert contents(tmp_path / 'sample') == before
  broken = ''
  sample.run(config, tmp_path)
  assert contents(tmp_path / 'sample') != before and set(contents(tmp_path / 'sample')) == set(before)


def test_audio_of_somebody_else_is_not_written_over(config, few, tmp_path):
  theirs = tmp_path / 'recordings/audio/interview.wav'
  theirs.parent.mkdir(parents=True)
  theirs.write_bytes(b'theirs')
  config.sentences, config.out = few(['s002']), str(tmp_path / 'recordings')
  with pytest.raises(InputError, match='interview.wav was not made by this job'):
    sample.run(config, tmp_path)
  assert contents(tmp_path / 'recordings') == {'audio/interview.wav': b'theirs'}


@pytest.mark.parametrize('change,says', [
    (lambda text: text.replace('\tquestion\t', '\tshout\t'), "kind 'shout'"),
    (lambda text: text + text.splitlines()[-1] + '\n', 'there twice'),
    (lambda text: text.replace('text\t', 'words\t', 1), 'expected sentences under the columns'),
    (lambda text: text.replace('a001', '../a001'), 'needs an id of letters'),
    (lambda text: '\n'.join(line for line in text.splitlines() if not line.startswith('a001')), 'with one answer'),
    (lambda text: text.rstrip('\n').rpartition('\t')[0] + '\n', 'too few cells'),
    (lambda text: '', 'expected sentences'),
])
def test_sentences_that_cannot_be_used_are_named(config, few, tmp_path, change, says):
  path = pathlib.Path(few(['q001', 'a001', 's002']))
  path.write_text(change(path.read_text(encoding='utf-8')), encoding='utf-8')
  config.sentences = str(path)
  with pytest.raises(InputError, match=says):
    sample.run(config, tmp_path)


@pytest.mark.parametrize('change,says', [
    (dict(held_out='nobody'), "held_out is 'nobody'"),
    (dict(rate_shares=dict(slow=0.5, normal=0.5, fast=0.5)), 'its sum 1'),
    (dict(rates=dict(slow=(90, 110), normal=(200, 180), fast=(200, 220))), r'config.rates.normal \(200, 180\): give the slowest'),
    (dict(sentences='nowhere.tsv'), 'nowhere.tsv cannot be read .*sentences.tsv in UTF-8'),
])
def test_a_config_that_does_not_fit_is_named(config, tmp_path, change, says):
  config.update(change)
  with pytest.raises(InputError, match=says):
    sample.run(config, tmp_path)
