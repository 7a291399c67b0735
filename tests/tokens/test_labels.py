"""Labels as numbers: they stay when clips are added, say nothing of what was not measured, and never tell of the clip itself."""

import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.lm import conditions
from telugu_s2s.preparation import shards
from telugu_s2s.tokens import batches, labels, record

CODEC = 'codec-a'


def clip(number, speaker='a', source='read', emotion='', **quality):
  codes = np.stack([np.full(12, number), np.arange(12)], 1).astype('u2')
  known = {'id': f'{number}', 'source': source, 'speaker': speaker, 'emotion': emotion, 'quality': quality}
  return record.to_bytes(record.Tokens(codes, np.zeros(6, 'u1'), CODEC, 64, 25.0, known))


def filled(folder, records):
  folder.mkdir(exist_ok=True)
  rows = [shards.write(folder, f'tokens-{len(records)}', records)]
  shards.write_manifest(folder, record.KIND, record.VERSION, {}, rows, codec=CODEC, silence=[0, 0])
  return batches.Clips(folder, CODEC)


FEW = [clip(number, speaker, f0_median_hz=hertz, f0_range_st=float(number))
       for number, (speaker, hertz) in enumerate([('m', 100.0), ('z', 200.0), ('m', 120.0), ('m', 110.0), ('z', 220.0), ('', 90.0)])]


def asked(clips, table, **fields):
  return labels.Asked(table, clips, table, **{'speakers': 9, 'emotions': True, 'knobs': True, 'frames': 5, **fields})


def test_numbers_and_bins_stay_when_clips_are_added(tmp_path):
  first = labels.of(tmp_path, filled(tmp_path, FEW))
  assert first.speakers == ('read/m', 'read/z') and first.clips == (0, 1, 0, 0, 1, -1)
  more = [clip(10 + number, 'b', f0_median_hz=300.0, f0_range_st=99.0) for number in range(6)] + FEW
  second = labels.of(tmp_path, filled(tmp_path, more))
  assert second.speakers == ('read/m', 'read/z', 'read/b') and second.edges == first.edges
  assert second.clips == (2,) * 6 + first.clips and second.pitch_hz[:2] == first.pitch_hz
  assert labels.load(tmp_path / labels.FILE) == second
  other = filled(tmp_path / 'other', FEW[::-1])
  assert labels.of(tmp_path / 'other', other, tmp_path / labels.FILE).speakers == second.speakers


def test_a_run_keeps_its_numbers_on_tokens_that_another_run_numbered(tmp_path):
  mine = labels.of(tmp_path, filled(tmp_path, FEW))
  theirs, other = tmp_path / 'theirs', filled(tmp_path / 'theirs', [clip(20 + number, 'a', f0_median_hz=300.0 + number) for number in range(6)] + FEW)
  assert labels.of(theirs, other).speakers == ('read/a', 'read/m', 'read/z')
  found = labels.of(theirs, other, tmp_path / labels.FILE)
  assert found.speakers == ('read/m', 'read/z', 'read/a') and found.edges == mine.edges and found.clips == (2,) * 6 + mine.clips
  assert labels.load(theirs / labels.FILE) == found
  again = theirs / labels.FILE
  when = again.stat().st_mtime_ns
  assert labels.of(theirs, other, tmp_path / labels.FILE) == found and again.stat().st_mtime_ns == when


def test_the_table_does_not_depend_on_the_order_of_clips(tmp_path):
  a, b = (labels.made(filled(tmp_path / name, order)) for name, order in (('a', FEW), ('b', FEW[::-1])))
  assert (a.speakers, a.pitch_hz, a.edges) == (b.speakers, b.pitch_hz, b.edges)


