"""Items of likelihood tests are made as they say: both sides joined, of other recordings, and alike in all but one thing."""
import dataclasses

import numpy as np
import pytest

from telugu_s2s.audio import activity, files, level, pitch
from telugu_s2s.evaluation import alterations, splices
from telugu_s2s.preparation import segment
from telugu_s2s.preparation.prepare import SAMPLE
from telugu_s2s.tokens import views

X_S, Y_S = 1.0, 0.8
MEZZO, OTHERS = ['a003-mezzo', 'a007-mezzo', 'a010-mezzo', 'a012-mezzo'], ['a006-alto', 'a014-alto', 'a002-deep', 'a005-deep']


def spoken(name, speaker, recording, **labels):
  audio = files.read(SAMPLE / 'audio' / f'{name}.opus')[0]
  quiet = 1e-4 * np.random.default_rng(0).normal(size=4800).astype(np.float32)
  return segment.Segment(recording, np.concatenate([quiet, audio, quiet]), 'sample', '', f'set/{recording}', 0.0, 'CC0-1.0', 'A',
                         speaker=speaker, **labels)


@pytest.fixture(scope='module')
def segments():
  """Four recordings of a woman, sad and happy, and two each of another one and of a man; four dialogues of two turns."""
  names = MEZZO + OTHERS
  return [spoken(name, name[5:], name, gender='m' if 'deep' in name else 'f',
                 emotion='happy' if number % 2 else 'sad', dialogue=f'd{number // 2}', turn=number % 2)
          for number, name in enumerate(names)]


def seeded():
  return np.random.default_rng(3)


def test_sides_begin_and_end_in_pauses(segments):
  first, second = splices.sides(segments, X_S, Y_S)
  assert {one.recording for one in first} == {one.path for one in segments} == {one.recording for one in second}
  for one in first:
    assert len(one.audio) == X_S * 16000 + splices.FADE
    tail = level.frame_dbfs(one.audio)[-14:]                   # 150 ms
    assert tail.max() < level.frame_dbfs(one.audio).max() - 10
  assert all(len(one.audio) == Y_S * 16000 for one in second)


def test_a_join_fades_over_20_ms_and_keeps_what_is_beside_it():
  x, y = np.ones(1000, np.float32), -np.ones(800, np.float32)
  whole = splices.joined(x, y)
  assert len(whole) == 1800 - splices.FADE
  np.testing.assert_array_equal(whole[:1000 - splices.FADE], 1)
  np.testing.assert_array_equal(whole[1000:], -1)
  up = np.linspace(0, 1, splices.FADE)
  np.testing.assert_allclose(whole[680:1000], np.sqrt(1 - up) - np.sqrt(up), atol=1e-6)


@pytest.mark.parametrize('task', ['speaker', 'gender', 'room', 'background', 'rate', 'pitch', 'emotion', 'adjacency'])
def test_all_sides_of_a_couple_have_one_length_one_level_and_no_direct_current(segments, task):
  made, why = splices.couples(task, segments, 3, X_S, Y_S, seeded())
  assert 0 < len(made) <= 3 and why == ''
  for one in made:
    assert {len(part) for part in one.x} == {X_S * 16000 + splices.FADE} and {len(part) for part in one.y} == {Y_S * 16000}
    for part in one.x + one.y:
      again = alterations.levelled(part)
      assert 20 * np.log10(np.std(part) / np.std(again)) == pytest.approx(0, abs=0.1)
      assert abs(part.mean()) < 2e-3


def test_voices_are_joined_across_recordings_and_each_ending_is_right_once(segments):
  made, _ = splices.couples('gender', segments, 4, X_S, Y_S, seeded())
  assert len(made) == 4 and all('sample/deep' in one.group for one in made), 'the man with one of the women'
  first, second = splices.sides(segments, X_S, Y_S)

  def recording(part, known):
    return max(known, key=lambda one: np.abs(np.corrcoef(one.audio, part)[0, 1]))
  for one in made:
    for x, y in zip(one.x, one.y):
      begun, ended = recording(x, first), recording(y, second)
      assert begun.recording != ended.recording and begun.speaker == ended.speaker
    assert {recording(part, first).speaker for part in one.x} == set(one.group)


