"""Who speaks when: diarised recordings and those with a speaker a channel become rows that name their part of a file."""
import json

from hypothesis import given, strategies
import numpy as np
import pytest

from telugu_s2s.corpora import catalogue, conversation, fetch, folder, layouts
from telugu_s2s.corpora.folder import Skip

from tests.corpora.test_fetch import config, parquet, sound
from tests.corpora.test_layouts import put, taken


def stereo(seconds=1.2):
  import io
  import soundfile
  file = io.BytesIO()
  soundfile.write(file, np.random.default_rng(1).uniform(-0.1, 0.1, (int(16_000 * seconds), 2)), 16_000, format='WAV')
  return file.getvalue()


def turn(start, end, speaker, text):
  return {'start': start, 'end': end, 'speaker_id': speaker, 'text': text}


def described(verbatim, normalized, **fields):
  return json.dumps({'speaker_id': 'S4258', 'scenario': 'Conversation', 'task_name': 'Roleplays', 'gender': 'Female', 'age_group': '18-30',
                     'district': 'Guntur', 'verbatim': verbatim, 'normalized': normalized, **fields}, ensure_ascii=False)


def parts(root):
  found, skips = folder.recordings(root, '')
  return sorted(found, key=lambda one: (one.path, one.start_s or 0)), skips


def manifest(layout, root):
  found = list(layouts.rows(layout, root))
  (root / 'MANIFEST.jsonl').write_text('\n'.join(json.dumps(row, ensure_ascii=False) for row in found if isinstance(row, dict)), encoding='utf-8')
  return [one for one in found if isinstance(one, Skip)]


def test_both_parties_of_an_indicvoices_conversation_are_kept_with_their_times(tmp_path):
  place = 'Telugu/v1/train/2251799813688787'
  put(tmp_path, place + '.wav', sound(9))
  put(tmp_path, place + '.json', described(
      [turn(3.5, 6.0, 1, '<laughter> అవును OK'), turn(-0.1, 4.0, 0, 'చెప్పండి [noise]'), turn(8, 7, 0, 'x'), turn('?', 9, 0, 'x')],
      [turn(3.5, 6.0, 1, '<laughter> అవును ఓకే'), turn(-0.1, 4.0, 0, 'చెప్పండి [noise]'), {}, {}]))
  put(tmp_path, 'Telugu/v1/valid/9.wav', sound(3))
  put(tmp_path, 'Telugu/v1/valid/9.json', described([turn(0, 3, 0, 'ఒకటి')], [turn(0, 3, 0, 'ఒకటి')], scenario='Extempore'))
  put(tmp_path, 'Telugu/v1/valid/unsaid.wav', sound(3))
  put(tmp_path, 'Telugu/v1/valid/unsaid.json', described([turn(0, 3, 0, 'x')], [], scenario=None))
  put(tmp_path, 'Telugu/v1/train/lost.json', described([turn(0, 3, 0, 'x')], []))
  put(tmp_path, 'Telugu/v1/train/odd.wav', sound(3))
  put(tmp_path, 'Telugu/v1/train/odd.json', '{"verbatim":')
  skips = manifest('indicvoices_raw', tmp_path)
  (first, second, alone, unsaid), missing = parts(tmp_path)
  assert [(one.start_s, one.end_s, one.turn, one.text, one.custom['overlap_s']) for one in (first, second)] == [
      (0.0, 4.0, 0, 'చెప్పండి', '0.5'), (3.5, 6.0, 1, 'అవును ఓకే', '0.5')]
  assert (first.speaker, first.gender, first.custom['district'], second.speaker, second.gender) == ('S4258', 'f', 'Guntur', '2251799813688787-1', '')
  assert {one.dialogue for one in (first, second)} == {place} and second.custom['text_raw'] == '<laughter> అవును OK'
  assert (alone.dialogue, alone.turn, alone.split, alone.style, unsaid.style) == ('', None, 'eval', 'extempore', '')
  assert {one.split for one in (first, second)} == {'train'} and (first.bytes > 0, second.bytes) == (True, 0)
  assert [one.reason for one in skips] == ['bad row'] * 3 and [one.reason for one in missing] == ['missing']