def test_a_table_goes_on_from_another_where_no_number_means_anything_else():
  before = labels.Table(('a', 'b'), (100.0, None), {'rate': [3.0, 4.0]})
  more = labels.Table(('a', 'b', 'c'), (100.0, 210.0, 300.0), {'rate': [3.0, 4.0], 'pitch': [-1.0, 1.0]})
  assert labels.goes_on(before, before) and labels.goes_on(more, before) and labels.goes_on(more, labels.Table())
  for other in (labels.Table(('a', 'b', 'c'), (101.0, 210.0, 300.0), more.edges), labels.Table(('b', 'a', 'c'), more.pitch_hz, more.edges),
                labels.Table(more.speakers, more.pitch_hz, {'rate': [3.0, 5.0]}), labels.Table(more.speakers, more.pitch_hz),
                labels.Table(('a',), (100.0,), more.edges)):
    assert not labels.goes_on(other, before)


def test_knobs_are_bins_against_the_speaker_and_absent_where_not_measured(tmp_path):
  clips = filled(tmp_path, FEW)
  table = labels.made(clips)
  rows = np.array([asked(clips, table).row(clips[number], True)['knobs'] for number in range(6)])
  assert rows[5, 0] == -1                                       # nobody named: no median to compare with
  assert rows[0, 0] < rows[3, 0] < rows[2, 0] and rows[1, 0] < rows[4, 0]      # 100, 110, 120 Hz of m; 200, 220 of z
  assert rows[:, 1].tolist() == [0, 1, 2, 3, 4, 4]
  assert np.all(rows[:, 2:] == -1)
  assert tuple(labels.KNOBS) == conditions.KNOBS


@pytest.mark.parametrize('given, breath, filler', [
    ({'text': 'ఒకటి', 'custom': {'text_raw': '<breathing> <um> ఒకటి'}}, 1, 1),
    ({'text': 'ఒకటి', 'custom': {'text_raw': '<inhale> <uh> ఒకటి'}, 'quality': {'breaths': 0, 'fillers': 0}}, 0, 1),     # cut away; too short to hear
    ({'text': 'ఒకటి', 'custom': {'text_raw': 'ఒకటి'}, 'quality': {'breaths': 1, 'fillers': 2}}, 1, 1),
    ({'text': 'ఒకటి', 'custom': {'text_raw': 'ఒకటి'}, 'quality': {'breaths': 0, 'fillers': 0}}, 0, 0),
    ({'text': 'ఒకటి', 'custom': {'text_raw': 'ఒకటి'}}, -1, -1),                                     # it may leave marks out
    ({'text': '', 'custom': {'text_raw': '<breathing> ఒకటి'}, 'quality': {'breaths': 0, 'fillers': 1}}, 0, 1),       # a part of a cut recording
    ({}, -1, -1)])
def test_breaths_and_fillers_are_told_by_marks_or_by_ear_and_else_not_known(given, breath, filler):
  assert labels.nonverbal(given) == {'breath': breath, 'filler': filler}


def test_rows_tell_of_breaths_and_fillers_where_they_are_asked_to(tmp_path):
  clips = filled(tmp_path, [clip(number, 'm', f0_median_hz=100.0, breaths=number % 2, fillers=0) for number in range(6)])
  row = asked(clips, labels.made(clips), nonverbal=True).row(clips[1], True)
  assert (row['breath'], row['filler']) == (1, 0) and row['breath'].dtype == np.int32
  assert {asked(clips, labels.made(clips), nonverbal=True).row(clips[1], False)[name] for name in ('breath', 'filler')} == {-1}
  assert 'breath' not in asked(clips, labels.made(clips)).row(clips[1], True)
  assert 'a breath in 3 of 6 clips; a filler in 0 of 6 clips' in asked(clips, labels.made(clips), nonverbal=True).said()


def test_a_recording_is_of_another_clip_of_the_speaker(tmp_path):
  clips = filled(tmp_path, FEW)
  one = asked(clips, labels.made(clips))
  rng = np.random.default_rng(0)
  seen = {int(one.row(clips[0], True, rng)['reference'][0, 0]) for _ in range(30)}
  assert seen == {2, 3}
  assert np.all(one.row(clips[5], True, rng)['reference'] == -1)
  assert one.row(clips[1], True)['reference'][:, 1].tolist() == [0, 1, 2, 3, 4]


