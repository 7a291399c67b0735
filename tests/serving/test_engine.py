"""The engine: what is said is what the model says by itself, whoever else is there, in its time and no longer than wanted."""
import collections
import dataclasses
import queue
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.evaluation import reply as offline
from telugu_s2s.lm import drawing, model
from telugu_s2s.serving import engine as engines
from telugu_s2s.serving import slot as slots
from telugu_s2s.serving import turn
from telugu_s2s.tokens import encoding
from telugu_s2s.tokens.vocabulary import UNKNOWN

HOP, FRAME_S = 320, 0.02


class Session:
  """A place in the engine, and what was told to it."""

  def __init__(self, engine, seed=None):
    self.events, self.words = queue.Queue(), []
    self.slot = engine.join(lambda *event: self.events.put((time.monotonic(), *event)))
    if seed is not None:
      self.slot.speak_as(engine.voice.given(), engine.how, seed)

  def turn(self, samples, name='r', frames=12, speed=1.0):
    self.slot.hear(samples)
    self.slot.commit()
    self.slot.ask(name, turn.Ending(FRAME_S, 9, 9, frames * FRAME_S), speed=speed)

  def audio(self, name='r', timeout=10):
    """f32[samples] of a reply, up to its end."""
    found = []
    while True:
      _, kind, reply, value = self.events.get(timeout=timeout)
      assert reply == name and kind != 'failed'
      if kind == 'over':
        return np.concatenate(found)
      if kind == 'word':
        self.words.append(value)
      else:
        found.append(value[0])


def sound(frames, seed):
  return np.random.default_rng(seed).normal(0, 0.1, frames * HOP).astype(np.float32)


def answer(engine, samples, seed, among=()):
  """The reply to a turn of a new session, while others hear and speak."""
  sessions = [Session(engine, seed), *(Session(engine, 70 + other) for other in range(len(among)))]
  try:
    for session, x in zip(sessions[1:], among):
      session.turn(x, frames=25)
    sessions[0].turn(samples)
    found = sessions[0].audio()
    for session in sessions[1:]:
      session.audio()
    return found
  finally:
    for session in sessions:
      session.slot.leave()


def offline_answer(engine, samples):
  """What the engine's model says offline to nine frames that were heard, drawn with seed 3."""
  return encoding.decoded(engine.voice.codec, offline_said(engine, samples)[0])[0]


def offline_said(engine, samples):
  """Its codes and words."""
  voice, silence = engine.voice, np.array(engine.voice.silence, np.int32)
  heard = encoding.Encoder(voice.codec, batch=1)([samples])[0].astype(np.int32)
  user = np.concatenate([heard, np.tile(silence, (12 + voice.model.delay, 1))])[None]
  given = {name: jnp.asarray(value)[None] for name, value in voice.given().items()}
  answered = jax.jit(offline.answered, static_argnums=(0, 3, 6))
  return answered(voice.model, voice.params, jnp.asarray(user), 9, silence, jax.random.key(3), engine.how, given)


def compiled(engine):
  """How many programs there are of a tick, of a beginning, and of being told something else."""
  return engine.programs, engine._begun._cache_size(), engine._asked._cache_size()


def test_a_session_says_what_the_model_says_offline(engine):
  samples = sound(9, 1)
  # Float32, in another order of sums: read in one piece there, frame by frame here.
  np.testing.assert_allclose(answer(engine, samples, seed=3), offline_answer(engine, samples), atol=1e-5)


@pytest.mark.slow
def test_a_voice_without_a_delay_says_what_it_says_offline(tiny):
  voice = dataclasses.replace(tiny, model=dataclasses.replace(tiny.model, delay=0))
  made = engines.Engine(voice, 1, drawing.Sampling(2.0, 0), seed=5).start()
  try:
    assert compiled(made) == (1, 1, 1)     # before anybody comes
    samples = sound(9, 1)
    found = answer(made, samples, seed=3)
    np.testing.assert_allclose(found, offline_answer(made, samples), atol=1e-5)
    assert len(found) == 12 * HOP
  finally:
    made.stop()


