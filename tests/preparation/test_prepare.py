"""A folder to shards: the same bytes however it is done, nothing done twice, nothing lost in silence."""
import csv
import dataclasses
import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import grain
import numpy as np
import pytest
import soundfile
import soxr

from telugu_s2s.audio import decoding, files, parts
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import prepare as job
from telugu_s2s.preparation import hashes, inputs, shards
from telugu_s2s.preparation.prepare import Data, SAMPLE, prepare
from telugu_s2s.preparation.read import Segments

NAMES = ['q001-mezzo', 'a001-buzz', 'a001-tenor', 'a002-bright', 'a002-deep', 'a003-bright']


@pytest.fixture(scope='module')
def voices():
  """Spoken sentences, f32 at 16 kHz."""
  return [files.read(SAMPLE / 'audio' / f'{name}.opus')[0] for name in NAMES]


@pytest.fixture
def folder(tmp_path):
  """Six spoken sentences without a manifest."""
  root = tmp_path / 'corpus'
  root.mkdir()
  for name in NAMES:
    shutil.copy(SAMPLE / 'audio' / f'{name}.opus', root)
  return root


@pytest.fixture
def small_shards(monkeypatch):
  monkeypatch.setattr(job, 'SHARD_FILES', 2)


def here(folder, **fields):
  return Data(audio=str(folder), workers=0, **fields)


def report(out):
  with open(out / 'report.tsv', encoding='utf-8', newline='') as file:
    return [row for row in csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE)]


def snapshot(out):
  return {name: (out / name).read_bytes() for name in sorted(os.listdir(out)) if name != 'inputs.sqlite'}


def test_every_file_becomes_a_segment_with_its_audio_and_quality(folder, tmp_path, voices):
  manifest = prepare(here(folder), tmp_path / 'out')
  source = Segments(tmp_path / 'out')
  assert manifest['records'] == len(source) == 6 and [one.path for one in source] == sorted(f'{name}.opus' for name in NAMES)
  assert manifest['seconds'] == pytest.approx(sum(one.seconds for one in source), abs=0.01)
  for segment in source:
    voice = voices[NAMES.index(segment.path.removesuffix('.opus'))]
    start = round(segment.start_s * 16000)
    np.testing.assert_allclose(segment.audio, voice[start:start + len(segment.audio)], atol=1 / 32768)
    assert (segment.source, segment.licence, segment.licence_class, segment.split) == ('corpus', 'LicenseRef-own', 'A', 'train')
    assert segment.revision.startswith('sha256:') and segment.quality['native_rate'] == 16000
    assert segment.quality['bandwidth_hz'] > 5000 and -50 < segment.quality['rms_dbfs'] < -5
  assert grain.MapDataset.source(source)[4].id == source[4].id
  with pytest.raises(IndexError):
    source[6]


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes(folder, tmp_path, small_shards):
  prepare(here(folder), tmp_path / 'zero')
  for workers in (1, 2):
    prepare(here(folder), tmp_path / str(workers), workers=workers)
    assert snapshot(tmp_path / str(workers)) == snapshot(tmp_path / 'zero')


def test_a_rerun_makes_nothing_and_says_so(folder, tmp_path, small_shards, monkeypatch, capsys):
  first = prepare(here(folder), tmp_path / 'out')
  before = snapshot(tmp_path / 'out')
  monkeypatch.setattr(job, 'make_shard', lambda task: pytest.fail('made again'))
  capsys.readouterr()
  assert prepare(here(folder), tmp_path / 'out') == first
  assert '3 of 3 shards are there already' in capsys.readouterr().out
  assert snapshot(tmp_path / 'out') == before


def test_only_what_changed_is_made_again(folder, tmp_path, small_shards, voices, monkeypatch):
  prepare(here(folder), tmp_path / 'out')
  made, make = [], job.make_shard
  monkeypatch.setattr(job, 'make_shard', lambda task, done: made.append(task.name) or make(task, done))
  soundfile.write(folder / 'a001-buzz.opus', voices[0], 16000, format='OGG', subtype='OPUS')
  prepare(here(folder), tmp_path / 'out')
  assert len(made) == 1
  prepare(here(folder, longest_s=15), tmp_path / 'out')
  assert len(made) == 4
  shutil.copytree(folder, tmp_path / 'elsewhere' / 'corpus')       # the place of the folder does not matter
  prepare(here(tmp_path / 'elsewhere' / 'corpus', longest_s=15), tmp_path / 'out')
  assert len(made) == 4


