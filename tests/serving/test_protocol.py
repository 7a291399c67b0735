"""The protocol, event by event, with an engine that is only pretended."""
import base64
import dataclasses
import json

import numpy as np
import pytest

from telugu_s2s.serving import events
from tests.serving.pretended import PIECE, RATE, Talk, tone


@pytest.fixture
def talk(tiny):
  return Talk(tiny)


def test_the_first_event_is_the_session(talk):
  assert talk.types() == ['session.created']
  session = talk.sent[0]['session']
  assert session['type'] == 'realtime' and session['audio']['output']['format'] == {'type': 'audio/pcm', 'rate': 24000}


def test_a_turn_by_hand_and_its_reply_come_in_the_protocols_order(talk):
  talk.manual()
  since = len(talk.sent)
  assert talk.ask() == ['response.created']
  talk.say(3)
  talk.over()
  assert talk.types(since) == [
      'input_audio_buffer.committed', 'conversation.item.added', 'conversation.item.done', 'response.created',
      'response.output_item.added', 'conversation.item.added', 'response.content_part.added', *['response.output_audio.delta'] * 4,
      'response.output_audio.done', 'response.output_audio_transcript.done', 'response.content_part.done', 'conversation.item.done',
      'response.output_item.done', 'response.done']
  added, ended = ([event['previous_item_id'] for event in talk.sent[since:] if event['type'] == f'conversation.item.{name}'] for name in ('added', 'done'))
  assert added == ended and added[1] is not None                             # the reply comes after what it answers
  done = talk.sent[-1]['response']
  assert done['status'] == 'completed' and done['output'][0]['role'] == 'assistant' and done['usage']['output_tokens'] == 3
  pcm = b''.join(base64.b64decode(event['delta']) for event in talk.sent if event['type'] == 'response.output_audio.delta')
  assert abs(len(pcm) / 2 - 3 * PIECE) <= 1 and len({event['event_id'] for event in talk.sent}) == len(talk.sent)


class Letters:
  """A vocabulary of letters."""

  def decode(self, numbers):
    return ''.join(map(chr, numbers))


def test_what_a_voice_says_in_words_is_told_word_by_word_as_it_is_said(tiny):
  talk = Talk(dataclasses.replace(tiny, vocabulary=Letters()))
  talk.manual()
  talk.ask()
  for part in ('he', 'ar', ' ', 'yo', 'u no', 'w'):
    for letter in part:
      talk.all.told('word', talk.slot.asked[0][0], ord(letter))
    talk.say()
  talk.all.told('word', 'of another reply', ord('x'))
  talk.over()
  told = [event['delta'] for event in talk.sent if event['type'] == 'response.output_audio_transcript.delta']
  done = next(event for event in talk.sent if event['type'] == 'response.output_audio_transcript.done')
  assert told == ['hear ', 'you ', 'now'] and done['transcript'] == 'hear you now'
  response = talk.sent[-1]['response']
  assert response['output'][0]['content'] == [{'type': 'output_audio', 'transcript': 'hear you now'}]
  assert response['usage']['output_token_details'] == {'text_tokens': 12, 'audio_tokens': 6}


def test_in_full_duplex_words_belong_to_the_reply_whose_sound_follows(tiny):
  talk = Talk(dataclasses.replace(tiny, vocabulary=Letters()))
  talk.send('session.update', session={'type': 'realtime', 'audio': {'input': {'turn_detection': {'type': 'full_duplex'}}}})
  frame = lambda level: talk.all.told('audio', None, (np.full(320, level, np.float32), level))
  for round_ in 'ab':
    talk.all.told('word', None, ord(round_))
    frame(0.1)
    talk.all.told('word', None, ord('!'))
    for _ in range(200):
      frame(0.0)
  assert [event['transcript'] for event in talk.sent if event['type'] == 'response.output_audio_transcript.done'] == ['a!', 'b!']


