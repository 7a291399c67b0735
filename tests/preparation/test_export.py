"""Manifests for other toolkits: every label and sample comes back, equal runs give equal bytes, nothing is done twice."""
import dataclasses
import gzip
import json
import shutil

from hypothesis import given, strategies as st
import numpy as np
import pytest
import soundfile

from telugu_s2s import main
from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import export, segment, shards
from telugu_s2s.preparation.prepare import SAMPLE
from telugu_s2s.preparation.read import Segments

ROWS = [dict(path='తెలుగు/q001-mezzo.opus', speaker='ఒక', text='"ఔను",\tఅంది', language='te', gender='f', dialogue='d1', turn='1',
             channel='0', emotion='joy', style='x', licence='CC-BY-4.0', source='tales', revision='r1', rate='slow', attribution='A: B'),
        dict(path='x/q:1?/a001-buzz.opus'),
        dict(path='x/q%3A1?/a001-tenor.opus', text='రెండు', turn='2')]


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """A folder of prepared segments with all kinds of labels, made through the command line's own config."""
  root = tmp_path_factory.mktemp('manifests')
  for row in ROWS:
    path = root / 'corpus' / row['path']
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(SAMPLE / 'audio' / path.name, path)
  (root / 'corpus' / 'MANIFEST.jsonl').write_text('\n'.join(map(json.dumps, ROWS)), encoding='utf-8')
  config = main.load('configs/manifests.py', [])
  config.data.audio, config.data.workers = str(root / 'corpus'), 0
  assert export.run(config, root / 'work')['segments'] == 3
  return root / 'work' / 'segments'


def rows(path):
  with (gzip.open if path.suffix == '.gz' else open)(path, 'rt', encoding='utf-8') as file:
    return [json.loads(line) for line in file]


def snapshot(out):
  return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob('*')) if path.is_file()}


def same(labels, audio_path, one):
  audio, rate = soundfile.read(audio_path, dtype='float32')
  back = segment.Segment(audio=audio, **labels)
  np.testing.assert_array_equal(back.audio, one.audio)
  assert rate == 16000 and dataclasses.replace(back, audio=None) == dataclasses.replace(one, audio=None)


def test_nemo_rows_map_back_to_their_segments(prepared, tmp_path):
  total = export.write(prepared, tmp_path)
  source = Segments(prepared)
  assert total['segments'] == total['written'] == len(source) == 3
  assert total['seconds'] == pytest.approx(sum(one.seconds for one in source))
  for row, one in zip(rows(tmp_path / 'manifest.jsonl'), source, strict=True):
    assert row.pop('duration') == one.seconds
    path = row.pop('audio_filepath')
    assert path.startswith('audio/') and path.endswith('.flac')
    row['language'] = row.pop('lang')
    same(row, tmp_path / path, one)


def test_lhotse_rows_map_back_to_their_segments(prepared, tmp_path):
  export.write(prepared, tmp_path)
  recordings, supervisions = rows(tmp_path / 'recordings.jsonl.gz'), rows(tmp_path / 'supervisions.jsonl.gz')
  for recording, supervision, one in zip(recordings, supervisions, Segments(prepared), strict=True):
    assert recording['id'] == supervision['recording_id'] == supervision['id'] == one.id
    assert (recording['num_samples'], recording['sampling_rate'], recording['channel_ids']) == (len(one.audio), 16000, [0])
    assert recording['duration'] == supervision['duration'] == one.seconds
    assert (supervision['start'], supervision['channel']) == (0.0, 0)
    labels = {name: supervision[name] for name in ('id', 'text', 'language', 'speaker', 'gender')}
    [place] = recording['sources']
    assert (place['type'], place['channels']) == ('file', [0])
    same({**labels, **supervision['custom']}, tmp_path / place['source'], one)


def test_the_audio_is_the_flac_of_the_record_as_it_is(prepared, tmp_path):
  export.write(prepared, tmp_path)
  [shard] = shards.files(prepared, shards.read_manifest(prepared, segment.KIND))
  found = set(path.read_bytes() for path in tmp_path.rglob('*.flac'))
  assert found == {shards.unpack(record, segment.KIND)[2] for record in shards.Records(shard)}


def test_licences_go_along(prepared, tmp_path):
  export.write(prepared, tmp_path)
  assert (tmp_path / 'DATA_NOTICE.md').read_bytes() == (prepared / 'DATA_NOTICE.md').read_bytes()


def test_two_runs_write_the_same_bytes_and_the_second_keeps_every_whole_file(prepared, tmp_path):
  export.write(prepared, tmp_path / 'one')
  export.write(prepared, tmp_path / 'two')
  before = snapshot(tmp_path / 'one')
  assert before == snapshot(tmp_path / 'two') and len(before) == 7
  flacs = sorted((tmp_path / 'one').rglob('*.flac'))
  times = [path.stat().st_mtime_ns for path in flacs]
  assert export.write(prepared, tmp_path / 'one')['written'] == 0
  assert [path.stat().st_mtime_ns for path in flacs] == times
  flacs[0].write_bytes(flacs[0].read_bytes()[:100])                               # cut short
  flacs[1].write_bytes(bytes(len(flacs[1].read_bytes())))                         # of the right size, and wrong
  flacs[2].unlink()
  assert export.write(prepared, tmp_path / 'one')['written'] == 3
  assert snapshot(tmp_path / 'one') == before


