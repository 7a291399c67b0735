"""What a run says while it goes: a JSON line a step, TensorBoard events, and a line on the screen."""
import json
import math
from pathlib import Path

from tensorboardX import SummaryWriter

class Log:
  """Appends to `log.jsonl` and to TensorBoard events in a run's folder.

  A resumed run cuts off the lines of steps that it will take again. Without a folder (None) nothing is written.
  """

  def __init__(self, workdir, start: int):
    self._writes = workdir is not None
    if not self._writes:
      return
    self._path = Path(workdir) / 'log.jsonl'
    kept = [line for line in self._lines() if json.loads(line)['step'] <= start]
    self._path.write_text(''.join(kept))
    self._file = open(self._path, 'a')
    self._events = SummaryWriter(str(Path(workdir) / 'tensorboard'), purge_step=start + 1 if start else None,
                                 flush_secs=10)

  def _lines(self):
    if not self._path.exists():
      return
    for line in self._path.read_text().splitlines(keepends=True):
      if line.endswith('}\n'):                           # a kill may have cut the last one
        yield line

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
