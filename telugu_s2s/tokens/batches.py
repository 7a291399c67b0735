"""Token shards to batches for the audio LM. A batch is a function of seed and step alone."""
import dataclasses
import functools

import grain
import numpy as np

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import read, shards
from telugu_s2s.tokens import labels, record, slots
from telugu_s2s.tokens import prosody as prosodies
from telugu_s2s.tokens.census import Census, counted
from telugu_s2s.tokens.epochs import Epochs, Mixture, packed
from telugu_s2s.tokens.record import ABSENT

ASSISTANT, USER = 0, 1


class Clips:
  """All clips of a folder of token shards: `len(...)` and `[index]`, each as it is; `view` gives its other views.

  Args:
    folder: of token shards.
    codec: name of the codec that the model will speak with.

  Raises:
    InputError: no token shards or no clips in them, a missing or truncated one, or shards of another codec.
  """

  def __init__(self, folder, codec: str):
    self._folder = str(folder)
    self.manifest = shards.check(folder, record.KIND)
    found = self.manifest['codec']
    if found != codec:
      raise InputError(f'{folder}: tokens of codec {found}, this run has codec {codec}; tokenise again with '
                       'configs/tokenize.py or set config.codec to the file of that codec')
    if not self.manifest['records']:
      raise InputError(f'{folder}: there are no clips in these shards; see the report of the segments they are made of')
    self.silence = np.array(self.manifest['silence'], np.int32)                # [q]
    self.views = self.manifest.get('views', 1)
    first = [row for row in self.manifest['shards'] if not row.get('view')]
    self.seconds = sum(row.get('seconds', 0.0) for row in first)             # of one view
    self._count = sum(row['records'] for row in first)
    if self._count * self.views != self.manifest['records']:
      raise InputError(f'{folder}: its {self.views} views have not the same clips, since records were damaged when some of '
                       'them were made; delete the folder and tokenise again')
    self._records = grain.sources.ArrayRecordDataSource(shards.files(folder, self.manifest))

  def __len__(self):
    return self._count

  def __getitem__(self, index) -> record.Tokens:
    """See `view`."""
    return self.view(index, 0)

  def view(self, index: int, number: int) -> record.Tokens:
    """A clip in one of its views, 0 = as it is; see tokens/views.py.

    Raises:
      InputError: the record is damaged or of another codec.
      IndexError: there is no such clip or view.
    """
    if not (0 <= index < self._count and 0 <= number < self.views):
      raise IndexError(f'view {number} of clip {index}: there are {self._count} in {self.views}')
    index += number * self._count
    try:
      tokens = record.from_bytes(self._records[index])
    except (ValueError, RuntimeError) as problem:
      raise read.damaged(self._folder, index, problem) from problem
    if tokens.codec != self.manifest['codec']:
      raise InputError(f'{self._folder}: record {index} is of codec {tokens.codec}, its manifest says '
                       f'{self.manifest["codec"]}; delete the folder and tokenise again')
    return tokens

  def __repr__(self):
    return f'Clips({self._folder!r})'


@dataclasses.dataclass(frozen=True)
class Window:
  """How clips become rows of a batch."""
  frames: int                    # length of a row
  user_share: float = 0.3        # of the rows, how many cast their clip as the user
  trailing: int = 12             # frames of silence after a clip that are learnt, so that a voice may end
  clips: int = 1                 # most clips of a row
  prosody: bool = True           # its slot is filled
  align: int = 4                 # clips of a row begin at its multiples: every second frame has prosody, every
                                 # `user_every`-th of the model predicts the user

  @property
  def silent(self) -> np.ndarray:
    """i32[frames], the prosody of a silent row; ABSENT where its slot is not filled."""
    return prosodies.silent(self.frames) if self.prosody else np.full(self.frames, ABSENT, np.int32)


class Rows(grain.transforms.MapWithIndex):
  """The number of a row to what read(number, view) gives of each clip in it."""

  def __init__(self, read, epochs: Epochs):
    self._read, self._epochs = read, epochs

  def map_with_index(self, index, _):
    return [self._read(*one) for one in self._epochs.row(index)]


