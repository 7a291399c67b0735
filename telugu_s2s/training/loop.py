"""The one loop of every stage: resume, batch, step, log, save, evaluate; a signal saves and leaves."""
import collections
import concurrent.futures
import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jax
from jax.experimental import multihost_utils
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
import tqdm

from telugu_s2s import axes
from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.training import checkpoints, metrics

SKIPS_IN_A_ROW = 50              # non-finite steps that a run bears before it stops
READERS = min(8, max(1, (os.cpu_count() or 1) // 2))       # threads that make batches; the others are the step's
HOW = {'workers', 'engine', 'address', 'report', 'segments'}               # of config.data, what may change from one start of a run to the next
LOCKS = {}                       # of the run folders that this process holds
WAITING = {}                     # and what waits to be written there, see `beside`
PROGRAMS = 4                     # compiled steps that a process keeps for runs that follow


@dataclasses.dataclass(frozen=True)
class Schedule:
  """How long a run goes and when it does what; all in steps."""
  steps: int
  log_every: int
  save_every: int
  evaluate_every: int = 0        # 0 = never

  def __post_init__(self):
    for name, least in (('steps', 0), ('log_every', 1), ('save_every', 1), ('evaluate_every', 0)):
      if getattr(self, name) < least:
        raise InputError(f'config.{name} {getattr(self, name)}: give {least} or more')


@dataclasses.dataclass(frozen=True)
class Stage:
  """What one stage gives the loop.

  init(key) -> state, a dict with {params, opt, step}; its arrays' names end in their axes.
  phases: (first step, step function) in order; a step function takes (state, batch, key) and gives
    (state, {metric: f32[]}). The state keeps its shape from phase to phase. Functions that are equal are compiled once in a process.
  batches[step] -> {name: array[b ...]}, this process's rows.
  evaluate(state, step) -> {metric: number}, or None.
  line(metrics) -> the part of the screen's line that the stage knows.
  given() -> {name: tree} that takes the place of what init made, where a run starts from weights; or None.
  rates[step] -> the learning rate f32, given to step functions behind the key, so that another schedule takes no other program; or None.
  idle: names of the state that the first phase does not get, and does not change.
  """
  init: Callable
  phases: tuple[tuple[int, Callable], ...]
  batches: object
  audio_s: float                 # seconds of audio in a global batch
  facts: dict                    # what a resumed run has to agree with
  line: Callable = lambda values: f'loss {values["loss"]:.4f}'
  evaluate: Callable | None = None
  given: Callable | None = None
  rates: object = None
  idle: tuple[str, ...] = ()


def begin(config, workdir) -> Path:
  """Writes the resolved config and the git revision to a run's folder, see `beside`, and gives the folder.

  Raises:
    InputError: another process is at work there, or a run of another job has its checkpoints there.
  """
  workdir = Path(workdir).absolute()
  workdir.mkdir(parents=True, exist_ok=True)
  if jax.process_index() > 0:
    return workdir
  lock(workdir)
  WAITING.pop(workdir, None)                     # of a run in this process that was refused
  if checkpoints.begun(workdir):
    _same_run(workdir, config)
  told = {'config.json': json.dumps(config.to_dict(), indent=1, sort_keys=True), 'revision.txt': revision()}
  beside(workdir, {name: f'{text}\n'.encode() for name, text in told.items()})
  return workdir


def beside(workdir, told: dict[str, bytes]) -> None:
  """Writes files that say how to read a run's checkpoints; where it has some, `fit` does, once the run has turned out to be the same."""
  if jax.process_index() > 0:
    return
  if checkpoints.begun(workdir):
    WAITING.setdefault(workdir, {}).update(told)
    return
  for name, data in told.items():
    files.write(workdir / name, data)


def _same_run(workdir, config):
  """Refuses what would be refused by `fit` too, but before its data are prepared over those of the run that is there."""
  try:
    found = json.loads((workdir / 'config.json').read_bytes())
    job, before = found['job'], found.get('data', {})
  except (OSError, ValueError, KeyError, TypeError):
    return
  if job != config.job:
    raise InputError(f'--workdir={workdir}: the checkpoints of a run of configs/{job}.py lie there; give another folder')
  now = json.loads(json.dumps(config.to_dict().get('data', {})))
  if now.get('tokens'):            # nothing is prepared
    return
  for name in sorted(before.keys() & now.keys() - HOW):
    if before[name] != now[name] and not (name == 'audio' and before[name] and now[name] and _place(before[name]) == _place(now[name])):
      raise InputError(f'config.data.{name} is {now[name]!r}, and this run was begun with {before[name]!r}: give that, or another --workdir' +
                       f'; if it is the same speech in another place, --config.data.tokens={workdir}/tokens' * (name == 'audio' and 'tokens' in now))


def _place(folders):
  return [os.path.abspath(one) for one in ([folders] if isinstance(folders, str) else folders)]


def lock(workdir) -> None:
  """Keeps a run's folder for this process until it ends, however it ends.

  Raises:
    InputError: another process holds it; two would write over each other's checkpoints.
  """
  file = open(workdir / '.lock', 'w')
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    if workdir not in LOCKS:
      raise InputError(f'--workdir={workdir}: another run is at work there; wait for it or give another folder') from None
    return
  LOCKS[workdir] = file


def revision() -> str:
  """The git revision of the code, or 'unknown' where there is no git."""
  try:
    return subprocess.run(['git', 'describe', '--always', '--dirty', '--abbrev=12'], cwd=Path(__file__).parent,
                          capture_output=True, text=True, check=True).stdout.strip()
  except (OSError, subprocess.CalledProcessError):
    return 'unknown'


def abstract(init, mesh, seed):
  """The state's shapes with their shardings, without making it."""
  shapes = jax.eval_shape(init, jax.random.key(seed))
  return jax.tree.map(lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
                      shapes, axes.shardings(shapes, mesh))


def compiled(stage, mesh, seed):
  """(init, {first step: step function}, abstract state), jitted so that all agree on every array's sharding.

  init(but=()) makes the state but for some of its names: nothing is drawn, or compiled, for what takes another's weights.
  """
  state = abstract(stage.init, mesh, seed)
  where = jax.tree.map(lambda x: x.sharding, state)
  kept = lambda tree, but: {name: part for name, part in tree.items() if name not in but}

  def jitted(step, idle):
    leaves, structure = jax.tree.flatten(kept(where, idle))
    made = program(step, seed, mesh, structure, tuple(leaves), stage.rates is not None)
    if not idle:
      return made
    def beside(state, *others):
      moved, values = made(kept(state, idle), *others)
      return state | moved, values
    return beside

  def init(but=()):
    return jax.jit(lambda: kept(stage.init(jax.random.key(seed)), but), out_shardings=kept(where, but), compiler_options=compiler_options(mesh))()

  return init, {start: jitted(step, () if number else stage.idle) for number, (start, step) in enumerate(stage.phases)}, state


@functools.lru_cache(PROGRAMS)
def program(step, seed: int, mesh, structure, shardings: tuple, rated: bool):
  """(state, batch, and where it is `rated` its learning rate) -> (state, metrics): a step function as one program, which has its own keys.

  structure, shardings: of the state.
  """
  def keyed(state, batch, *rate):
    return step(state, batch, jax.random.fold_in(jax.random.key(seed), state['step']), *rate)
  where, whole = jax.tree.unflatten(structure, shardings), NamedSharding(mesh, P())
  return jax.jit(keyed, donate_argnums=0, in_shardings=(where, NamedSharding(mesh, axes.BATCH), *[whole] * rated), out_shardings=(where, whole),
                 compiler_options=compiler_options(mesh))


def compiler_options(mesh) -> dict:
  """XLA's options for a mesh's devices. On CPUs LLVM does less, unless JAX was asked for less still: sooner compiled, as fast."""
  if mesh.devices.flat[0].platform != 'cpu' or jax.config.read('jax_disable_most_optimizations'):
    return {}
  return {'xla_backend_optimization_level': 1}


def fit(stage: Stage, schedule: Schedule, mesh, seed: int, workdir):
  """Trains from the run's last whole checkpoint, else from a fresh state, to the last step or a signal.

  Returns:
    (state, done): done is False where SIGINT or SIGTERM ended the run early; it is saved then, and the
    same command goes on.

  Raises:
    InputError: the run's folder belongs to other data, or the loss stays non-finite.
  """
  workdir = Path(workdir)
  rows = NamedSharding(mesh, axes.BATCH)
  with jax.set_mesh(mesh), contextlib.closing(checkpoints.Checkpoints(workdir / 'checkpoints')) as saved, \
      signals() as asked:
    init, phases, shapes = compiled(stage, mesh, seed)
    start = saved.latest()
    if start is None:
      if checkpoints.begun(workdir):
        print(f'warning: {workdir / "checkpoints"} holds no whole checkpoint; the run begins anew', flush=True)
      given = stage.given() if stage.given else {}
      state, start = init(but=given), 0
      where = jax.tree.map(lambda x: x.sharding, shapes)
      # Not the same memory: steps give the state's up. From the host, as JAX heeds may_alias of its own arrays on one device alone.
      state |= {name: jax.device_put(jax.tree.map(np.asarray, tree), where[name], may_alias=False) for name, tree in given.items()}
    else:
      agree(saved.facts(start), stage.facts, workdir)
      if start > schedule.steps:
        raise InputError(f'{workdir}: it is trained to step {start}, and config.steps is {schedule.steps}; give as many or more, or another '
                         '--workdir')
      state, _ = saved.restore(start, shapes)
      saved.go_on(start)
      print(f'resumed from step {start} of {schedule.steps}', flush=True)
    for name, data in WAITING.pop(workdir.absolute(), {}).items():
      files.write(workdir / name, data)
    with contextlib.closing(metrics.Log(workdir if jax.process_index() == 0 else None, start)) as log, \
        tqdm.tqdm(total=schedule.steps, initial=start, unit='step', desc='training', dynamic_ncols=True, mininterval=1.0,
                  disable=jax.process_index() > 0) as bar:
      report, done = Report(log, bar, stage, schedule), start
      for now, batch in ahead(stage.batches, start, schedule.steps):
        batch = jax.tree.map(lambda x: jax.make_array_from_process_local_data(rows, x), batch)
        rate = [] if stage.rates is None else [stage.rates[now]]
        state, values = phases[max(first for first in phases if first <= now)](state, batch, *rate)
        done = now + 1
        report.add(done, values)
        stop = asked(done)                      # once: a signal that comes while this step is shown waits for the next
        last = done == schedule.steps or bool(stop)
        is_saved = last or done % schedule.save_every == 0
        if is_saved or done % schedule.log_every == 0:
          report.show()                         # before the save: a run that goes on from there does not take the steps before it again
        if is_saved:
          saved.save(done, state, stage.facts)
        if stage.evaluate and schedule.evaluate_every and (done == schedule.steps or done % schedule.evaluate_every == 0):
          log.write(done, stage.evaluate(state, done), 'eval')
        if stop:
          bar.write(f'stopped by {stop[0]} and saved at step {done}; the same command goes on from there')
          break
  return state, done >= schedule.steps


class Report:
  """Collects the metrics of the steps and fetches them from the device when they are shown."""

  def __init__(self, log, bar, stage, schedule):
    self._log, self._bar, self._stage, self._schedule = log, bar, stage, schedule
    self._waiting, self._time, self._skips = [], None, 0

  def add(self, done, values):
    self._waiting.append((done, values))
    self._bar.update()

  def show(self):
    """Writes a line a step to the log and one to the screen.

    Raises:
      InputError: too many steps in a row were not finite.
    """
    steps = [(done, jax.device_get(values)) for done, values in self._waiting]
    seconds = time.monotonic() - self._time if self._time else None
    for done, values in steps:
      self._log.write(done, values)
      self._skips = self._skips + 1 if values.get('skipped') else 0
    self._log.flush()
    if self._skips >= SKIPS_IN_A_ROW:
      raise InputError(f'{self._skips} steps in a row up to {steps[-1][0]} had a loss or gradient that is not finite; '
                       'lower config.lr or look at the data of these steps')
    # What a skipped step measured may be no number.
    told = [values for _, values in steps if not values.get('skipped')] or [values for _, values in steps]
    mean = {name: float(np.mean([values[name] for values in told if name in values])) for name in told[-1]}
    done, text = steps[-1][0], self._stage.line(mean)
    if skipped := sum(bool(values.get('skipped')) for _, values in steps):
      text += f' | {skipped} skipped, not finite'
    if seconds:
      rate = len(steps) / seconds
      text += f' | {rate * self._stage.audio_s:.0f} audio s/s | {clock((self._schedule.steps - done) / rate)} left'
      self._log.write(done, {'audio_s_per_s': rate * self._stage.audio_s, 'step_s': 1 / rate}, 'speed')
    self._bar.write(f'step {done}/{self._schedule.steps} | {text}')
    self._waiting, self._time = [], time.monotonic()


def clock(seconds: float) -> str:
  """Seconds as 1:02:03 or 2:03."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'


def agree(found: dict, wanted: dict, workdir) -> None:
  """Raises InputError where a run's folder was made with other facts (data, codec, seed). What an older checkpoint does not tell is passed over."""
  for name in found.keys() & wanted.keys():
    if found[name] != wanted[name]:
      raise InputError(f'{workdir}: this run was begun with {name} {found[name]!r}, now it is {wanted[name]!r}; '
                       'give another --workdir or ' + ('the config of that stage' if name == 'stage' else 'what it was begun with'))


def ahead(batches, start, stop):
  """(step, batch) for each step, the next ones being read while this one is used: as many as there are readers."""
  with concurrent.futures.ThreadPoolExecutor(READERS) as readers:
    waiting = collections.deque(readers.submit(batches.__getitem__, now) for now in range(start, min(start + READERS, stop)))
    for now in range(start, stop):
      batch = waiting.popleft().result()
      if now + READERS < stop:
        waiting.append(readers.submit(batches.__getitem__, now + READERS))
      yield now, batch


@contextlib.contextmanager
def signals():
  """came(step) -> [name of the signal SIGINT or SIGTERM that came] or []; a second Ctrl-C interrupts at once.

  With several processes JAX's own notifier takes SIGTERM, to any of them, and all learn of it at the same step.
  """
  if jax.process_count() > 1:
    yield lambda step: ['SIGTERM'] if multihost_utils.reached_preemption_sync_point(step) else []
    return
  came = []

  def note(number, frame):
    if came and number == signal.SIGINT:
      raise KeyboardInterrupt
    came.append(signal.Signals(number).name)

  before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield lambda step: came[:1]
  finally:
    for one, handler in before.items():
      signal.signal(one, handler)
