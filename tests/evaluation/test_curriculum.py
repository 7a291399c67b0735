"""The whole way as one job, in a size that takes a minute: each step once, a second call none, and a change what follows it."""
import json
import os
import runpy

import pytest

from telugu_s2s import usage
from telugu_s2s.evaluation import curriculum

from tests.corpora.excerpt import excerpt

STEPS = ['tokens', 'stage2', 'listen', 'stage3', 'stage4', 'reply', 'answers', 'evaluate']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Four exchanges of train and two of eval, as of the sample corpus."""
  return excerpt(tmp_path_factory.mktemp('dialogues'), 8, 4)


def config(folder, **fields):
  found = runpy.run_path(os.path.join(usage.ROOT, 'configs/curriculum.py'))['get_config']()
  found.pairs.folder = found.data.audio = str(folder)
  found.stage2.steps = 2
  found.listen.update(dict(steps=2, batch=8))
  found.stage3.update(dict(steps=2, batch=8))
  found.stage4.update(dict(steps=2, preference_steps=1))
  found.evaluate.update(dict(tests=('control',), draws=1))
  found.update(fields)
  return found


@pytest.mark.slow
def test_each_step_is_done_once_and_what_follows_a_change_again(folder, tmp_path, capsys):
  curriculum.run(config(folder), tmp_path)
  first = capsys.readouterr().out
  assert 'in all, as predicted' in first and all(f'=== {name}\n' in first for name in STEPS)
  ledger = json.loads((tmp_path / 'ledger.json').read_text())
  assert list(ledger) == STEPS and all(one['spent_s'] > 0 and one['predicted_s'] > 0 for one in ledger.values())
  report = (tmp_path / 'report.md').read_text()
  assert all(f'| {name} |' in report for name in STEPS) and 'get their answer' in report
  said = report.strip().rpartition(': ')[2]
  assert os.path.getsize(said) > 10_000                                    # an answer that can be heard

  curriculum.run(config(folder), tmp_path)
  again = capsys.readouterr().out
  assert all(f'=== {name}: there already' in again for name in STEPS)
  assert json.loads((tmp_path / 'ledger.json').read_text()) == ledger

  curriculum.run(config(folder, emotion='neutral'), tmp_path)
  changed = capsys.readouterr().out
  assert [f'=== {name}\n' in changed for name in STEPS] == [False] * 5 + [True] * 3


def test_a_codec_of_its_own_is_planned_first_and_takes_time(folder, tmp_path):
  first, *rest = curriculum.planned(config(folder, stage1=dict(size='toy', steps=700)), tmp_path)
  assert first.name == 'stage1' and first.seconds > 1 and [one.name for one in rest] == STEPS
  assert all(one.config.codec == str(tmp_path / 'stage1' / 'codec.safetensors') for one in rest if one.name in ('tokens', 'stage2'))