def test_whoever_speaks_is_answered_and_whoever_speaks_in_between_silences_the_reply(talk):
  talk.audio(bytes(RATE) + tone(0.5))
  assert talk.types(1) == ['input_audio_buffer.speech_started']
  started = talk.sent[1]
  assert abs(started['audio_start_ms'] - 200) <= 40          # 500 ms of silence before, 300 of them taken along
  talk.audio(bytes(2 * RATE))
  assert talk.types(2) == ['input_audio_buffer.speech_stopped', 'input_audio_buffer.committed', 'conversation.item.added',
                           'conversation.item.done', 'response.created']
  assert talk.sent[2]['item_id'] == started['item_id'] == talk.sent[3]['item_id']
  talk.say(2)
  since = len(talk.sent)
  talk.audio(tone(0.3))
  assert talk.types(since)[0] == 'input_audio_buffer.speech_started' and talk.types(since)[-1] == 'response.done'
  assert talk.sent[-1]['response']['status_details'] == {'type': 'cancelled', 'reason': 'turn_detected'}
  assert not talk.slot.asked and ('barge_in', 1) in talk.notes
  since = len(talk.sent)
  talk.all.told('audio', talk.sent[-1]['response']['id'], (np.zeros(320, np.float32), 0.0))    # on its way meanwhile
  assert talk.types(since) == []


def test_a_reply_that_may_not_be_interrupted_goes_on_and_the_next_waits(talk):
  talk.send('session.update', session={'type': 'realtime', 'audio': {'input': {'turn_detection': {
      'type': 'server_vad', 'interrupt_response': False}}}})
  talk.audio(tone(0.5) + bytes(2 * RATE))
  talk.say(1)
  talk.audio(tone(0.5) + bytes(2 * RATE))
  assert talk.types().count('response.created') == 1
  talk.over()
  assert talk.types()[-1] == 'response.created' and talk.types().count('response.created') == 2


def test_cancelling_is_told_once_and_by_the_official_words(talk):
  talk.manual()
  talk.ask()
  assert talk.send('response.cancel') == ['response.done']           # before its first audio: no item
  assert talk.new[0]['response'] | {'output': []} == talk.new[0]['response'] and talk.new[0]['response']['status'] == 'cancelled'
  assert talk.send('response.cancel', event_id='mine') == ['error']
  error = talk.new[0]['error']
  assert error['code'] == 'response_cancel_not_active' and error['message'].startswith('Cancellation failed') and error['event_id'] == 'mine'


def test_a_second_reply_at_once_is_refused_and_the_first_goes_on(talk):
  talk.manual()
  talk.ask()
  talk.say()
  assert talk.send('response.create') == ['error'] and talk.new[0]['error']['code'] == 'conversation_already_has_active_response'
  talk.say()
  talk.over()
  assert talk.sent[-1]['response']['status'] == 'completed'


def test_a_limit_of_tokens_makes_a_reply_incomplete(talk):
  talk.manual()
  talk.audio(bytes(2 * RATE))
  talk.send('input_audio_buffer.commit')
  talk.send('response.create', response={'max_output_tokens': 2, 'metadata': {'a': 'b'}})
  ending = talk.slot.asked[0][1]
  talk.say(2)
  assert [ending.over(0.1), ending.over(0.1)] == [False, True] and ending.cut
  talk.over(cut=True)
  response = talk.sent[-1]['response']
  assert response['status'] == 'incomplete' and response['metadata'] == {'a': 'b'}
  assert response['status_details'] == {'type': 'incomplete', 'reason': 'max_output_tokens'}


def test_in_full_duplex_the_model_begins_and_ends_its_replies(talk):
  talk.send('session.update', session={'type': 'realtime', 'audio': {'input': {'turn_detection': {'type': 'full_duplex'}}}})
  assert talk.slot.duplex and talk.new[-1]['session']['audio']['input']['turn_detection'] == {'type': 'full_duplex'}
  since = len(talk.sent)
  frame = lambda level: talk.all.told('audio', None, (np.full(320, level, np.float32), level))
  for level in [0.0] * 5 + [0.1] * 4 + [0.0] * 60:
    frame(level)
  found = talk.types(since)
  assert (found[0], found[-1]) == ('response.created', 'response.done') and found.count('response.created') == 1
  assert 40 <= found.count('response.output_audio.delta') <= 50              # until it was quiet for 0.8 s
  since = len(talk.sent)
  talk.audio(tone(0.5) + bytes(2 * RATE))                                    # the user's turns are told; nobody is interrupted
  assert talk.types(since)[:3] == ['input_audio_buffer.speech_started', 'input_audio_buffer.speech_stopped', 'input_audio_buffer.committed']
  frame(0.1)
  assert talk.send('response.cancel') [-1] == 'response.done' and talk.slot.hushed > 0
  assert talk.send('response.create') == ['error']
  assert talk.send('session.update', session={'type': 'realtime', 'max_output_tokens': 9}) == ['error']      # it would not be kept


