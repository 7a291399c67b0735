"""The server: sessions of the OpenAI Realtime protocol over websockets, with limits, health, metrics and an orderly end."""
import asyncio
import contextlib
import dataclasses
import hmac
import ipaddress
import math
import os
import re
import secrets
import signal
import ssl
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from telugu_s2s.audio import mark
from telugu_s2s.errors import InputError

try:
  import aiohttp
  from aiohttp import web
except ImportError:
  raise InputError('the server takes aiohttp: pip install -e .[serving] -c constraints.txt, or run it by ./launch/run') from None

from telugu_s2s.lm import drawing
from telugu_s2s.serving import connection, protocol, turn, voice
from telugu_s2s.serving.engine import Engine
from telugu_s2s.serving.metrics import Metrics

PROTOCOL, KEY_PROTOCOL = 'realtime', 'openai-insecure-api-key.'      # subprotocols, by which browsers bring a key
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")      # what a WebSocket's subprotocol may hold, in which browsers send a key
LOCAL = ('localhost', '127.0.0.1', '::1')
PAGE = Path(__file__).parent / 'page'
PAGE_TYPES = {'.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml'}
SAFE = {'Content-Security-Policy': "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; frame-ancestors 'none'",
        'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer'}
RETRY_S = 5
REQUEST_S = 15.0                # that a connection has for its first request, and for each after it; of a session it is no limit
SWITCH_S = 0.001                # that the engine's thread waits for the interpreter while messages are read; Python's own 5 ms add up
FIRST_PORT, LAST_PORT = 0, 65_535


def run(config, workdir):
  """The job: serves until SIGTERM or Ctrl-C."""
  check(config)
  asyncio.run(tried(config))
  sys.setswitchinterval(SWITCH_S)
  how = drawing.Sampling(config.temperature, config.top_k)
  if (how.temperature, how.top_k) == (drawing.CAREFUL.temperature, drawing.CAREFUL.top_k):
    how = drawing.CAREFUL
  how = dataclasses.replace(how, silence_bias=config.silence_bias, floor=config.floor)
  engine = Engine(voice.load(config.run, config.context_s, config.precision), config.sessions, how, config.seed, config.skip_s)
  print('compiling', flush=True)
  engine.start()
  try:
    asyncio.run(serve(config, engine))
  finally:
    engine.stop()


def check(config) -> None:
  """Raises InputError where a config cannot be served."""
  for name in ('sessions', 'frame_mib', 'events_per_s', 'idle_s', 'longest_session_s', 'send_s', 'longest_reply_s'):
    if not getattr(config, name) > 0:
      raise InputError(f'config.{name} {getattr(config, name)}: give a number over 0')
  for name in ('longest_session_s', 'longest_reply_s'):
    if not math.isfinite(getattr(config, name)):
      raise InputError(f'config.{name} {getattr(config, name)}: give seconds, such as 3600')
  for name in ('temperature', 'top_k', 'skip_s', 'drain_s', 'ping_s'):
    if not getattr(config, name) >= 0:
      raise InputError(f'config.{name} {getattr(config, name)}: give 0 or more')
  if not 0 <= config.seed < 2**63:
    raise InputError(f'config.seed {config.seed}: give 0 or more, below 2**63')
  if (key := secret(config, 'key_variable')) and not TOKEN.fullmatch(key):
    raise InputError(f'config.key_variable {config.key_variable}: browsers can send a key of letters, digits and !#$%&\'*+.^_`|~- alone; '
                     'make one with openssl rand -hex 32')
  if not FIRST_PORT <= config.port <= LAST_PORT:
    raise InputError(f'config.port {config.port}: give {FIRST_PORT} (any that is free) to {LAST_PORT}')
  secret(config, 'mark_variable')
  if not secret(config, 'key_variable') and not _is_local(config.host) and not config.insecure:
    raise InputError(f'config.host {config.host}: others could talk to it without a key; name the variable that holds one with '
                     '--config.key_variable=NAME, or set --config.insecure=True')
  if bool(config.tls_cert) != bool(config.tls_key):
    raise InputError('config.tls_cert and config.tls_key: give both files or none')


