"""A conversation with an engine that is only pretended."""
import base64
import json

import numpy as np

from telugu_s2s.serving import protocol

RATE = 24_000
PIECE = 480                                                       # samples of a frame of the tiny voice, at 24 kHz


class Pretended:
  """A slot of an engine that says what the test lets it say, and keeps account of what it is told."""
  late = 3

  def __init__(self, most=3_000_000):
    self.samples, self.asked, self.most, self.duplex, self.hushed, self.told = 0, [], most, False, 0, None

  def fits(self, samples):
    return self.samples + samples <= self.most

  def hear(self, samples):
    if not self.fits(len(samples)):
      return False
    assert samples.dtype == np.float32 and np.isfinite(samples).all()
    self.samples += len(samples)
    return True

  def commit(self):
    self.samples = 0

  def clear(self):
    self.samples = 0

  def ask(self, reply, ending, owed=False, speed=1.0):
    assert not self.duplex and not self.asked, 'two replies at once'
    self.asked.append((reply, ending))

  def cancel(self, reply):
    assert [one for one, _ in self.asked] == [reply]
    self.asked.clear()

  def hush(self, frames):
    self.hushed = frames

  def speak_as(self, told, how, seed=None):
    self.told = (told, how, seed)

  def listen(self, duplex):
    self.duplex, self.samples = duplex, 0
    self.asked.clear()


class Talk:
  """A conversation and what it sent."""

  def __init__(self, voice, most=3_000_000, metrics=False):
    self.sent, self.slot, self.notes, self.now = [], Pretended(most), [], 0.0
    self.all = protocol.Conversation(voice, self.slot, lambda event: self.sent.append(json.loads(json.dumps(event))), name='x',
                                     note=lambda *note: self.notes.append(note), clock=lambda: self.now,
                                     metrics=metrics)
    self.all.opened()

  def send(self, kind, **fields):
    """The types of what comes back, and the events themselves in `new`."""
    before = len(self.sent)
    self.all.received(json.dumps({'type': kind, **fields}))
    self.new = self.sent[before:]
    return [event['type'] for event in self.new]

  def audio(self, samples):
    return self.send('input_audio_buffer.append', audio=base64.b64encode(samples).decode())

  def manual(self):
    return self.send('session.update', session={'type': 'realtime', 'audio': {'input': {'turn_detection': None}}})

  def ask(self):
    self.audio(bytes(2 * RATE))
    self.send('input_audio_buffer.commit')
    return self.send('response.create')

  def say(self, frames=1, level=0.1):
    """The engine makes frames of the reply that is asked for."""
    for _ in range(frames):
      self.all.told('audio', self.slot.asked[0][0], (np.full(320, level, np.float32), level))

  def over(self, cut=False):
    self.all.told('over', self.slot.asked.pop()[0], cut)

  def types(self, since=0):
    return [event['type'] for event in self.sent[since:]]


def tone(seconds, level=0.2):
  return (np.sin(np.arange(int(seconds * RATE)) / 9) * 32767 * level).astype('<i2').tobytes()
