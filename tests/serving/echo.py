"""A server that hands out the page, and says back what it heard: as much of the protocol as the page needs."""
import asyncio
import base64
import contextlib
import json
import pathlib
import time

from aiohttp import web
import numpy as np

from telugu_s2s.serving import page

PAGE = pathlib.Path(page.__file__).parent
CSP = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
LOUD, PAUSE, BLOCK_S, THINK_S = 0.01, 10, 0.04, 0.06      # a block is speech; blocks that end a turn; the reply's blocks


class Echo:
  """A server that speaks as much of the protocol as the page needs; `rates` are those that it takes."""

  def __init__(self):
    self.rates, self.key, self.full, self.paced = (16000, 24000), '', False, True
    self.events, self.transports, self.heard = [], [], []

  def app(self):
    app = web.Application(middlewares=[self.guarded])
    app.router.add_get('/', self.index)
    app.router.add_get('/v1/realtime', self.session)
    app.router.add_get('/v1/voices', self.voices)
    app.router.add_static('/', PAGE)
    return app

  @web.middleware
  async def guarded(self, request, handler):
    offered = request.headers.get('Sec-WebSocket-Protocol', '') + request.headers.get('Authorization', '')
    if request.path.startswith('/v1/') and self.key and self.key not in offered:
      return web.Response(status=401)
    if request.path == '/v1/realtime' and self.full:
      return web.Response(status=503)
    answer = await handler(request)
    if not answer.prepared:
      answer.headers['Content-Security-Policy'] = CSP
    return answer

  async def index(self, request):
    return web.FileResponse(PAGE / 'index.html')

  async def voices(self, request):
    return web.json_response({'voices': ['alto', 'deep'], 'emotions': ['neutral', 'happy']})

  async def session(self, request):
    socket = web.WebSocketResponse(protocols=('realtime',))
    await socket.prepare(request)
    self.transports.append(request.transport)
    self.talk = Talk(self, socket, request.query.get('metrics') == '1')
    await self.talk.run()
    return socket


class Talk:
  """One session: what it heard since the last turn, and the reply that it is giving."""

  def __init__(self, server, socket, metrics):
    self.server, self.socket, self.metrics, self.number = server, socket, metrics, 0
    self.rate, self.detection, self.buffer, self.task = 24000, {'type': 'server_vad'}, [], None
    self.samples = self.quiet = 0
    self.talking = False

  def described(self):
    form = {'format': {'type': 'audio/pcm', 'rate': self.rate}}
    return {'type': 'realtime', 'audio': {'input': {**form, 'turn_detection': self.detection}, 'output': form}}

  async def send(self, kind, **fields):
    await self.socket.send_json({'type': kind, 'event_id': 'e', **fields})

  async def run(self):
    await self.send('session.created', session=self.described())
    async for message in self.socket:
      event = json.loads(message.data)
      self.server.events.append(event)
      await getattr(self, 'on_' + event['type'].replace('.', '_'))(event)
    if self.task:
      self.task.cancel()

  async def on_session_update(self, event):
    audio = event['session'].get('audio', {})
    rate = audio.get('input', {}).get('format', {}).get('rate', self.rate)
    if rate not in self.server.rates:
      error = {'message': 'rate', 'code': 'invalid_value', 'param': 'session.audio.input.format.rate', 'event_id': event['event_id']}
      return await self.send('error', error=error)
    self.rate = rate
    self.detection = audio.get('input', {}).get('turn_detection', self.detection)
    await self.send('session.updated', session=self.described())

  async def on_input_audio_buffer_append(self, event):
    block = np.frombuffer(base64.b64decode(event['audio']), '<i2')
    self.server.heard.append((self.rate, block))
    start_ms, self.samples = 1000 * self.samples / self.rate, self.samples + len(block)
    if not self.detection:
      return self.buffer.append(block)
    loud = np.sqrt(np.mean((block / 32768) ** 2)) > LOUD
    self.quiet = 0 if loud else self.quiet + 1
    if loud and not self.talking:
      self.talking = True
      await self.cancel('turn_detected')
      await self.send('input_audio_buffer.speech_started', item_id='u', audio_start_ms=start_ms)
    if self.talking:
      self.buffer.append(block)
    if self.talking and self.quiet >= PAUSE:
      self.talking = False
      await self.send('input_audio_buffer.speech_stopped', item_id='u', audio_end_ms=1000 * self.samples / self.rate)
      await self.on_response_create({})

  async def on_response_create(self, event):
    said, self.buffer = np.concatenate([*self.buffer, np.zeros(1, '<i2')]), []
    await self.cancel('client_cancelled')
    self.number += 1
    self.task = asyncio.ensure_future(self.reply(f'r{self.number}', said))

  async def reply(self, name, said):
    size, status = round(BLOCK_S * self.rate), 'cancelled'
    await self.send('response.created', response={'id': name, 'status': 'in_progress'})
    try:
      await asyncio.sleep(THINK_S)
      await self.send('response.output_item.added', response_id=name, item={'id': f'i-{name}'})
      began = time.monotonic()
      for at in range(0, len(said), size):
        delta = base64.b64encode(said[at:at + size].astype('<i2').tobytes()).decode()
        await self.send('response.output_audio.delta', response_id=name, item_id=f'i-{name}', delta=delta)
        if self.server.paced:
          await asyncio.sleep(max(0, began + at / self.rate - 0.1 - time.monotonic()))
      status = 'completed'
      if self.metrics:
        await self.send('telugu.metrics', response_id=name, first_audio_ms=20.0, first_sound_ms=61.4, late_ticks=2)
    finally:
      self.task = None
      with contextlib.suppress(ConnectionError):
        await self.send('response.done', response={'id': name, 'status': status})

  async def cancel(self, reason):
    if self.task:
      self.task.cancel()
      with contextlib.suppress(asyncio.CancelledError):
        await self.task

  async def on_response_cancel(self, event):
    await self.cancel('client_cancelled')

  async def on_input_audio_buffer_clear(self, event):
    self.buffer = []

  async def on_input_audio_buffer_commit(self, event):
    pass

  async def on_conversation_item_truncate(self, event):
    pass
