"""Any events in any order, damaged ones too, leave a session in order."""
import base64
import json
import os

import numpy as np
from hypothesis import HealthCheck, settings as hypothesis_settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from telugu_s2s.serving import protocol

from tests.serving.test_protocol import Talk, tone

SEQUENCES = int(os.environ.get('TELUGU_S2S_SEQUENCES', '150'))     # of events; 20000 for all

FORMATS = [{'type': 'audio/pcm', 'rate': rate} for rate in (8000, 16000, 24000, 48000)] + [{'type': 'audio/pcmu'}, {'type': 'audio/pcma'}]
JUNK = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(['', 'x' * 9000]),
                    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2), max_leaves=4)
UPDATES = st.fixed_dictionaries({}, optional={
    'type': st.sampled_from(['realtime', 'realtime', 'realtime', 'other']), 'instructions': st.text(max_size=5), 'tracing': JUNK,
    'max_output_tokens': st.sampled_from(['inf', 1, 5, 0, 2.5]), 'telugu': st.fixed_dictionaries({}, optional={
        'emotion': st.sampled_from(['', 'happy', 'angry']), 'temperature': st.sampled_from([0, 0.5, -1]), 'shift': st.sampled_from([0, 2, 9]),
        'seed': st.integers(-1, 3)}),
    'audio': st.fixed_dictionaries({}, optional={
        'input': st.fixed_dictionaries({}, optional={
            'format': st.sampled_from(FORMATS), 'transcription': JUNK,
            'turn_detection': st.sampled_from([None, None, {'type': 'server_vad'}, {'type': 'semantic_vad', 'eagerness': 'low'},
                                               {'type': 'full_duplex'}, {'type': 'server_vad', 'create_response': False},
                                               {'type': 'server_vad', 'interrupt_response': False}])}),
        'output': st.fixed_dictionaries({}, optional={'format': st.sampled_from(FORMATS), 'speed': st.sampled_from([1, 0.5, 7]),
                                                      'voice': st.sampled_from(['default', 'a/one', 'marin', 'nobody'])})})})
KINDS = sorted(protocol.EVENTS)


class Anything(RuleBasedStateMachine):
  """Whatever a client and the engine do: each reply is created once, ended once, and nothing comes after its end."""
  voice = None

  @initialize()
  def begin(self):
    self.talk, self.seen = Talk(self.voice), 0
    self.open, self.ended, self.heard = None, set(), set()

  @rule(update=UPDATES)
  def update(self, update):
    assert self.talk.send('session.update', session=update)[-1] in ('session.updated', 'error')

  @rule(kind=st.sampled_from(['server_vad', 'semantic_vad', 'full_duplex', 'full_duplex', None]))
  def mode(self, kind):
    detection = {'type': kind} if kind else None
    assert 'session.updated' in self.talk.send('session.update', session={
        'type': 'realtime', 'max_output_tokens': 'inf', 'audio': {'input': {'turn_detection': detection}}})

  @rule(seconds=st.sampled_from([0.03, 0.2, 1.0]), level=st.sampled_from([0.0, 0.2]))
  def speak(self, seconds, level):
    self.talk.audio(tone(seconds, level))

  @rule(kind=st.sampled_from(['input_audio_buffer.commit', 'input_audio_buffer.clear', 'response.create', 'response.cancel']))
  def ask(self, kind):
    assert self.talk.send(kind)

  @rule(kind=st.sampled_from(['truncate', 'retrieve', 'delete']), number=st.integers(-3, 3))
  def item(self, kind, number):
    found = list(self.talk.all._items._items)
    name = found[number % len(found)] if found and number > -3 else 'nobody'
    assert self.talk.send(f'conversation.item.{kind}', item_id=name, content_index=0, audio_end_ms=40)[-1] in (
        f'conversation.item.{kind}d', 'conversation.item.deleted', 'error')

  @rule(role=st.sampled_from(['user', 'assistant', 'system']), content=st.sampled_from(
      [[{'type': 'input_text', 'text': 'x'}], [{'type': 'input_audio', 'audio': base64.b64encode(bytes(960)).decode()}], [], [{}]]))
  def create(self, role, content):
    assert self.talk.send('conversation.item.create', item={'type': 'message', 'role': role, 'content': content})

  @rule(kind=st.sampled_from([*KINDS, 'response.done', '', 'x' * 2000]), fields=st.dictionaries(
      st.sampled_from(['session', 'audio', 'item', 'response', 'item_id', 'event_id', 'content_index', 'audio_end_ms']), JUNK, max_size=3))
  def damaged(self, kind, fields):
    self.talk.all.received(json.dumps({'type': kind, **fields}))

  @rule(text=st.text(max_size=20))
  def nonsense(self, text):
    self.talk.all.received(text)

  @rule(data=st.binary(max_size=50))
  def raw(self, data):
    self.talk.all.received(data)

  @rule(frames=st.integers(1, 4), level=st.sampled_from([0.0, 0.1]))
  def engine_says(self, frames, level):
    if self.talk.slot.asked:
      self.talk.say(frames, level)
    for _ in range(frames):                        # in full duplex, or late
      self.talk.all.told('audio', None, (np.full(320, level, np.float32), level))
    self.talk.all.told('audio', 'resp_gone', (np.zeros(320, np.float32), 0.0))

  @rule(cut=st.booleans())
  def engine_ends(self, cut):
    if self.talk.slot.asked:
      self.talk.over(cut)

  @invariant()
  def in_order(self):
    if not hasattr(self, 'talk'):
      return
    for event in self.talk.sent[self.seen:]:
      kind, name = event['type'], event.get('response_id') or (event.get('response') or {}).get('id')
      if kind == 'error':
        assert len(event['error']['message']) <= 1000 and 'Traceback' not in event['error']['message']
      if name:
        assert name not in self.ended, f'{kind} after the end of {name}'
      if kind == 'response.created':
        assert self.open is None
        self.open = name
      elif name:
        assert name == self.open
      if kind == 'response.output_audio.delta':
        self.heard.add(name)
        assert base64.b64decode(event['delta'])
      if kind == 'response.done':
        self.open = None
        self.ended.add(name)
        assert event['response']['status'] in ('completed', 'cancelled', 'incomplete')
        assert bool(event['response']['output']) == (name in self.heard)
    self.seen = len(self.talk.sent)
    # The engine works on what the client was told of, and on nothing else.
    if not self.talk.slot.duplex:
      assert [one for one, _ in self.talk.slot.asked] == ([self.open] if self.open else [])


def test_any_events_in_any_order_leave_the_session_in_order(tiny):
  Anything.voice = tiny
  run_state_machine_as_test(Anything, settings=hypothesis_settings(
      max_examples=SEQUENCES, stateful_step_count=20, deadline=None, derandomize=True, database=None,
      suppress_health_check=list(HealthCheck)))
