"""What one odd recording, or an engine that hangs, costs: its own unit, which is told, and no other one."""
import subprocess

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.dialogue import diarise, pairs, spoken, synthesis, voiceprint
from telugu_s2s.dialogue.pairs import Aside, Dialogue, Unit
from telugu_s2s.evaluation import pairs as job
from tests.dialogue.test_pairs import config, manifest, tone, turn


def strewn(seconds=60, every_s=4.0):
  """A short "yes" every few seconds: speech enough to be diarised, and no window of it that is half full."""
  samples = np.zeros(seconds * 16000, np.float32)
  for at in range(0, len(samples) - 16000, round(every_s * 16000)):
    samples[at:at + 4800] = tone(0.3)
  return samples


@pytest.mark.parametrize('by', voiceprint.BY)
def test_speech_that_fills_no_window_is_one_speaker(by, monkeypatch):
  monkeypatch.setattr(voiceprint, 'network', lambda: 'there')
  found = diarise.turns(strewn(), by)
  assert len(found) == 15 and {one.speaker for one in found} == {'0'}


def test_short_answers_far_apart_cost_their_recording_alone(tmp_path):
  (tmp_path / 'in').mkdir()
  files.write_wav(tmp_path / 'in/strewn.wav', strewn())
  for name, samples in (('a', tone()), ('b', tone(hz=300.0))):
    files.write_wav(tmp_path / f'in/{name}.wav', samples)
  (tmp_path / 'in/MANIFEST.tsv').write_text('path\tspeaker\tdialogue\tturn\tat_s\na.wav\tA\td\t0\t0\nb.wav\tB\td\t1\t1.4\nstrewn.wav\t\t\t\t\n')
  job.run(config(source='recordings', folder=str(tmp_path / 'in')), tmp_path)
  assert [row['speaker'] for row in manifest(tmp_path / 'pairs')] == ['A', 'B']
  assert 'no exchange\t15 turns of 1 speakers' in (tmp_path / 'report.tsv').read_text()


def test_a_recording_without_sound_costs_its_question_alone(tmp_path):
  lines, said = ['path\tspeaker\ttext'], ['వాన పడిందా?', 'వాన పడింది', 'చలి వేస్తోందా?', 'చలి వేస్తోంది']
  for name, who, text, level in zip('abcd', 'ABAB', said, (1, 1, 1, 0)):
    files.write_wav(tmp_path / f'{name}.wav', level * tone())
    lines.append(f'{name}.wav\t{who}\t{text}')
  (tmp_path / 'MANIFEST.tsv').write_text('\n'.join(lines) + '\n')
  job.run(config(source='retrieval', folder=str(tmp_path), by='text', reuse=1), tmp_path / 'out')
  assert [row['text'] for row in manifest(tmp_path / 'out/pairs')] == said[:2]
  assert 'silent\td.wav holds no sound' in (tmp_path / 'out/report.tsv').read_text()


@pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')
def test_an_engine_that_hangs_costs_its_dialogue_alone(tmp_path, monkeypatch):
  run, [first, _] = subprocess.run, spoken.from_text(config(count=2), spoken.How(None, None, 0))
  [text, *_] = [row['text'] for row in first.made.args[1]]

  def hangs(command, **given):
    if given.get('input') == text.encode():
      raise subprocess.TimeoutExpired(command, given['timeout'])
    return run(command, **given)

  monkeypatch.setattr(synthesis.subprocess, 'run', hangs)
  done = job.run(config(source='text', count=2, extras=False), tmp_path)
  assert (done['dialogues'], done['aside']) == (1, 1)
  assert f'not spoken\tespeak-ng has not said {text!r}' in (tmp_path / 'report.tsv').read_text()


@pytest.mark.parametrize('problem, calls', [
    (Aside('no exchange', 'one speaker'), 1), (Aside('licence', 'not beside each other'), 1), (files.Unreadable('x', 'corrupt', 'it breaks off'), 1),
    (Aside('not spoken', 'the program is missing'), 2), (files.Unreadable('x', 'unreadable', 'the disk'), 2),
    (files.Unreadable('x', 'no decoder', 'y'), 2)])
def test_what_was_set_aside_is_tried_again_where_a_mend_outside_may_help(tmp_path, problem, calls):
  tried = []
  def fails():
    tried.append(problem)
    raise problem
  units = [Unit('a', lambda: [Dialogue('a', 'train', [turn()])]), Unit('b', fails)]
  done = [pairs.write(units, tmp_path, 'g', 'flac', 1) for _ in range(2)]
  assert len(tried) == calls and [(one['dialogues'], one['aside']) for one in done] == [(1, 1)] * 2, 'and it is told each time'
  pairs.write([units[0], Unit('b', fails, 'of other samples')], tmp_path, 'g', 'flac', 1)
  assert len(tried) == calls + 1
