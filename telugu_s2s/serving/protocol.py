"""A session in the OpenAI Realtime protocol (its GA event names): events in, events and orders to the engine out.

Nothing here waits or knows of a network: every event is dealt with at once, whoever it comes from, so that what is current can
not change in between. What comes late of a reply that is over finds that it is, and is dropped.
"""
import collections
import dataclasses
import math
import time
from collections.abc import Iterator

import numpy as np

from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.lm import drawing
from telugu_s2s.serving import events, formats, items, settings, turn
from telugu_s2s.serving.reply import Reply
from telugu_s2s.serving.settings import Refused, checked, short
from telugu_s2s.serving.voice import DEFAULT, Voice

LEAST_TURN_S = 0.1               # of a turn that is committed, as the protocol has it
ENDLESS_S = 1e9                  # of a reply that the model itself ends, in full duplex
HUSH_S = 1.0                     # that a full-duplex reply which is cancelled stays silent


class Conversation:
  """One session.

  Args:
    slot: the session's slot.Slot.
    send: takes an event, a dict, that goes to the client.
    note: takes (what, value), what is measured.
    name: that ids are made with; key: of the mark in what is said, '' = none.
    metrics: each reply ends with an event of our own, telugu.metrics.
  """

  def __init__(self, voice: Voice, slot, send, how=drawing.Sampling(), name='0', expires_at=0, endings=turn.Endings(),
               note=lambda what, value: None, clock=time.monotonic, key='', metrics=False):
    self._voice, self._slot, self._send_event, self._note, self._clock = voice, slot, send, note, clock
    self._how, self._endings, self._name, self._numbers, self._key, self._metrics = how, endings, name, 0, key, metrics
    self.session = settings.fresh(voice, f'sess_{name}', expires_at, how)
    self._conversation, self._items = f'conv_{name}', items.Items()
    self.reply, self._owed = None, False           # the running one; whether another is wanted after it
    self._turn_item, self._turn_samples = self._new('item'), 0
    self._samples, self._stopped = 0, None         # heard so far; when the user last was, None once that was answered
    self._frame_s = 1 / voice.codec.config.frame_rate
    self._ending = self._before = None             # of a full-duplex reply; the frame before
    self._words = collections.deque(maxlen=8)      # that came before its first sound
    self._adapt(None)

  def opened(self) -> None:
    """The client has come."""
    self._send('session.created', session=self.session)

  def received(self, event: str | bytes) -> None:
    """Takes a client's event, or audio without one: the same bytes that an append has in base64."""
    for _ in self.parts(event):
      pass

  def parts(self, text: str | bytes) -> Iterator[None]:
    """As `received`, a second of audio at a time: where it yields, others may be dealt with."""
    name = None
    try:
      if isinstance(text, bytes):
        if not text:
          raise Refused('an empty binary frame; send audio of the input format, or events as text', 'invalid_audio')
        yield from self._hear(text)
        return
      event = events.parsed(text)
      name = events.event_id(event)
      kind = checked(event.get('type'), str, 'type')
      if kind not in EVENTS:
        known = 'is an event of another transport' if kind.startswith('output_audio_buffer.') else 'is no event that a client sends here'
        raise Refused(f'type {short(kind)} {known}',
                      'invalid_event_for_transport' if kind.startswith('output_audio_buffer.') else 'unknown_event', 'type')
      yield from EVENTS[kind](self, event) or ()
    except Refused as problem:
      self.refuse(problem.code, str(problem), problem.param, name)

  def refuse(self, code: str, message: str, param: str | None = None, event_id: str | None = None, kind='invalid_request_error') -> None:
    """Tells the client that something cannot be done."""
    self._note('error', code)
    self._send('error', error={'type': kind, 'code': code, 'message': message[:1000], 'param': param, 'event_id': event_id})

  def told(self, kind: str, reply: str | None, value) -> None:
    """Takes what the engine made, see slot.Slot."""
    if kind == 'audio' and reply is None:
      self._overheard(*value)
    elif kind == 'word' and reply is None:
      if self._kind == 'full_duplex':
        self._word(value)
    elif self.reply is None or self.reply.id != reply:
      return                                       # it was cancelled meanwhile
    elif kind == 'audio':
      self._say(*value)
    elif kind == 'word':
      self._word(value)
    elif value and self.reply.most_tokens != 'inf' and self.reply.frames >= self.reply.most_tokens:
      self._finish('incomplete', {'type': 'incomplete', 'reason': 'max_output_tokens'})
    else:                                          # at the server's own limit too: there is no more to come
      self._finish('completed')

  def _update(self, event):
    before, new = self.session, settings.updated(self.session, event.get('session'), self._voice)
    self.session = new
    self._adapt(before)
    self._send('session.updated', session=new)

  def _adapt(self, before):
    """Does what the session's settings ask for, where they have changed."""
    new = self.session
    old = before or {'audio': {'input': {}, 'output': {}}, 'telugu': {}}
    if new['audio']['input']['format'] != old['audio']['input'].get('format'):
      self._incoming = formats.Incoming(new['audio']['input']['format'])
    detection = new['audio']['input']['turn_detection']
    if before is None or detection != old['audio']['input']['turn_detection']:
      was, self._kind = before and self._kind, detection and detection['type']
      if before is None or was != self._kind and 'full_duplex' in (was, self._kind):
        if self.reply:
          self._cancel('client_cancelled')
        self._slot.listen(self._kind == 'full_duplex')
      elif was != self._kind and self._turn_samples:
        self._slot.clear()                         # a reply goes on, for what it answers was committed
      if was != self._kind:
        self._owed, self._turn_samples = False, 0
      if before and was == self._kind and detection:
        self._turns.set(**settings.turns(detection))         # who speaks goes on
      else:
        self._turns, self._turns_from = turn.Turns(**settings.turns(detection)) if detection else None, self._samples
    voice, telugu = new['audio']['output']['voice'], new['telugu']
    if before is None or (voice, telugu | {'shift': 0}) != (old['audio']['output']['voice'], old['telugu'] | {'shift': 0}):
      speaker = voice if voice in self._voice.names else DEFAULT
      told = self._voice.given(speaker, telugu['emotion'], telugu)
      how = dataclasses.replace(self._how, temperature=telugu['temperature'], top_k=telugu['top_k'])
      if (telugu['temperature'], telugu['top_k']) != (self._how.temperature, self._how.top_k):
        how = dataclasses.replace(how, text=None, a0=None)         # one setting for every slot
      self._slot.speak_as(told, how, telugu['seed'])

  def _hear(self, data):
    if self._kind in (None, 'full_duplex'):
      self._room(self._slot.fits(self._incoming.samples(data)))
    for samples in items.pieces(self._incoming, data):
      self._heard(samples)
      yield

  def _heard(self, samples):
    self._samples += len(samples)
    if self._kind in (None, 'full_duplex'):
      self._take(samples)
    if self._kind is None:
      self._stopped = self._clock()
      return
    full = None                                    # what does not fit is told at the end: the turn ends all the same
    for kind, value in self._turns(samples):
      if kind == 'audio' and self._kind != 'full_duplex' and not full:
        try:
          self._take(value)
        except Refused as problem:
          full = problem
      elif kind == 'started':
        self._start(value)
      elif kind == 'stopped':
        self._stopped = self._clock()
        self._send('input_audio_buffer.speech_stopped', audio_end_ms=self._milliseconds(value), item_id=self._turn_item)
        self._end_turn(self.session['audio']['input']['turn_detection'].get('create_response', False))
    if full:
      raise full

  def _take(self, samples):
    self._room(self._slot.hear(samples))
    self._turn_samples += len(samples)

  def _room(self, there, param='audio'):
    """Raises Refused where there is none for the audio that came."""
    if not there:
      raise Refused('more audio is waiting than is taken; send it as it is spoken', 'input_audio_buffer_full', param)

  def _start(self, sample):
    """The user begins to speak: whatever is said to them is broken off."""
    self._send('input_audio_buffer.speech_started', audio_start_ms=self._milliseconds(sample), item_id=self._turn_item)
    if self.reply and self._kind != 'full_duplex' and self.session['audio']['input']['turn_detection']['interrupt_response']:
      self._note('barge_in', 1)
      self._cancel('turn_detected')

  def _end_turn(self, answer: bool):
    """What was heard becomes an item; answer: a reply is wanted."""
    name, before = self._turn_item, self._items.last
    self._turn_item, self._turn_samples = self._new('item'), 0
    if self._kind != 'full_duplex':
      self._slot.commit()
    item = self._items.add(items.message(name, 'user', [{'type': 'input_audio', 'transcript': None}]))
    self._send('input_audio_buffer.committed', item_id=name, previous_item_id=before)
    self._show(item, before)
    if answer and self.reply:
      self._owed = True                            # the settings let the reply go on: the next one comes behind it
    elif answer:
      self._answer()

  def _commit(self, event):
    if self._kind is not None and not self._turns.speaking:
      raise Refused('the user is not speaking: there is nothing to commit', 'input_audio_buffer_commit_empty')
    if self._turn_samples < LEAST_TURN_S * SAMPLE_RATE:
      raise Refused(f'the buffer holds {1000 * self._turn_samples / SAMPLE_RATE:.0f} ms of audio, a turn takes at least '
                    f'{1000 * LEAST_TURN_S:.0f}', 'input_audio_buffer_commit_empty')
    rest = self._incoming.rest() if self._kind is None else self._turns.rest()
    if self._kind != 'full_duplex':
      self._slot.hear(rest)
    self._end_turn(False)

  def _clear(self, event):
    if self._kind != 'full_duplex':
      self._slot.clear()
    if self._turns:
      self._turns.clear()
    self._turn_samples = 0
    self._send('input_audio_buffer.cleared')

  def _create(self, event):
    if self.reply:
      raise Refused(f'the conversation already has an active response, {self.reply.id}: wait for response.done or cancel it',
                    'conversation_already_has_active_response')
    if self._kind == 'full_duplex':
      raise Refused('in full duplex the model itself decides when to speak', 'invalid_value', 'type')
    asked = events.wanted(event)
    if asked.get('audio') is not None and \
        settings.updated(self.session, {'type': 'realtime', 'audio': asked['audio']}, self._voice)['audio'] != self.session['audio']:
      raise Refused('response.audio is not what the session is set to; set it by session.update before', param='response.audio')
    most = settings.most_tokens(asked.get('max_output_tokens', self.session['max_output_tokens']), 'response.max_output_tokens')
    self._stopped = self._clock()                  # who asks waits from now on
    self._answer(events.metadata(asked.get('metadata')), most)

  def _answer(self, metadata=None, most=None, owed=False):
    most = self.session['max_output_tokens'] if most is None else most
    reply = self._begin(metadata, most)
    longest = self._endings.longest_s
    if most != 'inf':
      longest = min(longest, most * self._frame_s)
    self._slot.ask(reply.id, turn.Ending(self._frame_s, self._endings.quiet_s, self._endings.waits_s, longest), owed,
                   reply.output['speed'])

  def _begin(self, metadata=None, most='inf') -> Reply:
    output, semitones = self.session['audio']['output'], self.session['telugu']['shift']
    self.reply = reply = Reply(self._new('resp'), items.message(self._new('item'), 'assistant', [], 'in_progress'), output,
                               formats.Outgoing(output['format'], self._key, output['speed'], semitones), metadata, most, self._stopped)
    self._note('reply', 1)
    self._send('response.created', response=self._response('in_progress'))
    return reply

  def _say(self, samples, rms):
    reply = self.reply
    if not reply.heard:
      before = self._items.last
      self._items.add(reply.item)
      reply.introduce(self._send, before)
      reply.write(self._send, self._voice.vocabulary)
    pieces = reply.outgoing(samples)
    if pieces:
      self._time(reply, rms)
    reply.frames += 1
    reply.say(self._send, pieces)

  def _time(self, reply, rms):
    """Notes when the first frame of a reply went out, and when its first sound is heard: frames before it are played in their time."""
    if reply.since is None:
      return
    late = self._clock() - reply.since
    if reply.first_s is None:
      reply.first_s = late
      self._note('first_audio_s', late)
    if reply.sound_s is None and rms > turn.QUIET:
      reply.sound_s = max(late, reply.first_s + reply.frames * self._frame_s / reply.output['speed'])
      self._note('first_sound_s', reply.sound_s)

  def _word(self, piece):
    """Takes a piece of what is said, which may come before the reply's first sound."""
    (self.reply.words if self.reply else self._words).append(piece)
    if self.reply and self.reply.heard:
      self.reply.write(self._send, self._voice.vocabulary)

  def _finish(self, status: str, details: dict | None = None):
    """The reply that runs is over."""
    reply = self.reply
    if reply.heard:
      reply.done(self._send, self._voice.vocabulary, status)
    if self._metrics:
      in_ms = lambda seconds: None if seconds is None else round(1000 * seconds, 1)
      self._send('telugu.metrics', response_id=reply.id, first_audio_ms=in_ms(reply.first_s), first_sound_ms=in_ms(reply.sound_s),
                 late_ticks=self._slot.late)
    self._send('response.done', response=self._response(status, details))
    self.reply = self._ending = None
    if self._owed:
      self._owed = False
      self._answer(owed=True)

  def _cancel(self, reason: str):
    self._owed = False
    if self._ending:
      self._slot.hush(math.ceil(HUSH_S / self._frame_s))
    else:
      self._slot.cancel(self.reply.id)
    self._finish('cancelled', {'type': 'cancelled', 'reason': reason})

  def _cancelled(self, event):
    wanted = event.get('response_id')
    if wanted is not None:
      checked(wanted, str, 'response_id')
    if self.reply is None or wanted not in (None, self.reply.id):
      raise Refused('Cancellation failed: no active response found', 'response_cancel_not_active', 'response_id' if wanted else None)
    self._cancel('client_cancelled')

  def _overheard(self, samples, rms):
    """A frame in full duplex, in which the model says something or not."""
    if self._kind != 'full_duplex':
      return
    if self.reply is None and rms > turn.QUIET:
      self._stopped = self._turns.unanswered(self._clock())
      self._begin().words += self._words
      self._words.clear()
      self._ending = turn.Ending(self._frame_s, self._endings.quiet_s, self._endings.waits_s, ENDLESS_S)
      if self._before is not None:
        self._say(*self._before)                   # onsets are soft
    self._before = None if self.reply else (samples, rms)
    if self.reply:
      self._say(samples, rms)
      if self._ending.over(rms):
        self._finish('completed')

  def _item_create(self, event):
    item, sounds = items.asked(event.get('item'), self._new('item'), self._items)
    before = event.get('previous_item_id')
    if before not in (None, 'root'):
      self._items.named(before, 'previous_item_id')
    incoming = formats.Incoming(self.session['audio']['input']['format'])
    heard = []
    if self._kind != 'full_duplex':
      self._room(self._slot.fits(sum(map(incoming.samples, sounds))), 'item.content.audio')
    for data in sounds:
      for samples in items.pieces(incoming, data, 'item.content.audio'):
        heard.append(samples)
        yield
    if heard and self._kind != 'full_duplex':
      self._room(self._slot.hear(np.concatenate([*heard, incoming.rest()])), 'item.content.audio')
      self._slot.commit()
      self._stopped = self._clock()
    before = self._items.last
    self._show(self._items.add(item), before)

  def _show(self, item, before):
    for kind in ('added', 'done'):
      self._send(f'conversation.item.{kind}', previous_item_id=before, item=item)

  def _truncate(self, event):
    item = self._items.named(event.get('item_id'))
    if item['role'] != 'assistant':
      raise Refused(f'only what the assistant said is truncated, and item {short(item["id"])} is of the {item["role"]}', param='item_id')
    index = settings.between(event.get('content_index', 0), 0, 0, 'content_index', int)
    end = settings.between(event.get('audio_end_ms'), 0, 1 << 31, 'audio_end_ms', int)
    self._send('conversation.item.truncated', item_id=item['id'], content_index=index, audio_end_ms=end)

  def _delete(self, event):
    item = self._items.named(event.get('item_id'))
    if self.reply and self.reply.item['id'] == item['id']:
      raise Refused(f'item {short(item["id"])} is being said: cancel its response first', 'item_in_progress', 'item_id')
    self._items.remove(item['id'])
    self._send('conversation.item.deleted', item_id=item['id'])

  def _milliseconds(self, sample):
    return round(1000 * (self._turns_from + sample) / SAMPLE_RATE)

  def _new(self, kind):
    self._numbers += 1
    return f'{kind}_{self._name}_{self._numbers}'

  def _send(self, kind, **fields):
    self._send_event({'type': kind, 'event_id': self._new('event'), **fields})

  def _response(self, status, details=None):
    return self.reply.response(status, details, self._conversation)


EVENTS = {
    'session.update': Conversation._update,
    'input_audio_buffer.append': lambda conversation, event: conversation._hear(items.unpacked(event.get('audio'))),
    'input_audio_buffer.commit': Conversation._commit,
    'input_audio_buffer.clear': Conversation._clear,
    'response.create': Conversation._create,
    'response.cancel': Conversation._cancelled,
    'conversation.item.create': Conversation._item_create,
    'conversation.item.truncate': Conversation._truncate,
    'conversation.item.retrieve': lambda conversation, event: conversation._send(
        'conversation.item.retrieved', item=conversation._items.named(event.get('item_id'))),
    'conversation.item.delete': Conversation._delete,
}
