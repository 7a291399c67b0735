"""Turns laid on a row of two streams, and what can be told of it: who holds the floor in the seconds that follow."""
import dataclasses

import numpy as np

from telugu_s2s.tokens import prosody
from telugu_s2s.tokens.batches import ASSISTANT, USER, Window
from telugu_s2s.tokens.record import ABSENT
from telugu_s2s.tokens.vocabulary import PAD

# Where the spans end in which somebody speaks or not, in units of a model's floor_frames: 0.2, 0.6, 1.2 and 2 s (voice
# activity projection, Ekstedt and Skantze, 2022, 3.1).
SPANS = (1, 3, 6, 10)


@dataclasses.dataclass(frozen=True)
class Said:
  """A turn on a row."""
  codes: np.ndarray              # i32[n q]
  side: int                      # ASSISTANT or USER
  start: int                     # frame of the row; below 0 where its beginning is left out
  prosody: np.ndarray | None = None        # u8[(n + 1) // 2], of an assistant's
  echo: np.ndarray | None = None           # i32[n q], what the user's microphone hears of it
  text: np.ndarray | None = None           # i32[n], an assistant's text slot, see tokens/slots.py; None = there is no such slot
  last: bool = False             # it is the answer that the row is about


def laid(said: list[Said], window: Window, silence, background=None, floor: int = 0) -> dict:
  """A row of a batch.

  Args:
    said: turns; where two of one side meet the later one is heard.
    silence: i32[q].
    background: i32[t q], what the user's stream holds where nobody speaks; None = silence.
    floor: frames of 0.2 s, of a model that is taught who speaks next; 0 = none.

  Returns:
    As `batches.row` without task and ahead, and answer: bool[t], the frames of the answer; with `floor` also floor: i32[t 2 spans]. Where
    turns have a text slot, it says of a silent assistant that there is no word.
  """
  t = window.frames
  codes, active = np.tile(silence.astype(np.int32), (2, t, 1)), np.zeros((2, t), bool)
  moves, answer, slot = window.silent, np.zeros(t, bool), np.full(t, PAD, np.int32)
  if background is not None:
    codes[USER] = background
  # An assistant's turn begins at an even frame, as every second one has prosody.
  said = [dataclasses.replace(one, start=one.start + one.start % 2) if one.side == ASSISTANT else one for one in said]
  for one in said:
    if one.echo is not None:
      _put(codes[USER], one.start, one.echo)
  for one in said:
    _put(codes[one.side], one.start, one.codes)
    _put(active[one.side], one.start, np.ones(len(one.codes), bool))
    if one.side == ASSISTANT and one.prosody is not None and window.prosody:
      _put(moves, one.start, prosody.spaced(one.prosody, len(one.codes)))
    if one.text is not None:
      _put(slot, one.start, one.text)
    if one.last:
      _put(answer, one.start, np.ones(len(one.codes), bool))
  end = min(t, max(one.start + len(one.codes) for one in said) + window.trailing)
  weight = (np.arange(t) < end).astype(np.float32)
  return {'codes': codes, 'prosody': moves, 'weight': weight, 'answer': answer} | (
      {'text': slot} if any(one.text is not None for one in said) else {}) | (
      {'floor': next_floor(active, end, floor)} if floor else {})


def _put(row, start, values):
  """Writes values at a frame of a row, as far as they lie in it."""
  begin, end = max(start, 0), min(start + len(values), len(row))
  if begin < end:
    row[begin:end] = values[begin - start:end - start]


def next_floor(active, end: int, unit: int) -> np.ndarray:
  """i32[t 2 spans] flattened over both sides: whether a side speaks for half or more of each span after a frame.

  Args:
    active: bool[2 t], where the assistant and the user speak.
    end: frames of the row that are known; a span that reaches beyond is ABSENT.
    unit: frames of 0.2 s.
  """
  t = active.shape[1]
  sums = np.concatenate([np.zeros((2, 1), int), np.cumsum(active, 1)], 1)
  found = np.full((t, 2, len(SPANS)), ABSENT, np.int32)
  for number, (first, last) in enumerate(zip((0,) + SPANS, SPANS)):
    first, last = first * unit, last * unit
    known = max(0, end - last)                   # frames s whose span s + 1 + first .. s + last is known
    at = np.arange(known)
    spoken = sums[:, at + last + 1] - sums[:, at + first + 1]
    found[:known, :, number] = (2 * spoken >= last - first).T
  return found.reshape(t, -1)


def of_clip(row: dict, silence, unit: int) -> dict:
  """A row of `batches.row` as one of `laid`, but for the answer: who is not silent speaks. unit: frames of 0.2 s, 0 = no floor."""
  return row | ({'floor': next_floor(np.any(row['codes'] != silence, -1), int(row['weight'].sum()), unit)} if unit else {})
