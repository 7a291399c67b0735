"""The job that marks recordings, finds the mark again, and measures how well."""
import os
import runpy

import numpy as np
import pytest
import soundfile

from telugu_s2s import usage
from telugu_s2s.audio import files, mark
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import marks


@pytest.fixture
def asked(speech, tmp_path):
  """The job of a folder with six seconds of speech and a fraction of a second; `asked(field=value)` runs it."""
  files.write_wav(tmp_path / 'in/one.wav', np.concatenate(speech)[:96_000])
  files.write(tmp_path / 'in/sub/two.flac', files.encoded(speech[0][:4000], form='flac'))

  def run(**fields):
    config = runpy.run_path(os.path.join(usage.ROOT, 'configs/mark.py'))['get_config']()
    config.update(dict(input=str(tmp_path / 'in'), key='k') | fields)
    return marks.run(config, tmp_path)
  return run


def test_the_job_marks_a_folder_and_finds_the_mark_again(asked, tmp_path, capsys):
  asked(action='mark')
  assert soundfile.SoundFile(tmp_path / 'marked/one.wav').comment == mark.SYNTHETIC
  asked()
  assert 'one.wav: not marked' in capsys.readouterr().out
  asked(input=str(tmp_path / 'marked'))
  out = capsys.readouterr().out
  assert 'one.wav: marked' in out and 'sub/two.wav: too short' in out
  asked(input=str(tmp_path / 'marked/one.wav'), key='another')
  assert 'one.wav: not marked' in capsys.readouterr().out


def test_what_cannot_be_read_is_told_when_all_others_are_judged_and_silence_is_none_to_measure(asked, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(marks, 'OTHERS', 3)
  monkeypatch.setattr(marks, 'ways', lambda seed: {'nothing': lambda x: x})
  (tmp_path / 'in/broken.wav').write_bytes(b'nothing')
  files.write_wav(tmp_path / 'in/silent.wav', np.zeros(80_000, np.float32))
  for action, says in (('detect', 'one.wav: not marked'), ('measure', '1 recordings of 3 s or more, 6 s')):
    with pytest.raises(InputError, match='config.input: 1 of 4 recordings could not be read, such as .*broken.wav'):
      asked(action=action)
    said = capsys.readouterr().out
    assert says in said and 'left out' in said
  assert 'found 100.0%' in said and 'nan dB' not in said


def test_no_copy_takes_anothers_place_and_a_damaged_file_stops_no_other(asked, tmp_path, speech):
  files.write(tmp_path / 'in/one.flac', files.encoded(speech[0][:8000], form='flac'))
  (tmp_path / 'in/broken.wav').write_bytes(b'nothing')
  with pytest.raises(InputError, match='1 of 4 recordings could not be read, such as .*broken.wav'):
    asked(action='mark')
  made = sorted(path.relative_to(tmp_path / 'marked').as_posix() for path in (tmp_path / 'marked').rglob('*.wav'))
  assert made == ['one.flac.wav', 'one.wav.wav', 'sub/two.wav']


def test_a_stronger_mark_is_found_more_surely_and_changes_more(asked, capsys, monkeypatch):
  monkeypatch.setattr(marks, 'OTHERS', 3)
  monkeypatch.setattr(marks, 'ways', lambda seed: {'nothing': lambda x: x})
  asked(action='measure', strength_db=2.0)
  asked(action='measure', strength_db=0.0)
  out = capsys.readouterr().out
  assert '1 recordings' in out and 'found 100.0%' in out and 'found   0.0%' in out


@pytest.mark.parametrize('fields,words', [({'key': ''}, 'config.key'), ({'input': ''}, 'no recording'), ({'input': 'nowhere'}, 'nowhere'),
                                          ({'action': 'remove'}, 'remove')])
def test_a_mistake_is_told(asked, fields, words):
  with pytest.raises(InputError, match=words):
    asked(**fields)
