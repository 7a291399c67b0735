"""Feeding: the frames of the batches that were made, over the time that it took, beside what a GPU takes."""
import os
import runpy

import pytest

from telugu_s2s import usage
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import lm_feeding


def config(**fields):
  found = runpy.run_path(os.path.join(usage.ROOT, 'configs/benchmark.py'))['get_config']('feeding')
  found.update(dict(sizes=('toy', '150m'), clips=60, steps=2) | fields)
  return found


def test_it_measures_each_size(tmp_path, monkeypatch, capsys):
  now = iter(range(100))
  monkeypatch.setattr(lm_feeding.time, 'perf_counter', lambda: 4.0 * next(now))
  found = lm_feeding.measure(config(), tmp_path)
  assert list(found['sizes']) == ['toy', '150m']
  assert found['sizes']['toy']['frames_per_s'] == 2 * 16 * 80 / 4 and found['sizes']['150m']['frames_per_s'] == 2 * 64 * 3000 / 4
  for one in found['sizes'].values():
    assert one['times'] == one['frames_per_s'] / one['taken_per_s']
  assert found['sizes']['toy']['taken_per_s'] > 20 * found['sizes']['150m']['taken_per_s']
  assert 'times as many' in capsys.readouterr().out


def test_no_clips_are_refused(tmp_path):
  with pytest.raises(InputError, match='config.clips 0'):
    lm_feeding.measure(config(clips=0), tmp_path)
