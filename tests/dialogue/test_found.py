"""Dialogues in recordings, and answers matched to questions."""
import csv
import json

import numpy as np
import pytest

from telugu_s2s import main
from telugu_s2s.audio import files
from telugu_s2s.corpora import sample
from telugu_s2s.corpora.folder import Recording
from telugu_s2s.dialogue import found, matched, timing
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import dialogues
from telugu_s2s.evaluation import pairs as job
from tests.dialogue.test_pairs import CONFIG, config, manifest

GAPS_S = (0.2, 0.6, -0.3, 3.0, 0.4)          # between six turns; the fourth ends a dialogue


@pytest.fixture(scope='module')
def two():
  """Two voices in turns, f32[2 samples], one a channel, and [(start, end, side)]."""
  clips = [dialogues.audible(files.read(sorted(sample.folder().glob(f'audio/q*-{voice}.opus'))[number])[0]) * 0.5
           for number, voice in enumerate(['mezzo', 'buzz'] * 3)]
  spans, at = [], 0.5
  for number, clip in enumerate(clips):
    spans.append((at, at + len(clip) / 16000, number % 2))
    at = spans[-1][1] + (GAPS_S[number] if number < 5 else 0.5)
  channels = np.zeros((2, round(at * 16000)), np.float32)
  for clip, (start, _, side) in zip(clips, spans):
    first = round(start * 16000)
    channels[side, first:first + len(clip)] += clip
  return channels, spans


def wav(path, samples):
  import soundfile
  soundfile.write(path, samples.T, 16000, subtype='PCM_16')


def rows_of(workdir):
  return [(row['dialogue'], int(row['turn']), float(row['at_s']), row['speaker'], row['act']) for row in manifest(workdir / 'pairs')]


def test_two_channels_give_turns_overlaps_and_all(two, tmp_path):
  channels, spans = two
  (tmp_path / 'in').mkdir()
  wav(tmp_path / 'in/talk.wav', channels)
  job.run(config(source='recordings', folder=str(tmp_path / 'in'), layout='two_channel'), tmp_path)
  rows = rows_of(tmp_path)
  assert [row[0] for row in rows] == ['in-talk-000'] * 4 + ['in-talk-001'] * 2
  starts = [start - spans[0][0] for start, *_ in spans[:4]] + [0.0, spans[5][0] - spans[4][0]]
  assert [row[2] for row in rows] == pytest.approx(starts, abs=0.15)
  assert [row[3] for row in rows] == [f'talk-{number % 2}' for number in range(6)]
  assert {row['channel'] for row in manifest(tmp_path / 'pairs')} == {'0', '1'} and rows[3][2] < rows[2][2] + float(manifest(tmp_path / 'pairs')[2]['seconds'])
  first = manifest(tmp_path / 'pairs')[0]
  assert first['path'].endswith('.flac') and first['source'] == 'in' and first['licence'] == 'LicenseRef-own'


def test_turns_in_files_of_their_own_lie_where_their_rows_say(tmp_path, capsys):
  job.run(config(source='text', count=4), tmp_path / 'made')
  job.run(config(source='recordings', folder=str(tmp_path / 'made/pairs')), tmp_path / 'found')
  told = lambda folder: [(row['speaker'], row['text'], round(float(row['at_s']), 2)) for row in manifest(folder / 'pairs')]
  assert told(tmp_path / 'found') == told(tmp_path / 'made')
  path = tmp_path / 'made/pairs/MANIFEST.tsv'
  path.write_text(path.read_text().replace('\tat_s\t', '\tbegins\t', 1) + 'audio/none.opus\n')
  with pytest.raises(InputError, match='no times'):
    job.run(config(source='recordings', folder=str(tmp_path / 'made/pairs')), tmp_path / 'none')
  report = (tmp_path / 'none/report.tsv').read_text()
  assert 'a column at_s is to say at which second' in report and 'audio/none.opus' in report, 'nothing is lost'


