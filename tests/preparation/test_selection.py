"""Selection: what stays follows from the segments themselves, and every reader sees the same ones."""
import io
import json
import os
import shutil
from pathlib import Path

from hypothesis import given, strategies as st
import pytest
import soundfile

from telugu_s2s.audio import decoding, files, opus
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import duplicates, export, fingerprints, prepare, read, selection, shards, table, units
from telugu_s2s.preparation.prepare import Data, SAMPLE

NAMES = ['q001-mezzo', 'a001-buzz', 'a001-tenor', 'a002-bright', 'a002-deep', 'a003-bright']


@pytest.fixture
def folder(tmp_path):
  """Six sentences with a manifest; two speakers say the same one."""
  root = tmp_path / 'corpus'
  root.mkdir()
  rows = []
  for name in NAMES:
    shutil.copy(SAMPLE / 'audio' / f'{name}.opus', root)
    rows.append({'path': f'{name}.opus', 'text': name.split('-')[0], 'speaker': name.split('-')[1]})
  write_manifest(root, rows)
  return root


def write_manifest(root, rows):
  (root / 'MANIFEST.jsonl').write_text('\n'.join(map(json.dumps, rows)))


def made(folder, out, **fields):
  audio = tuple(map(str, folder)) if isinstance(folder, list) else str(folder)
  return prepare.prepare(Data(audio=audio, workers=0, **fields), out)


def stems(out):
  return sorted(one.path.rpartition('.')[0] for one in read.Segments(out))


@given(st.sets(st.integers(0, 300)))
def test_ranges_are_the_numbers_they_name(numbers):
  assert shards.indices(shards.ranges(sorted(numbers))) == sorted(numbers)


@given(st.lists(st.tuples(st.integers(0, 9), st.sets(st.integers(0, 8))), max_size=5))
def test_places_are_those_of_kept_records_among_all(shapes):
  rows = [{'records': count, 'dropped': {'text cap': shards.ranges(sorted(gone))} if gone else {}} for count, gone in shapes]
  flags = [index not in gone for count, gone in shapes for index in range(count)]
  assert list(shards.places({'shards': rows})) == [place for place, stays in enumerate(flags) if stays]


def test_the_table_says_what_the_segments_say(folder, tmp_path):
  manifest = made(folder, tmp_path / 'out')
  rows = list(table.rows(tmp_path / 'out', manifest))
  for row, one in zip(rows, read.Segments(tmp_path / 'out'), strict=True):
    assert {name: row[name] for name in ('id', 'text', 'speaker', 'quality', 'sha256')} == {
        name: getattr(one, name) for name in ('id', 'text', 'speaker', 'quality', 'sha256')}
    assert row['seconds'] == pytest.approx(one.seconds, abs=1e-3) and row['dropped'] == ''


def test_labels_and_lengths_of_what_stays_are_known_without_any_record(folder, tmp_path, monkeypatch):
  made(folder, tmp_path / 'out', text_cap=1)
  source = read.Segments(tmp_path / 'out')
  every = list(source)
  monkeypatch.setattr(source, '_records', None)
  for one, (row, samples) in zip(every, read.Kept(source).outlines(), strict=True):
    known = {name: value for name, value in vars(one).items() if name != 'audio'}
    assert samples == len(one.audio) and {name: row[name] for name in known} == known
  with pytest.raises(IndexError):
    source[len(source)]


def test_a_filter_leaves_out_what_lies_beyond_it_without_decoding_again(folder, tmp_path, monkeypatch):
  out = tmp_path / 'out'
  manifest = made(folder, out)
  rows = list(table.rows(out, manifest))
  middle = sorted(row['quality']['bandwidth_hz'] for row in rows)[3]
  monkeypatch.setattr(prepare, 'make_shard', None)
  chosen = made(folder, out, filters={'bandwidth_hz': (middle, 1e9)})
  stay = [row for row in rows if row['quality']['bandwidth_hz'] >= middle]
  assert 0 < len(stay) < 6 and chosen['records'] == len(read.Segments(out)) == len(stay)
  assert chosen['dropped'] == {'filter bandwidth_hz': 6 - len(stay)}
  assert chosen['seconds'] == pytest.approx(sum(row['seconds'] for row in stay), abs=1e-3)
  assert chosen['seconds'] == pytest.approx(sum(one['seconds'] for one in chosen['sources']), abs=1e-2)
  assert chosen['content'] != manifest['content']
  assert made(folder, out)['content'] == manifest['content']