@pytest.mark.parametrize('kind', ['semantic_vad', 'full_duplex'])
def test_an_answer_that_was_still_owed_is_forgotten_with_the_way_of_taking_turns(talk, kind):
  talk.audio(tone(0.5))
  talk.send('response.create')
  talk.audio(bytes(2 * RATE))                                                # the turn ends while another reply runs
  asked = len(talk.slot.asked)
  talk.send('session.update', session={'type': 'realtime', 'audio': {'input': {'turn_detection': {'type': kind}}}})
  assert asked == 1 and [event['type'] for event in talk.new].count('response.created') == 0
  if kind == 'full_duplex':
    assert talk.all.reply is None and not talk.slot.asked                    # another one can be asked for
  else:
    talk.say()
    talk.over()                                                              # the reply goes on, and none comes behind it
    assert talk.sent[-1]['response']['status'] == 'completed' and talk.all.reply is None


def test_a_recording_is_answered_though_turns_are_looked_for_again_at_once(talk):
  since = len(talk.sent)
  talk.manual()
  talk.send('input_audio_buffer.clear')
  talk.ask()
  talk.send('session.update', session={'type': 'realtime', 'audio': {'input': {'turn_detection': {'type': 'server_vad'}}}})
  talk.say(3)
  talk.over()
  assert talk.types(since).count('response.output_audio.delta') == 4 and talk.sent[-1]['response']['status'] == 'completed'


@pytest.mark.parametrize('speed', [0.5, 1.5])
def test_a_reply_is_as_long_as_its_speed_says(talk, speed):
  talk.send('session.update', session={'type': 'realtime', 'audio': {'output': {'speed': speed}}})
  talk.manual()
  talk.ask()
  talk.say(30)
  # The next reply is at another speed, and this one goes on as it began.
  talk.send('session.update', session={'type': 'realtime', 'audio': {'output': {'speed': 1}}})
  talk.say(30)
  talk.over()
  pcm = b''.join(base64.b64decode(event['delta']) for event in talk.sent if event['type'] == 'response.output_audio.delta')
  assert abs(len(pcm) / 2 - 60 * PIECE / speed) <= 2 and talk.sent[-1]['response']['usage']['output_tokens'] == 60


@pytest.mark.parametrize('kind', [None, 'full_duplex'])
def test_what_is_said_in_another_pitch_is_as_long(talk, kind):
  talk.send('session.update', session={'type': 'realtime', 'telugu': {'shift': -4}, 'audio': {'input': {'turn_detection': kind and {'type': kind}}}})
  if kind is None:
    talk.ask()
    talk.say(30)
    talk.over()
  else:
    for level in [0.1] * 30 + [0.0] * 60:
      talk.all.told('audio', None, (np.full(320, level, np.float32), level))
  pcm = b''.join(base64.b64decode(event['delta']) for event in talk.sent if event['type'] == 'response.output_audio.delta')
  frames = talk.sent[-1]['response']['usage']['output_tokens']
  assert frames >= 30 and abs(len(pcm) / 2 - frames * PIECE) <= 2 and talk.all.session['telugu']['shift'] == -4


def test_who_changes_how_replies_are_played_has_the_same_voice_go_on(talk):
  talk.send('session.update', session={'type': 'realtime', 'telugu': {'seed': 7}})
  told = talk.slot.told
  slow, narrow = {'speed': 0.8}, {'format': {'type': 'audio/pcm', 'rate': 8000}}
  for other in ({'telugu': {'shift': 2}}, {'audio': {'output': slow}}, {'audio': {'output': narrow}}):
    assert talk.send('session.update', session={'type': 'realtime', **other}) == ['session.updated']
    assert talk.slot.told is told                        # it would be told anew who it is, and draw from its seed again
  talk.send('session.update', session={'type': 'realtime', 'telugu': {'seed': 8}})
  assert talk.slot.told[2] == 8


def test_in_full_duplex_there_is_one_speed(talk):
  duplex = {'type': 'realtime', 'audio': {'input': {'turn_detection': {'type': 'full_duplex'}}}}
  talk.send('session.update', session={'type': 'realtime', 'audio': {'output': {'speed': 1.2}}})
  assert talk.send('session.update', session=duplex) == ['error']
  assert talk.new[0]['error']['param'] == 'session.audio.output.speed' and 'give 1' in talk.new[0]['error']['message']
  talk.send('session.update', session={'type': 'realtime', 'audio': {'output': {'speed': 1}}})
  assert talk.send('session.update', session=duplex) == ['session.updated']


