"""Segments that stay in memory: the same as those that are read again, and no more of them than there is room for. Those that are held out."""
import concurrent.futures
import dataclasses

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import prepare, read
from telugu_s2s.preparation.segment import Segment


class Counting:
  """Segments of 100 samples each, and how often each was read."""

  def __init__(self):
    self.reads = [0] * 6

  def __len__(self):
    return 6

  def __getitem__(self, index):
    self.reads[index] += 1
    pcm = np.random.default_rng(index).integers(-32768, 32768, 100).astype(np.float32)
    return Segment(f'{index}', pcm / 32768, 's', 'r', 'p', 0.0, 'CC0-1.0', 'A', text=f'text {index}')


def test_what_was_read_once_stays_and_is_the_same_to_the_bit():
  source, true = Counting(), Counting()
  kept = read.Kept(source)
  for _ in range(3):
    for index in range(len(kept)):
      one, other = kept[index], true[index]
      np.testing.assert_array_equal(one.audio, other.audio)
      assert one.audio.dtype == np.float32
      assert dataclasses.replace(one, audio=None) == dataclasses.replace(other, audio=None)
      one.audio[:] = 0                     # whoever gets it may change it
  assert source.reads == [1] * 6


def test_there_is_no_more_in_memory_than_there_is_room_for():
  source = Counting()
  kept = read.Kept(source, limit=450)      # bytes: two segments of 100 samples of 16 bits
  for _ in range(3):
    for index in range(6):
      np.testing.assert_array_equal(kept[index].audio, Counting()[index].audio)
  assert source.reads == [1, 1, 3, 3, 3, 3]


def test_several_readers_get_the_same():
  kept, true = read.Kept(Counting(), limit=900), Counting()
  with concurrent.futures.ThreadPoolExecutor(8) as readers:
    for place, one in enumerate(readers.map(kept.__getitem__, [index % 6 for index in range(600)])):
      np.testing.assert_array_equal(one.audio, true[place % 6].audio)


def corpus(folder, speech, **splits):
  """A corpus of clips {name: split} and a training one, prepared as a run does; gives its Data."""
  rows = {'a': 'train'} | splits
  for clip, name in zip(speech, rows):
    files.write_wav(folder / 'audio' / f'{name}.wav', clip)
  (folder / 'audio' / 'MANIFEST.tsv').write_text('path\tsplit\n' + ''.join(f'{name}.wav\t{split}\n' for name, split in rows.items()))
  data = prepare.Data(audio=str(folder / 'audio'), split='train', workers=0)
  prepare.prepare(data, folder / 'segments' / 'train')
  return data


def test_what_is_measured_says_which_split_it_is_of(tmp_path, speech, capsys):
  data = corpus(tmp_path / 'held', speech, b='eval')
  segments, split = read.held_out(data, tmp_path / 'held' / 'segments')
  assert split == 'eval' and segments[0].path == 'b.wav'
  every = dataclasses.replace(data, split='')              # then what is held out was learnt from
  assert read.held_out(every, tmp_path / 'held' / 'segments')[1] == 'train'
  data = corpus(tmp_path / 'none', speech)
  assert 'measured on training clips' in capsys.readouterr().out
  segments, split = read.held_out(data, tmp_path / 'none' / 'segments')
  assert split == 'train' and segments[0].path == 'a.wav' and 'measured on training clips' in capsys.readouterr().out


def test_clips_that_are_held_out_and_cannot_be_used_are_told_and_no_training_clip_takes_their_place(tmp_path, speech):
  data = corpus(tmp_path, [speech[0], speech[1][:4000]], b='eval')       # shorter than any segment
  with pytest.raises(InputError):
    read.held_out(data, tmp_path / 'segments')