def secret(config, name: str) -> str:
  """What the environment holds in the variable that config.`name` names, '' where none is named. Raises InputError where it is empty."""
  if not (variable := getattr(config, name)):
    return ''
  if not (value := os.environ.get(variable, '')):
    raise InputError(f'config.{name}: the environment has no {variable}; set it to the key')
  return value


def _parsed(address):
  """The parts of an address; of one that is none they are empty."""
  try:
    return urlsplit(address)
  except ValueError:
    return urlsplit('')


def _is_local(host) -> bool:
  with contextlib.suppress(ValueError):
    return ipaddress.ip_address(host).is_loopback
  return host == 'localhost'


async def tried(config) -> None:
  """Raises InputError where the certificate or the port is not to be had: rather before the minute in which a voice is compiled than after it."""
  _tls(config)
  try:
    (await asyncio.get_running_loop().create_server(asyncio.Protocol, config.host, config.port, start_serving=False)).close()
  except OSError as problem:
    raise _no_door(config, problem) from None


def _no_door(config, problem) -> InputError:
  return InputError(f'config.host {config.host}, config.port {config.port}: {problem.strerror}')


async def serve(config, engine, started=lambda port: None) -> None:
  """Serves until a signal to end; started: told the port."""
  server, ended = Server(config, engine), asyncio.Event()
  loop = asyncio.get_running_loop()
  for number in (signal.SIGTERM, signal.SIGINT):
    loop.add_signal_handler(number, ended.set)
  runner = web.AppRunner(server.app(), access_log=None, handle_signals=False, shutdown_timeout=config.drain_s,
                         keepalive_timeout=REQUEST_S)
  await runner.setup()
  try:
    site = web.TCPSite(runner, config.host, config.port, ssl_context=_tls(config))
    await site.start()
  except OSError as problem:
    await runner.cleanup()
    raise _no_door(config, problem) from None
  port = site._server.sockets[0].getsockname()[1]
  scheme = 'wss' if config.tls_cert else 'ws'
  host = f'[{config.host}]' if ':' in config.host else config.host
  print(f'{engine.voice.name}: {engine.places} sessions at {scheme}://{host}:{port}/v1/realtime', flush=True)
  started(port)
  await ended.wait()
  print('ending: no more sessions; replies are finished', flush=True)
  await server.drain()
  await runner.cleanup()


def _tls(config):
  if not config.tls_cert:
    return None
  context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
  context.minimum_version = ssl.TLSVersion.TLSv1_2
  try:
    context.load_cert_chain(config.tls_cert, config.tls_key)
  except (OSError, ssl.SSLError) as problem:
    raise InputError(f'config.tls_cert {config.tls_cert}, config.tls_key {config.tls_key}: {problem}') from None
  return context