def test_a_recording_more_or_less_moves_the_shards_near_it_alone(tmp_path, monkeypatch):
  monkeypatch.setattr(job, 'SHARD_FILES', 20)
  monkeypatch.setattr(job, 'BEGINNINGS', 20)
  every = [inputs.Input('/in', corpus.Recording(f'{number:04}.wav', 1000, licence='CC0-1.0', source='s'), f'{number:064}') for number in range(1000)]
  names = lambda some: {task.name for task in job.plan(here(tmp_path), tmp_path, some)}
  whole = names(every)
  assert max(len(task.recordings) for task in job.plan(here(tmp_path), tmp_path, every)) <= 20
  for some in (every[1:], every[:500] + every[501:], every[:-1]):
    assert len(whole - names(some)) <= 0.2 * len(whole)
  turns = [dataclasses.replace(every[0], recording=dataclasses.replace(every[0].recording, start_s=float(turn), end_s=turn + 1.0)) for turn in range(20)]
  monkeypatch.setattr(job, 'BEGINNINGS', 1)
  assert len(job.plan(here(tmp_path), tmp_path, turns)) == 1                 # the turns of one file stay together


def test_a_truncated_shard_is_made_again(folder, tmp_path, small_shards):
  manifest = prepare(here(folder), tmp_path / 'out')
  before = snapshot(tmp_path / 'out')
  path = tmp_path / 'out' / manifest['shards'][1]['file']
  path.write_bytes(path.read_bytes()[:1000])
  with pytest.raises(InputError, match=f'{path.name}: truncated'):
    Segments(tmp_path / 'out')
  prepare(here(folder), tmp_path / 'out')
  assert snapshot(tmp_path / 'out') == before


def untidy(root, voices):
  """A folder of everything that users bring: {path: reason it is left out, or None}."""
  long = np.concatenate([np.concatenate([voice, np.zeros(24000, np.float32)]) for voice in voices * 2])
  soundfile.write(root / 'long.flac', long, 16000)
  soundfile.write(root / 'stereo.wav', np.stack([voices[0], 0 * voices[0]], 1), 16000)
  soundfile.write(root / 'telephone.wav', soxr.resample(0.5 * voices[1], 16000, 8000), 8000)
  soundfile.write(root / 'clipped.wav', np.clip(30 * voices[0], -1, 1), 16000)
  soundfile.write(root / 'silent.wav', np.zeros(48000), 16000)
  soundfile.write(root / 'zero.wav', np.zeros(0), 16000)
  soundfile.write(root / 'short.wav', voices[0][8000:16000], 16000)
  soundfile.write(root / 'good.flac', voices[2], 16000)
  (root / 'torn.flac').write_bytes((root / 'good.flac').read_bytes()[:20_000])
  (root / 'letter.mp3').write_text('Dear reader, ' * 99)
  (root / 'nothing.ogg').write_bytes(b'')
  (root / 'notes.txt').write_text('words')
  return {'long.flac': None, 'stereo.wav': None, 'telephone.wav': None, 'good.flac': None, 'clipped.wav': 'clipped',
          'silent.wav': 'silent', 'zero.wav': 'zero-second', 'short.wav': 'too short', 'torn.flac': 'corrupt',
          'letter.mp3': 'non-audio', 'nothing.ogg': 'zero-second', 'notes.txt': 'non-audio'}


def test_bad_files_are_reported_and_good_ones_prepared(tmp_path, voices):
  root = tmp_path / 'corpus'
  root.mkdir()
  expected = untidy(root, voices)
  manifest = prepare(here(root), tmp_path / 'out')
  assert {row['path']: row['reason'] for row in report(tmp_path / 'out')} == {k: v for k, v in expected.items() if v}
  assert manifest['skipped'] == {'clipped': 1, 'corrupt': 1, 'non-audio': 2, 'silent': 1, 'too short': 1, 'zero-second': 2}
  segments = list(Segments(tmp_path / 'out'))
  assert {one.path for one in segments} == {path for path, reason in expected.items() if not reason}
  by_path = {one.path: one for one in segments}
  assert by_path['telephone.wav'].quality['native_rate'] == 8000 and by_path['telephone.wav'].quality['bandwidth_hz'] < 4100
  assert np.abs(by_path['stereo.wav'].audio).max() == pytest.approx(np.abs(voices[0]).max() / 2, abs=1e-3)
  parts = [one for one in segments if one.path == 'long.flac']
  assert len(parts) == 12 and len({one.id for one in segments}) == len(segments)
  prepare(here(root), tmp_path / 'out')             # the report of a rerun is as full as that of the first run
  assert {row['path'] for row in report(tmp_path / 'out')} == {k for k, v in expected.items() if v}


