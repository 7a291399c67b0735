"""Exchanges: who follows whom, and rows in which the user asks and the assistant answers."""
import dataclasses
import types

import numpy as np
import pytest

from hypothesis import given, strategies as st

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import shards
from telugu_s2s.tokens import batches, census, preferences, prosody, record, slots, turns
from telugu_s2s.tokens.vocabulary import EPAD, PAD

CODEC, Q, SILENCE, RATE = 'codec-a', 3, np.array([7, 8, 9]), 25.0
WINDOW = batches.Window(frames=40, user_share=0.5, trailing=3)
# dialogue, turn, speaker, frames
SAID = [('d1', 2, 'b', 8), ('d1', 1, 'a', 6), ('d1', 3, 'a', 5), ('d2', 1, 'a', 9), ('d2', 2, 'a', 7), ('', None, 'c', 10),
        ('d3', 1, 'a', 60), ('d3', 2, 'b', 70), ('d4', 5, 'a', 4)]


def clip(number, length):
  """Level 0 says which clip it is, level 1 which frame; prosody says which pair of frames."""
  codes = np.stack([np.full(length, 100 + number), np.arange(length), np.zeros(length)], 1).astype('u2')
  dialogue, turn, speaker, _ = SAID[number]
  return record.Tokens(codes, np.arange((length + 1) // 2).astype('u1'), CODEC, 1024, RATE,
                       {'id': f'{number}', 'source': 's', 'dialogue': dialogue, 'turn': turn, 'speaker': speaker, 'emotion': 'Anger'})


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokens')
  records = [record.to_bytes(clip(number, one[-1])) for number, one in enumerate(SAID)]
  shards.write_manifest(folder, record.KIND, record.VERSION, {}, [shards.write(folder, 'tokens-0', records)], codec=CODEC,
                        silence=SILENCE.tolist())
  return batches.Clips(folder, CODEC)


@pytest.fixture(scope='module')
def scenes(clips):
  return turns.Scenes(clips, RATE)


def places(found):
  return [(one.asked, one.answered) for one in found]


def exchange(*spoken):
  """Of turns (clip, speaker, at_s), the last of which answers the one before it."""
  return turns.Exchange(tuple(turns.Turn(*one) for one in spoken), len(spoken) - 2, len(spoken) - 1)


def spans(row, side):
  """{clip: (first frame, frames)} of a side."""
  level = row['codes'][side, :, 0]
  return {int(value) - 100: (int(np.flatnonzero(level == value)[0]), int(np.sum(level == value))) for value in set(level) - {7}}


def test_exchanges_are_adjacent_turns_of_two_speakers(clips):
  found = turns.exchanges(clips)
  assert places(found) == [(1, 0), (0, 2), (6, 7)] and {one.voice[1] for one in found} == {'angry'}


class Said:
  """Clips whose codes are as long as asked."""
  silence, views = SILENCE, 1

  def __init__(self, *lengths):
    self.lengths = lengths

  def view(self, number, view):
    return clip(number, self.lengths[number])


class Spelt:
  """A vocabulary whose only words are numbers, each a piece."""

  def encode(self, text):
    return [int(text)]


class Worded(Said):
  """Clips that say their number and a hundred more at their frames 2 and 5; the last one's words are not known."""

  def view(self, number, view):
    words = tuple(record.Word(str(10 + number + 100 * at), start, start + 2, 1.0) for at, start in enumerate((2, 5)))
    return dataclasses.replace(super().view(number, view), words=words if number < len(self.lengths) - 1 else None)


WORDS = turns.Scenes(Worded(12, 12, 12, 12, 12), RATE, text=slots.Text(Spelt(), (1.0, 0.0, 0.0)))


def test_the_text_slot_has_what_the_assistant_says_where_it_says_it():
  row = WORDS.row(exchange((1, 'a'), (0, 'b')), batches.Window(40, trailing=3))
  first, frames = spans(row, batches.ASSISTANT)[0]
  wanted = np.full(40, PAD)
  wanted[[first + 1, first + 2, first + 4, first + 5]] = EPAD, 10, EPAD, 110
  assert row['text'].tolist() == wanted.tolist() and (row['task'], row['ahead']) == (slots.DIALOGUE, 0)
  swapped = WORDS.row(exchange((1, 'a'), (0, 'b')), batches.Window(40, trailing=3), swapped=True)
  assert sorted({*swapped['text'].tolist()}) == [PAD, EPAD, 11, 111]          # the question, which is the assistant's then


def test_of_a_turn_that_is_broken_off_the_words_are_too_and_unknown_ones_are_absent():
  window = batches.Window(80, trailing=3)
  for seed in range(20):
    row = WORDS.row(exchange((1, 'a'), (0, 'b')), window, rng=np.random.default_rng(seed), then=exchange((2, 'a'), (3, 'b')))
    mine = spans(row, batches.ASSISTANT)
    said = {name: start for start, name in enumerate(row['text'].tolist()) if name > EPAD}
    assert said == {10 + clip + 100 * at: mine[clip][0] + place for clip in (0, 3) for at, place in enumerate((2, 5)) if place < mine[clip][1]}
  row = WORDS.row(exchange((1, 'a'), (4, 'b')), window)
  first, frames = spans(row, batches.ASSISTANT)[4]
  assert (row['text'][first:first + frames] == record.ABSENT).all() and (np.delete(row['text'], range(first, first + frames)) == PAD).all()


def test_a_worse_answer_has_its_own_words():
  row = preferences.pair(WORDS, exchange((1, 'a'), (0, 'b')), 2, batches.Window(40, trailing=3), None)
  assert {*row['text'].tolist()} == {PAD, EPAD, 10, 110} and {*row['worse_text'].tolist()} == {PAD, EPAD, 12, 112}


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2 ** 32 - 1))
def test_the_user_asks_then_the_assistant_answers_and_nobody_else_speaks(asked, answered, seed):
  rng = np.random.default_rng(seed)
  pause = turns.Scenes(None, RATE).pause(np.random.default_rng(seed))
  found = turns.Scenes(Said(answered, asked), RATE).row(exchange((1, 'a'), (0, 'b')), WINDOW, rng=rng)
  user, mine = found['codes'][batches.USER], found['codes'][batches.ASSISTANT]
  heard, said = np.flatnonzero(user[:, 0] == 101), np.flatnonzero(mine[:, 0] == 100)
  assert len(heard) and len(said) and said[0] % 2 == 0
  np.testing.assert_array_equal(user[heard, 1], np.arange(asked)[-len(heard):])                # its end is kept
  np.testing.assert_array_equal(mine[said, 1], np.arange(len(said)))                           # its beginning is kept
  assert said[0] - heard[-1] - 1 in (pause, pause + 1)
  if asked + answered + pause + 1 <= 40:
    assert (len(heard), len(said)) == (asked, answered)
  np.testing.assert_array_equal(found['answer'], mine[:, 0] == 100)
  np.testing.assert_array_equal(user[np.setdiff1d(np.arange(40), heard)], np.tile(SILENCE, (40 - len(heard), 1)))
  np.testing.assert_array_equal(mine[np.setdiff1d(np.arange(40), said)], np.tile(SILENCE, (40 - len(said), 1)))
  want = prosody.silent(40)
  want[said[::2]] = np.arange(len(said[::2]))
  np.testing.assert_array_equal(found['prosody'], want)
  np.testing.assert_array_equal(found['weight'], np.arange(40) < said[-1] + 1 + 3)


