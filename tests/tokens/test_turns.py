"""Exchanges: who follows whom, and rows in which the user asks and the assistant answers."""
import numpy as np
import pytest

from hypothesis import given, strategies as st

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import shards
from telugu_s2s.tokens import batches, census, record, turns

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
                       {'id': f'{number}', 'source': 's', 'dialogue': dialogue, 'turn': turn, 'speaker': speaker})


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokens')
  records = [record.to_bytes(clip(number, one[-1])) for number, one in enumerate(SAID)]
  shards.write_manifest(folder, record.KIND, record.VERSION, {}, [shards.write(folder, 'tokens-0', records)], codec=CODEC,
                        silence=SILENCE.tolist())
  return batches.Clips(folder, CODEC)


def test_exchanges_are_adjacent_turns_of_two_speakers(clips):
  assert turns.exchanges(clips) == [turns.Exchange(1, 0), turns.Exchange(0, 2), turns.Exchange(6, 7)]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 12))
def test_the_user_asks_then_the_assistant_answers_and_nobody_else_speaks(asked, answered, pause):
  found = turns.row(clip(1, asked), clip(0, answered), pause, WINDOW, SILENCE)
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
  want = np.full(40, batches.ABSENT)
  want[said[::2]] = np.arange(len(said[::2]))
  np.testing.assert_array_equal(found['prosody'], want)
  np.testing.assert_array_equal(found['weight'], np.arange(40) < said[-1] + 1 + 3)


def made(clips, window=WINDOW, **more):
  return turns.make(clips, turns.exchanges(clips), window, RATE, **{'batch': 4, 'seed': 0, 'replay': 1.0, 'counted': census.counted(clips)} | more)


def test_an_epoch_has_every_exchange_once_and_clips_as_often_as_asked(clips):
  seen = []
  for row in (made(clips, batch=12, replay=1.0)[0]['codes']):
    heard, said = (set(row[side, :, 0]) - {7} for side in (batches.USER, batches.ASSISTANT))
    seen.append((min(heard, default=0), min(said, default=0)))
  pairs = [one for one in seen if all(one)]
  assert sorted(pairs) == [(100, 102), (101, 100), (106, 107)]
  assert sorted(max(one) - 100 for one in seen if not all(one)) == list(range(9))
  alone = made(clips, batch=3, replay=0.0)[0]['codes']
  assert sorted(tuple(max(row[side, :, 0]) for side in (batches.USER, batches.ASSISTANT)) for row in alone) == sorted(pairs)


def test_batches_are_a_function_of_seed_and_step_and_cut_by_process(clips):
  whole = made(clips)
  for process in range(2):
    part = made(clips, process=process, processes=2)
    for name, values in whole[5].items():
      np.testing.assert_array_equal(values[process::2], part[5][name])
  assert any((made(clips, seed=1)[5]['codes'] != whole[5]['codes']).ravel())
  packed = made(clips, batches.Window(frames=160, user_share=0.5, trailing=3, clips=4), batch=2)[0]
  assert packed['segment'].max() > 0 and packed['codes'].shape == (2, 2, 160, Q)


def test_tests_have_each_answer_after_its_own_question_or_after_another(clips):
  found = turns.exchanges(clips)
  for shift, asked in ((0, [101, 100, 106]), (1, [100, 106, 101])):
    batch, = turns.tests(clips, found, WINDOW, RATE, 4, shift)
    assert [max(row[batches.USER, :, 0]) for row in batch['codes'][:3]] == asked
    assert [max(row[batches.ASSISTANT, :, 0]) for row in batch['codes'][:3]] == [100, 102, 107]
    np.testing.assert_array_equal(batch['weight'][:3], batch['codes'][:3, batches.ASSISTANT, :, 0] >= 100)
    assert not batch['weight'][3].any()


def test_clips_that_are_no_dialogue_are_refused(clips):
  with pytest.raises(InputError, match='no turn follows another'):
    turns.make(clips, [], WINDOW, RATE, batch=4, seed=0, replay=1.0, counted=census.counted(clips))