def test_a_filter_of_an_unknown_measure_and_an_empty_one_are_named(folder, tmp_path):
  with pytest.raises(InputError, match='data.filters.beauty: .*bandwidth_hz.*seconds'):
    Data(filters={'beauty': (0, 1)})
  with pytest.raises(InputError, match='data.filters.breaths: .*data.measures'):
    Data(filters={'breaths': (0, 1)})
  assert Data(filters={'breaths': (0, 1), 'mos': ()}, measures='full')
  with pytest.raises(InputError, match=r'data.filters.snr_db: \(2, 1\)'):
    Data(filters={'snr_db': (2, 1)})
  with pytest.raises(InputError, match='6 filter seconds'):
    made(folder, tmp_path / 'out', filters={'seconds': (1000, 2000)})


def test_the_same_samples_stay_once_and_the_same_file_goes_in_once(folder, tmp_path):
  other = tmp_path / 'other'
  other.mkdir()
  shutil.copy(folder / 'a001-buzz.opus', other / 'again.opus')
  audio, _ = files.read(folder / 'a003-bright.opus')
  (other / 'decoded.wav').write_bytes(files.encoded(audio))
  manifest = made([folder, other], tmp_path / 'out')
  assert manifest['skipped'] == {'duplicate': 1} and manifest['dropped'] == {'duplicate': 1}
  assert 'other/again.opus\t\t\tduplicate\tthe same file as corpus/a001-buzz.opus' in (tmp_path / 'out' / 'report.tsv').read_text()
  assert stems(tmp_path / 'out') == sorted(NAMES)
  assert len({one.id for one in read.Segments(tmp_path / 'out')}) == 6


@pytest.mark.parametrize('near', [False, True])
def test_one_recording_may_be_the_answer_in_several_dialogues(folder, tmp_path, near):
  shutil.copy(folder / 'a001-buzz.opus', folder / 'again.opus')
  audio, _ = files.read(folder / 'a001-buzz.opus')
  (folder / 'decoded.wav').write_bytes(files.encoded(audio))
  turns = [('q001-mezzo.opus', 'one', 0), ('a001-buzz.opus', 'one', 1), ('a001-buzz.opus', 'one', 1), ('a003-bright.opus', 'two', 0),
           ('again.opus', 'two', 1), ('a002-deep.opus', 'three', 0), ('decoded.wav', 'three', 1)]
  write_manifest(folder, [{'path': path, 'dialogue': dialogue, 'turn': turn, 'speaker': path[:4]} for path, dialogue, turn in turns])
  manifest = made(folder, tmp_path / 'out', near_duplicates=near)
  assert manifest['skipped'] == {'duplicate': 1} and not manifest['dropped'] and manifest['records'] == 6
  assert len({one.id for one in read.Segments(tmp_path / 'out')}) == 6


class Counted(list):
  """A list that counts how often one of it is looked at."""
  looked = 0

  def __getitem__(self, place):
    self.looked += 1
    return super().__getitem__(place)


def test_of_one_answer_in_many_dialogues_the_best_of_each_stays_and_few_are_looked_at(monkeypatch):
  worth = [(number % 3 == 0, 8000) for number in range(2000)] + [(True, 16_000)]
  turns = [f'{number // 2} 1' for number in range(2000)] + ['']          # twice in each, and once alone
  left = Counted(selection.Candidate(0, number, '', 1.0, '', ('', '', ''), '', False, *one) for number, one in enumerate(zip(worth, turns)))
  monkeypatch.setattr(fingerprints, 'Words', lambda *given: None)
  monkeypatch.setattr(duplicates, 'near_duplicates', lambda words: [list(range(len(left)))])
  copied, gone = selection._copies(left, (), ())
  assert left.looked < 10 * len(left)              # each of 1000 looked for among all is a million
  assert not copied and gone == set(range(2001)) - {max(pair, key=worth.__getitem__) for pair in zip(range(0, 2000, 2), range(1, 2000, 2))}


