"""The server, through a socket: who is let in, what a session is told, what damaged and hostile clients come to, and its end."""
import asyncio
import base64
import contextlib
import json
import os
import signal

import numpy as np
import pytest

aiohttp = pytest.importorskip('aiohttp')
from aiohttp import test_utils

from telugu_s2s.audio import files, mark
from telugu_s2s.errors import InputError
from telugu_s2s.serving import server as servers
from telugu_s2s.serving import talk as talking

KEY = 'a-key-of-the-test'


@pytest.fixture
def talk(engine, config):
  """talk(work, field=value, ..): runs work(client, server) beside a server whose config has these fields."""
  def run(work, **fields):
    config.update(fields)

    async def served():
      server = servers.Server(config, engine)
      async with test_utils.TestClient(test_utils.TestServer(server.app(), host='127.0.0.1')) as client:
        found = await work(client, server)
      for _ in range(200):                             # every place is given back, whatever happened
        if engine.sessions == 0:
          return found
        await asyncio.sleep(0.01)
      raise AssertionError(f'{engine.sessions} places are still taken')
    return asyncio.run(asyncio.wait_for(served(), 60))
  return run


async def until(socket, *kinds):
  """Events up to the first of some kinds."""
  found = []
  async with asyncio.timeout(20):
    while not found or found[-1]['type'] not in kinds:
      found.append(json.loads(await socket.receive_str()))
  return found


async def connected(client, **options):
  socket = await client.ws_connect('/v1/realtime', **options)
  assert (await until(socket, 'session.created'))[-1]['session']['type'] == 'realtime'
  return socket


async def asked(socket, seconds=0.5, rate=24_000):
  """Asks by hand; the audio of the reply, i16."""
  await socket.send_json({'type': 'session.update', 'session': {'type': 'realtime', 'max_output_tokens': 20, 'audio': {
      'input': {'turn_detection': None, 'format': {'type': 'audio/pcm', 'rate': rate}}, 'output': {'format': {'type': 'audio/pcm', 'rate': rate}}}}})
  await until(socket, 'session.updated')
  sound = np.random.default_rng(1).integers(-9999, 9999, round(seconds * rate)).astype('<i2').tobytes()
  await socket.send_json({'type': 'input_audio_buffer.append', 'audio': base64.b64encode(sound).decode()})
  await socket.send_json({'type': 'input_audio_buffer.commit'})
  await socket.send_json({'type': 'response.create'})
  found = await until(socket, 'response.done', 'error')
  assert found[-1]['type'] == 'response.done'
  return np.frombuffer(b''.join(base64.b64decode(one['delta']) for one in found if one['type'] == 'response.output_audio.delta'), '<i2')


@pytest.mark.parametrize('rate', [24_000, 16_000])
def test_a_turn_is_answered(talk, rate):
  async def work(client, server):
    async with await connected(client) as socket:
      return await asked(socket, rate=rate)
  assert abs(len(talk(work)) - 20 * 0.02 * rate) <= 1


def test_what_is_said_carries_the_mark_that_was_asked_for(talk, monkeypatch):
  async def work(client, server):
    async with await connected(client) as socket:
      return await asked(socket, rate=16_000)
  plain = talk(work)
  monkeypatch.setenv('TEST_MARK', 'words')
  marked = talk(work, mark_variable='TEST_MARK')
  assert len(marked) == len(plain) + mark.HOP                 # 10 ms late, and whole
  assert not np.array_equal(marked[mark.HOP:], plain)


def test_who_asks_for_it_is_told_how_soon_a_reply_began_and_nobody_else(talk):
  async def work(client, server):
    found = []
    for path in ('/v1/realtime?metrics=1', '/v1/realtime'):
      async with client.ws_connect(path) as socket:
        await socket.send_json({'type': 'session.update', 'session': {'type': 'realtime', 'audio': {'input': {'turn_detection': None}}}})
        await socket.send_json({'type': 'input_audio_buffer.append', 'audio': base64.b64encode(bytes(24_000)).decode()})
        await socket.send_json({'type': 'input_audio_buffer.commit'})
        await socket.send_json({'type': 'response.create'})
        found.append(await until(socket, 'response.done'))
    return found
  asked, others = talk(work)
  told = next(event for event in asked if event['type'] == 'telugu.metrics')
  assert told['response_id'] == asked[-1]['response']['id'] and 0 < told['first_audio_ms'] <= (told['first_sound_ms'] or 20_000) and told['late_ticks'] >= 0
  assert not [event for event in others if event['type'].startswith('telugu.')]


