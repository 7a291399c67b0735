"""Folders of recordings, tidy and untidy."""
import csv
import json
import os
import shutil

import pytest

from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora.folder import Skip, recordings, report
from telugu_s2s.errors import InputError


@pytest.fixture
def folder(tmp_path):
  """Audio files by name only: nothing here opens them."""
  root = tmp_path / 'corpus'
  for name in ('b/two.flac', 'a.wav', 'b/one.mp3', 'c/deep/er/three.OPUS', 'four.ogg'):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b'x' * 7)
  return root


def manifest(folder, text, form='tsv'):
  (folder / f'MANIFEST.{form}').write_text(text, encoding='utf-8')


def reasons(skips):
  return sorted((skip.path, skip.reason) for skip in skips)


def test_without_a_manifest_every_audio_file_below_is_taken_in_order(folder):
  (folder / 'notes.txt').write_text('words')
  (folder / '.hidden.wav').write_bytes(b'x')
  (folder / '.git').mkdir()
  (folder / '.git' / 'x.wav').write_bytes(b'x')
  found, skips = recordings(folder, 'MIT')
  assert [one.path for one in found] == ['a.wav', 'b/one.mp3', 'b/two.flac', 'c/deep/er/three.OPUS', 'four.ogg']
  assert {(one.licence, one.source, one.split, one.speaker, one.bytes) for one in found} == {('MIT', 'corpus', 'train', '', 7)}
  assert reasons(skips) == [('notes.txt', 'non-audio')]


ROWS = [dict(path='b/two.flac', split='eval', language='te', speaker='rani', gender='f', style='story', emotion='joy',
             text='"ఔను", అంది', licence='CC-BY-4.0', source='tales', dialogue='d7', turn='2', channel='1',
             seconds='1.5', native_rate='44100', rate='slow'),
        dict(path='a.wav', text='')]


@pytest.mark.parametrize('form', ['tsv', 'csv', 'jsonl'])
def test_each_form_of_manifest_says_the_same(folder, form):
  if form == 'jsonl':
    typed = [{**ROWS[0], 'turn': 2, 'channel': 1, 'native_rate': 44100}, {**ROWS[1], 'text': None}]
    text = '\n'.join(json.dumps(row, ensure_ascii=False) for row in typed)
  else:
    quote = (lambda cell: cell) if form == 'tsv' else (lambda cell: '"' + cell.replace('"', '""') + '"')
    lines = [list(ROWS[0]), *([row.get(name, '') for name in ROWS[0]] for row in ROWS)]
    text = '\n'.join({'tsv': '\t', 'csv': ','}[form].join(map(quote, line)) for line in lines)
  manifest(folder, text, form)
  (plain, full), skips = recordings(folder, 'MIT')
  assert skips == [] and (plain.path, full.path) == ('a.wav', 'b/two.flac')
  for name, value in ROWS[0].items():
    if name in ('turn', 'channel'):
      assert getattr(full, name) == int(value)
    elif name in ('native_rate', 'rate'):
      assert full.custom[name] == value
    elif name != 'seconds':
      assert getattr(full, name) == value
  assert set(full.custom) == {'native_rate', 'rate'} and full.text_provenance == 'human'
  assert plain.text_provenance == 'none' and plain.custom == {} and plain.source == 'corpus'
  # A licence column with an empty cell is a licence nobody knows; no column at all leaves it to the config.
  assert plain.licence == ('MIT' if form == 'jsonl' else '')


def test_rows_that_cannot_be_are_counted_and_the_rest_is_read(folder):
  manifest(folder, 'path\tturn\n' + '\n'.join([
      'a.wav\t1', 'a.wav\t3', 'gone.wav\t', '../corpus/a.wav\t', '/etc/passwd\t', 'C:\\x.wav\t', 'b/../a.wav\t', '\t5',
      'four.ogg\tlast', 'b\\one.mp3\t']))
  found, skips = recordings(folder, 'MIT')
  assert [one.path for one in found] == ['a.wav', 'b/one.mp3']
  assert reasons(skips) == sorted([
      ('a.wav', 'duplicate'), ('gone.wav', 'missing'), ('../corpus/a.wav', 'outside'), ('/etc/passwd', 'outside'),
      ('C:\\x.wav', 'outside'), ('b/../a.wav', 'outside'), ('MANIFEST.tsv:9', 'bad row'), ('four.ogg', 'bad row')])


def test_two_channels_of_one_file_are_two_recordings(folder):
  manifest(folder, 'path,channel\na.wav,1\na.wav,0\n', 'csv')
  found, skips = recordings(folder, 'MIT')
  assert [one.channel for one in found] == [0, 1] and skips == []