def test_what_a_missing_decoder_left_out_comes_in_once_it_is_installed(folder, tmp_path, monkeypatch):
  (folder / 'phone.m4a').write_bytes(b'\0\0\0\x1cftypM4A ' + bytes(100))
  find = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *more: None if name == 'av' else find(name, *more))
  manifest = prepare(here(folder), tmp_path / 'out')
  assert manifest['records'] == 6 and manifest['skipped'] == {'no decoder': 1}
  assert 'pip install' in report(tmp_path / 'out')[0]['detail']
  monkeypatch.undo()
  pytest.importorskip('av')
  assert prepare(here(folder), tmp_path / 'out')['skipped'] == {'corrupt': 1}       # now it was looked into


def test_so_does_what_was_found_out_only_when_it_was_read(folder, tmp_path, voices, monkeypatch):
  pytest.importorskip('av')
  soundfile.write(folder / 'joined.ogg', voices[0], 16_000, format='OGG', subtype='VORBIS')
  (folder / 'joined.ogg').write_bytes(2 * (folder / 'joined.ogg').read_bytes())
  find = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *more: None if name == 'av' else find(name, *more))
  assert prepare(here(folder), tmp_path / 'out')['skipped'] == {'no decoder': 1}
  monkeypatch.undo()
  manifest = prepare(here(folder), tmp_path / 'out')
  assert manifest['skipped'] == {} and manifest['records'] == 7


def test_what_a_disk_did_not_give_is_tried_again(folder, tmp_path, monkeypatch, capsys):
  whole = prepare(here(folder), tmp_path / 'whole')
  opened = decoding.container

  def failing(path):
    if 'a001-tenor' in str(path):
      raise OSError(errno.ESTALE, 'Stale file handle')
    return opened(path)
  monkeypatch.setattr(decoding, 'container', failing)
  manifest = prepare(here(folder), tmp_path / 'out')
  assert manifest['skipped'] == {'unreadable': 1} and 'the same command tries them again' in capsys.readouterr().out
  monkeypatch.undo()
  again = prepare(here(folder), tmp_path / 'out')
  assert again['skipped'] == {} and again['content'] == whole['content']


@pytest.mark.parametrize('fault, reason, said', [(errno.ESTALE, 'unreadable', True), (errno.ENOENT, 'missing', False)])
def test_what_could_not_be_hashed_is_missing_only_where_it_is_not_there(folder, tmp_path, monkeypatch, capsys, fault, reason, said):
  real = hashes._file
  monkeypatch.setattr(hashes, '_file', lambda path, known: [None, None, None, os.strerror(fault)] if b'a001-tenor' in path else real(path, known))
  assert prepare(here(folder), tmp_path / 'out')['skipped'] == {reason: 1}
  assert ('the same command tries them again' in capsys.readouterr().out) == said
  monkeypatch.undo()
  assert prepare(here(folder), tmp_path / 'out')['skipped'] == {}


def test_two_folders_of_one_name_whose_recordings_have_one_name_are_refused(tmp_path, voices):
  for number in range(2):
    (tmp_path / f'{number}' / 'wavs').mkdir(parents=True)
    files.write_wav(tmp_path / f'{number}' / 'wavs' / '0001.wav', voices[number])
  with pytest.raises(InputError, match='0001.wav of source .wavs.*rename one of the folders'):
    prepare(Data(audio=tuple(str(tmp_path / f'{number}' / 'wavs') for number in range(2)), workers=0), tmp_path / 'out')


def test_a_folder_with_nothing_usable_stops_and_says_why(tmp_path):
  root = tmp_path / 'corpus'
  root.mkdir()
  soundfile.write(root / 'silent.wav', np.zeros(48000), 16000)
  (root / 'letter.mp3').write_text('Dear reader, ' * 99)
  with pytest.raises(InputError) as caught:
    prepare(here(root), tmp_path / 'out')
  for part in (str(root), '1 silent', '1 non-audio', 'report.tsv'):
    assert part in str(caught.value)
  assert '\n' not in str(caught.value)
  assert len(report(tmp_path / 'out')) == 2 and not (tmp_path / 'out' / 'manifest.json').exists()


