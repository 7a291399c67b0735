"""Checkpoints: whole or passed over, and nothing left lying about."""
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s import axes
from telugu_s2s.training import checkpoints, loop

FACTS = {'data': 'abc'}


def state(number):
  return {'params': {'up_df': jnp.full((16, 12), number, jnp.float32)}, 'step': jnp.int32(number)}


ABSTRACT = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state(0))


def saved(folder, steps, keep=2):
  made = checkpoints.Checkpoints(folder, keep)
  for step in steps:
    made.save(step, state(step), FACTS)
  return made


def damage(folder, step):
  """Flips one bit in the largest file of a step."""
  path = max((path for path in (folder / str(step)).rglob('*') if path.is_file()), key=lambda path: path.stat().st_size)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def names(folder):
  return {path.name for path in folder.iterdir()}


def test_the_newest_steps_are_kept_with_their_digests_and_nothing_else(tmp_path):
  made = saved(tmp_path, [3, 6, 9])
  assert names(tmp_path) == {'6', '9', 'digest-6.json', 'digest-9.json'}
  assert made.latest() == 9 and made.facts(9) == FACTS
  found, facts = made.restore(9, ABSTRACT)
  np.testing.assert_array_equal(found['params']['up_df'], 9)
  assert found['step'] == 9 and facts == FACTS


def test_a_new_folder_holds_no_step(tmp_path):
  assert checkpoints.Checkpoints(tmp_path / 'new').latest() is None


def flip(folder):
  damage(folder, 6)


def cut(folder):
  path = next(path for path in sorted((folder / '6').rglob('*')) if path.is_file() and path.stat().st_size > 10)
  os.truncate(path, path.stat().st_size // 2)


def lose(folder):
  next(path for path in sorted((folder / '6').rglob('*')) if path.is_file()).unlink()


def undigest(folder):
  (folder / 'digest-6.json').unlink()          # killed between the arrays and their digest


def misdigest(folder):
  (folder / 'digest-6.json').write_text('{')


@pytest.mark.parametrize('harm', [flip, cut, lose, undigest, misdigest])
def test_a_damaged_step_is_named_and_passed_over(tmp_path, capsys, harm):
  saved(tmp_path, [3, 6]).close()
  harm(tmp_path)
  made = checkpoints.Checkpoints(tmp_path)
  assert made.latest() == 3
  assert f'{tmp_path / "6"} is damaged: passed over' in capsys.readouterr().out
  made.save(6, state(66), FACTS)                                            # and is written over
  assert made.latest() == 6
  np.testing.assert_array_equal(made.restore(6, ABSTRACT)[0]['params']['up_df'], 66)


def test_what_a_killed_save_left_is_swept(tmp_path):
  saved(tmp_path, [3]).close()
  left = tmp_path / '6.orbax-checkpoint-tmp-123'
  left.mkdir()
  (left / 'half').write_bytes(b'x')
  assert checkpoints.Checkpoints(tmp_path).latest() == 3
  assert names(tmp_path) == {'3', 'digest-3.json'}


def test_a_reader_takes_nothing_away_from_a_run_that_is_being_saved(tmp_path):
  saved(tmp_path, [3]).close()
  (tmp_path / '6.orbax-checkpoint-tmp-123').mkdir()
  (tmp_path / '6').mkdir()                                   # whole, but its digest comes after it
  before = names(tmp_path)
  reader = checkpoints.Checkpoints(tmp_path, reads_only=True)
  assert reader.latest() == 3 and reader.restore(3, ABSTRACT)[0]['step'] == 3
  assert checkpoints.Checkpoints(tmp_path / 'none', reads_only=True).latest() is None
  assert names(tmp_path) == before


def test_a_run_goes_on_from_the_step_before_a_damaged_one(toy, tmp_path):
  def fit(folder):
    return loop.fit(toy(), loop.Schedule(6, 3, 3), axes.mesh(4, 2, 1), 5, folder)[0]
  whole = fit(tmp_path / 'whole')
  fit(tmp_path / 'parts')
  damage(tmp_path / 'parts' / 'checkpoints', 6)
  parts = fit(tmp_path / 'parts')
  jax.tree.map(np.testing.assert_array_equal, whole, parts)
  assert names(tmp_path / 'parts' / 'checkpoints') == {'3', '6', 'digest-3.json', 'digest-6.json'}
  assert checkpoints.Checkpoints(tmp_path / 'parts' / 'checkpoints').latest() == 6


def test_a_run_without_a_whole_checkpoint_begins_anew(toy, tmp_path, capsys):
  def fit():
    return loop.fit(toy(), loop.Schedule(3, 3, 3), axes.mesh(4, 2, 1), 5, tmp_path)[0]
  first = fit()
  assert 'warning' not in capsys.readouterr().out
  damage(tmp_path / 'checkpoints', 3)
  jax.tree.map(np.testing.assert_array_equal, first, fit())
  said = capsys.readouterr().out
  assert 'passed over' in said and f'warning: {tmp_path / "checkpoints"} holds no whole checkpoint; the run begins anew' in said
