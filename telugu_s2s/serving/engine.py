"""The session engine: one thread that owns the device, one model, a fixed number of places for sessions.

A tick (tick.py) takes one frame further every session that has something to do. What users say goes into the model while they
say it; when a reply is asked for, nothing is left to be read. A reply is made LEAD frames ahead of its time and no further.
Whoever brings a lot at once has it read in ticks between the others', which take along all that is due.
"""
import collections
import dataclasses
import threading
import time

import jax
import numpy as np

from telugu_s2s.codec import streaming
from telugu_s2s.lm import drawing
from telugu_s2s.serving import tick
from telugu_s2s.serving.slot import Slot, key_of
from telugu_s2s.serving.turn import QUIET
from telugu_s2s.serving.voice import Voice
from telugu_s2s.tokens.vocabulary import UNKNOWN

LEAD = 3                         # frames that a reply is ahead of its time, 120 ms: what of it is on its way when it is broken off
BEGINS = 10                      # frames of a reply that was asked for, 0.4 s, in which it begins to speak if the model can tell a turn
OWN_TURN = 1e-9                  # how likely its turn must be then: it always is
BACKLOG = 2                      # frames that wait for the next beat; with more, or with a reply behind them, a tick does not
PATIENCE = 2                     # frames that a full-duplex user may be late, before silence is heard in their place
LONGEST_INBOX_S = 120.0          # of audio that was not yet read
TIMINGS = 2000                   # ticks that are looked back at
FULL = 1.0                       # of a frame's time that a tick may take, at the median of RECENT, while sessions are let in
RECENT = 200
RETRY_S = 5.0                    # after which a device that failed is tried again
STALE_S = 5.0                    # after which ticks tell nothing of now: sessions in which nobody speaks make none


