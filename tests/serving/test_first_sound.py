"""When a reply is first heard, as it is measured: of frames that are silent nobody hears anything."""
import numpy as np
import pytest

from tests.serving.pretended import Talk, tone

FRAME_MS = 20            # of the tiny voice


def told(talk):
  return [event for event in talk.sent if event['type'] == 'telugu.metrics']


def test_a_reply_that_was_never_heard_has_no_first_sound(tiny):
  talk = Talk(tiny, metrics=True)
  talk.manual()
  talk.audio(tone(0.5))
  talk.send('input_audio_buffer.commit')
  talk.send('response.create')
  assert talk.send('response.cancel') == ['telugu.metrics', 'response.done']
  assert (talk.new[0]['first_audio_ms'], talk.new[0]['late_ticks']) == (None, 3)


def test_the_first_sound_of_an_answer_to_text_is_timed_from_when_it_is_asked_for(tiny):
  talk = Talk(tiny, metrics=True)
  talk.manual()
  talk.now = 3.0
  talk.send('response.create')
  talk.now = 3.1
  talk.say()
  talk.over()
  assert next(event for event in talk.sent if event['type'] == 'telugu.metrics')['first_audio_ms'] == 100


def test_silent_frames_are_no_first_sound(tiny):
  talk = Talk(tiny, metrics=True)
  talk.manual()
  talk.ask()
  talk.now = 0.1
  talk.say(3, level=0.0)
  talk.now = 0.11                                # they are made ahead of their time, and played in it
  talk.say()
  talk.over()
  event, = told(talk)
  assert (event['first_audio_ms'], event['first_sound_ms']) == (100, 100 + 3 * FRAME_MS)
  assert dict(talk.notes)['first_sound_s'] == pytest.approx(event['first_sound_ms'] / 1000)


def test_a_late_sound_is_late(tiny):
  talk = Talk(tiny, metrics=True)
  talk.manual()
  talk.ask()
  talk.say(1, level=0.0)
  talk.now = 2.0
  talk.say()
  talk.over()
  assert told(talk)[0]['first_sound_ms'] == 2000


def test_in_full_duplex_what_answers_nobody_is_not_timed_and_an_answer_is_from_the_last_sound_of_the_turn(tiny):
  talk = Talk(tiny, metrics=True)
  talk.send('session.update', session={'type': 'realtime', 'audio': {'input': {'turn_detection': {'type': 'full_duplex'}}}})

  def speak():
    for level in [0.1] * 2 + [0.0] * 60:
      talk.all.told('audio', None, (np.full(320, level, np.float32), level))
  talk.now = 2.0
  speak()
  talk.audio(tone(0.5) + bytes(2 * 24_000 * 30 // 100))                      # 0.3 s of silence: no turn has ended yet
  talk.now = 5.0
  speak()
  talk.audio(bytes(2 * 24_000))
  talk.now = 40.0
  speak()
  assert [event['first_audio_ms'] is None for event in told(talk)] == [True, False, True]
  assert told(talk)[1]['first_audio_ms'] == pytest.approx(300, abs=25)