def test_the_held_out_part_of_indicvoices_alone_is_held_out_too(tmp_path):
  for name, split in (('valid', 'eval'), ('train', 'train')):
    put(tmp_path, f'v1/{name}/9.wav', sound(3))
    put(tmp_path, f'v1/{name}/9.json', described([turn(0, 3, 0, 'ఒకటి')], []))
    assert [one['split'] for one in conversation.indicvoices_raw(tmp_path / 'v1' / name)] == [split]


def test_any_list_of_segments_beside_a_recording_is_read(tmp_path):
  put(tmp_path, 'call.wav', stereo(4))
  put(tmp_path, 'call.json', json.dumps({'segments': [
      {'start': 0, 'end': 2, 'speaker': 'A', 'text': 'ఒకటి', 'channel': 0}, {'start': '1.5', 'end': 4, 'speaker': 'B', 'text': 'రెండు', 'channel': 1}, 7]}))
  put(tmp_path, 'other.json', '{}')
  skips = manifest('diarised', tmp_path)
  found, _ = parts(tmp_path)
  assert [(one.speaker, one.channel, one.start_s, one.end_s, one.text) for one in found] == [
      ('call-A', 0, 0.0, 2.0, 'ఒకటి'), ('call-B', 1, 1.5, 4.0, 'రెండు')]
  assert [one.path for one in skips] == ['call.json:2']


def test_what_a_data_frame_wrote_for_missing_is_neither_a_speaker_nor_said(tmp_path):
  put(tmp_path, 'call.wav', sound(4))
  put(tmp_path, 'call.json', '{"segments": [{"start": 0, "end": 1, "speaker": NaN, "text": NaN}, {"start": 1, "end": 2, "speaker": "B", "text": "x"}]}')
  manifest('diarised', tmp_path)
  found, _ = parts(tmp_path)
  assert [(one.speaker, one.text, one.text_provenance) for one in found] == [('', '', 'none'), ('call-B', 'x', 'human')]


def test_recordings_of_one_name_in_two_folders_have_speakers_of_their_own_and_capitals_are_an_extension_too(tmp_path):
  for day, ending in (('monday', '.WAV'), ('tuesday', '.wav')):
    put(tmp_path, f'{day}/call{ending}', sound(2))
    put(tmp_path, f'{day}/call.json', json.dumps({'segments': [{'start': at, 'end': at + 1, 'speaker': name, 'text': 'x'} for at, name in enumerate('AB')]}))
  manifest('diarised', tmp_path)
  found, skips = parts(tmp_path)
  assert [(one.path, one.speaker) for one in found] == [
      ('monday/call.WAV', 'monday/call-A'), ('monday/call.WAV', 'monday/call-B'),
      ('tuesday/call.wav', 'tuesday/call-A'), ('tuesday/call.wav', 'tuesday/call-B')] and skips == []


def test_the_channels_of_a_recording_are_the_two_sides_of_a_dialogue(tmp_path):
  put(tmp_path, 'a/call.wav', stereo())
  put(tmp_path, 'mono.wav', sound())
  put(tmp_path, 'broken.wav', b'nothing')
  skips = manifest('two_channel', tmp_path)
  found, _ = parts(tmp_path)
  assert [(one.path, one.channel, one.dialogue, one.speaker) for one in found] == [
      ('a/call.wav', 0, 'a/call', 'a/call-0'), ('a/call.wav', 1, 'a/call', 'a/call-1')]
  assert {one.path: one.reason for one in skips} == {'mono.wav': 'one channel', 'broken.wav': 'non-audio'}


