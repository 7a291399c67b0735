"""What a run says while it goes: a JSON line a step, TensorBoard events, and a line on the screen."""
import json
import math
from pathlib import Path

from tensorboardX import SummaryWriter

from telugu_s2s.audio import files


class Log:
  """Appends to `log.jsonl` and to TensorBoard events in a run's folder.

  A resumed run cuts off the lines of steps that it will take again. Without a folder (None) nothing is written.
  """

  def __init__(self, workdir, start: int):
    self._writes = workdir is not None
    if not self._writes:
      return
    self._path = Path(workdir) / 'log.jsonl'
    self._cut(start)
    self._file = open(self._path, 'a')
    # Of a run that begins anew too: one that was killed before it saved has left curves there.
    self._events = SummaryWriter(str(Path(workdir) / 'tensorboard'), purge_step=start + 1, flush_secs=10)

  def _cut(self, start):
    """Leaves out what comes after `start`, and what is no line: a kill may have cut the last one, a failing disk any."""
    lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
    steps = [_step(line) for line in lines]
    kept = [line for line, step in zip(lines, steps) if step is not None and step <= start]
    if damaged := steps.count(None):
      print(f'{self._path}: {damaged} damaged line{"s are" if damaged > 1 else " is"} left out', flush=True)
    if len(kept) < len(lines):
      files.write(self._path, b''.join(kept))

  def write(self, step: int, values: dict, prefix: str = 'train') -> None:
    """values: {name: number}; written as 'train/name', what is not finite as null."""
    if not self._writes:
      return
    values = {f'{prefix}/{name}': float(value) for name, value in values.items()}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}     # JSON knows no NaN
    self._file.write(json.dumps({'step': step, **finite}) + '\n')
    for name, value in values.items():
      self._events.add_scalar(name, value, step)

  def flush(self):
    if self._writes:
      self._file.flush()
      self._events.flush()

  def close(self):
    if self._writes:
      self._file.close()
      self._events.close()


def _step(line: bytes) -> int | None:
  """The step of a line of the log, None where it is none."""
  try:
    step = json.loads(line)['step']
  except (ValueError, KeyError, TypeError, RecursionError):
    return None
  return step if isinstance(step, int) and line.endswith(b'\n') else None