def test_a_voice_and_an_emotion_are_asked_of_the_model(talk, tiny):
  talk.send('session.update', session={'type': 'realtime', 'audio': {'output': {'voice': 'a/two'}},
                                       'telugu': {'emotion': 'happy', 'breath': False, 'filler': True, 'temperature': 0, 'seed': 7}})
  told, how, seed = talk.slot.told
  assert (int(told['speaker']), int(told['emotion']), told['knobs'].tolist(), how.temperature, seed) == (1, 1, [-1] * 4, 0, 7)
  assert (int(told['breath']), int(told['filler'])) == (0, 1)
  assert talk.send('session.update', session={'type': 'realtime', 'audio': {'output': {'voice': 'marin'}}}) == ['session.updated']
  assert int(talk.slot.told[0]['speaker']) == -1


@pytest.mark.parametrize('session,code,param', [
    ({'type': 'nonsense'}, 'invalid_value', 'session.type'),
    ({'audio': {'output': {'voice': 'nobody'}}}, 'invalid_value', 'session.audio.output.voice'),
    ({'audio': {'input': {'format': {'type': 'audio/mp9'}}}}, 'invalid_value', 'session.audio.input.format.type'),
    ({'audio': {'input': {'format': {'type': 'audio/pcm', 'rate': 11025}}}}, 'invalid_value', 'session.audio.input.format.rate'),
    ({'audio': {'input': {'turn_detection': {'type': 'server_vad', 'threshold': 2}}}}, 'invalid_value',
     'session.audio.input.turn_detection.threshold'),
    ({'audio': {'input': {'turn_detection': {'type': 'server_vad', 'silence_duration_ms': True}}}}, 'invalid_type',
     'session.audio.input.turn_detection.silence_duration_ms'),
    ({'output_modalities': ['text']}, 'invalid_value', 'session.output_modalities'),
    ({'max_output_tokens': 0}, 'invalid_value', 'session.max_output_tokens'),
    ({'telugu': {'emotion': 'disgust'}}, 'invalid_value', 'session.telugu.emotion'),
    ({'telugu': {'breath': 1}}, 'invalid_type', 'session.telugu.breath'),
    ({'telugu': {'temperature': -1}}, 'invalid_value', 'session.telugu.temperature'),
    ({'audio': {'output': {'speed': 9}}}, 'invalid_value', 'session.audio.output.speed'),
    ({'telugu': {'shift': -7}}, 'invalid_value', 'session.telugu.shift'),
    ({'surprise': 1}, 'unknown_parameter', "'session.surprise'"),
])
def test_an_update_that_cannot_be_is_refused_whole(talk, session, code, param):
  before = talk.all.session
  assert talk.send('session.update', event_id='e', session={'type': 'realtime', **session}) == ['error']
  error = talk.new[0]['error']
  assert (error['code'], error['param'], error['event_id']) == (code, param, 'e') and len(error['message']) > 20
  assert talk.all.session == before


@pytest.mark.parametrize('text', ['', '{', '[1]', 'null', '17', '{}', '{"type": 7}', '{"type": "response.done"}', '{"type": NaN}',
                                  '[' * 50_000, '{"type": "response.create", "event_id": ' + '9' * 5000 + '}', '{"type": "\\ud800"}'])
def test_what_is_no_event_is_an_error_event(talk, text):
  talk.all.received(text)
  assert talk.types(1) == ['error'] and len(talk.sent[-1]['error']['message']) < 300


@pytest.mark.parametrize('many', ['[],', '{},', '1,'])
def test_an_event_of_very_many_values_is_refused_before_it_is_unpacked(talk, monkeypatch, many):
  monkeypatch.setattr(events, 'json', None)
  talk.all.received('{"type": "x", "a": [' + many * events.MOST_VALUES + '0]}')
  assert talk.sent[-1]['error']['code'] == 'invalid_value' and str(events.MOST_VALUES) in talk.sent[-1]['error']['message']


def test_audio_that_is_none_is_an_error_event(talk):
  for data in ('***', 'AAAA', 7, None):
    assert talk.send('input_audio_buffer.append', audio=data) == ['error']
  for data in (b'', b'a'):
    talk.all.received(data)
    assert talk.types()[-1] == 'error'


def test_bytes_are_audio_without_the_base64(talk):
  talk.all.received(tone(0.5))
  assert talk.types(1) == ['input_audio_buffer.speech_started']