LABELS = '\n'.join(['path\tsplit\tspeaker\ttext\tlicence\tsource\tattribution\tmood',
                    'q001-mezzo.opus\ttrain\tm\tఔను\tCC-BY-4.0\tradio; file 7\tRadio Godavari\tcalm',
                    'a001-buzz.opus\ttrain\tb\tకాదు\tCC-BY-4.0\tradio; file 8\tRadio Godavari\t',
                    'a001-tenor.opus\ttrain\tt\t\tCC-BY-NC-4.0\tradio\t\t',
                    'a002-bright.opus\teval\tt\t\tCC0-1.0\tmine\t\t',
                    'a002-deep.opus\ttrain\tt\t\t\tmine\t\t', 'a003-bright.opus\ttrain\t\t\tCC0-1.0\tmine\t\t'])


def test_labels_go_along_and_licences_decide(folder, tmp_path):
  (folder / 'MANIFEST.tsv').write_text(LABELS, encoding='utf-8')
  manifest = prepare(here(folder, exclude='a003*'), tmp_path / 'out')
  segments = list(Segments(tmp_path / 'out'))
  assert [(one.path, one.speaker, one.text, one.text_provenance) for one in segments] == [
      ('a001-buzz.opus', 'b', 'కాదు', 'human'), ('q001-mezzo.opus', 'm', 'ఔను', 'human')]
  assert segments[1].custom == {'attribution': 'Radio Godavari', 'mood': 'calm'} and segments[1].licence_class == 'B'
  assert manifest['left_out'] == {'split': 1, 'exclude': 1}
  assert {row['path'] for row in report(tmp_path / 'out')} == {'a001-tenor.opus', 'a002-deep.opus'}
  notice = (tmp_path / 'out' / 'DATA_NOTICE.md').read_text(encoding='utf-8')
  assert '| radio | CC-BY-4.0 | B | 0.00 | 2 |' in notice and 'Radio Godavari' in notice and 'mine' not in notice


@pytest.mark.parametrize('profile, classes', [('no_attribution', 'A'), ('commercial_attribution', 'AB'), ('research', 'ABD')])
def test_no_profile_lets_in_a_licence_class_that_is_not_its_own(folder, tmp_path, profile, classes):
  (folder / 'MANIFEST.tsv').write_text(LABELS, encoding='utf-8')
  prepare(here(folder, split='', profile=profile), tmp_path / 'out')
  assert {one.licence_class for one in Segments(tmp_path / 'out')} == set(classes)


def test_a_split_that_is_not_there_is_named_with_those_that_are(folder, tmp_path):
  (folder / 'MANIFEST.tsv').write_text(LABELS, encoding='utf-8')
  with pytest.raises(InputError, match="'trian'.*eval, train"):
    prepare(here(folder, split='trian'), tmp_path / 'out')
  (folder / 'MANIFEST.tsv').unlink(missing_ok=True)
  with pytest.raises(InputError, match='eval_share of configs/prepare.py'):
    prepare(here(folder, split='eval'), tmp_path / 'out')


def test_the_text_of_a_recording_that_is_cut_goes_to_no_part(tmp_path, voices):
  root = tmp_path / 'corpus'
  root.mkdir()
  long = np.concatenate([np.concatenate([voice, np.zeros(24000, np.float32)]) for voice in voices * 2])
  soundfile.write(root / 'long.wav', long, 16000)
  (root / 'MANIFEST.csv').write_text('path,text,speaker\nlong.wav,all of it,rani\n')
  prepare(here(root), tmp_path / 'out')
  segments = list(Segments(tmp_path / 'out'))
  assert len(segments) == 12 and {(one.text, one.text_provenance, one.speaker) for one in segments} == {('', 'none', 'rani')}


@pytest.mark.parametrize('fields', [dict(profile='free'), dict(shortest_s=0), dict(shortest_s=5, longest_s=4),
                                    dict(longest_s=1.5), dict(longest_s=float('inf')), dict(filters={'snr_db': (15, float('inf'))}), dict(clipped=-0.1), dict(workers=-2), dict(shard_mb=0)])
def test_a_setting_out_of_range_is_named(fields):
  with pytest.raises(InputError, match='data.' + next(iter(fields))):
    Data(**fields)