def test_health_readiness_and_metrics_are_told(talk):
  async def work(client, server):
    async with await connected(client) as socket:
      await asked(socket)
      await socket.send_str('{')
      await until(socket, 'error')
      health = await (await client.get('/healthz')).json()
      assert (health['status'], health['sessions'], health['places']) == ('ok', 1, 3)
      assert (await client.get('/readyz')).status == 200
      return await (await client.get('/metrics')).text()
  text = talk(work)
  for line in ('telugu_s2s_sessions_active 1', 'telugu_s2s_places 3', 'telugu_s2s_replies_total 1', 'telugu_s2s_programs 1',
               'telugu_s2s_errors_total{code="invalid_json"} 1', 'telugu_s2s_first_audio_seconds_count 1'):
    assert line in text.splitlines()


def test_only_a_key_opens_the_door_and_it_is_never_told(talk, monkeypatch, capsys):
  monkeypatch.setenv('TEST_KEY', KEY)

  async def work(client, server):
    for headers in ({}, {'Authorization': 'Bearer '}, {'Authorization': f'Bearer {KEY}x'}, {'Authorization': KEY},
                    {'Sec-WebSocket-Protocol': f'realtime, openai-insecure-api-key.{KEY[:-1]}'}):
      for path in ('/v1/realtime', '/metrics'):
        answer = await client.get(path, headers=headers)
        assert answer.status == 401 and KEY not in await answer.text()
    async with await connected(client, headers={'Authorization': f'Bearer {KEY}'}):
      pass
    async with await connected(client, protocols=('realtime', f'openai-insecure-api-key.{KEY}')) as socket:
      assert socket.protocol == 'realtime'
    assert (await client.get('/healthz')).status == 200
    assert server.metrics.refused['key'] == 10
  talk(work, key_variable='TEST_KEY')
  assert KEY not in ''.join(capsys.readouterr())


def test_pages_and_names_of_others_are_not_let_in(talk):
  async def work(client, server):
    own = f'http://127.0.0.1:{client.port}'
    for headers, status in (({'Origin': 'https://attacker.example'}, 403), ({'Host': 'attacker.example'}, 403), ({'Origin': 'null'}, 403),
                            ({'Host': '[::1'}, 403), ({'Origin': 'http://[x'}, 403),
                            ({'Origin': own}, 426), ({'Origin': 'https://my.page'}, 426), ({}, 426)):
      assert (await client.get('/v1/realtime', headers=headers)).status == status, headers
  talk(work, origins=('https://my.page',))


def test_who_comes_when_all_places_are_taken_is_told_at_once(talk):
  async def work(client, server):
    sockets = [await connected(client) for _ in range(3)]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
      await client.ws_connect('/v1/realtime')
    assert refused.value.status == 503 and refused.value.headers['Retry-After']
    assert (await client.get('/v1/realtime')).status == 503      # as a page asks that wants to know why
    await sockets[0].close()
    await asyncio.sleep(0.1)
    sockets[0] = await connected(client)
    assert len(await asked(sockets[1])) > 0
    for socket in sockets:
      await socket.close()
  talk(work)


@pytest.mark.parametrize('name', ['text', 'bytes'])
def test_a_message_beyond_the_limit_ends_that_session_alone(talk, name):
  async def work(client, server):
    async with await connected(client) as other:
      async with await connected(client) as socket:
        with contextlib.suppress(ConnectionError):
          await (socket.send_str('A' * (16 << 20)) if name == 'text' else socket.send_bytes(bytes(16 << 20)))
        message = await socket.receive(20)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED) and socket.close_code in (1009, 1006)
      assert len(await asked(other)) > 0
  talk(work)


def test_damaged_messages_of_each_kind_are_answered_and_others_do_not_notice(talk):
  async def work(client, server):
    async with await connected(client) as other, await connected(client) as socket:
      for text in ('', '{', '[]', '{"type": "x"}', '{"type": "input_audio_buffer.append", "audio": "*"}',
                   '{"type": "session.update", "session": {"type": "realtime", "audio": {"output": {"voice": "nobody"}}}}'):
        await socket.send_str(text)
        assert (await until(socket, 'error'))[-1]['error']['message']
      await socket.send_bytes(b'')
      await until(socket, 'error')
      for number in range(1000):
        await socket.send_str(json.dumps({'type': 'conversation.item.retrieve', 'item_id': 'x', 'event_id': str(number)}))
      for number in range(1000):
        assert (await until(socket, 'error'))[-1]['error']['event_id'] == str(number)
      assert len(await asked(other)) > 0 and len(await asked(socket)) > 0
  talk(work, events_per_s=10_000.0)


