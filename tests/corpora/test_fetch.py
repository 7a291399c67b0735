"""From the catalogue over a server on this machine to a folder that preparation takes."""
import copy
import errno
import hashlib
import io
import json
import tarfile
import zipfile

import ml_collections
import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.corpora import catalogue, fetch, folder, hub, licences, splits
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

from tests.corpora.web import serving

TEXT = 'నమస్కారం'


def config(**fields):
  services = dict.fromkeys(('hub', 'archive', 'commons', 'librivox'), '') | fields.pop('services', {})
  return ml_collections.ConfigDict({'source': 'slr66', 'folder': '', 'layout': '', 'urls': (), 'allow': (), 'contact': '',
                                    'services': services, 'out': 'corpora', 'most_gb': 1.0, **fields})


def sound(seconds=1.2, form='wav'):
  rng = np.random.default_rng(0)
  return files.encoded(rng.uniform(-0.1, 0.1, int(16_000 * seconds)).astype(np.float32), 16_000, form)


def openslr_zip():
  made = io.BytesIO()
  with zipfile.ZipFile(made, 'w') as file:
    file.writestr('line_index.tsv', f'tef_01033_1\t{TEXT}\ntef_01033_2\tలేదు\n')
    file.writestr('tef_01033_1.wav', sound())
    file.writestr('../../outside.wav', b'x')
  return made.getvalue()