class Server:
  """The routes, and the sessions behind them."""

  def __init__(self, config, engine: Engine):
    self.config, self.engine, self.metrics = config, engine, Metrics()
    self.clients: set[connection.Client] = set()
    self.draining = False
    self._key, self._mark = secret(config, 'key_variable'), secret(config, 'mark_variable')
    if self._mark and engine.hop % mark.HOP:
      raise InputError(f'config.mark_variable: a mark takes frames of whole {mark.HOP} samples, and this codec has {engine.hop}')
    self._origins = tuple(origin for origin in config.origins if origin)
    self._hosts = {*LOCAL, config.host.lower(), *(urlsplit(origin).hostname for origin in self._origins)}

  def app(self) -> web.Application:
    app = web.Application(client_max_size=1 << 16)
    app.router.add_get('/v1/realtime', self.realtime)
    app.router.add_get('/healthz', self.health)
    app.router.add_get('/readyz', self.ready)
    app.router.add_get('/metrics', self.measured)
    app.router.add_get('/v1/voices', self.voices)
    files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir()) if path.suffix in PAGE_TYPES} if PAGE.is_dir() else {}
    for name, data in files.items():               # these and no others: nothing in an address is ever taken for a path
      async def page(request, data=data, kind=PAGE_TYPES[Path(name).suffix]):
        return web.Response(body=data, content_type=kind, charset='utf-8', headers=SAFE)
      app.router.add_get('/' if name == 'index.html' else f'/{name}', page)
    return app

  async def health(self, request):
    """200 while the process lives; 503 where it cannot serve any more and is to be started anew."""
    alive = self.engine.alive
    status = 'failed' if not alive else 'draining' if self.draining else 'ok'
    return web.json_response({'status': status, 'model': self.engine.voice.name,
                              'sessions': self.engine.sessions, 'places': self.engine.places},
                             status=200 if alive else 503)

  async def ready(self, request):
    """200 while sessions can be begun, 503 otherwise."""
    is_ready = self.engine.ready.is_set() and not self.draining
    return web.json_response({'ready': is_ready, 'busy': self.engine.busy}, status=200 if is_ready else 503)

  async def measured(self, request):
    self._admit(request)
    return web.Response(text=self.metrics.text(self.engine))

  async def voices(self, request):
    """Whom and how a session may ask for."""
    self._admit(request)
    return web.json_response({'voices': self.engine.voice.names, 'emotions': self.engine.voice.emotions})

  def _admit(self, request) -> None:
    """Raises what a request is answered with that may not come in."""
    offered = [one.strip() for one in request.headers.get('Sec-WebSocket-Protocol', '').split(',')]
    given = [one.removeprefix(KEY_PROTOCOL) for one in offered if one.startswith(KEY_PROTOCOL)]
    authorization = request.headers.get('Authorization', '')
    if authorization.lower().startswith('bearer '):
      given.append(authorization[7:].strip())
    if self._key and not any(hmac.compare_digest(one.encode(errors='surrogateescape'), self._key.encode()) for one in given):
      self._refuse('key', web.HTTPUnauthorized(text='give the key of this server: Authorization: Bearer KEY',
                                               headers={'WWW-Authenticate': 'Bearer'}))
    # Without a key, a name that somebody else's server of names points here must not open the door either.
    host = _parsed(f'//{request.host}').hostname or ''
    if not self._key and not self.config.insecure and host not in self._hosts:
      self._refuse('host', web.HTTPForbidden(text=f'this server is not called {host[:100]}'))
    origin = request.headers.get('Origin')
    if origin and _parsed(origin).netloc.lower() != request.host.lower() and not {origin, '*'} & set(self._origins):
      self._refuse('origin', web.HTTPForbidden(text='pages of another origin are not let in; name it in config.origins'))

  def _refuse(self, reason, answer):
    self.metrics.refused[reason] += 1
    raise answer

  def _full(self):
    self._refuse('draining' if self.draining else 'busy', web.HTTPServiceUnavailable(
        text='busy: every place is taken; come again', headers={'Retry-After': str(RETRY_S)}))

  async def realtime(self, request):
    """A session."""
    self._admit(request)
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), heartbeat=self.config.ping_s or None, compress=False, timeout=1.0,
                                   max_msg_size=int(self.config.frame_mib * 2**20), writer_limit=64 << 10)
    if not socket.can_prepare(request):
      if self.draining or self.engine.busy:        # a page that asks why it got no session is told
        self._full()
      raise web.HTTPUpgradeRequired(text='this is a websocket: connect to it as ws:// or wss://', headers={'Upgrade': 'websocket'})
    client = connection.Client(socket, asyncio.get_running_loop(), self.config.send_s)
    slot = None if self.draining else self.engine.join(client.tell)
    if slot is None:
      self._full()
    self.metrics.counts['session'] += 1
    try:
      await socket.prepare(request)
      client.transport = request.transport
      client.conversation = protocol.Conversation(
          self.engine.voice, slot, client.send, self.engine.how, secrets.token_hex(8), int(time.time() + self.config.longest_session_s),
          turn.Endings(longest_s=self.config.longest_reply_s), self.metrics.note,
          key=self._mark, metrics=request.query.get('metrics') == '1')
      self.clients.add(client)
      await client.talk(self.config)
    finally:
      if client.reason:
        self.metrics.closed[client.reason] += 1
      slot.leave()
      self.clients.discard(client)
    return socket

  async def drain(self) -> None:
    """Lets no one in, waits for running replies and ends all sessions."""
    self.draining = True
    with contextlib.suppress(TimeoutError):
      async with asyncio.timeout(self.config.drain_s):
        while any(client.conversation.reply for client in self.clients):
          await asyncio.sleep(0.05)
    await asyncio.gather(*(client.end(aiohttp.WSCloseCode.SERVICE_RESTART, 'the server restarts') for client in list(self.clients)))
