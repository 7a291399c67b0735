"""Parts of a file, such as the turns of a conversation: asked for in the order of time, they decode it once.

Lossy files cannot be entered in the middle and give the same samples. So the last one stays open where it was left, with
what was decoded last, and the next part goes on from there. What comes out does not depend on what was asked before.
"""
import collections
import functools
import math
import os
from collections.abc import Iterator

import numpy as np

from telugu_s2s.audio import decoding, files
from telugu_s2s.audio.files import SAMPLE_RATE, Unreadable

KEPT_S = 120.0       # of sound that was decoded last: turns overlap, and the next may begin before this one's end


def blocks(path, channel: int | None = None, start_s: float = 0.0, end_s: float | None = None) -> Iterator[tuple[np.ndarray, int]]:
  """The same samples as `files.blocks` gives; raises as it does, and for every part of a lossy file behind its break says what broke."""
  stamp = _stamp(path)
  if (start_s, end_s) == (0.0, None) or _exact(str(path), *stamp):
    yield from files.blocks(path, channel, start_s, end_s)
    return
  start, end = round(start_s * SAMPLE_RATE), math.inf if end_s is None else round(end_s * SAMPLE_RATE)
  key = str(path), channel, *stamp
  if _reader(*key).first > start:
    _reader.cache_clear()
  given = False
  for at, block in _reader(*key).pieces(start, end):
    part = block[max(0, start - at):max(0, int(min(end - at, len(block))))]
    if len(part):
      given = True
      yield part, _reader(*key).rate
  if not given:
    raise Unreadable(path, 'zero-second', f'it ends before its part at {start_s:g} s')


def forget() -> None:
  """Lets go of the file that is open: whoever asks next has it decoded anew, a fault of it too."""
  _reader.cache_clear()
  _exact.cache_clear()


def _stamp(path) -> tuple[int, int]:
  """What a file that has changed has another one of; 0, 0 of one that is not there, which opening it says."""
  try:
    status = os.stat(path)
  except OSError:
    return 0, 0
  return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=1)
def _exact(path, size, changed):
  """Whether it can be entered in the middle. Some files are looked through for that from end to end: once, not for each turn."""
  with decoding.opened(path) as file:
    return file.exact


@functools.lru_cache(maxsize=1)
def _reader(path, channel, size, changed):
  return _Reader(path, channel)


class _Reader:
  """A file that is being decoded: `first` is the earliest sample that can still be had."""

  def __init__(self, path, channel):
    self._blocks, self._held, self._fault = files.blocks(path, channel), collections.deque(), None
    self._next, self.rate = 0, SAMPLE_RATE

  @property
  def first(self) -> int:
    return self._held[0][0] if self._held else self._next

  def pieces(self, start, end):
    """Yields (position, samples) of what may hold some of start to end, in samples; it decodes no more than that needs."""
    yield from [(at, block) for at, block in self._held if at + len(block) > start and at < end]
    while self._next < end and (piece := self._decoded()):
      if piece[0] + len(piece[1]) > start:
        yield piece

  def _decoded(self):
    """The next piece, None at the end; a fault comes again for whoever asks again."""
    if self._fault:
      raise self._fault
    try:
      block, self.rate = next(self._blocks, (None, self.rate))
    except Unreadable as problem:
      self._fault = problem
      raise
    if block is None:
      return None
    piece = self._next, block
    self._next += len(block)
    self._held.append(piece)
    while self._held[0][0] + len(self._held[0][1]) < self._next - KEPT_S * SAMPLE_RATE:
      self._held.popleft()
    return piece