def test_settings_are_those_of_the_config():
  import runpy
  config = runpy.run_path(str(job.SAMPLE.parents[2] / 'configs' / 'prepare.py'))['get_config']()
  assert set(config.data) == {field.name for field in dataclasses.fields(Data)}
  # The job makes what is to be kept, and looks closer than a stage that makes its segments on the way.
  closer = {'filters', 'near_duplicates', 'report'}
  assert {name: value for name, value in vars(Data(**config.data)).items() if name not in closer} == {
      name: value for name, value in vars(Data()).items() if name not in closer}


def test_workers_do_not_load_the_machine_learning_stack():
  code = 'import sys, telugu_s2s.preparation.prepare; print({"jax", "grain", "matplotlib", "scipy"} & set(sys.modules))'
  assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip() == 'set()'


@pytest.mark.slow
def test_a_run_killed_at_any_moment_loses_and_changes_nothing(folder, tmp_path, small_shards, voices):
  for copy in range(30):
    soundfile.write(folder / f'copy{copy:02d}.flac', np.tile(np.roll(voices[copy % 6], copy), 4), 16000)
  prepare(here(folder), tmp_path / 'whole')
  script = tmp_path / 'run.py'
  script.write_text(f'''
if __name__ == '__main__':
  from telugu_s2s.preparation import prepare as job
  job.SHARD_FILES = 2
  job.prepare(job.Data(audio={str(folder)!r}), {str(tmp_path / 'out')!r}, workers=2)
''')
  out = tmp_path / 'out'
  process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL, start_new_session=True,
                             env={**os.environ, 'PYTHONPATH': str(SAMPLE.parents[2])})
  while process.poll() is None and len(list(out.glob('*.array_record'))) < 4:
    time.sleep(0.01)
  process.kill()
  process.wait()
  assert not (out / 'manifest.json').exists(), 'it finished before it was killed: make the corpus longer'
  kept = {path: path.stat().st_mtime_ns for path in out.glob('*.array_record') if shards.finished(out, path.stem)}
  assert kept
  deadline = time.monotonic() + 30                  # workers follow their parent
  while time.monotonic() < deadline and _group(process.pid):
    time.sleep(0.05)
  assert not _group(process.pid)
  prepare(here(folder), out)
  assert snapshot(out) == snapshot(tmp_path / 'whole')
  assert {path: path.stat().st_mtime_ns for path in kept} == kept


def _group(leader):
  """Whether a process of the group lives; one that is dead and waits to be asked does not."""
  for stat in Path('/proc').glob('[0-9]*/stat'):
    try:
      state, _, group = stat.read_text().rpartition(')')[2].split()[:3]
    except OSError:
      continue
    if int(group) == leader and state != 'Z':
      return True
  return False


@pytest.mark.parametrize('reason', ['corrupt', 'missing'])
def test_what_a_disk_did_not_give_once_is_tried_again_the_next_time(folder, tmp_path, monkeypatch, reason):
  (folder / 'broken.wav').write_bytes(b'RIFF' + bytes(100))
  real, failed = parts.blocks, []

  def once(path, *rest):
    if Path(path).name == 'a001-buzz.opus' and not failed:
      failed.append(path)
      raise files.Unreadable(path, reason, 'System error')
    return real(path, *rest)
  monkeypatch.setattr(parts, 'blocks', once)
  first = prepare(here(folder), tmp_path / 'out')
  assert failed and first['skipped'] == {'non-audio': 1, 'unreadable': 1}
  again = prepare(here(folder), tmp_path / 'out')
  assert again['skipped'] == {'non-audio': 1} and again['records'] == first['records'] + 1


@pytest.mark.slow
def test_a_file_that_kills_whoever_reads_it_is_set_aside_and_named(folder, tmp_path, monkeypatch, small_shards):
  (folder / 'killer.opus').write_bytes((folder / 'a001-buzz.opus').read_bytes() + b'x')
  (tmp_path / 'sitecustomize.py').write_text('''
import builtins, os
real = builtins.open
def watched(path, *rest, **more):
  if str(path).endswith('killer.opus'):
    os.kill(os.getpid(), 11)
  return real(path, *rest, **more)
builtins.open = watched
''')
  monkeypatch.setenv('PYTHONPATH', f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
  manifest = prepare(Data(audio=str(folder), workers=2), tmp_path / 'out')
  assert manifest['records'] == len(NAMES) and manifest['skipped'] == {'kills its decoder': 1}
  assert [row['path'] for row in report(tmp_path / 'out')] == ['killer.opus']
