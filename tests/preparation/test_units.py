"""Units of sound: k-means over a teacher's features, beside the segments, the same however they are made."""
import json

import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import prepare, read, shards, teacher, units

HOP = 640


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """The held-out part of the sample corpus."""
  folder = tmp_path_factory.mktemp('units') / 'segments'
  prepare.prepare(prepare.Data(split='eval', workers=0), folder)
  return folder


@pytest.fixture(scope='module')
def labelled(prepared, tmp_path_factory):
  folder = tmp_path_factory.mktemp('units') / 'units'
  units.label(units.Teacher('mel', HOP, 16, workers=0), prepared, folder)
  return folder


def test_each_frame_of_each_segment_has_a_unit(prepared, labelled):
  segments, found = read.Segments(prepared), units.Units(labelled)
  assert len(found) == len(segments) > 50 and found.units == 16
  for index in range(0, len(segments), 7):
    assert len(found[index]) == -(-len(segments[index].audio) // HOP)
  counts = np.bincount(np.concatenate([found[index] for index in range(len(found))]), minlength=16)
  assert len(counts) == 16 and counts.min() > 0


def test_units_tell_sounds_apart(prepared, labelled):
  """A unit's frames lie nearer to each other than frames at large: by the spectrum of 8 bands."""
  segments, found = read.Segments(prepared), units.Units(labelled)
  rows = []
  for index in range(0, len(segments), 5):
    audio = segments[index].audio
    frames = np.pad(audio, (0, -len(audio) % HOP)).reshape(-1, HOP)
    power = np.abs(np.fft.rfft(frames * np.hanning(HOP)))[:, :320].reshape(len(frames), 8, 40).sum(-1)
    rows.append(np.concatenate([np.log(power + 1e-2), found[index][:, None]], 1))
  rows = np.concatenate(rows)
  inside = sum(np.square(rows[rows[:, -1] == unit, :-1] - rows[rows[:, -1] == unit, :-1].mean(0)).sum() for unit in range(16))
  assert inside < 0.5 * np.square(rows[:, :-1] - rows[:, :-1].mean(0)).sum()


def test_the_same_segments_give_the_same_bytes_with_any_number_of_processes(prepared, labelled, tmp_path):
  again = units.label(units.Teacher('mel', HOP, 16, workers=2), prepared, tmp_path)
  assert again['content'] == shards.read_manifest(labelled, units.KIND)['content']


def test_what_is_there_is_kept_and_another_teacher_gives_other_shards(prepared, labelled):
  before = {path.name: path.stat().st_mtime_ns for path in labelled.glob('*.array_record')}
  units.label(units.Teacher('mel', HOP, 16, workers=0), prepared, labelled)
  assert {path.name: path.stat().st_mtime_ns for path in labelled.glob('*.array_record')} == before
  manifest = json.loads((labelled / 'manifest.json').read_text())
  units.label(units.Teacher('mel', HOP, 8, workers=0), prepared, labelled)
  assert json.loads((labelled / 'manifest.json').read_text())['content'] != manifest['content']
  units.label(units.Teacher('mel', HOP, 16, workers=0), prepared, labelled)


def test_kmeans_finds_what_is_apart():
  rng = np.random.default_rng(0)
  true = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
  points = (true[:, None] + rng.normal(size=(3, 50, 2))).reshape(-1, 2).astype(np.float32)
  centres = units.kmeans(points, 3, rng)
  assert sorted(units.nearest(true, centres)) == [0, 1, 2]
  np.testing.assert_allclose(centres[units.nearest(true, centres)], true, atol=0.6)      # 0.14 is one standard error


@pytest.mark.parametrize('name, hop, words', [('hubert', 640, 'mel'), ('mel', 250, 'hop of 250')])
def test_a_teacher_that_cannot_be_is_named(name, hop, words):
  with pytest.raises(InputError, match=words):
    teacher.features(name, hop)


def test_mel_features_are_free_of_the_level(speech):
  quiet, loud = (teacher.mel(scale * speech[0]) for scale in (0.2, 0.9))
  np.testing.assert_allclose(quiet, loud, atol=1e-3)                                     # float32
  assert quiet.shape == (len(speech[0]) // 160, 9 * 40)


def test_too_little_speech_for_so_many_units_is_named(prepared):
  segments = [read.Segments(prepared)[0]]
  with pytest.raises(InputError, match='config.teacher.units'):
    units.fit(units.Teacher('mel', HOP, 4096, workers=0), segments)


def test_whispers_features_follow_the_audio_across_windows(speech):
  """What stands at 5 s of a long recording has the features it has in a shorter one."""
  pytest.importorskip('onnx')
  try:
    features = teacher.features('whisper', HOP)
  except InputError as problem:
    pytest.skip(str(problem))
  long = np.concatenate([*speech, *speech])[:16 * 16_000]
  found = features(long)
  assert found.shape == (-(-len(long) // HOP), 384)
  part = features(long[7 * 16_000:12 * 16_000])
  a, b = found[7 * 25 + 20:7 * 25 + 105], part[20:105]
  same = np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
  other = np.sum(a * b[::-1], 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
  assert same.mean() > other.mean() + 0.1