def test_of_copies_that_sound_alike_the_best_stays(folder, tmp_path):
  other = tmp_path / 'other'
  other.mkdir()
  audio, _ = files.read(folder / 'a002-deep.opus')
  copy = soundfile.read(io.BytesIO(opus.encoded(0.5 * audio, 24)), dtype='float32')[0]
  (other / 'copy.wav').write_bytes(files.encoded(copy))
  for order in ([folder, other], [other, folder]):          # the one with a transcript, whichever comes first
    manifest = made(order, tmp_path / f'out{order.index(other)}', near_duplicates=True)
    assert manifest['dropped'] == {'near duplicate': 1} and stems(tmp_path / f'out{order.index(other)}') == sorted(NAMES)


def test_a_sentence_stays_no_more_often_than_the_cap(folder, tmp_path):
  manifest = made(folder, tmp_path / 'out', text_cap=1)
  texts = [one.text for one in read.Segments(tmp_path / 'out')]
  assert sorted(texts) == ['a001', 'a002', 'a003', 'q001'] and manifest['dropped'] == {'text cap': 2}


def test_every_reader_sees_what_stays(folder, tmp_path):
  manifest = made(folder, tmp_path / 'out', text_cap=1)
  ids = [one.id for one in read.Segments(tmp_path / 'out')]
  export.write(tmp_path / 'out', tmp_path / 'lhotse')
  lines = (tmp_path / 'lhotse' / 'manifest.jsonl').read_text().splitlines()
  assert len(lines) == len(ids) == 4
  units.label(units.Teacher('mel', 640, units=8, workers=0), tmp_path / 'out', tmp_path / 'units')
  found = shards.files(tmp_path / 'units', shards.check(tmp_path / 'units', units.KIND))
  assert [shards.unpack(record, units.KIND)[1]['id'] for path in found for record in shards.Records(path)] == ids
  assert manifest['records'] == 4


def test_speakers_and_sentences_are_held_out_and_more_data_moves_nothing(folder, tmp_path):
  fields = dict(eval_share=0.5, seed=3, split='')
  made(folder, tmp_path / 'out', **fields)
  before = {one.path: one.split for one in read.Segments(tmp_path / 'out')}
  rows = [json.loads(line) for line in (folder / 'MANIFEST.jsonl').read_text().splitlines()]
  shutil.copy(SAMPLE / 'audio' / 'a006-alto.opus', folder)
  write_manifest(folder, rows[::-1] + [{'path': 'a006-alto.opus', 'text': 'a006', 'speaker': 'alto'}])
  made(folder, tmp_path / 'more', **fields)
  after = {one.path: one.split for one in read.Segments(tmp_path / 'more')}
  assert len(set(before.values())) > 1 and {path: after[path] for path in before} == before
  train = [one for one in read.Segments(tmp_path / 'more') if one.split == 'train']
  held = [one for one in read.Segments(tmp_path / 'more') if one.split == 'eval']
  assert not {one.speaker for one in train} & {one.speaker for one in held}
  assert not {one.text for one in train} & {one.text for one in held}


def test_a_copy_of_what_another_corpus_holds_out_is_not_trained_on(folder, tmp_path):
  other = tmp_path / 'other'
  other.mkdir()
  shutil.copy(folder / 'a001-buzz.opus', other)
  write_manifest(other, [{'path': 'a001-buzz.opus', 'split': 'eval'}])
  manifest = made([folder, other], tmp_path / 'out')
  assert manifest['skipped'] == {'held out': 1} and 'a001-buzz' not in stems(tmp_path / 'out')


