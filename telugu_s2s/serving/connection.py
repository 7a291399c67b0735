"""One client's connection: what it sends is taken at a bounded rate, what it is sent waits in a bounded queue."""
import asyncio
import collections
import contextlib
import json
import time

import aiohttp

BURST_S = 5.0                    # of the allowed events that may come at once
EVENT_SIZE = 16 << 10            # characters or bytes of a message that count as one event more
LONGEST_QUEUE = 4 << 20          # bytes that wait to be sent; a client that reads none of them is cut off


class Client:
  """A connection, once it has its place in the engine."""

  def __init__(self, socket, loop, send_s: float):
    self._socket, self._loop, self._send_s = socket, loop, send_s
    self._queue, self._size, self._wake = collections.deque(), 0, asyncio.Event()
    self._ended = asyncio.Event()
    self.transport = self.conversation = self.reason = None
    self.last_message = time.monotonic()

  def tell(self, kind, reply, value) -> None:
    """Takes what the engine made, in the engine's thread."""
    with contextlib.suppress(RuntimeError):        # the loop is closed: the server has ended
      self._loop.call_soon_threadsafe(self._told, kind, reply, value)

  def _told(self, kind, reply, value):
    if self.conversation is None or self._ended.is_set():
      return
    if kind == 'failed':
      self.conversation.refuse('server_error', 'the model failed; connect again', kind='server_error')
      self.stop('failed')
    else:
      self.conversation.told(kind, reply, value)

  def send(self, event: dict) -> None:
    """Puts an event behind those that wait."""
    text = json.dumps(event, separators=(',', ':'))
    self._queue.append(text)
    self._size += len(text)
    self._wake.set()
    if self._size > LONGEST_QUEUE:
      self.abort('slow')

  def stop(self, reason: str) -> None:
    """Ends the session once what waits is sent."""
    self.reason = self.reason or reason
    self._ended.set()
    self._wake.set()

  def abort(self, reason: str) -> None:
    """Ends the session at once: a client that does not read would not read a farewell either."""
    self._queue.clear()
    self._size = 0
    if self.transport is not None:
      self.transport.abort()
    self.stop(reason)

  async def end(self, code: int, message: str) -> None:
    """Ends the session with a close frame, or without one where the client takes none for 2 x send_s."""
    self.stop('ended')
    with contextlib.suppress(TimeoutError, ConnectionError):
      async with asyncio.timeout(2 * self._send_s):
        await self._socket.close(code=code, message=message.encode())

  async def talk(self, config) -> None:
    """Serves the session to its end; `reason` is then why the server ended it, or None where the client did."""
    tasks = [asyncio.create_task(one) for one in (self._read(config), self._write(), self._watch(config))]
    self.conversation.opened()
    try:
      await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
      if self.reason and not tasks[1].done():      # the last words
        await asyncio.wait(tasks[1:2], timeout=self._send_s)
    finally:
      for task in tasks:
        task.cancel()
      found = await asyncio.gather(*tasks, return_exceptions=True)
    code, message = {'idle': (1000, 'idle'), 'expired': (1000, 'session_expired'), 'failed': (1011, 'the model failed')}.get(
        self.reason, (1000, ''))
    if not self._socket.closed:
      await self.end(code, message)
    for one in found:
      if isinstance(one, Exception) and not isinstance(one, ConnectionError):
        raise one

  async def _read(self, config):
    allowed, seen = BURST_S * config.events_per_s, time.monotonic()
    async for message in self._socket:
      now = time.monotonic()
      data = message.data if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY) else None
      allowed = min(BURST_S * config.events_per_s, allowed + (now - seen) * config.events_per_s) - 1 - len(data or '') / EVENT_SIZE
      seen = now
      if allowed < 0:                              # not read, so that the client's own queue fills and not ours
        await asyncio.sleep(-allowed / config.events_per_s)
      if self._ended.is_set():
        return
      if data is not None:
        for _ in self.conversation.parts(data):
          await asyncio.sleep(0)                   # others come in between, however much there is to be heard
      self.last_message = now
      await asyncio.sleep(0)                       # and to be read

  async def _write(self):
    while True:
      while self._queue:
        text = self._queue.popleft()
        self._size -= len(text)
        try:
          async with asyncio.timeout(self._send_s):
            await self._socket.send_str(text)
        except TimeoutError:
          self.abort('slow')
          return
        except (ConnectionError, aiohttp.ClientError):
          return
      if self._ended.is_set():
        return
      self._wake.clear()
      await self._wake.wait()

  async def _watch(self, config):
    """Ends a session that is idle or as old as sessions get."""
    begun = time.monotonic()
    while not self._ended.is_set():
      await asyncio.sleep(min(1.0, config.idle_s / 4))
      now = time.monotonic()
      if now - begun > config.longest_session_s:
        self.conversation.refuse('session_expired', f'a session lasts {config.longest_session_s:g} s at most')
        self.stop('expired')
      elif now - self.last_message > config.idle_s:
        self.conversation.refuse('session_idle', f'nothing came for {config.idle_s:g} s')
        self.stop('idle')