def test_turns_of_a_timeline_lie_where_it_says_and_as_many_as_fit_in():
  scenes = turns.Scenes(Said(8, 6, 5), RATE, history=40)
  talk = exchange((0, 'a', 0.0), (1, 'b', 0.2), (2, 'a', 0.48))              # b begins before a ends; a answers
  row = scenes.row(talk, WINDOW)
  assert spans(row, batches.ASSISTANT) == {0: (0, 8), 2: (12, 5)} and spans(row, batches.USER) == {1: (5, 6)}
  swapped = scenes.row(talk, WINDOW, swapped=True)
  assert spans(swapped, batches.USER) == {0: (0, 8), 2: (12, 5)} and spans(swapped, batches.ASSISTANT) == {1: (6, 6)}
  short = turns.Scenes(Said(8, 6, 5), RATE).row(talk, WINDOW)                # without the history
  assert spans(short, batches.USER) == {1: (0, 6)} and spans(short, batches.ASSISTANT) == {2: (8, 5)}


@pytest.mark.parametrize('history, read, mine', [(0, 2, {49}), (60, 4, {49, 47}), (10**6, 300, {49, 47, 45})])
def test_of_a_long_conversation_only_what_is_heard_is_read(monkeypatch, history, read, mine):
  scenes, found = turns.Scenes(Said(*[8] * 300), RATE, history=history), []
  talk = exchange(*((number, 'ab'[number % 2], number * 1.2) for number in range(300)))
  monkeypatch.setattr(Said, 'view', lambda self, number, view: found.append(number) or record.Tokens(
      np.full((8, Q), 100 + number % 50, 'u2'), np.zeros(4, 'u1'), CODEC, 1024, RATE, {}))
  row = scenes.row(talk, batches.Window(frames=140, trailing=3))
  assert found == [*range(300 - read, 300)] and set(spans(row, batches.ASSISTANT)) == mine


