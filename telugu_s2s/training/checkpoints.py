"""Checkpoints of a run: Orbax for the arrays, and a digest beside each step.

A flipped bit restores silently without one; a checkpoint whose digest does not match is passed over.
"""
import contextlib
import hashlib
import json
import logging
import re
import shutil
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError

logging.getLogger('absl').setLevel(logging.WARNING)      # Orbax tells of every file at INFO,
# and warns of what read_only means, which looks like a fault of the folder.
logging.getLogger('absl').addFilter(lambda record: not re.search('read_only=True|directory is read only', record.getMessage()))


class Checkpoints:
  """The checkpoints below `folder`: the newest few, and what made them.

  Args:
    folder: made if missing.
    keep: how many of the newest steps stay.
    reads_only: nothing is made or taken away, as another process may be training there.
  """

  def __init__(self, folder, keep: int = 2, reads_only: bool = False):
    self.folder, self._reads_only = Path(folder).absolute(), reads_only
    if not reads_only:
      self.folder.mkdir(parents=True, exist_ok=True)
    if not reads_only and jax.process_index() == 0:
      for left in self.folder.glob('*.orbax-checkpoint-tmp*'):
        shutil.rmtree(left)
    how = dict(read_only=True, create=False) if reads_only else dict(max_to_keep=keep)
    self._manager = ocp.CheckpointManager(
        self.folder, options=ocp.CheckpointManagerOptions(enable_async_checkpointing=False, **how))

  def save(self, step: int, state, facts: dict) -> None:
    """Writes a step whole, or not at all. facts: what a resumed run has to agree with, as JSON can say it."""
    if step in self._manager.all_steps():
      self._manager.delete(step)                          # a damaged one that was passed over
    self._manager.save(step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), facts=ocp.args.JsonSave(facts)),
                       force=True)
    self._manager.wait_until_finished()
    if jax.process_index() == 0:
      files.write(self._digest_file(step), json.dumps(digest(self.folder / str(step)), indent=1).encode())
      steps = {str(one) for one in self._manager.all_steps()}
      for old in self.folder.glob('digest-*.json'):
        if old.stem.removeprefix('digest-') not in steps:
          old.unlink()

  def latest(self) -> int | None:
    """The newest step that is whole; damaged ones are named and passed over."""
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        whole = json.loads(self._digest_file(step).read_bytes()) == digest(self.folder / str(step))
      except (OSError, ValueError):
        whole = False
      if whole:
        return step
      print(f'checkpoint {self.folder / str(step)} is damaged{" or just being saved" * self._reads_only}: passed over')
    return None

  def go_on(self, step: int) -> None:
    """Takes away the steps beyond the one that a run goes on from: counted among the newest few, they would push whole ones out."""
    for beyond in [one for one in self._manager.all_steps() if one > step]:
      self._manager.delete(beyond)

  def restore(self, step: int, abstract):
    """(state, facts) of a step, on the shardings of `abstract`.

    Raises:
      InputError: the checkpoint holds another model's state.
    """
    try:
      found = self._manager.restore(step, args=ocp.args.Composite(
          state=ocp.args.StandardRestore(abstract), facts=ocp.args.JsonRestore()))
    except ValueError as problem:
      raise self._other(step, problem) from problem
    return found['state'], found['facts']

  def part(self, step: int, abstract):
    """Some of a step's state, {name: tree}, on the shardings of `abstract`; raises as `restore`. The optimiser alone is twice the weights."""
    try:
      return self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.PyTreeRestore(
          abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract), partial_restore=True)))['state']
    except ValueError as problem:
      raise self._other(step, problem) from problem

  def _other(self, step, problem):
    return InputError(f'{self.folder / str(step)}: made by a run with other sizes; give another --workdir or the '
                      f'fields of that run ({str(problem).splitlines()[0][:120]})')

  def facts(self, step: int) -> dict:
    """What was saved beside the arrays of a step."""
    return self._manager.restore(step, args=ocp.args.Composite(facts=ocp.args.JsonRestore()))['facts']

  def agreed(self) -> dict:
    """The facts, which are the same at every step of a run, {} where none can be read. No array is read or hashed for them."""
    for step in sorted(self._manager.all_steps(), reverse=True):
      with contextlib.suppress(OSError, ValueError, KeyError):
        return self.facts(step)
    return {}

  def close(self):
    self._manager.close()

  def _digest_file(self, step):
    return self.folder / f'digest-{step}.json'


def begun(workdir) -> bool:
  """Whether a run's folder holds a checkpoint, whole or not."""
  return any((Path(workdir) / 'checkpoints').glob('[0-9]*'))


def digest(folder) -> dict:
  """{path below folder: [bytes, sha256]}."""
  found = {}
  for path in sorted(path for path in Path(folder).rglob('*') if path.is_file()):
    with open(path, 'rb') as file:
      found[path.relative_to(folder).as_posix()] = [path.stat().st_size, hashlib.file_digest(file, 'sha256').hexdigest()]
  return found
