"""Recordings made small: they fit, they are speech still, and their labels go along."""
import json

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import carry, prepare, read


@pytest.fixture(scope='module')
def held_out(tmp_path_factory):
  folder = tmp_path_factory.mktemp('carry')
  prepare.prepare(prepare.Data(split='eval', workers=0), folder)
  return read.Segments(folder)


@pytest.mark.parametrize('megabytes, kbps, everything', [(100, 48, True), (0.95, None, True), (0.3, 16, False)])
def test_it_fits_and_what_is_carried_is_prepared_as_before(held_out, tmp_path, megabytes, kbps, everything):
  found = carry.write({'eval': held_out}, tmp_path / 'carried', megabytes)
  size = sum(path.stat().st_size for path in (tmp_path / 'carried').rglob('*.opus'))
  assert size == found['bytes'] <= megabytes * 1e6
  assert kbps in (None, found['kbps']) and 16 <= found['kbps'] <= 48
  assert (found['files'] == len(held_out)) == everything
  prepare.prepare(prepare.Data(audio=str(tmp_path / 'carried'), split='eval', workers=0, shortest_s=0.5), tmp_path / 'again')
  again = read.Segments(tmp_path / 'again')
  assert len(again) == found['files']
  by_text = {(clip.text, clip.speaker): clip for clip in (held_out[index] for index in range(len(held_out)))}
  for index in range(0, len(again), 9):
    clip = again[index]
    true = by_text[clip.text, clip.speaker]
    assert (clip.language, clip.licence) == (true.language, true.licence) and abs(clip.seconds - true.seconds) < 0.5


def test_a_carried_clip_is_the_same_speech(held_out, tmp_path):
  carry.write({'eval': held_out}, tmp_path, 100)
  found, true = files.read(next((tmp_path / 'eval').glob('000003-*.opus')))[0], held_out[3].audio
  assert abs(len(found) - len(true)) <= 1
  size = min(len(found), len(true))
  assert np.corrcoef(found[:size], true[:size])[0, 1] > 0.9


def test_dialogues_attributions_and_the_notice_go_along(tmp_path):
  (tmp_path / 'in').mkdir()
  for number in range(2):
    spoken = files.read(prepare.SAMPLE / 'audio' / ('q001-mezzo.opus', 'a001-buzz.opus')[number])[0]
    files.write_wav(tmp_path / 'in' / f'{number}.wav', np.concatenate([spoken, np.zeros(16_000, np.float32), spoken]))
  (tmp_path / 'in' / 'MANIFEST.tsv').write_text('path\tlicence\tspeaker\tdialogue\tturn\tat_s\tattribution\n' + ''.join(
      f'{number}.wav\tCC-BY-4.0\ts{number}\td1\t{number}\t{2.5 * number}\tRecorded by "Sita"\n' for number in range(2)))
  prepare.prepare(prepare.Data(audio=str(tmp_path / 'in'), workers=0, shortest_s=0.3, longest_s=4.0), tmp_path / 'segments')
  carry.write({'train': read.Segments(tmp_path / 'segments')}, tmp_path / 'out', 1)
  segments, (found, _) = read.Segments(tmp_path / 'segments'), corpus.recordings(tmp_path / 'out', '')
  assert {(row.dialogue, row.turn, row.custom['attribution']) for row in found} == {('d1', number, 'Recorded by "Sita"') for number in range(2)}
  starts = [segments[number].start_s for number in range(len(segments))]
  assert max(starts) > 0                                                     # a turn that was cut in two
  assert [float(row.custom['at_s']) for row in found] == pytest.approx([2.5 * row.turn + start for row, start in zip(found, starts)])
  assert 'Recorded by "Sita"' in (tmp_path / 'out' / 'DATA_NOTICE.md').read_text()


def test_of_an_earlier_call_nothing_stays_that_is_not_in_the_manifest(held_out, tmp_path):
  carry.write({'eval': held_out}, tmp_path, 100)
  found = carry.write({'eval': held_out}, tmp_path, 0.3)
  assert sum(path.stat().st_size for path in tmp_path.rglob('*.opus')) == found['bytes'] <= 0.3e6


def test_a_corpus_that_is_there_is_not_touched(held_out, tmp_path):
  mine = tmp_path / 'audio' / 'rec0.opus'
  mine.parent.mkdir()
  mine.write_bytes(b'my recording')
  (tmp_path / 'MANIFEST.jsonl').write_text('{"path": "audio/rec0.opus"}\n')
  with pytest.raises(InputError, match='config.out'):
    carry.write({'eval': held_out}, tmp_path, 100)
  assert mine.exists() and not (tmp_path / 'eval').exists()


def test_no_split_is_named(tmp_path):
  with pytest.raises(InputError, match='config.splits'):
    carry.write({}, tmp_path, 100)


@pytest.mark.parametrize('megabytes', [0.001, 0, -1])
def test_too_little_room_is_named(held_out, tmp_path, megabytes):
  with pytest.raises(InputError, match='config.megabytes'):
    carry.write({'eval': held_out}, tmp_path, megabytes)


@pytest.mark.slow
def test_until_a_new_manifest_is_there_the_one_before_names_what_it_named(held_out, tmp_path, monkeypatch):
  carry.write({'eval': held_out}, tmp_path, 100)
  before = {row['path']: (tmp_path / row['path']).read_bytes() for row in map(json.loads, (tmp_path / 'MANIFEST.jsonl').read_text().splitlines())}
  monkeypatch.setattr(carry.licences, 'notice', None)              # killed: the audio of another bitrate is there
  with pytest.raises(TypeError):
    carry.write({'eval': held_out}, tmp_path, 0.4)
  monkeypatch.undo()
  assert before and all((tmp_path / path).read_bytes() == data for path, data in before.items())
  carry.write({'eval': held_out}, tmp_path, 0.4)
  named = {row['path'] for row in map(json.loads, (tmp_path / 'MANIFEST.jsonl').read_text().splitlines())}
  assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.opus')} == named and not named & set(before)