def test_a_client_that_never_reads_is_cut_off_and_holds_nobody_up(talk):
  async def work(client, server):
    async with await connected(client) as other:
      socket = await connected(client)
      socket._response.connection.transport.pause_reading()
      event = json.dumps({'type': 'x' * 60, 'event_id': 'y' * 500})
      with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(20):
          while len(server.clients) == 2:
            await socket.send_str(event)
      while len(server.clients) == 2:
        await asyncio.sleep(0.01)
      await asyncio.sleep(0.05)
      assert server.metrics.closed == {'slow': 1}
      assert len(await asked(other)) > 0
  talk(work, send_s=0.3, events_per_s=1e6)


def test_a_client_that_floods_is_read_more_slowly(talk):
  async def work(client, server):
    async with await connected(client) as socket:
      begun = asyncio.get_running_loop().time()
      for _ in range(150):
        await socket.send_str('{')
      for _ in range(150):
        await until(socket, 'error')
      return asyncio.get_running_loop().time() - begun
  assert talk(work, events_per_s=20.0) > 2                  # 100 at once, the rest at 20 a second


def test_large_messages_count_as_many(talk):
  async def work(client, server):
    async with await connected(client) as socket:
      begun = asyncio.get_running_loop().time()
      for _ in range(5):
        await socket.send_str(' ' * (1 << 20))
      for _ in range(5):
        await until(socket, 'error')
      return asyncio.get_running_loop().time() - begun
  assert talk(work, events_per_s=50.0) > 1                  # 1 MiB is 65: 250 at once, the rest at 50 a second


@pytest.mark.parametrize('state', ['idle', 'heard', 'asked', 'speaking'])
def test_a_disconnection_in_any_state_gives_the_place_back(talk, state):
  async def work(client, server):
    socket = await connected(client)
    if state != 'idle':
      await socket.send_json({'type': 'session.update', 'session': {'type': 'realtime', 'audio': {'input': {'turn_detection': None}}}})
      await socket.send_json({'type': 'input_audio_buffer.append', 'audio': base64.b64encode(bytes(48_000)).decode()})
    if state in ('asked', 'speaking'):
      await socket.send_json({'type': 'input_audio_buffer.commit'})
      await socket.send_json({'type': 'response.create'})
    if state == 'speaking':
      await until(socket, 'response.output_audio.delta')
    socket._response.connection.transport.abort()           # `talk` waits for the place
  talk(work)


def test_a_client_that_is_gone_without_a_word_gives_its_place_back(talk):
  async def work(client, server):
    socket = await connected(client, autoping=False)
    socket._response.connection.transport.pause_reading()   # no pong any more
    for _ in range(300):
      if not server.clients:
        break
      await asyncio.sleep(0.01)
    assert not server.clients
    socket._response.connection.transport.abort()
  talk(work, ping_s=0.3)


def test_without_signs_of_life_a_session_lasts(talk):
  async def work(client, server):
    async with await connected(client) as socket:
      await asyncio.sleep(0.3)
      assert len(await asked(socket))
  talk(work, ping_s=0)


def test_a_server_that_cannot_serve_any_more_says_so(talk, monkeypatch):
  async def work(client, server):
    monkeypatch.setattr(type(server.engine), 'alive', False)
    answer = await client.get('/healthz')
    assert answer.status == 503 and (await answer.json())['status'] == 'failed'
  talk(work)


@pytest.mark.parametrize('field,code', [('idle_s', 'session_idle'), ('longest_session_s', 'session_expired')])
def test_a_session_that_is_idle_or_old_is_ended_with_a_reason(talk, field, code):
  async def work(client, server):
    async with await connected(client) as socket:
      assert (await until(socket, 'error'))[-1]['error']['code'] == code
      assert (await socket.receive(5)).type == aiohttp.WSMsgType.CLOSE and socket.close_code == 1000
  talk(work, **{field: 0.2})


def test_a_file_is_spoken_and_its_answer_written(talk, tmp_path, speech, capsys):
  async def work(client, server):
    files.write_wav(tmp_path / 'question.wav', speech[0])
    url = f'ws://127.0.0.1:{client.port}/v1/realtime'
    await asyncio.to_thread(talking.main, ['--url', url, '--wav', str(tmp_path / 'question.wav'), '--out', str(tmp_path / 'answer.wav')])
  talk(work, longest_reply_s=0.5)
  assert len(files.read(tmp_path / 'answer.wav')[0]) == 8000 and 'after the end of the turn' in capsys.readouterr().out