class Engine:
  """Serves a voice in `places` sessions at once.

  Args:
    how: how replies are drawn, unless a session asks for something else.
    seed: of the sessions' draws, together with the session's number.
    skip_s: of silence at the beginning of a reply that was asked for that is left out, at most: who waits for an answer has waited for the
      end of the turn already. The last frame of it stays, as onsets are soft.
  """

  def __init__(self, voice: Voice, places: int, how: drawing.Sampling = drawing.CAREFUL, seed: int = 0, skip_s: float = 0.0):
    self.voice, self.places, self.how, self.seed = voice, places, dataclasses.replace(how, silence=voice.silence[0]), seed
    self.sizes = tick.Sizes(voice.model, voice.codec.config, voice.silence)
    self.hop, self.frame_s = voice.codec.config.hop, 1 / voice.codec.config.frame_rate
    self.longest_inbox, self._skips = LONGEST_INBOX_S / self.frame_s, round(skip_s / self.frame_s)
    self.changed = threading.Condition()
    self.ready, self.failure, self.joined = threading.Event(), None, 0
    self.ticks = self.late = self.underruns = self.failures = 0
    self.tick_s, self.lag_s = collections.deque(maxlen=TIMINGS), collections.deque(maxlen=TIMINGS)
    self.ticked = 0.0            # when the last tick was over, by time.monotonic
    # All on one device and said to be: arrays that are there by chance are other arguments, for which a tick is compiled again.
    self._device = jax.devices()[0]
    self._params = jax.device_put({'lm': voice.params, 'codec': streaming.taken_apart(voice.codec.params)}, self._device)
    self._tick, self._begun, self._asked = tick.programs(self.sizes)
    self._slots: dict[int, Slot] = {}
    self._fresh, self._told, self._hows = set(), {}, [self.how] * places
    self._closed, self._down, self._beat, self._lately_s = False, False, 0, 0.0
    self._thread = threading.Thread(target=self._run, name='engine', daemon=True)

  def start(self, timeout_s: float | None = None) -> 'Engine':
    """Compiles and warms everything; comes back when sessions can join."""
    self._thread.start()
    self.ready.wait(timeout_s)
    if self.failure:
      raise self.failure
    return self

  def stop(self) -> None:
    with self.changed:
      self._closed = True
      self.changed.notify()
    if self._thread.is_alive():
      self._thread.join()

  @property
  def busy(self) -> bool:
    """Whether another session would be one too many: no place is free, or ticks take as long as their frames."""
    return len(self._slots) >= self.places or not self.ready.is_set() or self.overloaded

  @property
  def overloaded(self) -> bool:
    """Whether ticks take as long as their frames."""
    if not self._slots or len(self.tick_s) < RECENT or time.monotonic() - self.ticked > STALE_S:
      return False
    return sorted(list(self.tick_s)[-RECENT:])[RECENT // 2] > FULL * self.frame_s

  @property
  def alive(self) -> bool:
    """Whether it can come to serve again by itself: its thread runs, and the device does not fail again and again."""
    return self._thread.is_alive() and not self._down

  @property
  def sessions(self) -> int:
    return len(self._slots)

  @property
  def programs(self) -> int:
    """Compiled programs of a tick: one."""
    return self._tick._cache_size()

  def join(self, tell) -> Slot | None:
    """A place in which nothing was said yet, or None where none is free."""
    with self.changed:
      if self.busy:
        return None
      row = next(row for row in range(self.places) if row not in self._slots)
      slot = self._slots[row] = Slot(self, row, tell)
      self.joined += 1
      slot.key = key_of(self.seed + self.joined - 1)
      self._fresh.add(row)
      self.change(row, self.voice.given(), self.how)
      return slot

  def free(self, slot: Slot) -> None:
    with self.changed:
      if self._slots.get(slot.row) is slot:
        del self._slots[slot.row]

  def change(self, row: int, told: dict, how: drawing.Sampling) -> None:
    self._told[row] = told
    if how != self._hows[row]:
      self._hows[row] = how
      self._how = None
    self.changed.notify()

  def _run(self):
    try:
      self._reset()
      for flags in ((), ('hears',), ('speaks', 'sounds'), ('hears', 'speaks', 'sounds')):
        given = tick.orders(self.sizes, self.places)
        for name in flags:
          given[name][:] = True
        self._step(given, self._settings())
      if self.voice.given():
        self._begin((), {}, self._asked)
      self._reset()
    except Exception as problem:               # told to whoever started the engine
      self.failure = problem
      self.ready.set()
      return
    self.tick_s.clear()
    self.ready.set()
    while (work := self._due()) is not None:
      try:
        self._advance(*work)
      except Exception as problem:             # a fault of the device ends the sessions and not the server
        self._fail(problem)

  def _reset(self):
    self._state, self._how = jax.device_put(tick.empty_state(self.sizes, self.places), self._device), None
    self._begin(range(self.places), {row: self.voice.given() for row in range(self.places)}, self._begun)

  def _begin(self, rows, told, program):
    """The state after `begun` or `asked` of some rows. told: {row: Voice.given}."""
    chosen = np.isin(np.arange(self.places), list(rows))
    nobody = self.voice.given()
    all_told = [told.get(row, nobody) for row in range(self.places)]
    self._state = program(self._params, self._state, chosen, {name: np.stack([one[name] for one in all_told]) for name in nobody})

  def _fail(self, problem):
    with self.changed:
      self.ready.clear()
      slots, self._slots = list(self._slots.values()), {}
      self._fresh.clear()
      self._told.clear()
    self.failures += 1
    print(f'engine: {type(problem).__name__}: {problem}; {len(slots)} sessions are ended')
    for slot in slots:
      slot.tell('failed', None, None)
    while not self._closed:
      try:
        self._reset()
        self._down = False
        self.ready.set()
        return
      except Exception as again:               # a device may take a while
        self._down = True
        print(f'engine: {type(again).__name__}: {again}; trying again in {RETRY_S:g} s')
      with self.changed:
        self.changed.wait_for(lambda: self._closed, RETRY_S)

  def _due(self):
    """What `_ordered` returns, once there is something to do; None when the engine is stopped."""
    with self.changed:
      while not self._closed:
        now = time.monotonic()
        beat = int(now / self.frame_s)
        work = [(slot, *found) for slot in self._slots.values() if (found := self._work(slot, beat))]
        if work and (beat > self._beat or any(urgent for _, _, urgent in work) and self._has_time(beat, now)):
          return self._ordered(work, beat, now)
        timed = work or any(slot.duplex or slot.reply for slot in self._slots.values())
        self.changed.wait((beat + 1) * self.frame_s - now if timed else None)
      return None

  def _has_time(self, beat, now) -> bool:
    """Whether a tick between two beats is over before the next one, where somebody is in the middle of a reply."""
    running = any(slot.duplex or (slot.reply and slot.reply.made > LEAD) for slot in self._slots.values())
    return not running or now + self._lately_s < (beat + 1) * self.frame_s

  def _work(self, slot, beat):
    """(what a slot does next, whether it cannot wait for the next beat), or None."""
    while slot.reply is None and slot.inbox and not isinstance(slot.inbox[0], np.ndarray):
      first = slot.inbox.popleft()
      slot.read, slot.reply = 0, first                       # None: the end of a turn
    if slot.reply:
      ahead = slot.reply.ahead(beat)
      return ('reply', ahead < LEAD - 1) if ahead < LEAD else None
    while slot.missed and len(slot.inbox) > 1:               # what comes too late is passed over
      slot.inbox.popleft()
      slot.missed -= 1
    if slot.inbox:
      waiting = len(slot.inbox) > BACKLOG or not isinstance(slot.inbox[-1], np.ndarray)
      return ('duplex' if slot.duplex else 'turn', waiting)
    if slot.duplex and slot.last_beat is not None and beat - slot.last_beat > PATIENCE:
      return ('missing', False)
    return None

  def _ordered(self, work, beat, now):
    """(orders, [(slot, its reply, what it does)], the beat, the slots' rows that begin, who they are to be, how each is drawn)."""
    given, took = tick.orders(self.sizes, self.places), []
    if beat > self._beat:
      if any(slot.reply and slot.reply.began is not None and slot.reply.began <= self._beat for slot, _, _ in work):
        self.late += beat - self._beat - 1       # a running reply has something to do at each beat
        self.lag_s.append(now - beat * self.frame_s)
      self._beat = beat
    for slot, kind, _ in work:
      row = slot.row
      given['key'][row] = slot.key
      given['mark'][row], given['back'][row] = kind == 'turn' and slot.read == 0, slot.back
      slot.back = False
      if kind in ('turn', 'duplex'):
        given['audio'][row] = slot.inbox.popleft()
        given['hears'][row] = True
        slot.read += 1
      if kind == 'reply':
        given['fresh'][row] = slot.reply.steps == 0
        given['speaks'][row], given['floor'][row] = True, OWN_TURN if slot.reply.steps < BEGINS else 0.0
        given['sounds'][row] = slot.reply.steps >= self.sizes.model.delay
        slot.reply.steps += 1
      if kind in ('duplex', 'missing'):
        given['hears'][row] = given['sounds'][row] = True
        given['speaks'][row], given['floor'][row] = slot.hushed == 0, self._hows[row].floor
        slot.hushed = max(0, slot.hushed - 1)
        slot.last_beat = beat if kind == 'duplex' else slot.last_beat + 1
        slot.missed = min(slot.missed + (kind == 'missing'), PATIENCE)
      took.append((slot, slot.reply, kind))
    begins, self._fresh = self._fresh, set()
    told, self._told = self._told, {}
    return given, took, beat, begins, told, self._settings()

  def _advance(self, given, rows, beat, begins, told, how):
    start = time.monotonic()
    if begins:
      self._begin(begins, told, self._begun)
    others = told.keys() - begins
    if others and self.voice.given():
      self._begin(others, told, self._asked)
    audio, rms, words = self._step(given, how)
    took = time.monotonic() - start
    self.tick_s.append(took)
    self.ticked = start + took
    self._lately_s += (took - self._lately_s) / 8
    self.ticks += 1
    with self.changed:
      for slot, reply, kind in rows:
        if self._slots.get(slot.row) is slot:
          self._told_of(slot, reply, kind, beat, audio[slot.row], float(rms[slot.row]), int(words[slot.row]), given['sounds'][slot.row])

  def _told_of(self, slot, reply, kind, beat, audio, rms, word, sounds):
    """Tells a session what a tick made for it, unless it no longer wants it."""
    if not np.isfinite(rms):
      del self._slots[slot.row]
      slot.tell('failed', None, None)
    elif kind in ('duplex', 'missing'):
      if slot.duplex:
        self._tell_word(slot, None, word)
        slot.tell('audio', None, (audio, rms))
    elif kind == 'reply' and slot.reply is reply:
      self._tell_word(slot, reply.id, word)
      if not sounds:                           # of the first frame not all codes are known yet
        return
      if reply.began is None and rms <= QUIET and reply.skipped < self._skips:
        reply.skipped, reply.held = reply.skipped + 1, (audio, rms)
        return
      if reply.began is None:
        reply.began = beat
        if reply.held:
          self._say(slot, reply, beat, *reply.held)
      if slot.reply is reply:
        self._say(slot, reply, beat, audio, rms)

  def _say(self, slot, reply, beat, audio, rms):
    """Tells a session a frame of a reply, and whether it is the last one."""
    self.underruns += reply.ahead(beat) < 0
    reply.made += 1
    over = reply.ending.over(rms)
    slot.tell('audio', reply.id, (audio, rms))
    if over:
      slot.reply = None
      slot.tell('over', reply.id, reply.ending.cut)

  @staticmethod
  def _tell_word(slot, reply, word):
    if word > UNKNOWN:
      slot.tell('word', reply, word)

  def _settings(self):
    if self._how is None:
      self._how = jax.device_put(drawing.settings(self.sizes.model, self._hows), self._device)
    return self._how

  def _step(self, given, how):
    audio, rms, words, self._state = self._tick(self._params, self._state, given, how)
    return np.asarray(audio), np.asarray(rms), np.asarray(words)