@pytest.fixture
def slr66(monkeypatch):
  """The catalogue with the addresses of SLR66 on this machine: call it with a server and the zip that it serves."""
  def point(server, data):
    found = copy.deepcopy(catalogue.sources())
    catalogue.source(found, 'slr66')['fetch']['files'] = [
        {'url': server.url + '/te_in_female.zip', 'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest()}]
    monkeypatch.setattr(catalogue, 'sources', lambda: found)
  return point


def test_a_source_is_downloaded_unpacked_and_listed_with_its_licence_once(tmp_path, slr66):
  data = openslr_zip()
  with serving({'/te_in_female.zip': data}, [('drop', 500)]) as server:
    slr66(server, data)
    first = fetch.run(config(), tmp_path)
    count = len(server.requests)
    assert fetch.run(config(), tmp_path) == first and len(server.requests) == count
  assert first['rows'] == 2 and first['skipped'] == {'outside': 1} and not list(tmp_path.rglob('outside.wav'))
  found, skips = folder.recordings(first['folder'], '')
  assert [(one.text, one.speaker, one.gender, one.licence, one.source, one.language) for one in found] == [
      (TEXT, 'slr66:tef_01033', 'f', 'CC-BY-SA-4.0', 'slr66', 'te')]
  assert found[0].custom['attribution'].startswith('Crowdsourced') and [skip.reason for skip in skips] == ['missing']


def test_a_changed_file_is_refused_and_no_manifest_is_made(tmp_path, slr66):
  data = openslr_zip()
  with serving({'/te_in_female.zip': data[:-1] + b'!'}) as server:
    slr66(server, data)
    with pytest.raises(InputError, match='sha256'):
      fetch.run(config(), tmp_path)
  assert not list(tmp_path.rglob('MANIFEST.jsonl'))


def test_an_archive_that_was_cut_is_unpacked_again_once_it_is_whole(tmp_path, monkeypatch):
  made = io.BytesIO()
  with tarfile.open(fileobj=made, mode='w') as file:
    for name, data in (('te_in/train.tsv', f'1\ta.wav\t{TEXT}\tx\tx\t1\tMALE\n'.encode()), ('te_in/audio/train/a.wav', sound())):
      one = tarfile.TarInfo(name)
      one.size = len(data)
      file.addfile(one, io.BytesIO(data))
  whole = made.getvalue()
  with serving({'/te_in.tar': whole[:2048]}) as server:
    urls = dict(source='fleurs', urls=(server.url + '/te_in.tar',))
    assert fetch.run(config(**urls), tmp_path)['skipped'] == {'corrupt': 2}
    (tmp_path / 'corpora/fleurs/downloads/te_in.tar').unlink()
    server.files['/te_in.tar'] = whole
    assert fetch.run(config(**urls), tmp_path)['skipped'] == {}
  found, skips = folder.recordings(tmp_path / 'corpora/fleurs', '')
  assert [one.text for one in found] == [TEXT] and not skips


def test_two_archives_of_one_name_are_refused_and_not_taken_for_each_other(tmp_path):
  with pytest.raises(InputError, match='2 of the addresses end in audio.zip'):
    fetch.run(config(urls=('http://localhost/female/audio.zip', 'http://localhost/male/audio.zip')), tmp_path)


@pytest.mark.parametrize('names', [('te.zip', 'te.tar.gz'), ('downloads.zip',), ('.zip',)])
def test_an_archive_that_would_be_unpacked_over_other_files_is_refused_before_anything_is_there(tmp_path, names):
  with pytest.raises(InputError, match=f'config.urls: .*{names[-1]}.*config.folder'):
    fetch.run(config(urls=tuple(f'http://localhost/{name}' for name in names)), tmp_path)
  assert not list(tmp_path.rglob('*.part'))


def test_the_cap_is_that_of_a_source_in_all(tmp_path):
  def archive(name):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w') as file:
      one = tarfile.TarInfo(f'te_in/audio/{name}.wav')
      one.size = len(sound())
      file.addfile(one, io.BytesIO(sound()))
    return made.getvalue()
  with serving({f'/{name}.tar': archive(name) for name in 'abc'}) as server:
    with pytest.raises(InputError, match='raise config.most_gb'):
      fetch.run(config(source='fleurs', urls=tuple(f'{server.url}/{name}.tar' for name in 'abc'), most_gb=1e-4), tmp_path)


def test_an_archive_that_was_renewed_is_unpacked_again(tmp_path, slr66, monkeypatch):
  before = catalogue.sources()
  for text in (TEXT, 'లేదు'):
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w') as file:
      file.writestr('line_index.tsv', f'tef_01033_1\t{text}\n')
      file.writestr('tef_01033_1.wav', sound())
    data = made.getvalue()
    with serving({'/te_in_female.zip': data}) as server:
      slr66(server, data)
      found = fetch.run(config(), tmp_path)
    assert [one.text for one in folder.recordings(found['folder'], '')[0]] == [text]
    monkeypatch.setattr(catalogue, 'sources', lambda: copy.deepcopy(before))


def test_a_source_on_request_takes_the_folder_that_its_user_has(tmp_path):
  (tmp_path / 'train_te_clean' / 'D1').mkdir(parents=True)
  (tmp_path / 'train_te_clean' / 'D1' / 'u.wav').write_bytes(sound())
  (tmp_path / 'train_te_clean' / 'meta_train_te_clean.json').write_text(json.dumps(
      {'u': {'wav_path': 'D1/u.wav', 'speaker_id': 's', 'gender': 'MALE', 'text': TEXT}}))
  assert fetch.run(config(source='respin', folder=str(tmp_path)), tmp_path / 'work')['rows'] == 1
  (one,), _ = folder.recordings(tmp_path, '')
  assert (one.licence, one.speaker, one.gender) == ('CC-BY-4.0', 'respin:s', 'm')


def test_a_folder_that_is_not_there_is_named_and_not_made(tmp_path):
  with pytest.raises(InputError, match='config.folder: .*misspelt is no folder'):
    fetch.run(config(source='respin', folder=str(tmp_path / 'misspelt')), tmp_path / 'work')
  assert not (tmp_path / 'misspelt').exists()


@pytest.mark.parametrize('source, said', [
    ('nptel', 'NC.*instead: spoken_tutorial'), ('respin', 'spiredatasets.*config.folder'), ('common_voice', 'MDC_API_KEY|no address'),
    ('diarbench', 'no reader here'), ('internet_archive', 'config.allow'), ('commons', 'config.contact'), ('kathbat', 'kathbath')])
def test_what_is_not_to_be_had_says_what_to_do(tmp_path, source, said, monkeypatch):
  monkeypatch.delenv('MDC_API_KEY', raising=False)
  with pytest.raises(InputError, match=said):
    fetch.run(config(source=source), tmp_path)


@pytest.mark.parametrize('one', [one for one in catalogue.sources() if one['use']], ids=lambda one: one['id'])
def test_every_layout_that_the_catalogue_names_has_its_reader_and_its_columns(one):
  layout = one['fetch'].get('layout', fetch.PARQUET)
  if 'layout' in one['fetch'] and layout == fetch.PARQUET:
    assert 'audio' in one['fetch']['columns'] and one['fetch']['repo']
  elif 'layout' in one['fetch']:
    assert layout in fetch.layouts.LAYOUTS or layout == fetch.LISTED and one['fetch']['kind'] in fetch.KINDS


def parquet(rows):
  pyarrow = pytest.importorskip('pyarrow')
  from pyarrow import parquet as writer
  made = io.BytesIO()
  writer.write_table(pyarrow.Table.from_pylist(rows), made)
  return made.getvalue()


COLUMNS = {'audio': 'audio_filepath', 'text': 'text', 'speaker': 'speaker_id', 'gender': 'gender'}


def row(audio, **fields):
  return {'audio_filepath': {'bytes': audio, 'path': 'x'}, 'text': TEXT, 'speaker_id': '7', 'gender': 'Female', 'language': 'Telugu',
          **fields}


def test_rows_of_a_hub_become_audio_files_and_other_languages_stay_out(tmp_path):
  (tmp_path / 'telugu-valid-0.parquet').write_bytes(parquet([
      row(sound()), row(sound(form='flac')), row(sound(), language='Kannada'), row(None), row(b'<html>')]))
  (tmp_path / 'telugu-train-1.parquet').write_bytes(b'PAR1 not really PAR1')
  found = list(hub.rows(tmp_path, {'columns': COLUMNS, 'keep': {'language': 'Telugu'}}))
  good = [one for one in found if not isinstance(one, Skip)]
  assert [one['path'] for one in good] == ['audio/telugu-valid-0/0000000.wav', 'audio/telugu-valid-0/0000001.flac']
  assert {(one['text'], one['gender'], one['split'], one['speaker']) for one in good} == {(TEXT, 'f', 'eval', '7')}
  assert sorted(one.reason for one in found if isinstance(one, Skip)) == ['corrupt', 'missing', 'non-audio']
  assert all(len(files.read(tmp_path / one['path'])[0]) == 19_200 for one in good)


@pytest.mark.parametrize('start, ending', [
    (b'\0\0\0\x1cftypM4A ', '.m4a'), (b'\x1aE\xdf\xa3', '.webm'), (b'\xff\xf1', '.aac'), (b'\xff\xfa', '.mp3'), (b'\xff\xe3', '.mp3'),
    (b'\xff\xfb', '.mp3'), (b'ID3\4', '.mp3'), (b'RF64', '.wav')])
def test_every_kind_of_audio_that_a_folder_may_hold_comes_out_of_a_hub(tmp_path, start, ending):
  (tmp_path / 'telugu-train-0.parquet').write_bytes(parquet([row(start + bytes(64)), row(b'\xff\xfe<\0h\0t\0m\0l\0')]))
  one, page = hub.rows(tmp_path, {'columns': COLUMNS})
  assert one['path'].endswith(ending) and (tmp_path / one['path']).read_bytes()[:len(start)] == start and page.reason == 'non-audio'


def test_marks_between_words_are_no_part_of_a_hubs_transcript_and_are_kept_beside_it(tmp_path):
  (tmp_path / 'telugu-train-0.parquet').write_bytes(parquet([
      row(sound(), text='<laughter> అవును  [noise] OK', verbatim=None), row(sound(), text='<umm> సరే', verbatim='<umm> సరే <sigh>'),
      row(sound(), text='[noise]', verbatim=None), row(sound(), verbatim=None), row(sound(), text='ఒక వాచ్‌మన్ {watchman} -- ఉన్నాడు', verbatim=None)]))
  found = list(hub.rows(tmp_path, {'columns': COLUMNS | {'text_raw': 'verbatim'}}))
  assert [(one['text'], one.get('text_raw')) for one in found] == [
      ('అవును OK', '<laughter> అవును  [noise] OK'), ('సరే', '<umm> సరే <sigh>'), ('', '[noise]'), (TEXT, None),
      ('ఒక వాచ్‌మన్ -- ఉన్నాడు', 'ఒక వాచ్‌మన్ {watchman} -- ఉన్నాడు')]


@pytest.mark.parametrize('name, split', [
    ('telugu-Valid-0', 'eval'), ('te-eval-00000-of-00001', 'eval'), ('telugu-test_known-0', 'eval'), ('telugu-train-0', 'train'), ('contest-0', 'train')])
def test_what_the_makers_hold_out_by_any_of_its_names_is_held_out(tmp_path, name, split):
  (tmp_path / f'{name}.parquet').write_bytes(parquet([row(sound())]))
  assert [one['split'] for one in hub.rows(tmp_path, {'columns': COLUMNS})] == [split]


def test_a_number_that_is_none_is_no_speaker(tmp_path):
  (tmp_path / 'telugu-train-0.parquet').write_bytes(parquet([row(sound(), speaker_id=float('nan')), row(sound(), speaker_id=7.0)]))
  assert [one.get('speaker') for one in hub.rows(tmp_path, {'columns': COLUMNS})] == [None, '7.0']


def test_a_row_that_moved_has_its_own_audio(tmp_path):
  sounds = [files.encoded(np.full(8000, level, np.float32)) for level in (0.1, 0.2)]
  for rows in (sounds, sounds[1:]):                                          # the first one is withdrawn
    (tmp_path / 'telugu-train-0.parquet').write_bytes(parquet([row(one) for one in rows]))
    list(hub.rows(tmp_path, {'columns': COLUMNS}))
  assert files.read(tmp_path / 'audio/telugu-train-0/0000000.wav')[0][0] == pytest.approx(0.2, abs=1e-3)


def test_files_of_one_name_in_two_folders_are_kept_apart_and_those_that_are_not_listed_left_out(tmp_path):
  for name, level in (('te/0', 0.1), ('hi/0', 0.2), ('old/0', 0.3)):
    (tmp_path / 'downloads' / name).parent.mkdir(parents=True)
    (tmp_path / 'downloads' / f'{name}.parquet').write_bytes(parquet([row(files.encoded(np.full(8000, level, np.float32)))]))
  found = list(hub.rows(tmp_path, {'columns': COLUMNS}, ['te/0.parquet', 'hi/0.parquet']))
  assert [round(float(files.read(tmp_path / one['path'])[0][0]), 2) for one in found] == [0.2, 0.1]


def test_a_hub_that_renamed_a_column_is_named_with_what_it_has(tmp_path):
  (tmp_path / 'a.parquet').write_bytes(parquet([{'audio': 1}]))
  with pytest.raises(InputError, match='audio_filepath.*it has audio'):
    list(hub.rows(tmp_path, {'columns': COLUMNS}))


def test_a_gated_hub_source_comes_pinned_to_the_revision_it_was_begun_with(tmp_path, monkeypatch):
  monkeypatch.setenv('HF_TOKEN', 'secret')
  data = parquet([row(sound())])
  sha256 = hashlib.sha256(data).hexdigest()
  name = 'telugu/train-00000-of-00001.parquet'
  base = '/api/datasets/ai4bharat/Kathbath'
  served = {base: b'{"sha": "c0ffee"}', f'{base}/tree/c0ffee/telugu?recursive=true': json.dumps(
      [{'type': 'file', 'path': name, 'size': len(data), 'lfs': {'oid': sha256}}, {'type': 'file', 'path': 'README.md', 'size': 1}]).encode(),
      f'/datasets/ai4bharat/Kathbath/resolve/c0ffee/{name}': data}
  with serving(served) as server:
    fetch.run(config(source='kathbath', services={'hub': server.url}), tmp_path)
    server.files[base] = b'{"sha": "moved"}'
    result = fetch.run(config(source='kathbath', services={'hub': server.url}), tmp_path)
    assert {headers.get('Authorization') for _, headers in server.requests} == {'Bearer secret'} and len(server.requests) == 3
  (one,), _ = folder.recordings(result['folder'], '')
  assert (one.revision, one.speaker, one.licence) == ('c0ffee', 'kathbath:7', 'CC-BY-4.0')


@pytest.mark.parametrize('profile', licences.PROFILES)
@pytest.mark.parametrize('one', [one for one in catalogue.sources() if one['use']], ids=lambda one: one['id'])
def test_a_fetched_row_gets_into_just_the_profiles_that_the_catalogue_counts_it_in(one, profile):
  licence = fetch.labelled(one, {'path': 'a.wav'})['licence']
  assert (licences.licence_class(licence) in licences.classes(profile)) == (catalogue.why_not(one, profile) == '')


def test_a_row_whose_own_licence_is_unknown_does_not_take_that_of_its_source():
  one = catalogue.source(catalogue.sources(), 'respin')
  assert fetch.labelled(one, {'path': 'a.wav', 'licence': ''})['licence'] == ''
  assert fetch.labelled(one, {'path': 'a.wav', 'licence': 'CC-BY-SA-4.0'})['licence'] == 'CC-BY-SA-4.0'


@pytest.mark.parametrize('inner, outer', [(one['id'], one['within']) for one in catalogue.sources() if one.get('within')])
def test_a_speaker_of_a_source_within_another_is_held_out_in_both_or_in_neither(tmp_path, inner, outer):
  found = []
  for name in (inner, outer):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'MANIFEST.jsonl').write_text('\n'.join(
        json.dumps(fetch.labelled(catalogue.source(catalogue.sources(), name), {'path': f'{number}.wav', 'speaker': f'S{number}'})) for number in range(60)))
    for number in range(60):
      (tmp_path / name / f'{number}.wav').write_bytes(b'x')
    found.append({one.path: splits.split(one, 0, 0.5) for one in folder.recordings(tmp_path / name, '')[0]})
  assert found[0] == found[1] and set(found[0].values()) == {'train', 'eval'}


def test_a_layout_that_needs_columns_is_refused_for_a_source_without_them(tmp_path):
  with pytest.raises(InputError, match='mann_ki_baat.*columns'):
    fetch.run(config(source='mann_ki_baat', layout='hub_parquet', folder=str(tmp_path)), tmp_path)


def test_a_full_disk_ends_the_job_and_is_not_taken_for_a_damaged_file(tmp_path, monkeypatch):
  (tmp_path / 'a.parquet').write_bytes(parquet([row(sound())]))

  def full(path, data):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(files, 'write', full)
  with pytest.raises(OSError, match='No space'):
    list(hub.rows(tmp_path, {'columns': COLUMNS}))


def test_of_a_tar_of_many_languages_only_telugu_is_unpacked(tmp_path, monkeypatch):
  def tar(members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w') as file:
      for name, data in members.items():
        one = tarfile.TarInfo(name)
        one.size = len(data)
        file.addfile(one, io.BytesIO(data))
    return made.getvalue()

  served = {'/valid_audio.tar': tar({f'data/{language}/valid/1-594-f.m4a': b'm4a of ' + language.encode() for language in ('telugu', 'tamil', 'urdu')}),
            '/transcripts_n2w.tar': tar({f'data/{language}/valid/transcription_n2w.txt': f'1-594-f.m4a\t{TEXT}\n'.encode()
                                         for language in ('telugu', 'tamil')})}
  with serving(served) as server:
    found = copy.deepcopy(catalogue.sources())
    catalogue.source(found, 'kathbath_tars')['fetch']['files'] = [{'url': server.url + path} for path in served]
    monkeypatch.setattr(catalogue, 'sources', lambda: found)
    result = fetch.run(config(source='kathbath_tars'), tmp_path)
  (one,), skips = folder.recordings(result['folder'], '')
  assert (one.text, one.speaker, one.gender, one.split, one.licence) == (TEXT, 'kathbath:594', 'f', 'eval', 'CC-BY-4.0')
  assert not skips and not [path for path in (tmp_path / 'corpora').rglob('*') if path.name in ('tamil', 'urdu')]


def test_of_a_renewed_archive_nothing_withdrawn_stays_wherever_it_comes_from(tmp_path):
  def archive(*numbers):
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w') as file:
      file.writestr('line_index.tsv', ''.join(f'tef_01033_{number}\t{TEXT}\n' for number in numbers))
      for number in numbers:
        file.writestr(f'tef_01033_{number}.wav', sound())
    return made.getvalue()
  with serving({'/a/mine.zip': archive(1, 2), '/b/mine.zip': archive(2, 3)}) as server:
    names = []
    for place in 'ab':
      fetch.run(config(urls=(f'{server.url}/{place}/mine.zip',)), tmp_path)
      names.append(sorted(path.stem[-1] for path in (tmp_path / 'corpora/slr66').rglob('*.wav')))
  assert names == [['1', '2'], ['2', '3']]
