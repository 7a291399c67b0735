"""Each published layout in miniature, as its makers lay it out, comes out as rows that `folder.py` takes."""
import json

from hypothesis import HealthCheck, given, settings, strategies
import pytest

from telugu_s2s.corpora import folder, layouts
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

TEXT = 'నమస్కారం "అండి"'


def put(root, path, content=b''):
  (root / path).parent.mkdir(parents=True, exist_ok=True)
  (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def taken(layout, root):
  """Rows by path, and skips, of a layout, after the manifest made of the rows went through folder.py."""
  found = list(layouts.rows(layout, root))
  lines = [json.dumps(row, ensure_ascii=False) for row in found if not isinstance(row, Skip)]
  (root / 'MANIFEST.jsonl').write_text('\n'.join(lines) + '\n', encoding='utf-8')
  recordings, skips = folder.recordings(root, '')
  return {one.path: one for one in recordings}, [one for one in found if isinstance(one, Skip)] + skips


def test_openslr_rows_have_speaker_and_gender_and_survive_an_empty_column(tmp_path):
  put(tmp_path, 'line_index.tsv', f'tef_01033_0016\t{TEXT}\ntem_00682_0017\t\tరెండు\nbroken line\n')
  put(tmp_path, 'tef_01033_0016.wav')
  put(tmp_path, 'tem_00682_0017.wav')
  found, skips = taken('openslr', tmp_path)
  first, second = found['tef_01033_0016.wav'], found['tem_00682_0017.wav']
  assert (first.text, first.speaker, first.gender, first.text_provenance) == (TEXT, 'tef_01033', 'f', 'human')
  assert (second.text, second.speaker, second.gender) == ('రెండు', 'tem_00682', 'm')
  assert [(one.path, one.reason) for one in skips] == [('line_index.tsv:3', 'bad row')]


def test_common_voice_is_read_by_header_and_nothing_held_out_turns_up_in_train(tmp_path):
  header = 'client_id\tpath\tsentence_id\tsentence\tup_votes\tage\tgender\n'
  row = lambda name, speaker='', text='': f'spk{speaker or name}\t{name}.mp3\t1\t{TEXT} {text or name}\t2\ttwenties\tmale_masculine\n'
  held_speaker, held_text = row('c', speaker='b'), row('d', text='B!')         # of clip b, in another writing
  rows = {'train': row('a'), 'test': row('b'), 'validated': row('a') + row('b') + held_speaker + row('f'), 'other': held_text + row('g'),
          'invalidated': row('e')}
  for table, text in rows.items():
    put(tmp_path, f'cv/te/{table}.tsv', header + text)
  for x in 'abcdefg':
    put(tmp_path, f'cv/te/clips/{x}.mp3')
  found, skips = taken('common_voice', tmp_path)
  assert {path[-5]: one.split for path, one in found.items()} == {'a': 'train', 'b': 'eval', 'f': 'train', 'g': 'train'}
  assert found['cv/te/clips/g.mp3'].custom['validated'] == 'no'
  assert {one.gender for one in found.values()} == {'m'} and found['cv/te/clips/a.mp3'].text == f'{TEXT} a'
  assert [(one.path, one.reason) for one in skips] == [('c.mp3', 'held out'), ('d.mp3', 'held out'), ('e.mp3', 'invalidated')]


def test_respin_takes_the_reassigned_speaker_where_there_is_one_and_repeats_nothing(tmp_path):
  def row(name, again):
    return {'utterance_id': name, 'wav_path': f'D1/s1/{name}.wav', 'speaker_id': 's1', 'speaker_id_reassigned': again,
            'gender': 'FEMALE', 'text': TEXT, 'dialect': 'D1', 'text_id': 't1'}
  put(tmp_path, 'train_te_clean/meta_train_te_clean.json', json.dumps({'u1': row('u1', 'r9'), 'u2': row('u2', 'NA'), 'u3': {}}))
  put(tmp_path, 'train_te_small/meta_train_te_small.json', json.dumps({'u1': row('u1', 'r9')}))
  put(tmp_path, 'test_te/meta_test_te.json', json.dumps({'u4': row('u4', 'r8') | {'text': 'లేదు', 'speaker_id': 's2'}}))
  for path in ('train_te_clean/D1/s1/u1.wav', 'train_te_clean/D1/s1/u2.wav', 'train_te_small/D1/s1/u1.wav', 'test_te/D1/s1/u4.wav'):
    put(tmp_path, path)
  found, skips = taken('respin', tmp_path)
  assert {path.split('/')[-1]: (one.speaker, one.custom['speaker_verified'], one.split) for path, one in found.items()} == {
      'u1.wav': ('r9', 'yes', 'train'), 'u2.wav': ('s1', 'no', 'train'), 'u4.wav': ('r8', 'yes', 'eval')}
  assert {one.gender for one in found.values()} == {'f'} and [one.reason for one in skips] == ['bad row']


def test_what_respin_tests_on_is_in_no_part_of_its_train(tmp_path):
  def row(name, speaker, text):
    put(tmp_path, f'a_train/{name}.wav'), put(tmp_path, f'test/{name}.wav')
    return {name: {'utterance_id': name, 'wav_path': f'{name}.wav', 'speaker_id': speaker.partition('_')[0],
                   'speaker_id_reassigned': speaker if '_' in speaker else 'NA', 'text': text}}
  put(tmp_path, 'a_train/meta_train_te_clean.json', json.dumps(
      row('u1', '90050_1', 'ఒకటి') | row('u2', '90050_2', 'రెండు') | row('u3', '7_1', f'{TEXT}.') | row('u4', '90050', 'మూడు') | row('u5', '7_1', '')))
  put(tmp_path, 'test/meta_test_te.json', json.dumps(row('u6', '90050_1', TEXT) | row('u7', '8', None) | row('u8', '9_1', 'నాలుగు')))
  found, skips = taken('respin', tmp_path)
  assert {path.split('/')[-1][:2]: one.split for path, one in found.items()} == dict.fromkeys(['u2', 'u5'], 'train') | dict.fromkeys(['u6', 'u7', 'u8'], 'eval')
  assert [(one.path[-6:-4], one.reason, 'speaker' if 'speaker' in one.detail else 'sentence') for one in skips] == [
      ('u1', 'held out', 'speaker'), ('u3', 'held out', 'sentence'), ('u4', 'held out', 'speaker')]


def test_respin_tells_of_who_speaks_and_not_of_who_registered(tmp_path):
  put(tmp_path, 'meta_train.json', json.dumps({name: {
      'wav_path': f'{name}.wav', 'speaker_id': '5', 'speaker_id_reassigned': '5_2', 'gender': 'MALE', 'gender_reassigned': gender, 'age_group': '18-24',
      'age_group_reassigned': age, 'text': TEXT} for name, gender, age in (('u1', 'FEMALE', '41-45'), ('u2', 'NA', 'NA'))}))
  put(tmp_path, 'u1.wav'), put(tmp_path, 'u2.wav')
  found, _ = taken('respin', tmp_path)
  assert [(found[path].speaker, found[path].gender, found[path].custom['age_band']) for path in ('u1.wav', 'u2.wav')] == [
      ('5_2', 'f', '41-45'), ('5_2', 'm', '18-24')]


def test_respin_takes_null_and_na_for_nobody_and_for_no_name_of_an_utterance(tmp_path):
  unnamed = {'utterance_id': None, 'speaker_id': 'NA', 'speaker_id_reassigned': None, 'text': TEXT}
  put(tmp_path, 'meta_train.json', json.dumps({
      'u1': unnamed | {'wav_path': 'u1.wav'}, 'u2': unnamed | {'wav_path': 'u2.wav', 'speaker_id': 's2'},
      'u3': unnamed | {'wav_path': 'u3.wav', 'speaker_id_reassigned': 9}}))
  for name in ('u1', 'u2', 'u3'):
    put(tmp_path, f'{name}.wav')
  found, skips = taken('respin', tmp_path)
  assert {path: (one.speaker, one.custom['speaker_verified']) for path, one in found.items()} == {
      'u1.wav': ('', 'no'), 'u2.wav': ('s2', 'no'), 'u3.wav': ('9', 'yes')} and skips == []


def test_syspin_holds_out_its_evaluation_domain(tmp_path):
  names = {'IISc_SYSPINProject_te_f_AGRI_1': 'AGRI', 'IISc_SYSPINProject_te_f_EVAL_2': 'EVAL'}
  put(tmp_path, 'Telugu_F/x_Transcripts.json', json.dumps({'Transcripts': {
      name: {'Transcript': TEXT, 'Domain': domain} for name, domain in names.items()} | {'odd': {}}}))
  for name in names:
    put(tmp_path, f'Telugu_F/wavs/{name}.wav')
  found, skips = taken('syspin', tmp_path)
  assert sorted((one.split, one.gender, one.custom['domain']) for one in found.values()) == [('eval', 'f', 'EVAL'), ('train', 'f', 'AGRI')]
  assert len(skips) == 1


def test_syspin_says_which_transcripts_nobody_has_checked(tmp_path):
  for quality in ('HC', 'NHC'):
    place = f'IISc_SYSPINProject_Telugu_Female_Spk001_{quality}'
    put(tmp_path, f'{place}/IISc_SYSPINProject_te_f_Spk001_{quality}_Transcripts.json', json.dumps({'Transcripts': {
        f'IISc_SYSPINProject_te_f_AGRI_{quality}': {'Transcript': TEXT, 'Domain': 'AGRI'}}}))
    put(tmp_path, f'{place}/wavs/IISc_SYSPINProject_te_f_AGRI_{quality}.wav')
  found, skips = taken('syspin', tmp_path)
  assert {path.split('_')[-1]: one.custom['validated'] for path, one in found.items()} == {'HC.wav': 'yes', 'NHC.wav': 'no'} and skips == []


def test_fleurs_gender_codes_and_splits(tmp_path):
  for split in ('train', 'test'):
    put(tmp_path, f'te_in/{split}.tsv', ''.join(f'{i}\t{split}{i}.wav\t{TEXT}\tx\tx |\t16000\t{who}\n' for i, who in enumerate(('MALE', '1', 'OTHER')))
        + 'short\trow\n')
    for i in range(3):
      put(tmp_path, f'te_in/audio/{split}/{split}{i}.wav')
  found, skips = taken('fleurs', tmp_path)
  assert [found[f'te_in/audio/train/train{i}.wav'].gender for i in range(3)] == ['m', 'f', 'o']
  assert {one.split for path, one in found.items() if '/test/' in path} == {'eval'} and len(found) == 6 and len(skips) == 2


def test_of_a_corpus_of_many_languages_only_telugu_is_read(tmp_path):
  header = 'client_id\tpath\tsentence\tlocale\n'
  for language, other in (('te', 'hi'), ('hi', 'te')):
    put(tmp_path, f'fleurs/{language}_in/train.tsv', f'1\t{language}.wav\t{TEXT}\tx\tx |\t16000\tMALE\n')
    put(tmp_path, f'fleurs/{language}_in/audio/train/{language}.wav')
    put(tmp_path, f'respin/{language}/meta_train_{language}_clean.json', json.dumps({language: {'wav_path': f'{language}.wav', 'text': TEXT}}))
    put(tmp_path, f'respin/{language}/{language}.wav')
    put(tmp_path, f'cv/{language}/train.tsv', f'{header}a\t{language}.mp3\t{TEXT}\t{language}\n')
    put(tmp_path, f'cv/{language}/clips/{language}.mp3')
    place = {'te': 'Telugu', 'hi': 'Hindi'}[language]
    put(tmp_path, f'iv/{place}/v1/train/{language}.json', '{"verbatim": [{"start": 0, "end": 1, "speaker_id": 0, "text": "x"}]}')
    put(tmp_path, f'iv/{place}/v1/train/{language}.wav')
  for layout, place in (('fleurs', 'fleurs'), ('respin', 'respin'), ('common_voice', 'cv'), ('indicvoices_raw', 'iv')):
    found, skips = taken(layout, tmp_path / place)
    assert [one.rpartition('/')[2][:2] for one in found] == ['te'] and [one.reason for one in skips] == ['language'], layout


def test_festvox_prompts(tmp_path):
  put(tmp_path, 'cmu_indic_tel_ss/etc/txt.done.data', f'( tel_1 "{TEXT}" )\n\n( tel_2 missing\n')
  put(tmp_path, 'cmu_indic_tel_ss/wav/tel_1.wav')
  found, skips = taken('festvox', tmp_path)
  assert [(one.text, one.speaker) for one in found.values()] == [(TEXT, 'cmu_indic_tel_ss')] and len(skips) == 1


@pytest.mark.parametrize('described, provenance', [
    ('manual-transcribed', 'human'), ('auto-aligned', 'aligned'), ('machine-generated-transcript', 'none')])
def test_ulca_keeps_who_transcribed_and_an_unknown_licence_stays_unknown(tmp_path, described, provenance):
  put(tmp_path, 'set/params.json', json.dumps({'license': 'unknown-license', 'collectionMethod': {'collectionDescription': [described]}}))
  put(tmp_path, 'set/data.json', json.dumps([{'audioFilename': 'a.wav', 'text': TEXT, 'gender': 'female', 'speaker': 7}, 'odd']))
  put(tmp_path, 'set/a.wav')
  found, skips = taken('ulca', tmp_path)
  one = found['set/a.wav']
  assert (one.text_provenance, one.licence, one.gender, one.speaker) == (provenance, '', 'f', '7') and len(skips) == 1
  assert (one.text, one.custom.get('text_asr')) == (('', TEXT) if provenance == 'none' else (TEXT, None))


def test_what_a_row_of_ulca_leaves_open_is_that_of_the_whole(tmp_path):
  put(tmp_path, 'params.json', json.dumps({'license': 'cc0', 'gender': 'male', 'collectionMethod': {'collectionDescription': ['machine-generated-transcript']}}))
  put(tmp_path, 'data.json', json.dumps([{'audioFilename': 'a.wav', 'text': TEXT, 'collectionMethod': None, 'gender': None, 'speaker': None}]))
  put(tmp_path, 'a.wav')
  found, _ = taken('ulca', tmp_path)
  assert (found['a.wav'].text, found['a.wav'].gender, found['a.wav'].speaker) == ('', 'm', '')


@pytest.mark.parametrize('path', ['../../etc/passwd', '/etc/passwd', 'C:/x.wav', 'a\u0000b.wav', '.', '\ud800.wav'])
def test_a_path_that_leaves_the_folder_or_is_no_path_never_becomes_a_recording(tmp_path, path):
  put(tmp_path, 'set/params.json', '{"license": "cc0"}')
  put(tmp_path, 'set/data.json', json.dumps([{'audioFilename': path}, {'audioFilename': 'a.wav'}]))
  put(tmp_path, 'set/a.wav')
  rows = list(layouts.rows('ulca', tmp_path))
  (tmp_path / 'MANIFEST.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  found, skips = folder.recordings(tmp_path, '')
  assert [one.path for one in found] == ['set/a.wav'] and len(skips) == 1


@pytest.mark.parametrize('layout', layouts.LAYOUTS)
def test_a_folder_that_holds_something_else_is_refused_with_what_is_missing(tmp_path, layout):
  with pytest.raises(InputError, match='config.folder'):
    list(layouts.rows(layout, tmp_path))
  with pytest.raises(InputError, match='no folder'):
    layouts.rows(layout, tmp_path / 'absent')


def test_an_unknown_layout_is_refused_with_the_known_ones(tmp_path):
  with pytest.raises(InputError, match='openslr'):
    layouts.rows('open_slr', tmp_path)


TABLES = {'openslr': 'line_index.tsv', 'common_voice': 'train.tsv', 'respin': 'meta_x.json', 'syspin': 'x_Transcripts.json',
          'fleurs': 'train.tsv', 'festvox': 'etc/txt.done.data', 'ulca': 'params.json', 'kathbath': 'telugu/train/transcription_n2w.txt',
          'indicvoices_raw': 'train/a.json', 'diarised': 'a.json', 'two_channel': 'a.wav'}
SOUND = {'openslr': f'tef_1_2\t{TEXT}\n', 'common_voice': 'client_id\tpath\tsentence\na\tb.mp3\tc\n',
         'respin': '{"u": {"wav_path": "a.wav", "gender": "MALE"}}', 'syspin': '{"Transcripts": {"x_te_f_1": {"Domain": "D"}}}',
         'fleurs': '1\ta.wav\tb\tc\td\t1\tMALE\n', 'festvox': '( a "b" )\n', 'ulca': '{"license": "cc0"}',
         'kathbath': f'1-594-f.m4a\t{TEXT}\n', 'two_channel': 'RIFF',
         'indicvoices_raw': '{"verbatim": [{"start": 0, "end": 1.5, "speaker_id": 1, "text": "a"}], "normalized": [{"text": "b"}]}',
         'diarised': '{"segments": [{"start": 0, "end": 1.5, "speaker": "x", "text": "a"}]}'}


@pytest.mark.parametrize('layout', layouts.LAYOUTS)
def test_hidden_files_beside_each_file_change_nothing(tmp_path, layout):
  put(tmp_path, TABLES[layout], SOUND[layout])
  put(tmp_path, 'data.json', '[{"audioFilename": "a.wav"}]')
  before = list(layouts.rows(layout, tmp_path))
  for path in list(tmp_path.rglob('*.*')):
    if path.is_file():
      path.with_name('._' + path.name).write_bytes(b'\0\5\x16\7\0')                # as tar of macOS packs them
  assert list(layouts.rows(layout, tmp_path)) == before != []


@pytest.mark.parametrize('layout', layouts.LAYOUTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=strategies.lists(strategies.tuples(strategies.floats(0, 1), strategies.binary(max_size=4), strategies.integers(0, 9)),
                              max_size=4))
def test_a_damaged_table_gives_rows_skips_or_one_clear_error(tmp_path, layout, edits):
  content = SOUND[layout].encode()
  for place, new, gone in edits:
    at = int(place * len(content))
    content = content[:at] + new + content[at + gone:]
  put(tmp_path, TABLES[layout], content)
  put(tmp_path, 'data.json', b'[' + content + b']')
  try:
    for row in layouts.rows(layout, tmp_path):
      assert isinstance(row, Skip) or isinstance(row['path'], str)
  except InputError:
    pass