def test_a_turn_that_was_blanked_out_ends_a_stretch_and_loses_no_other(two, tmp_path):
  channels, spans = two
  (tmp_path / 'in').mkdir()
  audio, (start, end, _) = channels.sum(0, keepdims=True).copy(), spans[2]
  audio[0, round(start * 16000):round(end * 16000)] = 0                      # as where a name is taken out
  wav(tmp_path / 'in/talk.wav', audio)
  listed = [{'start': start, 'end': end, 'speaker': f's{side}'} for start, end, side in spans]
  (tmp_path / 'in/talk.json').write_text(json.dumps({'segments': listed}))
  job.run(config(source='recordings', folder=str(tmp_path / 'in'), layout='diarised'), tmp_path)
  assert [row[0] for row in rows_of(tmp_path)] == ['in-talk-000'] * 2 + ['in-talk-001'] * 2
  with open(tmp_path / 'report.tsv', newline='') as file:
    assert [row['reason'] for row in csv.DictReader(file, delimiter='\t')] == ['silent']


def test_a_list_of_turns_in_one_channel_gives_those_that_nobody_overlaps(two, tmp_path):
  channels, spans = two
  (tmp_path / 'in').mkdir()
  wav(tmp_path / 'in/talk.wav', channels.sum(0, keepdims=True))
  listed = [{'start': start, 'end': end, 'speaker': f's{side}', 'text': f'మాట {number}'} for number, (start, end, side) in enumerate(spans)]
  (tmp_path / 'in/talk.json').write_text(json.dumps({'segments': listed}))
  job.run(config(source='recordings', folder=str(tmp_path / 'in'), layout='diarised', licence='CC-BY-4.0'), tmp_path)
  rows = manifest(tmp_path / 'pairs')
  assert [(row['dialogue'], row['text']) for row in rows] == [('in-talk-000', 'మాట 0'), ('in-talk-000', 'మాట 1'), ('in-talk-001', 'మాట 4'), ('in-talk-001', 'మాట 5')]
  assert float(rows[1]['at_s']) == pytest.approx(spans[1][0] - spans[0][0], abs=1e-3) and rows[0]['licence'] == 'CC-BY-4.0'
  assert {row['text_provenance'] for row in rows} == {'human'}
  cut = files.read(tmp_path / 'pairs' / rows[0]['path'])[0]
  assert np.abs(cut - channels.sum(0)[round(spans[0][0] * 16000):][:len(cut)]).max() < 1e-4


def test_one_channel_without_a_list_is_diarised_and_a_broken_file_is_set_aside(two, tmp_path):
  channels, spans = two
  (tmp_path / 'in').mkdir()
  gap = np.zeros(8000, np.float32)
  parts = [channels[side, round(start * 16000):round(end * 16000)] for start, end, side in spans]
  wav(tmp_path / 'in/talk.wav', np.concatenate([sound for part in parts for sound in (part, gap)])[None])
  (tmp_path / 'in/broken.wav').write_bytes(b'RIFF no more')
  job.run(config(source='recordings', folder=str(tmp_path / 'in')), tmp_path)
  rows = manifest(tmp_path / 'pairs')
  assert [row['speaker'] for row in rows] == [f'talk-{number % 2}' for number in range(6)] and {row['dialogue'] for row in rows} == {'in-talk-000'}
  assert 'broken' in (tmp_path / 'report.tsv').read_text()


def test_a_third_voice_a_long_pause_and_a_long_dialogue_end_a_stretch():
  part = lambda start, end, who: found.Part(start, end, who, {})
  stretch = lambda parts, longest=60.0: [[one.speaker for one in run] for run in found.runs(parts, parts, longest)]
  assert stretch([part(0, 1, 'a'), part(1.2, 2, 'b'), part(2.5, 3, 'c'), part(3.2, 4, 'b')]) == [['a', 'b'], ['c', 'b']]
  assert stretch([part(0, 1, 'a'), part(3.2, 4, 'b'), part(4.1, 5, 'a')]) == [['b', 'a']]
  assert stretch([part(0, 1, 'a'), part(1, 2, 'a')]) == []
  assert stretch([part(0, 1, 'a'), part(1, 2, 'b'), part(2, 3, 'a'), part(3, 4, 'b')], 2.5) == [['a', 'b'], ['a', 'b']]
  assert stretch([part(0, 5, 'a'), part(2, 2.4, 'b'), part(5.2, 6, 'b')]) == [['a', 'b', 'b']]             # a backchannel breaks nothing
  assert stretch([part(0, 5, 'a'), part(2, 8, 'b')]) == []                                                 # somebody broke in
  assert stretch([part(0, 5, 'a'), part(1, 1.4, 'b'), part(3, 8, 'b'), part(8.2, 9, 'a')]) == [['a', 'b'], ['b', 'a']]      # after a backchannel
  assert stretch([part(0, 5, 'a'), part(1, 1.4, 'b'), part(3, 3.4, 'b'), part(4.6, 8, 'b')]) == [['a', 'b', 'b', 'b']]


