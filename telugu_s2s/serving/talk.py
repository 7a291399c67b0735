"""Talks to a voice that is served: microphone and speakers, or a question in a file and its answer in another.

    python -m telugu_s2s.serving.talk                                      (microphone and speakers; takes sounddevice)
    python -m telugu_s2s.serving.talk --wav question.wav --out answer.wav
    python -m telugu_s2s.serving.talk --url wss://HOST:PORT/v1/realtime --key KEY --voice NAME --emotion happy
"""
import argparse
import asyncio
import base64
import collections
import contextlib
import json
import os
import sys
import threading
import time

import numpy as np

from telugu_s2s.audio import files, mark
from telugu_s2s.errors import InputError

try:
  import aiohttp
except ImportError:
  sys.exit('talking takes aiohttp: pip install -e .[talk] -c constraints.txt, or use .venv/bin/python once ./launch/run has served')

URL = 'ws://127.0.0.1:8765/v1/realtime'
PIECE_S = 0.04                   # of audio in a message
FORMAT = {'type': 'audio/pcm', 'rate': files.SAMPLE_RATE}
AFTER_S = 3.0                    # of silence that a file is followed by, so that the server hears its end
BUFFER_S = 0.06                  # that is held before a reply is played


def main(argv=None) -> int:
  """Talks until Ctrl-C, or until a file was answered; 0, or 2 after a mistake in the command or its input."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog='python -m telugu_s2s.serving.talk')
  parser.add_argument('--url', default=URL)
  parser.add_argument('--key', default=os.environ.get('TELUGU_S2S_KEY', ''), help='of the server; else $TELUGU_S2S_KEY')
  parser.add_argument('--wav', help='the question: any audio file, instead of the microphone')
  parser.add_argument('--out', default='answer.wav', help='where its answer goes')
  parser.add_argument('--voice', default='default')
  parser.add_argument('--emotion', default='')
  parser.add_argument('--speed', type=float, default=1.0, help='of replies: 0.25 to 1.5 times as fast')
  parser.add_argument('--shift', type=float, default=0.0, help='semitones by which replies are spoken higher, -6 to 6')
  parser.add_argument('--full-duplex', action='store_true', help='the model itself decides when to speak; use headphones')
  given = parser.parse_args(argv)
  if given.wav and given.full_duplex:
    parser.error('--full-duplex takes the microphone; a recording with --wav is a turn')
  try:
    asyncio.run(asked(given) if given.wav else conversation(given))
    return 0
  except KeyboardInterrupt:
    return 0
  except InputError as problem:
    print('error:', problem, file=sys.stderr)
    return 2


class Session:
  """A connection to a server, and what comes over it."""

  def __init__(self, socket):
    self._socket = socket

  async def send(self, kind: str, **fields) -> None:
    await self._socket.send_str(json.dumps({'type': kind, **fields}))

  async def hear(self, samples) -> None:
    """Sends f32[samples] at 16 kHz."""
    await self.send('input_audio_buffer.append', audio=base64.b64encode(files.pcm16(samples).astype('<i2').tobytes()).decode())

  async def events(self):
    """The server's events, each a dict; of an audio delta `samples` is f32[samples] at 16 kHz.

    Raises:
      InputError: an error event.
    """
    async for message in self._socket:
      if message.type != aiohttp.WSMsgType.TEXT:
        break
      event = json.loads(message.data)
      if event['type'] == 'error':
        raise InputError(event['error']['message'])
      if event['type'] == 'response.output_audio.delta':
        event['samples'] = np.frombuffer(base64.b64decode(event['delta']), '<i2').astype(np.float32) / 32768
      yield event

  async def close(self) -> None:
    await self._socket.close()

  async def set(self, detection, voice='default', emotion='', speed=1.0, shift=0.0, **more) -> None:
    """Sets what the session begins with. detection: turn_detection of the protocol."""
    asked = {name: value for name, value in (('emotion', emotion), ('shift', shift)) if value}
    telugu = {'telugu': asked} if asked else {}
    await self.send('session.update', session={'type': 'realtime', **telugu, **more, 'audio': {
        'input': {'format': FORMAT, 'turn_detection': detection}, 'output': {'format': FORMAT, 'voice': voice, 'speed': speed}}})


@contextlib.asynccontextmanager
async def connected(url: str, key: str = ''):
  """A Session with a server, for an `async with`.

  Raises:
    InputError: there is no server, or it does not let one in.
  """
  headers = {'Authorization': f'Bearer {key}'} if key else {}
  async with aiohttp.ClientSession() as client:
    try:
      socket = await client.ws_connect(url, headers=headers, max_msg_size=0)
    except aiohttp.WSServerHandshakeError as problem:
      why = {401: 'it wants a key: --key', 403: 'it does not let this origin in', 503: 'every place is taken; try again'}
      raise InputError(f'{url}: {why.get(problem.status, problem.message)} (status {problem.status})') from None
    except (aiohttp.ClientError, OSError) as problem:
      raise InputError(f'{url}: no server answers ({problem}); start one with configs/serve.py') from None
    yield Session(socket)


async def spoken(session: Session, samples) -> None:
  """Sends f32[samples] as somebody speaks them, in real time."""
  size, start = round(PIECE_S * files.SAMPLE_RATE), time.monotonic()
  for number, at in enumerate(range(0, len(samples), size)):
    await asyncio.sleep(max(0.0, start + number * PIECE_S - time.monotonic()))
    await session.hear(samples[at:at + size])


async def asked(given) -> None:
  """Speaks a file and writes what is answered."""
  question, found = files.read(given.wav)[0], []
  async with connected(given.url, given.key) as session:
    await session.set({'type': 'server_vad'}, given.voice, given.emotion, given.speed, given.shift)
    said = np.concatenate([question, np.zeros(round(AFTER_S * files.SAMPLE_RATE), np.float32)])
    speaking, heard, stopped, first, words = None, False, None, None, ''

    async def speak():
      await spoken(session, said)
      await asyncio.sleep(AFTER_S)
      if not heard:                    # nothing will come
        await session.close()
    async for event in session.events():
      if event['type'] == 'session.updated':
        speaking = asyncio.create_task(speak())
      elif event['type'] == 'input_audio_buffer.speech_started':
        heard = True
      elif event['type'] == 'input_audio_buffer.speech_stopped':
        stopped = time.monotonic()
      elif event['type'] == 'response.output_audio.delta':
        first = first or time.monotonic()
        found.append(event['samples'])
      elif event['type'] == 'response.output_audio_transcript.done':
        words = event['transcript']
      elif event['type'] == 'response.done' and event['response']['status'] == 'cancelled':
        found, first = [], None        # it was begun in a pause of the question, which went on
      elif event['type'] == 'response.done':
        break
    if speaking:
      speaking.cancel()
  if not found:
    raise InputError(f'{given.wav}: there was no answer; is there speech in it?')
  answer = np.concatenate(found)
  files.write_wav(given.out, answer, comment=mark.SYNTHETIC)
  print(f'{given.out}: {len(answer) / files.SAMPLE_RATE:.2f} s, begun {1000 * (first - stopped):.0f} ms after the end of the turn' + (
      f', in words: {words!r}' if words else ''))


class Speakers:
  """What is to be played, filled by one thread and emptied by another; silence where there is nothing."""

  def __init__(self):
    self._held, self._lock, self._going = collections.deque(), threading.Lock(), False
    self.played = 0              # samples of the reply at hand

  def add(self, samples) -> None:
    with self._lock:
      self._held.extend(samples.tolist())

  def clear(self) -> int:
    """Forgets what was not played; how many samples of the reply were."""
    with self._lock:
      self._held.clear()
      self._going, played, self.played = False, self.played, 0
      return played

  def take(self, count: int) -> np.ndarray:
    """f32[count], the next samples."""
    with self._lock:
      self._going = bool(self._held) and (self._going or len(self._held) >= BUFFER_S * files.SAMPLE_RATE)
      found = [self._held.popleft() for _ in range(min(count, len(self._held)))] if self._going else []
      self.played += len(found)
    return np.pad(np.array(found, np.float32), (0, count - len(found)))


async def conversation(given) -> None:
  """Microphone and speakers, until Ctrl-C."""
  try:
    import sounddevice           # its own extra: nobody needs it on a server
  except (ImportError, OSError) as problem:
    raise InputError(f'the microphone takes sounddevice and PortAudio ({problem}): pip install sounddevice, or give --wav') from None
  loop, heard, speakers = asyncio.get_running_loop(), asyncio.Queue(), Speakers()

  def sound(into, out, frames, *_):
    loop.call_soon_threadsafe(heard.put_nowait, into[:, 0].copy())
    out[:, 0] = speakers.take(frames)

  async def microphone(session):
    while True:
      await session.hear(await heard.get())

  async with connected(given.url, given.key) as session:
    await session.set({'type': 'full_duplex' if given.full_duplex else 'server_vad'}, given.voice, given.emotion, given.speed, given.shift)
    item = None
    with sounddevice.Stream(files.SAMPLE_RATE, round(PIECE_S * files.SAMPLE_RATE), channels=1, dtype='float32', callback=sound):
      talking = asyncio.create_task(microphone(session))
      print('speak; Ctrl-C ends', flush=True)
      async for event in session.events():
        if event['type'] == 'response.output_audio.delta':
          item = event['item_id']
          speakers.add(event['samples'])
        elif event['type'] == 'input_audio_buffer.speech_started' and item and not given.full_duplex:
          played = speakers.clear()
          await session.send('conversation.item.truncate', item_id=item, content_index=0,
                             audio_end_ms=1000 * played // files.SAMPLE_RATE)
          item = None
        elif event['type'] == 'response.output_audio_transcript.done' and event['transcript']:
          print(event['transcript'], flush=True)
      talking.cancel()


if __name__ == '__main__':
  sys.exit(main())