def test_an_answer_talks_over_its_question_no_longer_than_it_may():
  talk = exchange((0, 'a', 0.0), (1, 'b', 0.2))                                # b begins 3 frames before a ends
  for overlap, start in ((None, 6), (5, 6), (1, 8), (0, 8)):
    row = turns.Scenes(Said(8, 6), RATE, overlap=overlap).row(talk, WINDOW)
    assert spans(row, batches.USER) == {0: (0, 8)} and spans(row, batches.ASSISTANT) == {1: (start, 6)}


def test_who_is_interrupted_stops_and_answers_the_other_question():
  scenes = turns.Scenes(Said(4, 30, 6, 5), RATE)
  for seed in range(20):
    row = scenes.row(exchange((0, 'a'), (1, 'b')), batches.Window(110, trailing=3), rng=np.random.default_rng(seed),
                     then=exchange((2, 'c'), (3, 'b')))
    mine, user = spans(row, batches.ASSISTANT), spans(row, batches.USER)
    assert mine[1][0] + 10 <= user[2][0] < mine[1][0] + 30                   # it has spoken for 0.4 s and has not ended
    assert sum(mine[1]) == user[2][0] + 2                                    # it speaks on for 80 ms
    assert mine[3][0] > sum(user[2]) and row['answer'].sum() == 5


def test_who_has_answered_waits_for_the_next_question_and_answers_it():
  scenes, kept = turns.Scenes(Said(20, 30, 16, 25), RATE), {200: [], 100: []}
  for frames in kept:
    for seed in range(20):
      row = scenes.row(exchange((0, 'a'), (1, 'b')), batches.Window(frames, trailing=3), rng=np.random.default_rng(seed),
                       then=exchange((2, 'c'), (3, 'b')), breaks_in=False)
      mine, user = spans(row, batches.ASSISTANT), spans(row, batches.USER)
      assert 5 <= user[2][0] - sum(mine[1]) <= 40                              # 0.2 to 1.6 s of 25 frames
      assert mine[3][0] > sum(user[2]) and mine[3][0] % 2 == 0 and row['answer'].sum() == mine[3][1] == 25
      kept[frames].append(user.get(0, (0, 0))[1])
  assert set(kept[200]) == {20} and max(kept[100]) < 20, 'a short row loses its beginning'


def test_where_a_question_stands_in_its_row_tells_nothing_of_it():
  scenes, found = turns.Scenes(Said(10, 8), RATE), set()
  for seed in range(200):
    row = scenes.row(exchange((0, 'a'), (1, 'b')), batches.Window(60, trailing=3), rng=np.random.default_rng(seed))
    found.add(int(np.flatnonzero(row['codes'][batches.USER, :, 0] != 7)[0]))
    assert row['answer'].sum() == 8
  assert found == set(range(31))                                             # 1.2 s of 25 frames