class Cast(grain.transforms.RandomMap):
  """Clips as dialogues with one silent side, cut or filled to one length; with text where there is a text slot."""

  def __init__(self, window: Window, silence, text: slots.Text | None = None, asked: labels.Asked | None = None):
    self._window, self._silence, self._text, self._asked = window, silence, text, asked

  def random_map(self, clips, rng):
    """See `row` and, where rows hold several clips, `packed_row`."""
    if self._window.clips > 1:
      return packed_row([functools.partial(self._one, tokens, rng) for tokens in clips], self._window, self._silence)
    return self._one(clips[0], rng, self._window)

  def _one(self, tokens, rng, window):
    side = USER if rng.random() < window.user_share else ASSISTANT
    spare = len(tokens.codes) - self._window.frames          # of the whole row: one that others leave too little is cut at its end
    start = 2 * int(rng.integers(spare // 2 + 1)) if spare > 0 else 0          # prosody comes every second frame
    mode = self._text.mode(tokens, rng) if self._text else slots.NOTHING
    known = self._asked.row(tokens, side == ASSISTANT, rng) if self._asked else {}
    return row(tokens, side, start, window, self._silence, self._text, mode) | known


def row(tokens: record.Tokens, side: int, start: int, window: Window, silence, text=None, mode=slots.NOTHING) -> dict:
  """One row of a batch.

  Args:
    tokens: a clip.
    side: ASSISTANT or USER, whose voice it is; the other one is silent.
    start: the clip's frame, an even number, that comes first.
    window: the row's length.
    silence: i32[q].
    text: how a text slot is filled, or None for no such slot.
    mode: what it is to the voice; where it comes ahead, silence stands before the clip.

  Returns:
    codes: i32[2 t q], of assistant and user.
    prosody: i32[t], of the assistant, at every second frame, ABSENT between.
    weight: f32[t], 0 where the row is filling behind the clip.
    With text also text: i32[t], see tokens/slots.py, task: i32[] and ahead: i32[], the mode's.
  """
  t, lead = window.frames, max(mode.ahead, 0)
  part = tokens.codes[start:start + max(t - lead, 0)].astype(np.int32)
  codes = np.tile(silence.astype(np.int32), (2, t, 1))
  codes[side, lead:lead + len(part)] = part
  prosody = window.silent
  if side == ASSISTANT and window.prosody:
    moves = tokens.prosody[start // 2:start // 2 + (len(part) + 1) // 2]
    prosody[lead:lead + 2 * len(moves):2] = moves
  weight = (np.arange(t) < abs(mode.ahead) + len(part) + window.trailing).astype(np.float32)
  found = {'codes': codes, 'prosody': prosody, 'weight': weight}
  if text:
    found |= {'text': text.slot(tokens, mode, side == ASSISTANT, t, start), 'task': np.int32(mode.task),
              'ahead': np.int32(mode.ahead)}
  return found


def packed_row(cast, window: Window, silence) -> dict:
  """A row of several clips, one behind the other, each with its silence; what does not fit in is cut off.

  Args:
    cast: of each clip a function of a Window that gives its `row`.

  Returns:
    As `row`, and segment: i32[t], the number of the clip, ABSENT behind the last one. What is said of a clip (task, ahead,
    conditions, asked) is [s ...] for s = window.clips, ABSENT beyond the last one.
  """
  parts, at = [], 0
  for one in cast:
    left = window.frames - at
    if left < window.align:
      break
    part = one(dataclasses.replace(window, frames=left))
    learnt = int(np.flatnonzero(part['weight']).max(initial=-1)) + 1
    taken = min(left, -(-learnt // window.align) * window.align)
    if 'asked' in part and part['asked'][0] >= 0:
      first, end, sentence = part['asked']
      part['asked'] = np.array([at + first, at + min(end, taken), sentence], np.int32)
    parts.append({name: _frames(name, value, taken) for name, value in part.items()})
    at += taken
  rest, found = window.frames - at, {}
  for name, value in parts[0].items():
    if name not in OF_FRAMES:
      several = np.stack([part[name] for part in parts])
      found[name] = np.pad(several, ((0, window.clips - len(parts)),) + ((0, 0),) * value.ndim, constant_values=ABSENT)
      continue
    blank = {'codes': np.tile(silence.astype(np.int32), (2, rest, 1)), 'weight': np.zeros(rest, np.float32)}
    empty = blank[name] if name in blank else np.full((rest, *value.shape[1:]), ABSENT, np.int32)
    found[name] = np.concatenate([*(part[name] for part in parts), empty], OF_FRAMES[name])
  sizes = [len(part['weight']) for part in parts]
  return found | {'segment': np.repeat(np.array([*range(len(parts)), ABSENT], np.int32), [*sizes, rest])}


OF_FRAMES = {'codes': 1, 'prosody': 0, 'weight': 0, 'text': 0, 'floor': 0}       # what of a row goes by frames: {name: their axis}


def _frames(name, value, count):
  """The first frames of what goes by frames, the whole of anything else."""
  return value if name not in OF_FRAMES else value[:, :count] if OF_FRAMES[name] else value[:count]


def needs(frames, window: Window, text: slots.Text | None = None):
  """Frames of a row that clips of so many frames take, i64[n]: those of silence and, on average, of text included."""
  taken = np.asarray(frames, np.int64) + window.trailing + (round(text.apart()) if text else 0)
  return np.minimum(window.frames, -(-taken // window.align) * window.align)


def make(clips: Clips, window: Window, *, batch, seed, process=0, processes=1, views='turns', text=None, asked=None,
         census: Census | None = None, mixture: Mixture = Mixture()):
  """Endless batches for one process: make(...)[step] is a dict of the rows' arrays, [batch/processes ...].

  The slice by process comes last, so every process count cuts the same global batch.

  Args:
    views: of clips that have several: 'turns' = an epoch is every clip once, each time in another view; 'all' = an
      epoch is every view once; 'first' = the clips as they are.
    text: how the text slot is filled, a slots.Text; None = there is none.
    asked: what rows say of their voice, a labels.Asked; None = nothing.
    census: of the clips; None: it is counted here.
    mixture: how often clips come.
  """
  census = census or counted(clips)
  epochs = Epochs(census, needs(census.frames, window, text), window.frames, window.clips, mixture, clips.views, views, seed)
  if window.clips > 1:
    held, share = epochs.filled()
    print(f'rows: {held} clips in {epochs.rows} rows an epoch, {100 * share:.0f} % of their frames filled', flush=True)
  return endless(epochs, clips.view, Cast(window, clips.silence, text, asked), batch, seed, process, processes)


def endless(epochs: Epochs, read, cast, batch, seed, process=0, processes=1):
  """Batches of the rows of epochs, without end, for one process: cast makes a row of what `Rows` reads."""
  source = grain.MapDataset.source(range(epochs.rows)).seed(seed).repeat().map_with_index(Rows(read, epochs))
  return of_process(source.random_map(cast), batch, process, processes)


def of_process(rows, batch: int, process: int, processes: int):
  """One process's part of the batches of endless rows. Raises InputError where they do not divide."""
  if batch % processes:
    raise InputError(f'config.batch: {batch} does not divide over {processes} processes')
  return Share(rows, batch, process, processes).batch(batch // processes, drop_remainder=True)


class Share(grain.MapDataset):
  """The rows of each global batch that are a process's: one stretch, as its devices hold, since what a step draws for a row goes by its place."""

  def __init__(self, rows, batch: int, process: int, processes: int):
    super().__init__(rows)
    self._batch, self._mine, self._process = batch, batch // processes, process

  def __len__(self):
    return len(self._parent) // self._batch * self._mine

  def __getitem__(self, index):
    step, row = divmod(index, self._mine)
    return self._parent[step * self._batch + self._process * self._mine + row]


def evaluation(clips: Clips, window: Window, batch: int, text: slots.Text | None = None,
               asked: labels.Asked | None = None) -> list[dict]:
  """Every clip once, as the assistant and from its start, in batches; the last is filled with rows of weight 0.

  Its text, where there is a slot, comes with the voice.

  Weight is on the clips alone, not on silence behind them, which would flatter a model.
  """
  window = dataclasses.replace(window, trailing=0)

  def cast(index, window):
    clip = clips[index]
    return row(clip, ASSISTANT, 0, window, clips.silence, text, slots.beside(clip)) | (asked.row(clip, True) if asked else {})

  if window.clips > 1:
    held = packed(needs(counted(clips).frames, window), window.frames, window.clips)
    rows = [packed_row([functools.partial(cast, index) for index in one], window, clips.silence) for one in held]
  else:
    rows = [cast(index, window) for index in range(len(clips))]
  return stacked(rows, batch)


def stacked(rows: list[dict], batch: int) -> list[dict]:
  """Rows in batches; the last is filled with rows of weight 0."""
  rows = rows + [{**rows[0], 'weight': np.zeros_like(rows[0]['weight'])}] * (-len(rows) % batch)
  return [{name: np.stack([one[name] for one in rows[at:at + batch]]) for name in rows[0]} for at in range(0, len(rows), batch)]