def test_a_name_that_two_corpora_give_is_two_voices(segments):
  """a: one recording of the woman and one of the man, as two corpora that both have a speaker 1."""
  two = [dataclasses.replace(one, source=source, speaker='1') for one, source in zip((segments[0], segments[6]), 'ab')]
  made, why = splices.couples('room', two, 2, X_S, Y_S, seeded())
  assert made == [] and 'no speaker has two recordings' in why
  many = [dataclasses.replace(one, source=one.speaker, speaker='1') for one in segments]
  assert splices.couples('gender', many, 2, X_S, Y_S, seeded())[0][0].group in {('deep/1', 'mezzo/1'), ('alto/1', 'deep/1')}


def test_an_emotion_by_two_names_is_one(segments):
  of = lambda *names: splices.couples('emotion', [dataclasses.replace(one, emotion=names[number % 2]) for number, one in enumerate(segments)], 2,
                                      X_S, Y_S, seeded())[0]
  assert of('happy', 'Happiness') == [] and of('sad', 'Unknown') == [] and len(of('happy', 'bored')) == 2


def test_gender_is_the_label_or_else_the_pitch():
  t = np.arange(16000) / 16000
  buzz = lambda hz: sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3)).astype(np.float32)
  side = lambda hz, speaker, gender: splices.Side(buzz(hz), '', speaker, {'gender': gender})
  assert splices.genders([side(120, 'low', ''), side(220, 'high', 'u'), side(220, 'boy', 'm')]) == {'low': 'm', 'high': 'f', 'boy': 'm'}


def test_the_floors_of_a_couple_are_level(segments):
  made, _ = splices.couples('speaker', segments, 2, X_S, Y_S, seeded())
  for one in made:
    floors = [np.percentile(level.frame_dbfs(part), 10) for part in one.x + one.y]
    assert np.ptp(floors) < 4


def test_energy_differs_by_12_db_and_within_a_pair_not_at_all(segments):
  one = splices.couples('energy', segments, 1, X_S, Y_S, seeded())[0][0]
  loud = lambda part: np.percentile(level.frame_dbfs(part), 95)
  assert 20 * np.log10(np.std(one.x[1]) / np.std(one.x[0])) == pytest.approx(12, abs=0.5)
  assert loud(one.y[1]) - loud(one.y[0]) == pytest.approx(12, abs=1)


def test_speech_is_made_higher_at_its_speed(segments):
  audio = segments[0].audio
  height = lambda x: np.median([hz for hz in pitch.track(x) if hz > 0])
  high = alterations.higher(audio, 4)
  assert len(high) == pytest.approx(len(audio), abs=2)
  assert 12 * np.log2(height(high) / height(audio)) == pytest.approx(4, abs=0.5)
  span = lambda x: np.ptp(np.flatnonzero(activity.speech(x)))
  assert span(high) / span(audio) == pytest.approx(1, abs=0.04)


def test_a_room_decays_by_60_db_in_its_time():
  click = np.zeros(16000, np.float32)
  click[0] = 1
  heard = views.in_room(click, 0.5, 0.0, np.random.default_rng(4))
  early, late = (np.sum(heard[a:a + 800] ** 2) for a in (800, 800 + 4000))     # a quarter of a second: 30 dB
  assert 10 * np.log10(early / late) == pytest.approx(30, abs=2)
  assert np.sum(heard[1:] ** 2) == pytest.approx(1, rel=1e-3)                  # as loud as the direct sound
  np.testing.assert_array_equal(heard, views.in_room(click, 0.5, 0.0, np.random.default_rng(4)))


def test_what_the_data_does_not_have_is_said(segments):
  for task, few in (('speaker', segments[:2]), ('room', segments[:1]), ('emotion', segments[4:]), ('adjacency', segments[:2])):
    made, why = splices.couples(task, few, 3, X_S, Y_S, seeded())
    assert made == [] and why


def test_the_same_seed_gives_the_same_items(segments):
  one, two = (splices.couples('background', segments, 2, X_S, Y_S, seeded())[0] for _ in range(2))
  for a, b in zip(one, two):
    np.testing.assert_array_equal(np.concatenate(a.x + a.y), np.concatenate(b.x + b.y))
