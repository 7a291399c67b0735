"""Token shards to batches for the audio LM. A batch is a function of seed and step alone."""
import dataclasses

import grain
import numpy as np

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import read, shards
from telugu_s2s.tokens import labels, record, slots
from telugu_s2s.tokens.record import ABSENT

ASSISTANT, USER = 0, 1
VIEWS = ('turns', 'all', 'first')


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


class Turns(grain.transforms.MapWithIndex):
  """The number of a clip to the clip, each epoch in another view, all of them in as many epochs as there are views."""

  def __init__(self, clips: Clips):
    self._clips = clips

  def map_with_index(self, index, number):
    epoch = index // len(self._clips)
    return self._clips.view(number, (epoch + number) % self._clips.views)      # not all clips in one view at a time


class Flat:
  """Every view of every clip, as if it were a clip of its own."""

  def __init__(self, clips: Clips):
    self._clips = clips

  def __len__(self):
    return len(self._clips) * self._clips.views

  def __getitem__(self, index):
    return self._clips.view(index % len(self._clips), index // len(self._clips))


class Cast(grain.transforms.RandomMap):
  """A clip as a dialogue with one silent side, cut or filled to one length; with text where there is a text slot."""

  def __init__(self, window: Window, silence, text: slots.Text | None = None, asked: labels.Asked | None = None):
    self._window, self._silence, self._text, self._asked = window, silence, text, asked

  def random_map(self, tokens, rng):
    """See `row`."""
    side = USER if rng.random() < self._window.user_share else ASSISTANT
    spare = len(tokens.codes) - self._window.frames
    start = 2 * int(rng.integers(spare // 2 + 1)) if spare > 0 else 0          # prosody comes every second frame
    mode = self._text.mode(tokens, rng) if self._text else slots.NOTHING
    known = self._asked.row(tokens, side == ASSISTANT, rng) if self._asked else {}
    return row(tokens, side, start, self._window, self._silence, self._text, mode) | known


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
    prosody: i32[t], of the assistant, at every second frame, ABSENT between; ABSENT where it is silent.
    weight: f32[t], 0 where the row is filling behind the clip.
    With text also text: i32[t], see tokens/slots.py, task: i32[] and ahead: i32[], the mode's.
  """
  t, lead = window.frames, max(mode.ahead, 0)
  part = tokens.codes[start:start + max(t - lead, 0)].astype(np.int32)
  codes = np.tile(silence.astype(np.int32), (2, t, 1))
  codes[side, lead:lead + len(part)] = part
  prosody = np.full(t, ABSENT, np.int32)
  if side == ASSISTANT:
    moves = tokens.prosody[start // 2:start // 2 + (len(part) + 1) // 2]
    prosody[lead:lead + 2 * len(moves):2] = moves
  weight = (np.arange(t) < abs(mode.ahead) + len(part) + window.trailing).astype(np.float32)
  found = {'codes': codes, 'prosody': prosody, 'weight': weight}
  if text:
    found |= {'text': text.slot(tokens, mode, side == ASSISTANT, t, start), 'task': np.int32(mode.task),
              'ahead': np.int32(mode.ahead)}
  return found


def make(clips: Clips, window: Window, *, batch, seed, process=0, processes=1, views='turns', text=None, asked=None):
  """Endless batches for one process: make(...)[step] is a dict of the rows' arrays, [batch/processes ...].

  The slice by process comes last, so every process count cuts the same global batch.

  Args:
    views: of clips that have several: 'turns' = an epoch is every clip once, each time in another view; 'all' = an
      epoch is every view once; 'first' = the clips as they are.
    text: how the text slot is filled, a slots.Text; None = there is none.
    asked: what rows say of their voice, a labels.Asked; None = nothing.
  """
  if batch % processes:
    raise InputError(f'config.batch: {batch} does not divide over {processes} processes')
  if views not in VIEWS:
    raise InputError(f'config.views {views!r}: give one of {", ".join(VIEWS)}')
  if views == 'turns' and clips.views > 1:
    numbers = grain.MapDataset.source(range(len(clips))).seed(seed).shuffle().repeat()
    source = numbers.map_with_index(Turns(clips))
  else:
    every = Flat(clips) if views == 'all' and clips.views > 1 else clips
    source = grain.MapDataset.source(every).seed(seed).shuffle().repeat()
  rows = source.random_map(Cast(window, clips.silence, text, asked))
  return rows[process::processes].batch(batch // processes, drop_remainder=True)


def evaluation(clips: Clips, window: Window, batch: int, text: slots.Text | None = None,
               asked: labels.Asked | None = None) -> list[dict]:
  """Every clip once, as the assistant and from its start, in batches; the last is filled with rows of weight 0.

  Its text, where there is a slot, comes with the voice.

  Weight is on the clips alone, not on silence behind them, which would flatter a model.
  """
  window = dataclasses.replace(window, trailing=0)
  there = lambda clip: slots.NOTHING if clip.words is None else slots.Mode(slots.DIALOGUE, 0)
  every = (clips[index] for index in range(len(clips)))
  known = lambda clip: asked.row(clip, True) if asked else {}
  rows = [row(clip, ASSISTANT, 0, window, clips.silence, text, there(clip)) | known(clip) for clip in every]
  empty = {**rows[0], 'weight': np.zeros(window.frames, np.float32)}
  rows += [empty] * (-len(rows) % batch)
  return [{name: np.stack([one[name] for one in rows[at:at + batch]]) for name in empty}
          for at in range(0, len(rows), batch)]