def test_of_a_silent_assistant_nothing_is_known(tmp_path):
  clips = filled(tmp_path, [clip(number, emotion='happy', f0_median_hz=100.0 + number) for number in range(6)])
  one = asked(clips, labels.made(clips))
  assert one.row(clips[0], True)['emotion'] == 1
  for value in one.row(clips[0], False).values():
    assert np.all(value == -1)


def test_strange_emotions_are_counted_and_speakers_beyond_the_table_are_absent(tmp_path):
  clips = filled(tmp_path, [clip(0, 'a', emotion='wry'), clip(1, 'b', emotion='Happiness'), clip(2, 'c', emotion='unknown')])
  one = asked(clips, labels.made(clips), speakers=2)
  rows = [one.row(clips[number], True) for number in range(3)]
  assert [int(row['emotion']) for row in rows] == [-1, 1, -1] and [int(row['speaker']) for row in rows] == [0, 1, -1]
  assert 'wry (1)' in one.said() and '1 clips are of speakers beyond' in one.said() and 'unknown' not in one.said()


def test_an_emotion_is_asked_for_where_there_were_clips_of_it_to_learn_from(tmp_path):
  table = labels.made(filled(tmp_path, [clip(0, emotion='happy'), clip(1, emotion='neutral'), clip(2)]))
  assert table.felt == ('neutral', 'happy') and table.feeling('happiness') == 1
  with pytest.raises(InputError, match="'angry': there were no clips of it to learn from; give one of neutral, happy"):
    table.feeling('angry')
  grown = labels.made(filled(tmp_path / 'more', [clip(0, emotion='sad')]), table)
  assert grown.felt == ('neutral', 'happy', 'sad'), 'what was learnt before is not forgotten'
  old = labels.made(filled(tmp_path / 'old', [clip(0, emotion='neutral')]), labels.Table(('read/b',), (None,)))
  assert old.felt == labels.EMOTIONS, 'what the clips of an older table felt was not counted'
  assert labels.made(filled(tmp_path / 'none', [clip(0)])).felt == ()
  assert labels.Table().feeling('angry') == labels.EMOTIONS.index('angry'), 'of an older table nobody knows'


def test_what_is_asked_for_by_name_and_not_there_is_named(tmp_path):
  table = labels.Table(('x/anu', 'y/anu', 'y/ravi'))
  assert table.named('ravi', 3) == 2 and table.named('x/anu', 3) == 0
  for name, says in (('anu', 'several.*x/anu, y/anu'), ('rama', 'no such speaker.*y/ravi')):
    with pytest.raises(InputError, match=says):
      table.named(name, 3)
  with pytest.raises(InputError, match="speaker 'ravi': beyond the 2 speakers"):
    table.named('ravi', 2)
  with pytest.raises(InputError, match='neutral, happy'):
    labels.asked_emotion('wry')
  (tmp_path / 'labels.json').write_text('{"version": 1}')
  with pytest.raises(InputError, match='no table of labels'):
    labels.load(tmp_path / 'labels.json')


def test_batches_say_what_is_asked_and_are_otherwise_the_same(tmp_path):
  clips = filled(tmp_path, FEW)
  window = batches.Window(frames=12, user_share=0.0)
  one = asked(clips, labels.made(clips), frames=0)
  make = lambda asked: batches.make(clips, window, batch=4, seed=0, asked=asked)
  plain, told = make(None)[3], make(one)[3]
  assert set(told) - set(plain) == {'speaker', 'emotion', 'knobs'} and told['knobs'].shape == (4, 4)
  for name in plain:
    np.testing.assert_array_equal(plain[name], told[name])
  held_out, = batches.evaluation(clips, window, 8, None, asked(clips, labels.made(clips)))
  assert held_out['reference'].shape == (8, 5, 2) and held_out['speaker'].tolist()[:6] == [0, 1, 0, 0, 1, -1]


@pytest.mark.parametrize('label, name', [('anger', 'angry'), (' Happy', 'happy'), ('unknown', ''), ('', ''), ('wistful', '')])
def test_an_emotion_has_one_name_whatever_its_corpus_calls_it(label, name):
  assert labels.named_emotion(label) == name