@pytest.mark.parametrize('form', ['tsv', 'csv', 'jsonl'])
def test_blanks_and_capitals_in_the_names_of_columns_lose_no_label(folder, form):
  names, cells = [' path', 'Text ', ' speaker ', 'Seconds', 'Note'], ['a.wav', 'ఔను', 'rani', '1', 'x']
  if form == 'jsonl':
    text = json.dumps(dict(zip(names, cells)))
  else:
    text = '\n'.join({'tsv': '\t', 'csv': ','}[form].join(line) for line in (names, cells))
  manifest(folder, text, form)
  (one,), skips = recordings(folder, 'MIT')
  assert (one.text, one.speaker, one.custom, skips) == ('ఔను', 'rani', {'Seconds': '1', 'Note': 'x'}, [])


def test_of_two_columns_the_one_that_is_written_as_ours_is_ours(folder):
  manifest(folder, 'path,Text,text\na.wav,other,ఔను\n', 'csv')
  (one,), _ = recordings(folder, 'MIT')
  assert (one.text, one.custom) == ('ఔను', {'Text': 'other'})


def test_what_a_data_frame_writes_for_missing_is_missing_and_its_whole_numbers_are_whole(folder):
  manifest(folder, '{"path": "a.wav", "text": NaN, "speaker": NaN, "turn": 2.0, "channel": NaN, "start_s": NaN, "rate": NaN}\n', 'jsonl')
  (one,), skips = recordings(folder, 'MIT')
  assert (one.text, one.text_provenance, one.speaker, one.turn, one.channel, one.start_s, one.custom, skips) == (
      '', 'none', '', 2, None, None, {}, [])


@pytest.mark.parametrize('turn', ['1.5', '-1.0', '.0', '1.0.0', '1e0'])
def test_a_number_that_is_not_whole_is_a_bad_row(folder, turn):
  manifest(folder, f'path\tturn\na.wav\t{turn}\nfour.ogg\t3.0\n')
  (one,), skips = recordings(folder, 'MIT')
  assert (one.path, one.turn, reasons(skips)) == ('four.ogg', 3, [('a.wav', 'bad row')])


def test_a_time_of_day_in_a_name_is_no_drive(folder):
  (folder / '2026-11-30T12:30:05.wav').write_bytes(b'x')
  manifest(folder, 'path\n2026-11-30T12:30:05.wav\nc:/a.wav\nc:a.wav\n')
  (one,), skips = recordings(folder, 'MIT')
  assert one.path == '2026-11-30T12:30:05.wav' and reasons(skips) == [('c:/a.wav', 'outside'), ('c:a.wav', 'outside')]


def test_lines_that_are_no_json_are_counted(folder):
  manifest(folder, '{"path": "a.wav"}\n\n{"path": \n[1]\n', 'jsonl')
  found, skips = recordings(folder, 'MIT')
  assert len(found) == 1 and reasons(skips) == [('MANIFEST.jsonl:3', 'bad row'), ('MANIFEST.jsonl:4', 'bad row')]


def test_a_separator_that_unicode_has_and_json_allows_does_not_end_a_line(folder):
  manifest(folder, '{"path": "a.wav", "text": "ఔను\u2028కాదు\x85"}\r\n{"path": "four.ogg"}\n', 'jsonl')
  found, skips = recordings(folder, 'MIT')
  assert [one.text for one in found] == ['ఔను\u2028కాదు', ''] and skips == []


def test_json_nested_without_end_and_names_that_are_no_text_are_rows_like_others(folder):
  manifest(folder, '[' * 100_000 + '\n{"path": "a.wav", "\\ud800": "x"}\n', 'jsonl')
  (one,), skips = recordings(folder, 'MIT')
  assert one.custom == {'?': 'x'} and reasons(skips) == [('MANIFEST.jsonl:1', 'bad row')]


def test_links_that_go_round_are_followed_once(folder):
  (folder / 'b' / 'back').symlink_to(folder)
  (folder / 'other').symlink_to(folder / 'c')
  found, skips = recordings(folder, 'MIT')
  assert [one.path for one in found] == ['a.wav', 'b/one.mp3', 'b/two.flac', 'c/deep/er/three.OPUS', 'four.ogg']
  assert reasons(skips) == [('b/back', 'duplicate'), ('other', 'duplicate')]


def test_a_report_can_be_read_whatever_was_skipped(tmp_path):
  report(tmp_path / 'report.tsv', [Skip('x' * 200_000, 'bad row', 'a\tb\nc')])
  with open(tmp_path / 'report.tsv', encoding='utf-8', newline='') as file:
    (row,) = csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE)
  assert row['path'] in 'x' * 200_000 and row['detail'] == 'a b c'


def test_a_byte_order_mark_is_no_part_of_the_first_column(folder):
  (folder / 'MANIFEST.csv').write_bytes(b'\xef\xbb\xbfpath,text\r\na.wav,hello\r\n')
  assert recordings(folder, 'MIT')[0][0].text == 'hello'


