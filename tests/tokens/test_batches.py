"""Batches of dialogues: a function of seed and step, cut by process last, every row as it was cast."""
import dataclasses
import pathlib

import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import shards
from telugu_s2s.tokens import batches, census, prosody, record

LENGTHS = [5, 9, 12, 13, 20, 31, 40]             # frames of the clips
CODEC, Q, SILENCE = 'codec-a', 3, [7, 8, 9]
WINDOW = batches.Window(frames=14, user_share=0.4, trailing=3)


def clip(number, codec=CODEC):
  """Level 0 says which clip it is, level 1 which frame; prosody says which pair of frames."""
  frames = LENGTHS[number]
  codes = np.stack([np.full(frames, 100 + number), np.arange(frames), np.zeros(frames)], 1).astype('u2')
  return record.to_bytes(record.Tokens(codes, np.arange((frames + 1) // 2).astype('u1'), codec, 1024, 25.0, {'id': f'{number}'}))


def filled(folder, records):
  rows = [shards.write(folder, 'tokens-0', records[:3]), shards.write(folder, 'tokens-1', records[3:])]
  shards.write_manifest(folder, record.KIND, record.VERSION, {}, rows, codec=CODEC, silence=SILENCE)
  return folder


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
  return batches.Clips(filled(tmp_path_factory.mktemp('tokens'), [clip(number) for number in range(7)]), CODEC)


def made(clips, batch=4, seed=0, **more):
  return batches.make(clips, more.pop('window', WINDOW), batch=batch, seed=seed, **more)


def assert_equal(a, b):
  assert a.keys() == b.keys()
  for name in a:
    np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def rows(batch):
  for row in range(len(batch['codes'])):
    yield {name: values[row] for name, values in batch.items()}


def cast(row):
  """(side, clip, frames of the clip in the row)."""
  side, = (side for side in (0, 1) if (row['codes'][side, :, 0] >= 100).any())
  mine = row['codes'][side]
  there = mine[:, 0] >= 100
  number, = set(mine[there, 0])
  return side, number - 100, mine[there, 1]


def test_a_batch_is_a_function_of_seed_and_step(clips):
  in_turn = made(clips)
  in_turn = [in_turn[step] for step in range(8)]
  assert_equal(in_turn[7], made(clips)[7])
  assert_equal(in_turn[2], made(clips)[2])
  assert any((in_turn[7]['codes'] != made(clips, seed=1)[7]['codes']).ravel())
  assert any((in_turn[7]['codes'] != in_turn[6]['codes']).ravel())


@pytest.mark.parametrize('processes', [2, 4])
def test_processes_cut_one_global_batch_between_them(clips, processes):
  whole = made(clips)
  parts = [made(clips, process=process, processes=processes) for process in range(processes)]
  for step in (0, 3, 11):
    for process, part in enumerate(parts):
      assert_equal({name: np.split(values, processes)[process] for name, values in whole[step].items()}, part[step])


def test_a_batch_that_does_not_divide_over_the_processes_is_refused(clips):
  with pytest.raises(InputError, match='config.batch: 4 does not divide over 3 processes'):
    made(clips, processes=3)


def test_every_clip_is_read_once_an_epoch_and_the_next_one_is_shuffled_anew(clips):
  source = made(clips, batch=7)
  orders = [[cast(row)[1] for row in rows(source[epoch])] for epoch in range(3)]
  for order in orders:
    assert sorted(order) == list(range(7))
  assert orders[0] != orders[1]


def test_every_row_has_the_windows_length_and_the_clip_from_an_even_frame_on(clips):
  seen = set()
  for step in range(30):
    for row in rows(made(clips)[step]):
      assert row['codes'].shape == (2, 14, Q) and row['prosody'].shape == row['weight'].shape == (14,)
      assert row['codes'].dtype == row['prosody'].dtype == np.int32 and row['weight'].dtype == np.float32
      side, number, frames = cast(row)
      assert len(frames) == min(14, LENGTHS[number]) and frames[0] % 2 == 0
      np.testing.assert_array_equal(frames, frames[0] + np.arange(len(frames)))
      np.testing.assert_array_equal(row['codes'][side, len(frames):], np.tile(SILENCE, (14 - len(frames), 1)))
      np.testing.assert_array_equal(row['codes'][1 - side], np.tile(SILENCE, (14, 1)))
      seen.add((side, number, frames[0]))
  assert {(number, start) for _, number, start in seen if number == 4} == {(4, 0), (4, 2), (4, 4), (4, 6)}
  assert {side for side, _, _ in seen} == {batches.ASSISTANT, batches.USER}


def test_the_assistants_prosody_comes_at_every_second_frame_and_tells_of_it_or_of_silence(clips):
  for step in range(12):
    for row in rows(made(clips)[step]):
      side, _, frames = cast(row)
      want = prosody.silent(14)
      if side == batches.ASSISTANT:
        want[:len(frames):2] = frames[::2] // 2
      np.testing.assert_array_equal(row['prosody'], want)


@pytest.mark.parametrize('share', [0.0, 0.5, 1.0])
def test_the_share_of_users_is_kept(clips, share):
  source = made(clips, batch=100, window=batches.Window(14, share))
  users = np.mean([cast(row)[0] == batches.USER for row in rows(source[0])])
  assert users == share if share in (0, 1) else abs(users - share) < 0.2         # 4 standard deviations


def test_what_fills_a_row_behind_the_clip_has_no_weight(clips):
  for number, length in enumerate(LENGTHS):
    row = batches.row(clips[number], batches.ASSISTANT, 0, WINDOW, clips.silence)
    np.testing.assert_array_equal(row['weight'], [1.0 if frame < length + 3 else 0.0 for frame in range(14)])


PACKED = batches.Window(frames=48, user_share=0.4, trailing=3, clips=3, align=4)


def test_a_packed_row_holds_whole_clips_one_behind_the_other(clips):
  seen = []
  for step in range(4):
    for row in rows(made(clips, window=PACKED)[step]):
      assert row['codes'].shape == (2, 48, Q) and row['segment'].shape == row['weight'].shape == (48,)
      numbers = [number for number in sorted(set(row['segment'])) if number != batches.ABSENT]
      assert numbers == list(range(len(numbers))) and len(numbers) <= 3
      for number in numbers:
        there = np.flatnonzero(row['segment'] == number)
        part = {'codes': row['codes'][:, there]}
        side, which, frames = cast(part)
        assert there[0] % 4 == 0 and (np.diff(there) == 1).all()
        np.testing.assert_array_equal(frames, np.arange(LENGTHS[which]))
        np.testing.assert_array_equal(row['weight'][there], np.arange(len(there)) < LENGTHS[which] + 3)
        want = prosody.silent(len(there))
        if side == batches.ASSISTANT:
          want[:len(frames):2] = frames[::2] // 2
        np.testing.assert_array_equal(row['prosody'][there], want)
        seen.append(which)
      behind = row['segment'] == batches.ABSENT
      assert not row['weight'][behind].any() and (row['prosody'][behind] == batches.ABSENT).all()
      np.testing.assert_array_equal(row['codes'][:, behind], np.tile(SILENCE, (2, behind.sum(), 1)))
  assert sorted(set(seen)) == list(range(7))


def test_a_clip_that_others_leave_too_little_of_a_row_is_cut_at_its_end(clips):
  rows = [lambda window, number=number: batches.row(clips[number], batches.ASSISTANT, 0, window, clips.silence) for number in (5, 6)]
  row = batches.packed_row(rows, PACKED, clips.silence)
  np.testing.assert_array_equal(row['codes'][0, row['segment'] == 1, 1], np.arange(12))
  assert len(set(row['segment'])) == 2 and (row['segment'] == 1).sum() == 12


@pytest.mark.parametrize('processes', [2, 4])
def test_packed_batches_are_cut_between_processes_too(clips, processes):
  whole = made(clips, window=PACKED)
  for process in range(processes):
    part = made(clips, window=PACKED, process=process, processes=processes)
    assert_equal({name: np.split(values, processes)[process] for name, values in whole[5].items()}, part[5])


def test_packed_evaluation_covers_every_frame_of_every_clip_once(clips):
  found = batches.evaluation(clips, PACKED, 2)
  heard = sorted((row['codes'][0, frame, 0] - 100, row['codes'][0, frame, 1]) for batch in found for row in rows(batch)
                 for frame in np.flatnonzero(row['weight']))
  assert heard == [(number, frame) for number, length in enumerate(LENGTHS) for frame in range(length)]
  assert sum(len(batch['codes']) for batch in found) == 4                  # 130 frames in rows of 48


def test_a_census_is_made_once_and_again_when_the_clips_change(clips, tmp_path):
  folder = filled(tmp_path / 'tokens', [clip(number) for number in range(7)])
  mine = batches.Clips(folder, CODEC)
  found = census.of(folder, mine)
  assert found.frames.tolist() == LENGTHS and found.sources == ('',) and not found.text.any()
  kept = (folder / census.FILE).read_bytes()
  mine.view = None                                                         # no record is read again
  again = census.of(folder, mine)
  assert again.frames.tolist() == LENGTHS and (folder / census.FILE).read_bytes() == kept
  for damaged in (b'damaged', b'', kept[:len(kept) // 2]):
    (folder / census.FILE).write_bytes(damaged)
    assert census.of(folder, batches.Clips(folder, CODEC)).frames.tolist() == LENGTHS
    assert (folder / census.FILE).read_bytes() == kept


@pytest.mark.parametrize('batch', [1, 3, 7, 10])
def test_evaluation_covers_every_clip_exactly_once(clips, batch):
  found = batches.evaluation(clips, WINDOW, batch)
  assert {len(one['codes']) for one in found} == {batch}
  counted = [row for one in found for row in rows(one) if row['weight'].any()]
  assert [cast(row)[1] for row in counted] == list(range(7))
  for row in counted:
    side, number, frames = cast(row)
    assert side == batches.ASSISTANT and frames[0] == 0
  assert sum(len(one['codes']) for one in found) == -(-7 // batch) * batch
  np.testing.assert_array_equal([row['weight'].sum() for row in counted], np.minimum(LENGTHS, 14))   # no silence counts


def test_a_record_of_another_codec_is_refused_when_it_is_read(tmp_path):
  clips = batches.Clips(filled(tmp_path, [clip(number, CODEC if number != 4 else 'codec-b') for number in range(7)]), CODEC)
  assert clips[3].labels['id'] == '3'
  with pytest.raises(InputError, match='record 4 is of codec codec-b.*codec-a'):
    clips[4]


def test_a_damaged_record_is_named_when_it_is_read(tmp_path):
  bad = bytearray(clip(5))
  bad[-9] ^= 1
  clips = batches.Clips(filled(tmp_path, [*map(clip, range(5)), bytes(bad), clip(6)]), CODEC)
  assert clips[4].labels['id'] == '4' and clips[6].labels['id'] == '6'
  with pytest.raises(InputError, match='record 5 is damaged'):
    clips[5]


def test_a_folder_of_segments_is_not_taken_for_tokens(tmp_path):
  shards.write_manifest(tmp_path, 'segment', 1, {}, [])
  with pytest.raises(InputError, match="'segment' where 'tokens'"):
    batches.Clips(tmp_path, CODEC)


def test_a_folder_without_a_clip_is_refused(tmp_path):
  shards.write_manifest(tmp_path, record.KIND, record.VERSION, {}, [], codec=CODEC, silence=SILENCE)
  with pytest.raises(InputError, match='no clips'):
    batches.Clips(tmp_path, CODEC)


@pytest.fixture(scope='module')
def viewed(tmp_path_factory):
  """The clips in three views: level 2 says which."""
  folder, rows = tmp_path_factory.mktemp('views'), []
  for view in range(3):
    records = [record.from_bytes(clip(number)) for number in range(7)]
    for one in records:
      one.labels['view'] = {'number': view}
    packed = [record.to_bytes(dataclasses.replace(one, codes=np.where([0, 0, 1], view, one.codes))) for one in records]
    more = {'view': view} if view else {}
    rows += [shards.write(folder, f'tokens-{view}-{part}', some, {'seconds': 1.0, **more})
             for part, some in enumerate((packed[:3], packed[3:]))]
  shards.write_manifest(folder, record.KIND, record.VERSION, {}, rows, codec=CODEC, silence=SILENCE, views=3)
  return batches.Clips(folder, CODEC)


def test_views_are_no_clips_of_their_own(viewed, clips):
  assert (len(viewed), viewed.views, viewed.seconds, len(clips), clips.views) == (7, 3, 2.0, 7, 1)
  assert [one.labels['id'] for one in viewed] == [f'{number}' for number in range(7)]
  for number in range(3):
    assert [viewed.view(index, number).labels for index in (0, 3, 6)] == [
        {'id': f'{index}', 'view': {'number': number}} for index in (0, 3, 6)]
  for index, number in ((7, 0), (0, 3), (-1, 0)):
    with pytest.raises(IndexError):
      viewed.view(index, number)
  assert len(batches.evaluation(viewed, WINDOW, 7)) == 1


def seen(clips, views, epochs=6):
  """[[(clip, view)]] of epochs of 7 rows."""
  source = made(clips, batch=7, views=views)
  return [[(cast(row)[1], int(row['codes'][cast(row)[0], 0, 2])) for row in rows(source[epoch])] for epoch in range(epochs)]


def test_in_turns_an_epoch_is_every_clip_once_and_each_of_its_views_comes_in_its_turn(viewed):
  epochs = seen(viewed, 'turns')
  for epoch in epochs:
    assert sorted(number for number, _ in epoch) == list(range(7)) and len({view for _, view in epoch}) == 3
  for first in (0, 3):
    assert sorted(sum(epochs[first:first + 3], [])) == [(number, view) for number in range(7) for view in range(3)]
  assert epochs == seen(viewed, 'turns') and [number for number, _ in epochs[0]] != [number for number, _ in epochs[3]]


def test_all_views_or_the_clips_as_they_are_can_be_had(viewed):
  every = sum(seen(viewed, 'all', 3), [])
  assert sorted(every) == [(number, view) for number in range(7) for view in range(3)]
  assert {view for _, view in sum(seen(viewed, 'first'), [])} == {0}
  with pytest.raises(InputError, match="config.views 'none': give one of turns, all, first"):
    made(viewed, views='none')


@pytest.mark.parametrize('views', ['turns', 'all'])
def test_of_tokens_in_one_view_the_batches_are_the_same_whatever_is_asked_for(clips, views):
  for step in (0, 5):
    assert_equal(made(clips, views=views)[step], made(clips, views='first')[step])


def test_views_of_other_clips_are_refused(viewed, tmp_path):
  manifest = dict(viewed.manifest)
  rows = [row for row in manifest['shards'] if row['file'] != 'tokens-2-1.array_record']
  for row in rows:
    for end in ('.array_record', '.json'):
      name = row['file'].replace('.array_record', end)
      (tmp_path / name).write_bytes((pathlib.Path(viewed._folder) / name).read_bytes())
  shards.write_manifest(tmp_path, record.KIND, record.VERSION, {}, rows, codec=CODEC, silence=SILENCE, views=3)
  with pytest.raises(InputError, match='3 views have not the same clips'):
    batches.Clips(tmp_path, CODEC)