def test_a_silent_file_is_told_to_be_one(talk, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(talking, 'AFTER_S', 0.3)
  files.write_wav(tmp_path / 'silent.wav', np.zeros(4000, np.float32))

  async def work(client, server):
    url = f'ws://127.0.0.1:{client.port}/v1/realtime'
    assert await asyncio.wait_for(asyncio.to_thread(talking.main, ['--url', url, '--wav', str(tmp_path / 'silent.wav')]), 20) == 2
  talk(work)
  assert 'there was no answer; is there speech in it?' in capsys.readouterr().err


def test_of_a_question_with_a_pause_the_whole_is_answered(talk, tmp_path, speech):
  async def work(client, server):
    files.write_wav(tmp_path / 'two.wav', np.concatenate([speech[0], np.zeros(14_400, np.float32), speech[0]]))
    url = f'ws://127.0.0.1:{client.port}/v1/realtime'
    await asyncio.to_thread(talking.main, ['--url', url, '--wav', str(tmp_path / 'two.wav'), '--out', str(tmp_path / 'answer.wav')])
  talk(work, longest_reply_s=2.0)
  assert len(files.read(tmp_path / 'answer.wav')[0]) == 32_000               # not what was begun in the pause


def test_who_talks_to_nobody_is_told_so_in_a_line(capsys, tmp_path):
  files.write_wav(tmp_path / 'q.wav', np.zeros(1600, np.float32))
  assert talking.main(['--url', 'ws://127.0.0.1:9/v1/realtime', '--wav', str(tmp_path / 'q.wav')]) == 2
  assert 'no server answers' in capsys.readouterr().err


def test_what_is_to_be_played_waits_for_a_little_and_is_forgotten_at_once():
  speakers = talking.Speakers()
  speakers.add(np.full(600, 0.5, np.float32))
  assert not speakers.take(640).any()                        # less than 60 ms: not yet
  speakers.add(np.full(600, 0.5, np.float32))
  assert speakers.take(640).sum() == 320 and speakers.take(640).sum() == 280
  speakers.add(np.full(2000, 0.5, np.float32))
  speakers.take(640)
  assert speakers.clear() == 1840 and not speakers.take(640).any()


def test_no_address_leads_to_a_file(talk):
  async def work(client, server):
    for path in ('/../../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/server.py', '/page/'):
      assert (await client.get(path)).status == 404
  talk(work)


def test_sigterm_lets_replies_end_and_closes_with_a_reason(engine, config):
  async def work():
    port = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(servers.serve(config, engine, port.set_result))
    url = f'http://127.0.0.1:{await port}'
    async with aiohttp.ClientSession(url) as client, await connected(client) as socket, await connected(client) as idle:
      answering = asyncio.create_task(asked(socket))
      await asyncio.sleep(0.2)
      os.kill(os.getpid(), signal.SIGTERM)
      assert len(await answering) == 20 * 480
      assert (await idle.receive(5)).type == aiohttp.WSMsgType.CLOSE and idle.close_code == 1012
      await serving
  asyncio.run(asyncio.wait_for(work(), 30))
  assert engine.sessions == 0


@pytest.mark.parametrize('fields,words', [
    (dict(host='0.0.0.0'), 'key_variable'), (dict(key_variable='NOT_SET_ANYWHERE'), 'NOT_SET_ANYWHERE'), (dict(port=70_000), '65535'),
    (dict(mark_variable='NOT_SET_EITHER'), 'NOT_SET_EITHER'),
    (dict(tls_cert='cert.pem'), 'both'), (dict(sessions=0), 'config.sessions 0'), (dict(send_s=-1.0), 'config.send_s'),
    (dict(longest_reply_s=float('inf')), 'config.longest_reply_s inf'), (dict(seed=-1), 'config.seed -1'),
    (dict(temperature=-1.0), 'config.temperature -1'), (dict(drain_s=-1.0), 'config.drain_s -1'), (dict(key_variable='A_KEY'), 'rand -hex')])
def test_a_config_that_cannot_be_served_is_refused(config, fields, words, monkeypatch):
  monkeypatch.setenv('A_KEY', 'q3v9Zk+8/A==')
  config.update(fields)
  with pytest.raises(InputError, match=words):
    servers.check(config)