def test_the_user_is_heard_over_noise_and_with_the_assistants_echo():
  other = Said(6, 6, 6)
  other.views = 3
  other.view = lambda number, view: clip(number + 3 * view, 6)               # clip 4 is the first view of clip 1
  heard = turns.Heard(other, other, np.full((2, 50, Q), 500), share=1.0)
  row = turns.Scenes(Said(8, 6), RATE, heard).row(exchange((1, 'a'), (0, 'b')), WINDOW, rng=np.random.default_rng(0))
  level, start = row['codes'][batches.USER, :, 0], spans(row, batches.ASSISTANT)[0][0]
  assert set(level[:6]) <= {104, 107} and set(level[start:start + 6]) <= {103, 106}
  assert set(np.delete(level, [*range(6), *range(start, start + 6)])) == {500}
  assert set(row['codes'][batches.ASSISTANT, :, 0]) == {7, 100}
  quiet = turns.Scenes(Said(8, 6), RATE, heard).row(exchange((1, 'a'), (0, 'b')), WINDOW)      # where nothing is drawn
  assert set(quiet['codes'][batches.USER, :, 0]) == {7, 101}


@given(st.integers(1, 80), st.floats(0, 0.5), st.integers(0, 2 ** 32 - 1))
def test_a_frayed_question_is_as_long_in_order_and_loses_no_more_than_asked(frames, most, seed):
  heard = turns.Heard(frayed=most)
  found = heard.question(Said(frames), 0, 0, np.random.default_rng(seed))
  assert found.shape == (frames, Q)
  silent = found[:, 0] == 7
  left = found[~silent, 1]
  assert (found[silent] == SILENCE).all() and (np.diff(left) >= 0).all()
  assert silent.sum() <= turns.BLANKS * (frames // 8) and len(set(left)) >= frames - silent.sum() - round(most * frames)
  np.testing.assert_array_equal(heard.question(Said(frames), 0, 0, None), clip(0, frames).codes)


def test_the_floor_tells_who_speaks_in_the_seconds_that_follow():
  row = turns.Scenes(Said(20, 10), 10.0, floor=2).row(exchange((1, 'a', 0.0), (0, 'b', 1.2)), batches.Window(60, trailing=20))
  active = np.stack([(12 <= np.arange(60)) & (np.arange(60) < 32), np.arange(60) < 10])
  for frame in range(60):
    for side in range(2):
      for span, (first, last) in enumerate(((0, 2), (2, 6), (6, 12), (12, 20))):
        part = active[side, frame + 1 + first:frame + 1 + last]
        want = batches.ABSENT if frame + last >= 52 else int(2 * part.sum() >= last - first)
        assert row['floor'][frame, 4 * side + span] == want


def made(clips, window=WINDOW, **more):
  times = {turns.SWAPPED: 0.0, turns.INTERRUPTED: 0.0, turns.FOLLOWED: 0.0, turns.CLIPS: more.pop('replay', 1.0)} | more.pop('times', {})
  return turns.make(turns.Scenes(clips, RATE, floor=more.pop('floor', 0), onset=more.pop('onset', 1.0)), turns.exchanges(clips), window,
                    **{'batch': 4, 'seed': 0, 'times': times, 'counted': census.counted(clips)} | more)


def test_an_epoch_has_every_exchange_once_and_clips_as_often_as_asked(clips):
  def sides(row):
    return tuple(max(set(row[side, :, 0]) - {7}, default=0) for side in (batches.USER, batches.ASSISTANT))
  seen = [sides(row) for row in made(clips, batch=12, replay=1.0)[0]['codes']]
  pairs = [one for one in seen if all(one)]
  assert sorted(pairs) == [(100, 102), (101, 100), (106, 107)]
  assert sorted(max(one) - 100 for one in seen if not all(one)) == list(range(9))
  alone = made(clips, batch=3, replay=0.0)[0]['codes']
  assert sorted(map(sides, alone)) == sorted(pairs)
  both = made(clips, batch=6, replay=0.0, times={turns.SWAPPED: 1.0})[0]['codes']
  assert sorted(map(sides, both)) == sorted(pairs + [one[::-1] for one in pairs])


@pytest.mark.parametrize('share', [0.0, 1.0])
@pytest.mark.parametrize('known', [True, False], ids=['text', 'no text'])
def test_a_recording_of_a_question_is_answered_by_every_take_of_its_answer(share, known):
  clips, text = Said(6, 10, 6, 12, 6, 14), np.array([1, 2] * 3 if known else [0] * 6, np.uint64)
  found = [turns.Exchange((turns.Turn(2 * take, f'u{take}'), turns.Turn(2 * take + 1, 'a', emotion=one)), 0, 1)
           for take, one in enumerate(('happy', 'sad', 'happy'))]
  cast = turns.Cast(WINDOW, turns.Scenes(clips, RATE, retold=share), found, None, text)
  rng, heard = np.random.default_rng(0), {}
  for number in range(3):
    rows = [cast.random_map([(turns.EXCHANGES, number, 0)], rng)['codes'] for _ in range(40)]
    assert {row[batches.USER, :, 0].max() - 100 for row in rows} == {2 * number}
    heard[number] = {int(row[batches.ASSISTANT, :, 0].max()) - 100 for row in rows}
  assert heard == ({0: {1, 3, 5}, 1: {1, 3, 5}, 2: {1, 3, 5}} if share and known else {0: {1}, 1: {3}, 2: {5}})
  rows = [cast.random_map([(turns.FOLLOWED, 1, 0)], rng) for _ in range(40)]             # who feels sad has said it so once
  assert {int(row['codes'][batches.ASSISTANT, row['asked'][0]:, 0].max()) - 100 for row in rows} <= ({1, 3, 5} if share and known else {3})


def test_batches_are_a_function_of_seed_and_step_and_cut_by_process(clips):
  more = dict(times={turns.SWAPPED: 0.5, turns.INTERRUPTED: 1.0, turns.FOLLOWED: 0.5}, floor=5)
  whole = made(clips, **more)
  for process in range(2):
    part = made(clips, process=process, processes=2, **more)
    for name, values in whole[5].items():
      np.testing.assert_array_equal(np.split(values, 2)[process], part[5][name])
  assert any((made(clips, seed=1, **more)[5]['codes'] != whole[5]['codes']).ravel())
  packed = made(clips, batches.Window(frames=160, user_share=0.5, trailing=3, clips=4), batch=2, **more)[0]
  assert packed['segment'].max() > 0 and packed['codes'].shape == (2, 2, 160, Q) and packed['floor'].shape == (2, 160, 8)


@pytest.mark.parametrize('kind', ['as it is', 'swapped', 'interrupted', 'followed', 'alone'])
def test_where_an_assistant_answers_is_told_and_nowhere_else(clips, kind):
  times = {one: float(kind == one) for one in (turns.SWAPPED, turns.INTERRUPTED, turns.FOLLOWED)}
  batch = made(clips, batches.Window(200, trailing=3), batch=12, replay=float(kind == 'alone'), times=times)[0]
  answers = {one.answered: one.asked for one in turns.exchanges(clips)}
  for codes, (first, end, recording) in zip(batch['codes'], batch['asked']):
    mine, user = (codes[side, :, 0] for side in (batches.ASSISTANT, batches.USER))
    if first < 0:
      assert end < 0 and recording < 0 and kind != 'as it is' and (kind != 'alone' or not (mine != 7).any() or not (user != 7).any())
      continue
    said, = set(mine[first:end])
    assert mine[first - 1] == 7 and (mine[end:end + 1] == 7).all() and answers[said - 100] + 100 in user[:first]


def test_the_onset_of_an_answer_counts_more_and_nothing_else(clips):
  window = batches.Window(200, trailing=3)
  plain, told = (made(clips, window, batch=12, replay=1.0, times={turns.SWAPPED: 1.0}, onset=onset)[0] for onset in (1.0, 4.0))
  onsets = 0
  for before, after, (first, end, _) in zip(plain['weight'], told['weight'], told['asked']):
    want = before.copy()
    if first >= 0:
      want[first + 1:min(end, first + 8)] *= 4       # the first frame tells when to begin
      onsets += 1
    np.testing.assert_array_equal(after, want)
  assert 0 < onsets < 12


class Labelled(list):
  """Clips in one view."""

  def view(self, number, view):
    return self[number]


def test_takes_of_a_sentence_are_one_answer_and_clips_without_text_each_their_own():
  labels = [{}, {}, {'text': 'a'}, {'text': 'a'}, {'text': 'b'}, {'text': None}]
  some = Labelled(dataclasses.replace(clip(number, 8), labels=one) for number, one in enumerate(labels))
  numbers = [turns.sentence(some, census.counted(some).text, number) for number in range(len(some))]
  assert len(set(numbers)) == 5 and numbers[2] == numbers[3] and all(0 <= one < 2**31 for one in numbers)


def test_an_answer_without_text_is_one_answer_in_all_its_views():
  some = Said(8, 6)
  some.view = lambda number, view: clip(number + 3 * view, 6)
  cast = turns.Cast(WINDOW, turns.Scenes(some, RATE), [exchange((1, 'a'), (0, 'b'))], None, np.zeros(2, np.uint64))
  rows = [cast.random_map([(turns.EXCHANGES, 0, view)], np.random.default_rng(0)) for view in (0, 1)]
  assert (rows[0]['codes'] != rows[1]['codes']).any() and rows[0]['asked'].tolist() == rows[1]['asked'].tolist()


@pytest.mark.parametrize('speakers,emotions,retold,ways', [
    (0, False, 1.0, [0, 0, 0]), (0, True, 1.0, [0, 1, 0]), (4, False, 1.0, [0, 0, 2]), (4, True, 1.0, [0, 1, 2]), (4, True, 0.0, [0, 0, 0])])
def test_an_answer_said_otherwise_is_another_one_as_far_as_that_can_be_asked_for(speakers, emotions, retold, ways):
  clips, asked = Said(6, 10, 6, 12, 6, 14), types.SimpleNamespace(speakers=speakers, emotions=emotions, row=lambda tokens, mine, rng: {})
  found = [turns.Exchange((turns.Turn(2 * take, f'u{take}'), turns.Turn(2 * take + 1, who, emotion=one)), 0, 1)
           for take, (who, one) in enumerate((('a', 'happy'), ('a', 'sad'), ('b', 'happy')))]
  cast = turns.Cast(WINDOW, turns.Scenes(clips, RATE, retold=retold), found, asked, np.array([1, 2, 1, 2, 1, 2], np.uint64))
  rng, told = np.random.default_rng(0), {}
  for number in [0, 1, 2] * 20:
    row = cast.random_map([(turns.EXCHANGES, number, 0)], rng)
    told.setdefault(int(row['codes'][batches.ASSISTANT, :, 0].max()) - 100, set()).add(int(row['asked'][2]))
  numbers = [number for clip_of in (1, 3, 5) for number in told[clip_of]]
  assert [numbers.index(one) for one in numbers] == ways


def test_where_answers_are_told_moves_with_them_in_packed_rows(clips):
  many, told = made(clips, batches.Window(160, user_share=0.5, trailing=3, clips=4), batch=2), set()
  which = {}
  for batch in (many[step] for step in range(8)):
    assert batch['asked'].shape == (2, 4, 3)
    for row, asked in enumerate(batch['asked']):
      for number, (first, end, recording) in enumerate(asked):
        if first >= 0:
          mine = batch['codes'][row, batches.ASSISTANT]
          assert (batch['segment'][row, first:end] == number).all() and list(mine[first:end, 1]) == list(range(end - first))
          assert which.setdefault(recording, mine[first, 0]) == mine[first, 0]
          told.add(number)
  assert max(told) > 0 and len(set(which.values())) == len(which) > 1


def test_tests_have_each_answer_after_its_own_question_or_after_another(clips, scenes):
  found = turns.exchanges(clips)
  for shift, asked in ((0, [101, 100, 106]), (1, [100, 106, 101])):
    batch, = turns.tests(scenes, found, WINDOW, 4, found[shift:] + found[:shift] if shift else None)
    assert [max(row[batches.USER, :, 0]) for row in batch['codes'][:3]] == asked
    assert [max(row[batches.ASSISTANT, :, 0]) for row in batch['codes'][:3]] == [100, 102, 107]
    np.testing.assert_array_equal(batch['weight'][:3], batch['codes'][:3, batches.ASSISTANT, :, 0] >= 100)
    assert not batch['weight'][3].any()


def test_clips_that_are_no_dialogue_are_refused(clips, scenes):
  with pytest.raises(InputError, match='no turn follows another'):
    turns.make(scenes, [], WINDOW, batch=4, seed=0, times={}, counted=census.counted(clips))