@pytest.mark.slow
def test_a_voice_with_words_tells_those_that_it_says_offline(tiny):
  config = dataclasses.replace(tiny.model, text_codes=12)
  params = jax.jit(model.AudioLM(config).init)(jax.random.key(1), jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params']
  voice = dataclasses.replace(tiny, model=config, params=params)
  made = engines.Engine(voice, 1, drawing.Sampling(2.0, 0), seed=5).start()
  try:
    session = Session(made, seed=3)
    session.turn(sound(9, 1))
    session.audio()
    words = offline_said(made, sound(9, 1))[1][0]
    assert session.words and session.words == [word for word in words.tolist() if word > UNKNOWN][:len(session.words)]
    assert len(session.words) >= sum(words[:12] > UNKNOWN)
  finally:
    made.stop()


@pytest.mark.slow
def test_a_reply_that_was_asked_for_begins_where_the_voice_can_tell_a_turn(tiny):
  plain = dataclasses.replace(tiny, model=dataclasses.replace(tiny.model, delay=0))          # not the programs of the engine of other tests
  told = dataclasses.replace(plain, model=dataclasses.replace(plain.model, floor_frames=2), params=tiny.params | {'floor_dc': jnp.zeros((16, 8))})
  said = []
  for voice in (plain, told):
    made = engines.Engine(voice, 1, drawing.Sampling(2.0, 0, silence_bias=-1e6)).start()       # it would rather be silent
    try:
      said.append(answer(made, sound(9, 1), seed=3).reshape(-1, HOP))
    finally:
      made.stop()
  assert said[0].shape == said[1].shape and np.abs(said[0] - said[1])[:engines.BEGINS].max() > 1e-4


def test_a_session_says_the_same_alone_and_among_others(engine):
  samples = sound(7, 2)
  alone = answer(engine, samples, seed=4)
  assert len(alone) == 12 * HOP
  assert np.array_equal(alone, answer(engine, samples, seed=4, among=[sound(5, 8), sound(30, 9)]))
  assert not np.array_equal(alone, answer(engine, samples, seed=6))
  assert not np.array_equal(alone, answer(engine, sound(7, 3), seed=4))


def test_a_place_remembers_nothing_of_the_session_before(engine):
  samples = sound(7, 2)
  first = answer(engine, samples, seed=4)
  others = [Session(engine) for _ in range(2)]         # of the three places one is left, used again and again
  for other in range(3):
    answer(engine, sound(11, other), seed=other)
  assert np.array_equal(first, answer(engine, samples, seed=4))
  for one in others:
    one.slot.leave()


def test_joining_leaving_and_other_settings_compile_nothing(engine, tiny):
  before = compiled(engine)
  for number in range(4):
    session = Session(engine)
    session.slot.speak_as(tiny.given('a/two', 'happy'), drawing.Sampling(0.1 * number, 3 + number), number)
    session.turn(sound(2, number), frames=2)
    session.audio()
    session.slot.listen(True)
    session.slot.leave()
  assert before == (1, 1, 1) == compiled(engine)


def test_who_speaks_and_how_changes_what_is_said(engine, tiny):
  found = []
  for told in (tiny.given(), tiny.given('a/two'), tiny.given(emotion='sad')):
    session = Session(engine)
    session.slot.speak_as(told, engine.how, 4)
    session.turn(sound(7, 2))
    found.append(session.audio())
    session.slot.leave()
  assert all(not np.array_equal(found[0], other) for other in found[1:])


def test_slow_ticks_keep_others_out_only_as_long_as_there_are_any(engine, monkeypatch):
  session = Session(engine)
  monkeypatch.setattr(engine, 'tick_s', collections.deque([2 * engine.frame_s] * engines.RECENT))
  monkeypatch.setattr(engine, 'ticked', time.monotonic())
  assert engine.overloaded and engine.busy
  monkeypatch.setattr(engine, 'ticked', time.monotonic() - 2 * engines.STALE_S)
  assert not engine.overloaded and not engine.busy
  session.slot.leave()


def test_a_full_house_lets_nobody_in_and_a_place_is_given_back(engine):
  sessions = [Session(engine) for _ in range(3)]
  assert engine.busy and engine.join(print) is None
  sessions[1].slot.leave()
  sessions[1].slot.leave()                             # twice is once
  again = engine.join(print)
  assert again.row == sessions[1].slot.row
  for slot in (sessions[0].slot, sessions[2].slot, again):
    slot.leave()
  assert engine.sessions == 0


def test_what_is_cleared_was_not_said(engine):
  samples = sound(7, 2)
  expected = answer(engine, samples, seed=4)
  session = Session(engine, 4)
  session.slot.hear(sound(6, 99)[:-100])
  deadline = time.monotonic() + 5
  while session.slot.read < 5 and time.monotonic() < deadline:
    time.sleep(0.005)
  session.slot.clear()
  # What the encoder remembers is the sound before, as with any cut: the codes of the first frames may differ.
  session.turn(samples)
  found = session.audio()
  session.slot.leave()
  assert session.slot.read == 0 and len(found) == len(expected)


def test_a_reply_that_was_owed_comes_before_what_of_the_next_turn_waits(engine):
  session = Session(engine, 4)
  slot = session.slot
  with engine.changed:                                 # nothing is read meanwhile
    slot.hear(sound(3, 1))
    slot.commit()
    slot.hear(sound(2, 2))
    slot.ask('owed', turn.Ending(FRAME_S, 9, 9, 2 * FRAME_S), owed=True)
    kinds = [type(one).__name__ for one in slot.inbox]
    slot.inbox.clear()
  slot.leave()
  assert kinds == ['ndarray'] * 3 + ['NoneType', 'Wanted'] + ['ndarray'] * 2


def test_silence_before_the_first_sound_is_left_out_up_to_a_limit(tiny):
  made = engines.Engine(tiny, 1, skip_s=3 * FRAME_S)
  for levels, expected in (([0, 0, 1, 0, 1], [0, 1, 0, 1]), ([1, 0], [1, 0]), ([0] * 5, [0, 0, 0]), ([0, 0, 0, 0, 1], [0, 0, 1])):
    told = []
    made._slots[0] = place = slots.Slot(made, 0, lambda *event: told.append(event))
    place.reply = reply = slots.Wanted('r', turn.Ending(FRAME_S, 9, 9, 4 * FRAME_S))
    for beat, level in enumerate(levels):
      if place.reply:
        made._told_of(place, reply, 'reply', beat, np.full(HOP, level), float(level), 0, True)
    assert [value[1] for kind, _, value in told if kind == 'audio'] == expected
    assert (told[-1][0] == 'over') == (len(expected) == 4)


def test_going_back_leaves_no_trace_in_the_model(engine, tiny):
  """Of a silent clip the encoder keeps what it would without it, so that the reply shows the model's memory alone."""
  quiet = np.zeros(60 * HOP, np.float32)               # longer than the encoder's memory
  def after(clip):
    session = Session(engine, 4)
    session.turn(quiet, 'first', 2)
    session.audio('first')
    if clip is not None:
      session.slot.hear(clip)
      while session.slot.read < len(clip) // HOP:
        time.sleep(0.005)
      session.slot.clear()
    session.turn(quiet[:5 * HOP])
    found = session.audio()
    session.slot.leave()
    return found
  assert np.array_equal(after(None), after(quiet[:8 * HOP]))


@pytest.mark.parametrize('speed', [1.0, 0.5, 1.5])       # at half the speed a frame is played for two
def test_a_reply_comes_in_its_time_and_hardly_ahead(engine, speed):
  def late():
    """Frames of a reply that were made after their time."""
    session, before, times = Session(engine), engine.underruns, []
    session.turn(sound(5, 1), frames=40, speed=speed)
    while (event := session.events.get(timeout=10))[1] != 'over':
      times.append(event[0])
    session.slot.leave()
    ahead = [number / speed - (at - times[0]) / FRAME_S for number, at in enumerate(times)]
    assert len(times) == 40 and max(ahead) <= engines.LEAD + 1 / speed
    return engine.underruns - before
  assert not all(late() for _ in range(5))             # a busy machine halts for 40 ms at times, which is no frame's fault


def test_a_cancelled_reply_is_silent_at_once(engine):
  session, other = Session(engine), Session(engine)
  other.turn(sound(3, 1), frames=30)
  session.turn(sound(5, 1), frames=400)
  first = session.events.get(timeout=10)[0]
  time.sleep(0.1)
  session.slot.cancel('r')
  heard_s = time.monotonic() - first
  told = 1 + session.events.qsize()
  time.sleep(0.2)
  assert 1 + session.events.qsize() == told                    # not a frame more
  assert told * FRAME_S - heard_s <= 0.12 + FRAME_S           # and what was on its way is 120 ms and the frame that begins
  assert len(other.audio()) == 30 * HOP
  session.turn(sound(2, 1), 'next', 3)
  while session.events.qsize() > 0 and session.events.queue[0][2] == 'r':
    session.events.get()
  assert len(session.audio('next')) == 3 * HOP
  session.slot.leave()
  other.slot.leave()


def test_whoever_brings_a_minute_at_once_holds_nobody_up(engine):
  flood, other = Session(engine), Session(engine)
  assert flood.slot.hear(sound(3000, 1))
  assert not flood.slot.hear(sound(4000, 1)), 'more than is kept'
  other.turn(sound(4, 2), frames=10)
  assert len(other.audio()) == 10 * HOP
  assert flood.slot.inbox, 'the flood was read first'
  flood.slot.leave()
  other.slot.leave()


def test_in_full_duplex_there_is_a_frame_for_each_that_is_heard_and_for_those_that_are_late(engine):
  session = Session(engine, 1)
  session.slot.listen(True)
  session.slot.hear(sound(10, 1))
  found = [session.events.get(timeout=5) for _ in range(14)]      # nothing more was sent: silence is heard
  assert all(kind == 'audio' and reply is None for _, kind, reply, _ in found)
  session.slot.leave()
  alone = Session(engine, 1)
  alone.slot.listen(True)
  alone.slot.hear(sound(10, 1))
  again = [alone.events.get(timeout=5) for _ in range(10)]
  assert all(np.array_equal(a[3][0], b[3][0]) for a, b in zip(found, again))
  alone.slot.leave()


def test_a_hushed_assistant_says_silence(engine, tiny):
  session = Session(engine, 1)
  session.slot.listen(True)
  session.slot.hush(200)
  session.slot.hear(sound(100, 1))
  found = [session.events.get(timeout=5)[3][0] for _ in range(100)]
  session.slot.leave()
  quiet = np.tile(np.array(tiny.silence), (1, 100, 1))
  np.testing.assert_allclose(np.concatenate(found), encoding.decoded(tiny.codec, quiet)[0], atol=1e-5)


def test_a_fault_of_the_device_ends_sessions_and_not_the_engine(engine, tiny, monkeypatch):
  made = engines.Engine(tiny, 3, engine.how).start()               # of as many places as the other: nothing is compiled
  step = made._step
  def broken(*arguments):
    monkeypatch.setattr(made, '_step', step)
    raise RuntimeError('the device is gone')
  session = Session(made)
  monkeypatch.setattr(made, '_step', broken)
  session.turn(sound(2, 1))
  assert session.events.get(timeout=10)[1] == 'failed'
  assert made.ready.wait(10) and made.failures == 1 and made.sessions == 0
  session = Session(made)
  session.turn(sound(2, 1), frames=3)
  assert len(session.audio()) == 3 * HOP
  made.stop()


def test_an_engine_whose_device_stays_away_is_not_alive_until_it_comes_back(engine, tiny, monkeypatch):
  monkeypatch.setattr(engines, 'RETRY_S', 0.1)
  made = engines.Engine(tiny, 3, engine.how).start()
  step, reset, gone = made._step, made._reset, threading.Event()

  def broken(*arguments):
    gone.set()
    raise RuntimeError('the device is gone')
  monkeypatch.setattr(made, '_step', broken)
  monkeypatch.setattr(made, '_reset', lambda: broken() if gone.is_set() else reset())
  session = Session(made)
  session.turn(sound(2, 1))
  assert session.events.get(timeout=10)[1] == 'failed'
  time.sleep(0.3)
  assert not made.alive and not made.ready.is_set() and made.join(lambda *told: None) is None
  monkeypatch.setattr(made, '_step', step)
  gone.clear()
  assert made.ready.wait(10) and made.alive
  session = Session(made)
  session.turn(sound(2, 1), frames=3)
  assert len(session.audio()) == 3 * HOP
  made.stop()


def test_a_session_hears_nothing_of_what_was_no_number_in_the_one_before(engine):
  wanted = answer_of(engine)
  with engine.changed:
    state = engine._state
    cache = state['lm']['cache'] | {name: jnp.full_like(state['lm']['cache'][name], jnp.nan) for name in ('k', 'v')}
    engine._state = state | {'lm': state['lm'] | {'cache': cache}}
  assert np.array_equal(answer_of(engine), wanted)


def answer_of(engine):
  """What a fresh session says to two frames."""
  session = Session(engine, 3)
  session.turn(sound(2, 1), frames=3)
  found = session.audio()
  session.slot.leave()
  return found
