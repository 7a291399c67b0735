"""The benchmark of a server: what it counts, on a short run of the shipped voice."""
import json

import numpy as np
import pytest

pytest.importorskip('aiohttp')

from telugu_s2s.evaluation import recipes
from telugu_s2s.serving import benchmark


def test_a_slope_is_that_of_the_line_and_sure_as_its_points_are():
  x = np.linspace(0, 2, 400)
  assert benchmark.slope(zip(x, 3 + 5 * x)) == pytest.approx([5, 0], abs=1e-9)
  noise = np.random.default_rng(0).normal(size=len(x))
  found, sure = benchmark.slope(list(zip(x, 3 + noise)))
  assert abs(found) < sure < 0.5


@pytest.mark.slow
@pytest.mark.long
def test_clients_come_and_go_while_others_knock(tmp_path):
  benchmark.run(recipes.of('benchmark', 'serving', streams=(), soak_s=6.0, soak_sessions=2, reply_s=0.4, context_s=4.0), tmp_path)
  found = json.loads((tmp_path / 'serving.json').read_text())['soak']
  assert found['turns'] >= 2 and found['sessions'] >= 2 and found['frames'] == 10 * found['turns']
  assert found['broken'] == 0 and found['left'] == 0 and found['programs'] == 1
  assert found['knocks']['503'] > 10 and not found['knocks'].keys() - {'503', 'let in'}
  assert len(found['resident_mib']) == benchmark.LOOKS + 1 and min(found['resident_mib']) > 100