def test_audio_that_the_manifest_no_longer_names_goes_and_what_it_never_named_stays(prepared, tmp_path):
  export.write(prepared, tmp_path)
  others = [tmp_path / 'audio' / name for name in ('earlier.flac', 'mine.flac')]
  for path in others:
    path.write_bytes(b'of a licence that no notice names')
  with open(tmp_path / 'manifest.jsonl', 'a') as file:
    file.write('{"audio_filepath": "audio/earlier.flac", "text_provenance": "", "licence": "", "revision": ""}\n')
  assert export.write(prepared, tmp_path)['removed'] == 1
  assert [path.exists() for path in others] == [False, True]


@pytest.mark.parametrize('name', ['audio/one.flac', '{}/mine/one.wav', '../mine/one.wav'])
def test_recordings_of_somebody_s_own_manifest_are_not_touched(prepared, tmp_path, name):
  mine = tmp_path / 'out' / name.format(tmp_path)
  mine.parent.mkdir(parents=True)
  mine.write_bytes(b'my recording')
  manifest = tmp_path / 'out' / 'manifest.jsonl'
  manifest.parent.mkdir(exist_ok=True)
  manifest.write_text(json.dumps({'audio_filepath': name.format(tmp_path), 'duration': 1.0}) + '\n')
  with pytest.raises(InputError, match='config.out'):
    export.write(prepared, tmp_path / 'out')
  assert mine.exists() and len(manifest.read_text().splitlines()) == 1


def test_a_run_that_fails_leaves_no_manifest_and_no_unfinished_file(prepared, tmp_path, monkeypatch):
  put = files.write

  def full(path, data):
    if 'tenor' in str(path):
      raise OSError(28, 'No space left on device')
    put(path, data)
  monkeypatch.setattr(export.files, 'write', full)
  with pytest.raises(OSError, match='No space'):
    export.write(prepared, tmp_path)
  there = [path.suffix for path in tmp_path.rglob('*') if path.is_file()]
  assert set(there) <= {'.flac', '.begun'} and there.count('.flac') < 3      # what had not begun when it failed is not begun
  monkeypatch.undo()
  assert export.write(prepared, tmp_path)['written'] == 3 - there.count('.flac')


def test_what_a_run_wrote_that_was_killed_goes_where_the_next_one_does_not_name_it(prepared, tmp_path, monkeypatch):
  monkeypatch.setattr(export, 'audio_name', lambda name: f'other/{name}.flac')
  monkeypatch.setattr(export, 'nemo_row', None)          # killed with audio and without manifests
  with pytest.raises(TypeError):
    export.write(prepared, tmp_path)
  assert len(list(tmp_path.rglob('*.flac'))) == 3
  monkeypatch.undo()
  assert export.write(prepared, tmp_path)['removed'] == 3 and len(list(tmp_path.rglob('*.flac'))) == 3
  assert not (tmp_path / export.BEGUN).exists()


def test_a_text_may_hold_what_other_programs_take_for_the_end_of_a_line(tmp_path):
  rows = [{'path': f'audio/{number}.flac', 'text': 'a\u2028b\u0085c', 'text_provenance': '', 'licence': '', 'revision': ''} for number in range(2)]
  (tmp_path / 'm.jsonl').write_text(''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows))
  assert export.listed(tmp_path / 'm.jsonl', 'path', r'audio/.+') == {'audio/0.flac', 'audio/1.flac'}


def test_a_folder_without_segments_and_a_damaged_record_are_named(prepared, tmp_path):
  with pytest.raises(InputError, match='manifest.json: missing'):
    export.write(tmp_path / 'none', tmp_path / 'out')
  broken = shutil.copytree(prepared, tmp_path / 'broken')
  [shard] = shards.files(broken, shards.read_manifest(broken, segment.KIND))
  data = bytearray(open(shard, 'rb').read())
  place = data.find(b'fLaC')
  data[place + 5000] ^= 1
  open(shard, 'wb').write(data)
  with pytest.raises(InputError, match='damaged'):
    export.write(broken, tmp_path / 'out')


NAME = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\0'), min_size=1, max_size=300)


@given(NAME, NAME)
def test_other_ids_give_other_paths_that_stay_below_the_folder(one, other):
  first, second = export.audio_name(one), export.audio_name(other)
  assert (first == second) == (one == other)
  for part in first.split('/'):
    assert part.strip('.') and len(part.encode()) <= 125 and not set(part) & set(':\\*?"<>|\0\n')
  assert first.endswith('.flac')


@pytest.mark.parametrize('name, path', [('a/b.wav#0', 'a/b.wav#0.flac'), ('a:1#5', 'a%3A1#5.flac'), ('../x', '%%2E%2E/x.flac'),
                                        ('/x', '%/x.flac'), ('తెలుగు', 'తెలుగు.flac')])
def test_a_plain_id_keeps_its_name(name, path):
  assert export.audio_name(name) == path