def test_others_are_dealt_with_while_much_audio_is_heard(talk, tiny):
  other, long = Talk(tiny), tone(10.0)
  other.audio(long)
  parts = talk.all.parts(json.dumps({'type': 'input_audio_buffer.append', 'audio': base64.b64encode(long).decode()}))
  assert sum(1 for _ in parts) >= 6                  # a second of it at a time, of 24,000 samples
  assert talk.types() == other.types() and talk.slot.samples == other.slot.samples


def test_a_turn_goes_on_whatever_of_its_detection_is_changed(talk):
  assert talk.audio(tone(1.0)) == ['input_audio_buffer.speech_started']
  for change in ({'silence_duration_ms': 400}, {'create_response': False}, {'interrupt_response': False}):
    detection = {'type': 'server_vad', **change}
    assert talk.send('session.update', session={'type': 'realtime', 'audio': {'input': {'turn_detection': detection}}}) == ['session.updated']
  assert talk.audio(bytes(2 * RATE))[:2] == ['input_audio_buffer.speech_stopped', 'input_audio_buffer.committed']


def nested(levels):
  return {'a': nested(levels - 1)} if levels else {}


@pytest.mark.parametrize('parameters', [nested(900), {'a': 'x' * 70_000}, {'a': [nested(40)]}], ids=['deepest', 'long', 'deep'])
def test_tools_that_would_hold_everybody_up_are_refused(talk, parameters):
  tools = [{'type': 'function', 'name': 'f', 'parameters': parameters}]
  assert talk.send('session.update', session={'type': 'realtime', 'tools': tools}) == ['error']
  assert talk.new[0]['error']['param'] == 'session.tools' and talk.all.session['tools'] == []
  assert talk.send('session.update', session={'type': 'realtime', 'tools': [tools[0] | {'parameters': nested(20)}]}) == ['session.updated']


def test_the_oldest_items_are_forgotten_before_they_fill_the_memory(talk):
  text = 'x' * 90_000
  names = []
  for _ in range(20):
    talk.send('conversation.item.create', item={'type': 'message', 'role': 'user', 'content': [{'type': 'input_text', 'text': text}]})
    names.append(talk.new[0]['item']['id'])
  there = [talk.send('conversation.item.retrieve', item_id=name)[0] == 'conversation.item.retrieved' for name in names]
  assert there == sorted(there) and 5 < sum(there) < 15
  long = [{'type': 'input_text', 'text': text}] * 2
  assert talk.send('conversation.item.create', item={'type': 'message', 'role': 'user', 'content': long}) == ['error']


def test_too_much_audio_is_refused(tiny):
  talk = Talk(tiny, most=20_000)
  talk.manual()
  talk.audio(bytes(2 * RATE))
  assert talk.audio(bytes(2 * RATE)) == ['error'] and talk.new[0]['error']['code'] == 'input_audio_buffer_full'


def test_a_turn_ends_though_there_was_no_room_for_all_of_it(tiny):
  talk = Talk(tiny, most=16_000)
  talk.audio(tone(0.9))
  talk.audio(tone(0.4) + bytes(2 * RATE))
  first = talk.types()
  assert first.count('error') == 1 and first[-1] == 'error' and 'input_audio_buffer.committed' in first
  talk.over()
  talk.audio(tone(0.5) + bytes(2 * RATE))
  began = [event['item_id'] for event in talk.sent if event['type'] == 'input_audio_buffer.speech_started']
  assert len(set(began)) == 2


def test_a_response_is_told_in_the_format_it_comes_in_whatever_is_set_meanwhile(talk):
  talk.manual()
  talk.ask()
  talk.say()
  talk.send('session.update', session={'type': 'realtime', 'audio': {'output': {'format': {'type': 'audio/pcmu'}}}})
  talk.over()
  assert talk.sent[-1]['response']['audio']['output']['format'] == {'type': 'audio/pcm', 'rate': 24000}
  talk.ask()
  talk.over()
  assert talk.sent[-1]['response']['audio']['output']['format'] == {'type': 'audio/pcmu'}


def test_a_response_asked_for_in_another_voice_than_the_sessions_is_refused(talk):
  talk.manual()
  other = talk.sent[0]['session']['telugu']['voices'][1]
  assert talk.send('response.create', response={'audio': {'output': {'voice': other}}}) == ['error']
  assert talk.new[0]['error']['param'] == 'response.audio'
  assert talk.send('response.create', response={'audio': {'output': {'voice': 'default'}}}) == ['response.created']