def test_a_conversation_from_a_hub_has_two_sides_and_a_single_voice_one(tmp_path):
  rows = [{'audio': {'bytes': data, 'path': 'x'}, 'language': 'Telugu'} for data in (stereo(), sound())]
  put(tmp_path, 'train-0.parquet', parquet(rows))
  one = catalogue.source(catalogue.sources(), 'humyn')
  result = fetch.run(config(source='humyn', folder=str(tmp_path)), tmp_path)
  found, _ = parts(tmp_path)
  assert result['rows'] == 3 and [(one.channel, bool(one.dialogue)) for one in found] == [(0, True), (1, True), (None, False)]
  assert one['fetch']['sides'] and {one.licence for one in found} == {'CC-BY-4.0'}


def test_a_style_of_rasa_that_names_an_emotion_is_one_and_the_two_voices_are_told_apart(tmp_path):
  rows = [{'audio': {'bytes': sound(), 'path': 'x'}, 'text': 'x', 'gender': gender, 'style': style}
          for gender, style in (('Female', 'HAPPY'), ('Male', 'ANGER'), ('Male', 'BOOK'))]
  put(tmp_path, 'Telugu-train-0.parquet', parquet(rows))
  fetch.run(config(source='rasa', folder=str(tmp_path)), tmp_path)
  found, _ = parts(tmp_path)
  assert [(one.emotion, one.style, one.speaker, one.gender) for one in found] == [
      ('happy', 'HAPPY', 'rasa:Female', 'f'), ('angry', 'ANGER', 'rasa:Male', 'm'), ('', 'BOOK', 'rasa:Male', 'm')]


def test_kathbath_has_its_texts_in_one_tar_and_its_audio_in_others(tmp_path):
  for split, name in (('train', '844424931537866-594-f'), ('test_known', '844424931537867-600-m')):
    put(tmp_path, f'{split}_audio/data/telugu/{split}/{name}.m4a')
    put(tmp_path, f'transcripts_n2w/data/telugu/{split}/transcription_n2w.txt', f'{name}.m4a\tఒకటి\nlost-1-f.m4a\tx\nodd\n')
  put(tmp_path, 'transcripts_n2w/data/tamil/train/transcription_n2w.txt', '1-2-f.m4a\tx\n')
  found, skips = taken('kathbath', tmp_path)
  assert {(one.speaker, one.gender, one.split, one.text) for one in found.values()} == {('594', 'f', 'train', 'ఒకటి'), ('600', 'm', 'eval', 'ఒకటి')}
  assert sorted(one.reason for one in skips) == ['bad row', 'bad row', 'missing', 'missing']


TIMES = strategies.one_of(strategies.floats(-1, 30), strategies.sampled_from([None, '', 'x', '3', [], float('nan'), float('inf')]))


@given(strategies.lists(strategies.fixed_dictionaries({'start': TIMES, 'end': TIMES, 'speaker': strategies.sampled_from([0, 1, None, 'x', []])}), max_size=8))
def test_turns_come_in_the_order_of_time_and_none_is_lost_in_silence(turns):
  from pathlib import Path
  rows = list(conversation._turns(Path('/a'), Path('/a/b.json'), Path('/a/b.wav'), turns, 'b'))
  assert len(rows) == len(turns)
  sound_rows = [row for row in rows if isinstance(row, dict)]
  assert [row['start_s'] for row in sound_rows] == sorted(row['start_s'] for row in sound_rows)
  for row in sound_rows:
    folder._recording('b.wav', {name: str(value) for name, value in row.items() if name in ('start_s', 'end_s', 'turn')}, '', '')


@pytest.mark.parametrize('row', [{'start_s': 'x'}, {'start_s': 2, 'end_s': 1}, {'end_s': 0}, {'start_s': -1}, {'start_s': 'nan'}, {'end_s': 'inf'}])
def test_a_part_that_is_none_is_a_bad_row(tmp_path, row):
  put(tmp_path, 'a.wav', sound())
  (tmp_path / 'MANIFEST.jsonl').write_text('\n'.join(json.dumps({'path': 'a.wav', **more}) for more in (row, {'start_s': 0.5}, {'start_s': '0.5'}, {})))
  found, skips = folder.recordings(tmp_path, '')
  assert [(one.start_s, one.end_s) for one in found] == [(None, None), (0.5, None)] and [one.reason for one in skips] == ['bad row', 'duplicate']
