"""When turns begin: measured from conversations, drawn, laid out."""
import json

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.dialogue import timing
from telugu_s2s.dialogue.timing import Histogram, Span
from telugu_s2s.errors import InputError


def test_measuring_finds_gaps_overlaps_pauses_backchannels_and_marks():
  spans = [Span(0, 4, 'a', text='<uhh> ఒకటి'), Span(1, 1.4, 'b'), Span(4.25, 6, 'b', text='రెండు'), Span(5.45, 9, 'a', text='<breathing> మూడు'),
           Span(9.35, 10, 'a', text='నాలుగు')]
  found = timing.measured([spans], 'mine')
  value = lambda histogram: sorted(round(histogram.first + histogram.step * number, 6) for number, n in enumerate(histogram.counts) for _ in range(n))
  assert value(found.gap_s) == [-0.6, 0.2] and value(found.pause_s) == [0.3]
  assert found.backchannels_per_s == pytest.approx(1 / (4 + 1.75 + 3.55)) and value(found.backchannel_at) == [0.2]
  assert (found.fillers, found.breaths, found.origin) == (0.25, 0.25, 'mine')


def test_what_conversations_do_not_show_stays_assumed():
  found = timing.measured([[Span(0, 1, 'a'), Span(1.1, 1.2, 'b')]], 'mine')
  for name in ('pause_s', 'backchannels_per_s', 'backchannel_at', 'fillers', 'breaths'):
    assert getattr(found, name) == getattr(timing.ASSUMED, name)
  with pytest.raises(InputError, match='no turn follows'):
    timing.measured([[Span(0, 1, 'a'), Span(1.1, 2, 'a')]], 'mine')


def test_drawing_gives_back_what_was_counted_and_measuring_gives_back_what_was_drawn():
  counts = np.zeros(30, int)
  counts[[5, 12, 13]] = 1, 2, 1                # -0.5, 0.2 and 0.3
  table = timing.Timing('t', Histogram(-1.0, 0.1, tuple(counts)), timing.ASSUMED.pause_s, 0.0, timing.ASSUMED.backchannel_at, 0.0, 0.0)
  rng, dialogues = np.random.default_rng(0), []
  for _ in range(300):
    turns = [('ab'[number % 2], float(rng.uniform(1.5, 3))) for number in range(4)]
    starts = timing.laid(turns, table, rng)
    dialogues.append([Span(start, start + seconds, who) for (who, seconds), start in zip(turns, starts)])
  share = np.array(timing.measured(dialogues, 't').gap_s.counts) / 900
  assert share[[5, 12, 13]] == pytest.approx([0.25, 0.5, 0.25], abs=0.06) and share.sum() == pytest.approx(1)


def test_nobody_overlaps_themselves_and_no_turn_begins_before_the_one_before_it_is_half_over():
  table = timing.Timing('t', Histogram(-1.0, 0.1, (1,)), Histogram(0.2, 0.1, (1,)), 0.0, timing.ASSUMED.backchannel_at, 0.0, 0.0)
  turns = [('a', 3.0), ('b', 0.4), ('a', 2.0), ('a', 1.0), ('b', 5.0)]
  starts = timing.laid(turns, table, np.random.default_rng(0))
  assert starts[0] == 0
  for number in range(1, 5):
    before = turns[number - 1]
    assert starts[number] >= starts[number - 1] + before[1] / 2
  for one in 'ab':
    mine = [(start, start + seconds) for (who, seconds), start in zip(turns, starts) if who == one]
    assert all(after[0] >= before[1] for before, after in zip(mine, mine[1:]))


def test_backchannels_come_in_long_turns_alone_at_their_rate_and_apart():
  rng = np.random.default_rng(0)
  assert not any(timing.backchannels(1.0, timing.ASSUMED, rng) for _ in range(50))
  found = [timing.backchannels(5.0, timing.ASSUMED, rng) for _ in range(400)]
  assert 0.7 * 0.12 * 2000 < sum(map(len, found)) < 1.1 * 0.12 * 2000          # a few too near to the one before are dropped
  assert all(0 <= at <= 5 for one in found for at in one) and all(b - a >= 1 for one in found for a, b in zip(one, one[1:]))


def test_timing_is_kept_in_a_file_and_a_file_that_is_none_is_named(tmp_path):
  timing.save(tmp_path / 'timing.json', timing.ASSUMED)
  assert timing.load(tmp_path / 'timing.json') == timing.ASSUMED == timing.load('')
  known = json.loads((tmp_path / 'timing.json').read_text())
  for text in ('{}', 'no', '[1]', json.dumps(known | {'gap_s': 0.2}), json.dumps(known | {'fillers': 'a'}), '{"gap_s": {"first": 0, "step": 0.1, "counts": [0]}}'):
    (tmp_path / 'other.json').write_text(text)
    with pytest.raises(InputError, match='timing'):
      timing.load(tmp_path / 'other.json')
  with pytest.raises(InputError, match='none.json'):
    timing.load(tmp_path / 'none.json')


@pytest.mark.parametrize('field, value, says', [
    ('fillers', 7, 'fillers is 7, not a number from 0 to 1'), ('fillers', float('nan'), 'fillers is nan'), ('breaths', -0.1, 'breaths is -0.1'),
    ('backchannels_per_s', -1, 'backchannels_per_s is -1, not a number from 0'), ('backchannels_per_s', float('inf'), 'backchannels_per_s is inf'),
    ('backchannel_at', dict(first=-0.5, step=0.1, counts=[1]), 'backchannel_at begins at -0.5'),
    ('gap_s', dict(first='a', step=0.1, counts=[1]), 'str'), ('pause_s', dict(first=float('nan'), step=0.1, counts=[1]), 'begins at nan'),
    ('pause_s', dict(first=0, step=0.1, counts=[1, float('inf')]), 'give counts')])
def test_a_number_that_no_timing_can_have_is_named_before_anything_is_drawn_from_it(tmp_path, field, value, says):
  timing.save(tmp_path / 'timing.json', timing.ASSUMED)
  (tmp_path / 'timing.json').write_text(json.dumps(json.loads((tmp_path / 'timing.json').read_text()) | {field: value}))
  with pytest.raises(InputError, match=rf'config.timing: .* holds no timing \(.*{says}'):
    timing.load(tmp_path / 'timing.json')


def test_the_silence_at_the_ends_of_a_file_is_no_speech(tmp_path, capsys):
  tone = np.sin(np.arange(16000) / 8).astype(np.float32) / 2
  for name in ('a', 'b'):
    files.write_wav(tmp_path / f'{name}.wav', np.pad(tone, (1600, 3200)))
  (tmp_path / 'MANIFEST.tsv').write_text('path\tspeaker\tdialogue\tturn\tat_s\na.wav\tA\td\t0\t0\nb.wav\tB\td\t1\t1.35\n')
  spans = lambda: timing.spans(tmp_path, *corpus.recordings(tmp_path, ''))
  [[first, second]] = spans()
  assert (first.start_s, first.end_s) == pytest.approx((0.1, 1.1), abs=1e-3)
  assert second.start_s - first.end_s == pytest.approx(0.35, abs=1e-3)
  (tmp_path / 'b.wav').write_bytes(b'no sound')
  with open(tmp_path / 'MANIFEST.tsv', 'a') as file:
    file.write('c.wav\tA\td\t2\t0:03\n')
  files.write_wav(tmp_path / 'c.wav', tone)
  assert spans() == [[first]]
  assert 'passed over: ' in (said := capsys.readouterr().out) and 'bad row' in said and 'non-audio' in said