def test_a_count_cuts_each_split_in_its_share_and_says_how_many_are_left_out(tmp_path, capsys):
  splits = ['train'] * 30 + ['eval'] * 10
  held = lambda count, seed=0: sum(number >= 30 for number in found.drawn(splits, count, seed))
  assert [len(found.drawn(splits, count, 0)) for count in (0, 1, 7, 40, 99)] == [40, 1, 7, 40, 40] and found.drawn(splits, 0, 0) == list(range(40))
  assert [held(count) for count in (2, 4, 20, 39)] == [1, 1, 5, 10]
  assert found.drawn(splits, 8, 0) == found.drawn(splits, 8, 0) == sorted(found.drawn(splits, 8, 0)) != found.drawn(splits, 8, 1)
  assert set(found.drawn(splits, 8, 0)) < set(found.drawn(splits, 9, 0))
  lines = ['path\tspeaker\tdialogue\tturn\tat_s\tsplit']
  for number in range(6):
    for turn, who in enumerate('AB'):
      files.write_wav(tmp_path / f'{number}{who}.wav', np.sin(np.arange(16000) / 9, dtype=np.float32) / 3)
      lines.append(f'{number}{who}.wav\t{who}{number}\td{number}\t{turn}\t{1.2 * turn}\t{"eval" if number == 5 else "train"}')
  (tmp_path / 'MANIFEST.tsv').write_text('\n'.join(lines) + '\n')
  of = lambda count, out: job.run(config(source='recordings', folder=str(tmp_path), count=count), tmp_path / out)
  assert of(0, 'all')['dialogues'] == 6 and 'conversations, drawn' not in capsys.readouterr().out
  assert of(3, 'some')['dialogues'] == 3 and '3 of 6 conversations, drawn from each split' in capsys.readouterr().out
  assert {row['split'] for row in manifest(tmp_path / 'some/pairs')} == {'train', 'eval'}
  assert main.load(str(CONFIG), ['recordings']).count == 0, 'a corpus is taken whole'
  with pytest.raises(InputError, match='config.count -1: give 1 or more, or 0 for all'):
    of(-1, 'none')


def test_conversations_whose_source_and_name_read_alike_are_both_there(tmp_path):
  lines = ['path\tspeaker\tsource\tdialogue\tturn\tat_s']
  for source, name in (('a-b', 'c'), ('a', 'b-c')):
    for turn, who in enumerate('AB'):
      files.write_wav(tmp_path / f'{source}{who}.wav', np.sin(np.arange(16000) / 9, dtype=np.float32) / 3)
      lines.append(f'{source}{who}.wav\t{who}\t{source}\t{name}\t{turn}\t{1.2 * turn}')
  (tmp_path / 'MANIFEST.tsv').write_text('\n'.join(lines) + '\n')
  job.run(config(source='recordings', folder=str(tmp_path)), tmp_path / 'out')
  assert {(row['dialogue'], row['source']) for row in manifest(tmp_path / 'out/pairs')} == {('a-b-c-000', 'a-b'), ('a-b-c--2-000', 'a')}


def test_a_folder_without_an_exchange_is_named(tmp_path):
  (tmp_path / 'in').mkdir()
  wav(tmp_path / 'in/alone.wav', np.sin(np.arange(48000) / 9, dtype=np.float32)[None] / 3)
  with pytest.raises(InputError, match='1 no exchange'):
    job.run(config(source='recordings', folder=str(tmp_path / 'in')), tmp_path)


def test_timing_is_measured_in_the_layout_that_is_named_and_on_what_is_trained_on(two, tmp_path):
  channels, spans = two
  for folder, gap_s in (('train', 0.25), ('test', 1.25)):
    (tmp_path / 'in' / folder).mkdir(parents=True)
    wav(tmp_path / f'in/{folder}/talk.wav', channels.sum(0, keepdims=True))
    listed = [{'start': 0.5, 'end': 2.0, 'speaker_id': 1}, {'start': 2.0 + gap_s, 'end': 4.0, 'speaker_id': 2}]
    (tmp_path / f'in/{folder}/talk.json').write_text(json.dumps({'verbatim': listed}))
  asked = dict(source='timing', folder=str(tmp_path / 'in'))
  measured = job.run(config(layout='indicvoices_raw', **asked), tmp_path)
  assert np.flatnonzero(measured.gap_s.counts).tolist() == [12] and timing.load(tmp_path / 'timing.json') == measured
  for layout in ('', 'two_channel'):
    with pytest.raises(InputError, match='of split train .* says .* from when to when; name its config.layout|no conversation in'):
      job.run(config(layout=layout, **asked), tmp_path)
  with pytest.raises(InputError, match="config.layout 'indic'"):
    job.run(config(layout='indic', **asked), tmp_path)