@pytest.mark.parametrize('split', ['train', ''])
def test_what_sounds_like_a_held_out_recording_is_not_trained_on(folder, tmp_path, split):
  other = tmp_path / 'other'
  other.mkdir()
  audio, _ = files.read(folder / 'a002-deep.opus')
  (other / 'copy.wav').write_bytes(files.encoded(soundfile.read(io.BytesIO(opus.encoded(0.5 * audio, 24)), dtype='float32')[0]))
  (other / 'broken.wav').write_bytes(b'no sound')
  write_manifest(other, [{'path': name, 'split': 'test'} for name in ('copy.wav', 'broken.wav')])
  manifest = made([folder, other], tmp_path / 'out', near_duplicates=True, split=split)
  assert manifest['dropped'] == {'held out': 1} and 'a002-deep' not in stems(tmp_path / 'out')
  assert ('copy' in stems(tmp_path / 'out')) == (not split)
  assert manifest == made([folder, other], tmp_path / 'out', near_duplicates=True, split=split)
  # A build of what is held out keeps it.
  made([folder, other], tmp_path / 'held', near_duplicates=True, split='test')
  assert stems(tmp_path / 'held') == ['copy']


def test_a_held_out_recording_that_could_not_be_read_is_compared_once_it_can(folder, tmp_path, monkeypatch, capsys):
  (folder / 'copy.wav').write_bytes(files.encoded(files.read(folder / 'a001-buzz.opus')[0]))
  write_manifest(folder, [{'path': 'a001-buzz.opus', 'split': 'eval'}, {'path': 'copy.wav'}, {'path': 'a002-deep.opus'}])
  opened = decoding.opened

  def failing(path):
    if 'a001' in str(path):
      raise files.Unreadable(path, decoding.PASSING, 'the disk did not answer')
    return opened(path)
  monkeypatch.setattr(decoding, 'opened', failing)
  assert made(folder, tmp_path / 'out', near_duplicates=True)['records'] == 2
  assert '1 recordings that are held out could not be read' in capsys.readouterr().out
  monkeypatch.setattr(decoding, 'opened', opened)
  assert made(folder, tmp_path / 'out', near_duplicates=True)['dropped'] == {'held out': 1}
  assert 'held out could not' not in capsys.readouterr().out


def test_fingerprints_that_are_damaged_are_named_and_made_anew(folder, tmp_path):
  manifest = made(folder, tmp_path / 'out', near_duplicates=True)
  path, = (tmp_path / 'out' / 'prints').glob('prints-*.array_record')
  whole = path.read_bytes()
  for damage in (whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], bytes(len(whole))):
    path.write_bytes(damage)
    with pytest.raises(InputError, match='prints-.*damaged; delete it'):
      made(folder, tmp_path / 'out', near_duplicates=True)
  path.unlink()
  assert made(folder, tmp_path / 'out', near_duplicates=True) == manifest


def test_more_shards_than_files_may_be_open_are_compared(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(prepare, 'SHARD_FILES', 1)
  monkeypatch.setattr(fingerprints, 'OPEN', 2)
  shutil.copy(folder / 'a001-buzz.opus', folder / 'z.opus')
  manifest = made(folder, tmp_path / 'out', near_duplicates=True)
  held = lambda: sum('/prints/' in os.path.realpath(one) for one in Path('/proc/self/fd').iterdir())
  rows = manifest['shards']
  words = fingerprints.Words(fingerprints.of_shards(tmp_path / 'out', rows, 0), [(number, 0) for number in range(len(rows))], len(rows))
  assert len(rows) > 4 and all(len(one) for one in words) and held() <= 2


def test_any_number_of_workers_selects_the_same(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(prepare, 'SHARD_FILES', 2)
  fields = dict(audio=str(folder), near_duplicates=True, text_cap=1)
  one = prepare.prepare(Data(workers=0, **fields), tmp_path / 'one')
  two = prepare.prepare(Data(workers=2, **fields), tmp_path / 'two')
  assert one == two


def test_a_damaged_table_is_named(folder, tmp_path):
  manifest = made(folder, tmp_path / 'out')
  path = (tmp_path / 'out' / manifest['shards'][0]['file']).with_suffix('.jsonl')
  path.write_text('{')
  with pytest.raises(InputError, match=f'{path.name}.*delete it'):
    made(folder, tmp_path / 'out')
  path.unlink()
  assert made(folder, tmp_path / 'out')['content'] == manifest['content']
