"""What a row of a manifest may ask of preparation: a part of a file, and a licence that the profile must allow."""
import json
import shutil

from hypothesis import HealthCheck, given, settings, strategies
import numpy as np
import pytest
import soundfile

from telugu_s2s.audio import files
from telugu_s2s.corpora import fetch, licences
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import faults
from telugu_s2s.preparation.prepare import Data, prepare
from telugu_s2s.preparation.read import Segments

LICENCES = ['CC0-1.0', 'CC-PDM-1.0', 'CC-BY-4.0', 'cc-by-3.0', 'CC-BY-SA-4.0', 'CC-BY-NC-4.0', 'CC-BY-NC-SA-4.0', 'CC-BY-ND-4.0', 'MIT', '', 'CC-BY',
            'LicenseRef-doubtful', 'LicenseRef-paid', 'all rights reserved', 'CC-BY-4.0 or so']


def noise(seconds, seed=0, rate=16_000):
  """Noise that swells, so that it is heard as speech and no two parts are alike."""
  time = np.arange(int(seconds * rate)) / rate
  return (0.1 * np.sin(np.pi * time) ** 2 * np.random.default_rng(seed).uniform(-1, 1, len(time))).astype(np.float32)


def manifest(folder, rows):
  (folder / 'MANIFEST.jsonl').write_text('\n'.join(json.dumps(row) for row in rows), encoding='utf-8')


def prepared(folder, out, **fields):
  made = prepare(Data(audio=str(folder), split='', workers=0, **fields), out)
  found = Segments(out)
  return made, [found[index] for index in range(len(found))]


@pytest.fixture
def call(tmp_path):
  """A minute of sound at 48 kHz, so that resampling is in the way."""
  folder = tmp_path / 'corpus'
  folder.mkdir()
  (folder / 'call.wav').write_bytes(files.encoded(noise(60, rate=48_000), 48_000))
  return folder


def test_turns_of_one_file_become_segments_of_their_own_with_all_that_their_rows_say(call, tmp_path):
  turns = [dict(path='call.wav', start_s=start, end_s=end, text=text, speaker=speaker, dialogue='d', turn=turn, licence='CC0-1.0')
           for turn, (start, end, text, speaker) in enumerate([(2, 6, 'ఒకటి', 'a'), (2, 8, 'రెండు', 'b'), (50.25, 53, 'మూడు', 'a')])]
  manifest(call, turns)
  made, found = prepared(call, tmp_path / 'out')
  whole, _ = files.read(call / 'call.wav')
  assert [(one.text, one.speaker, one.dialogue, one.turn) for one in found] == [('ఒకటి', 'a', 'd', 0), ('రెండు', 'b', 'd', 1), ('మూడు', 'a', 'd', 2)]
  assert len({one.id for one in found}) == 3 and made['seconds'] < 14
  for one, row in zip(found, turns):
    assert row['start_s'] <= one.start_s < one.start_s + one.seconds <= row['end_s'] + 1e-3
    start = round(one.start_s * 16_000)
    np.testing.assert_allclose(one.audio, whole[start:start + len(one.audio)], atol=2e-3)


def test_a_long_part_is_cut_as_any_recording_and_keeps_to_its_bounds(call, tmp_path):
  manifest(call, [dict(path='call.wav', start_s=5, end_s=45, text='పొడవు', speaker='a', licence='CC0-1.0')])
  _, found = prepared(call, tmp_path / 'out', longest_s=12.0)
  assert len(found) > 2 and {one.text for one in found} == {''} and {one.speaker for one in found} == {'a'}
  assert all(5 <= one.start_s and one.start_s + one.seconds <= 45 + 1e-3 and one.seconds <= 12 for one in found)


@pytest.mark.parametrize('form, damage', [('OGG', lambda data: data[:len(data) * 2 // 3]),
                                          ('MP3', lambda data: data[:len(data) // 2] + bytes(3000) + data[len(data) // 2 + 3000:])], ids=['cut', 'broken'])
def test_turns_behind_a_break_of_a_lossy_file_are_judged_once_and_not_made_again(tmp_path, monkeypatch, capsys, form, damage):
  folder = tmp_path / 'corpus'
  folder.mkdir()
  soundfile.write(folder / 'call.ogg', noise(60), 16_000, format=form)
  (folder / 'call.ogg').write_bytes(damage((folder / 'call.ogg').read_bytes()))
  manifest(folder, [dict(path='call.ogg', start_s=start, end_s=start + 1.5, licence='CC0-1.0') for start in range(58)])
  judged, real = [], faults.passing
  monkeypatch.setattr(faults, 'passing', lambda *given: judged.append(given) or real(*given))
  made, found = prepared(folder, tmp_path / 'out')
  assert made['skipped'] == {'corrupt': 58 - len(found)} and 5 < len(found) < 50 and len(judged) == 1
  lines = [line.split('\t') for line in (tmp_path / 'out' / 'report.tsv').read_text(encoding='utf-8').splitlines()[1:]]
  assert [line[:4] for line in lines] == [['call.ogg', f'{start}.0', f'{start + 1.5}', 'corrupt'] for start in range(len(found), 58)]
  capsys.readouterr()
  assert prepared(folder, tmp_path / 'out')[0] == made and '1 of 1 shards are there already' in capsys.readouterr().out


def test_a_part_that_is_not_there_is_counted_and_the_others_go_on(call, tmp_path):
  manifest(call, [dict(path='call.wav', start_s=start, end_s=start + 3, licence='CC0-1.0') for start in (1, 70)])
  made, found = prepared(call, tmp_path / 'out')
  assert len(found) == 1 and made['skipped'] == {'zero-second': 1}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=strategies.lists(strategies.sampled_from(LICENCES), min_size=1, max_size=8), profile=strategies.sampled_from(list(licences.PROFILES)))
def test_a_row_whose_class_is_outside_of_the_profile_never_reaches_a_shard(tmp_path, rows, profile):
  """From the rows that fetching writes, doubt and missing licences with them, to what is in the shards."""
  folder, out = tmp_path / 'corpus', tmp_path / 'out'
  for place in (folder, out):
    shutil.rmtree(place, ignore_errors=True)
  (folder / 'downloads').mkdir(parents=True)
  listed = []
  for number, licence in enumerate(rows):
    (folder / 'downloads' / f'{number}.wav').write_bytes(files.encoded(noise(1.5, number)))
    listed.append({'name': f'{number}.wav', 'row': {'licence': licence}})
  (folder / fetch.LISTING).write_text(json.dumps({'revision': 'r', 'items': [], 'files': listed, 'skipped': []}))
  one = {'id': 'some', 'attribution': 'Somebody', 'licence': {'spdx': 'CC0-1.0'}, 'fetch': {'kind': fetch.ARCHIVE_LIST}}
  fetch.manifest(one, fetch.LISTED, folder)
  allowed = [number for number, licence in enumerate(rows) if licences.licence_class(licence) in licences.classes(profile)]
  if not allowed:
    with pytest.raises(InputError, match='nothing usable|licence'):
      prepare(Data(audio=str(folder), split='', workers=0, profile=profile), out)
    return
  made, found = prepared(folder, out, profile=profile)
  assert sorted(one.path for one in found) == [f'downloads/{number}.wav' for number in allowed]
  assert {one.licence_class for one in found} <= set(licences.classes(profile)) and {one.revision for one in found} == {'r'}
  assert made['skipped'].get('licence', 0) == len(rows) - len(allowed)