def test_a_question_is_answered_by_another_speaker_of_its_split(tmp_path):
  job.run(config(source='retrieval', count=60), tmp_path)
  rows = manifest(tmp_path / 'pairs')
  with open(sample.folder() / 'MANIFEST.tsv', encoding='utf-8', newline='') as file:
    split = {row['text']: row['split'] for row in csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE)}
  for asked, answered in zip(rows[::2], rows[1::2]):
    assert asked['dialogue'] == answered['dialogue'] and asked['speaker'] != answered['speaker'] and asked['text'].endswith('?')
    assert split[asked['text']] == split[answered['text']] == asked['split'] == answered['split']
  paths = [row['text'] + row['speaker'] for row in rows[1::2]]
  assert max(paths.count(one) for one in paths) <= 2 and len(rows) > 40


def test_matching_takes_the_nearest_other_speaker_and_no_recording_too_often():
  row = lambda path, speaker, text, split='train': Recording(path, speaker=speaker, text=text, split=split)
  rows = [row('q', 'A', 'వాన పడిందా?'), row('r', 'B', 'వాన పడిందా ఇక్కడ?'), row('same', 'A', 'వాన పడింది'), row('near', 'C', 'వాన పడింది'), row('far', 'C', 'వాన రాదు'),
          row('held', 'D', 'వాన పడింది', 'eval')]
  bags = [matched.retrieval.grams(one.text) for one in rows]
  asking = [matched.asks(one) for one in rows]
  assert asking == [True, True, False, False, False, False]
  of = lambda reuse, count=99: {rows[asked].path: rows[answer].path for asked, answer in matched.matches(rows, asking, bags, np.random.default_rng(0), reuse, count)}
  assert of(2)['q'] == 'near' and of(2)['r'] in ('same', 'near')
  assert len(set(of(1).values())) == 2


def test_sides_whose_licences_do_not_fit_are_set_aside(tmp_path):
  tone = np.sin(np.arange(16000) / 9, dtype=np.float32) / 3
  for name in 'abcd':
    files.write_wav(tmp_path / f'{name}.wav', tone)
  (tmp_path / 'MANIFEST.tsv').write_text('path\tspeaker\ttext\tlicence\na.wav\tA\tవాన?\tCC-BY-SA-4.0\nb.wav\tB\tవాన\t\nc.wav\tA\tచలి?\tCC0-1.0\nd.wav\tB\tచలి\tCC-BY-4.0\n')
  job.run(config(source='retrieval', folder=str(tmp_path)), tmp_path / 'out')
  assert {row['licence'] for row in manifest(tmp_path / 'out/pairs')} == {'CC-BY-4.0'}
  assert 'CC-BY-SA-4.0 and unknown may not' in (tmp_path / 'out/report.tsv').read_text()


def test_codes_find_the_same_words_in_another_recording(tmp_path, codec_file):
  """The tiny codec is untrained: a copy has the same codes, which is all that is asked here."""
  names = ['q001-mezzo', 'q003-tenor']
  lines = ['path\tspeaker']
  for name in names:
    for who in 'AB':
      files.write_wav(tmp_path / f'{name}-{who}.wav', files.read(sorted(sample.folder().glob(f'audio/{name.split("-")[0]}-*.opus'))[0])[0])
      lines.append(f'{name}-{who}.wav\t{who}')
  (tmp_path / 'MANIFEST.tsv').write_text('\n'.join(lines) + '\n')
  given = config(source='retrieval', folder=str(tmp_path), codec=str(codec_file), reuse=6)
  units, _ = matched.units(given, timing.ASSUMED, tmp_path)
  assert len(units) == 4
  for unit in units[:2]:
    [dialogue] = unit.made()
    assert np.array_equal(*(one.samples for one in dialogue.turns)) and {one.speaker for one in dialogue.turns} == {'A', 'B'}