@pytest.mark.parametrize('text, form, says', [
    ('file\ta\nx\ty', 'tsv', 'no column named path'), ('', 'csv', 'no column named path'),
    ('path\n', 'tsv', 'no audio file'), ('path\ngone.wav\n', 'tsv', '1 missing')])
def test_a_manifest_that_names_nothing_stops_the_run(folder, text, form, says):
  manifest(folder, text, form)
  with pytest.raises(InputError, match=says) as caught:
    recordings(folder, 'MIT')
  assert 'corpus' in str(caught.value) and '\n' not in str(caught.value)


def test_a_manifest_in_another_encoding_is_named(folder):
  (folder / 'MANIFEST.tsv').write_bytes('path\ttext\na.wav\tété'.encode('latin-1'))
  with pytest.raises(InputError, match='MANIFEST.tsv.*UTF-8'):
    recordings(folder, 'MIT')


@pytest.mark.parametrize('make, says', [
    (lambda path: None, 'does not exist'), (lambda path: path.mkdir(), 'no audio file'),
    (lambda path: path.write_text('x'), 'is no folder')])
def test_a_folder_that_is_missing_or_empty_or_a_file_is_named(tmp_path, make, says):
  make(tmp_path / 'there')
  with pytest.raises(InputError, match=f'there.*{says}|{says}.*there'):
    recordings(tmp_path / 'there', 'MIT')


def test_a_quotation_mark_left_open_is_named(folder):
  manifest(folder, 'path,text\na.wav,"' + 'x\n' * 100_000, 'csv')
  with pytest.raises(InputError, match='MANIFEST.csv: line .*quotation'):
    recordings(folder, 'MIT')


@pytest.mark.parametrize('path', ['.', './', 'a\0b.wav', '\ud800.wav', 'inner'])
def test_a_path_that_names_no_file_is_set_aside_and_the_others_go_on(tmp_path, path):
  (tmp_path / 'inner').mkdir()
  (tmp_path / 'a.wav').write_bytes(b'')
  (tmp_path / 'MANIFEST.jsonl').write_text(f'{json.dumps({"path": path})}\n{{"path": "a.wav"}}\n')
  found, skips = recordings(tmp_path, 'CC0-1.0')
  assert [one.path for one in found] == ['a.wav'] and len(skips) == 1
  assert skips[0].path.encode('utf-8')


@pytest.mark.parametrize('row, licence', [
    ({'license': 'CC-BY-NC-ND-4.0', 'license_class': 'D'}, 'CC-BY-NC-ND-4.0'), ({'License': 'CC-BY-4.0'}, 'CC-BY-4.0'), ({'spdx': 'CC0-1.0'}, 'CC0-1.0'),
    ({'license_id': 'CC-BY-4.0', 'licence': ''}, 'CC-BY-4.0'), ({'license_url': 'https://a.b/c'}, ''), ({'licence': ''}, ''), ({}, 'LicenseRef-own')])
def test_a_licence_is_read_by_whatever_name_its_column_has_and_never_made_up(folder, row, licence):
  path = 'a.wav'
  (folder / 'MANIFEST.jsonl').write_text(json.dumps({'path': path, **row}))
  assert [one.licence for one in corpus.recordings(folder, 'LicenseRef-own')[0]] == [licence]


def test_two_columns_that_disagree_about_a_licence_are_a_bad_row(folder):
  paths = ['a.wav', 'four.ogg']
  (folder / 'MANIFEST.tsv').write_text(f'path\tlicence\tlicense\n{paths[0]}\tCC0-1.0\tCC-BY-4.0\n{paths[1]}\tCC0-1.0\tcc0-1.0\n')
  found, skips = corpus.recordings(folder, 'LicenseRef-own')
  assert [one.path for one in found] == [paths[1]] and skips[0].reason == 'bad row' and 'disagree' in skips[0].detail


def test_a_name_that_no_manifest_can_hold_and_a_folder_that_is_closed_are_set_aside(folder, monkeypatch):
  before = len(corpus.recordings(folder, '')[0])
  shutil.copy(folder / 'a.wav', folder / os.fsdecode(b'\xe9t\xe9.wav'))
  (folder / 'closed').mkdir()
  real = os.scandir

  def scandir(path):
    if str(path).endswith('closed'):
      raise PermissionError(13, 'Permission denied', str(path))
    return real(path)
  monkeypatch.setattr(os, 'scandir', scandir)
  found, skips = corpus.recordings(folder, '')
  assert len(found) == before and {(skip.path, skip.reason) for skip in skips} >= {('\\xe9t\\xe9.wav', 'bad name'), ('closed', 'unreadable')}
  corpus.report(folder.parent / 'report.tsv', skips)


def test_a_very_long_cell_of_a_tsv_is_a_cell_like_any_other(folder):
  path = 'a.wav'
  (folder / 'MANIFEST.tsv').write_text(f'path\ttext\n{path}\t{"a" * 200_000}\n')
  assert len(corpus.recordings(folder, '')[0][0].text) == 200_000
