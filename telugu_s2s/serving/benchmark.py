"""How soon, how evenly and for how many a server answers: clients that speak in real time, through the websocket.

The server runs as it ships, in a process of its own; the clients share one of theirs. A turn is a question spoken at its own pace
and committed by hand, so that no pause that a detector waits for is part of what is measured.
"""
import asyncio
import collections
import contextlib
import math
import re
import sys
import time
from pathlib import Path

import jax
import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.corpora import sample
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import benchmark
from telugu_s2s.serving.server import aiohttp        # before talk: it says what to install where that is missing, and talk leaves
from telugu_s2s.serving import talk, tick, voice
from telugu_s2s.training import loop

QUANTILES = (0.5, 0.95, 0.99)
LONGEST_STAY = 6                 # turns of a session in the soak, whose sessions come and go
RETRY_S = 0.1                    # until somebody who found every place taken comes again
SETTLE_S = 1.0                   # that the server has to notice who left, before it is asked what is left
LOOKS = 60                       # at the server's memory, over a soak


def run(config, workdir):
  """The job: a table on the screen and in workdir/serving.json."""
  workdir = loop.begin(config, workdir)
  result = {'state_mib': memory(config), 'sessions': {}}
  print(f'{result["state_mib"]:.1f} MiB of the device a session, {config.context_s:g} s of context; {config.turns} turns a session, '
        f'replies of {config.reply_s:g} s')
  for sessions in config.streams:
    row = result['sessions'][sessions] = asyncio.run(measured(config, workdir, sessions, config.turns))
    show(sessions, row)
  if config.soak_s:
    result['soak'] = asyncio.run(measured(config, workdir, config.soak_sessions, None))
    show(config.soak_sessions, result['soak'])
  benchmark.save(result, workdir, 'serving')


def memory(config) -> float:
  """MiB of state that a session has on the device."""
  served = voice.load(config.run, config.context_s)
  sizes = tick.Sizes(served.model, served.codec.config, served.silence)
  bytes_of = lambda batch: sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(lambda: tick.empty_state(sizes, batch))))
  return (bytes_of(2) - bytes_of(1)) / 2**20


async def measured(config, workdir, sessions: int, turns: int | None) -> dict:
  """What `sessions` clients at once meet in so many turns each, or as many as go into config.soak_s."""
  process = await asyncio.create_subprocess_exec(
      sys.executable, '-m', 'telugu_s2s.main', '--config=configs/serve.py', f'--config.run={config.run}', '--config.port=0',
      f'--config.sessions={sessions}', f'--config.context_s={config.context_s}', f'--config.longest_reply_s={config.reply_s}',
      f'--config.seed={config.seed}', f'--workdir={Path(workdir).absolute() / "server"}', stdout=asyncio.subprocess.PIPE)
  try:
    address = await _address(process)
    ends = None if turns else time.monotonic() + config.soak_s
    question = _question(config)
    before, resident = await _metrics(address), [_resident_mib(process.pid)]
    begun, cpu = time.monotonic(), _cpu_s(process.pid)
    clients = [_client(address, question, number, sessions, turns, ends, config.seed) for number in range(sessions)]
    if ends:
      *found, knocks, resident = await asyncio.gather(*clients, _knocks(address, config.knocks_a_minute, ends), _looks(process.pid, begun, ends))
    else:
      found, knocks = await asyncio.gather(*clients), {}
    took = time.monotonic() - begun
    await asyncio.sleep(SETTLE_S)
    after = await _metrics(address)
    row = {'client_ms': quantiles(1000 * first for client in found for _, first in client['turns']),
           'event_ms': quantiles(1000 * x for client in found for x in client['events']),
           'server_ms': {f'{q:g}': 1000 * after[f'first_audio_recent_seconds{{quantile="{q:g}"}}'] for q in QUANTILES},
           'sound_ms': {f'{q:g}': 1000 * after.get(f'first_sound_recent_seconds{{quantile="{q:g}"}}', math.nan) for q in QUANTILES},
           'tick_ms': {f'{q:g}': 1000 * after[f'tick_seconds{{quantile="{q:g}"}}'] for q in QUANTILES},
           'turns': sum(len(client['turns']) for client in found), 'sessions': sum(client['sessions'] for client in found),
           'refused': sum(client['refused'] for client in found), 'broken': sum(client['broken'] for client in found),
           'frames': sum(client['frames'] for client in found), 'starved': sum(client['starved'] for client in found),
           'late': after['ticks_late_total'] - before['ticks_late_total'], 'underruns': after['underruns_total'] - before['underruns_total'],
           'programs': after['programs'], 'cores': (_cpu_s(process.pid) - cpu) / took, 'seconds': took,
           'resident_mib': [*resident, _resident_mib(process.pid)]}
    if ends:                                             # does it age?
      early, late = ([1000 * first for client in found for at, first in client['turns'] if (at - begun < took / 2) == half]
                     for half in (True, False))
      row |= {'first_half_ms': quantiles(early), 'second_half_ms': quantiles(late), 'knocks': knocks, 'left': after['sessions_active'],
              'ms_an_hour': slope([(at / 3600, 1000 * first) for client in found for at, first in client['turns']])}
    return row
  finally:
    with contextlib.suppress(ProcessLookupError):
      process.terminate()
    await process.wait()


async def _address(process) -> str:
  """Where the server listens, once it does."""
  async for line in process.stdout:
    if found := re.search(rb'ws://(\S+)/v1/realtime', line):
      asyncio.get_running_loop().create_task(_emptied(process.stdout))
      return found[1].decode()
  raise InputError(f'the server ended with status {await process.wait()} before it listened; serve config.run alone to see why')


async def _emptied(stream):
  async for _ in stream:
    pass


async def _client(address, question, number, sessions, turns, ends, seed) -> dict:
  """A client's turns: (when, seconds to the first audio) of each, round trips of an event, frames and late ones.

  One session of so many `turns`; or sessions of 1 to LONGEST_STAY, one after the other, until the time `ends`.
  """
  found, rng = {'turns': [], 'events': [], 'frames': 0, 'starved': 0, 'sessions': 0, 'refused': 0, 'broken': 0}, np.random.default_rng((seed, number))
  await asyncio.sleep(number / sessions * len(question) / files.SAMPLE_RATE)            # not all at once
  while True:
    before = found['sessions']
    try:
      await _session(address, question, turns or int(rng.integers(1, LONGEST_STAY + 1)), found)
    except (InputError, aiohttp.ClientError, ConnectionError) as problem:
      found['refused' if found['sessions'] == before else 'broken'] += 1
      if not ends or found['sessions'] > before:
        print(f'client {number}: {problem}')
      await asyncio.sleep(RETRY_S)
    if not ends or time.monotonic() > ends:
      return found


async def _session(address, question, turns, found) -> None:
  """One session of a client, added to what it `found`."""
  async with talk.connected(f'ws://{address}/v1/realtime') as session:
    await session.set(None)
    events = session.events()
    await _until(events, 'session.updated')
    found['sessions'] += 1
    for _ in range(turns):
      sent = time.monotonic()
      await session.send('input_audio_buffer.clear')
      await _until(events, 'input_audio_buffer.cleared')
      found['events'].append(time.monotonic() - sent)
      await talk.spoken(session, question)
      await session.send('input_audio_buffer.commit')
      await session.send('response.create')
      sent, first, played = time.monotonic(), None, 0.0
      async for event in events:
        now = time.monotonic()
        if event['type'] == 'response.output_audio.delta':
          first = first or now
          found['frames'] += 1
          # Somebody who began to play 60 ms after the first audio has nothing left.
          found['starved'] += now - first - talk.BUFFER_S > played
          played += len(event['samples']) / files.SAMPLE_RATE
        elif event['type'] == 'response.done':
          break
      else:
        raise InputError('the connection ended within a reply')
      if first is None:
        raise InputError('a reply without audio')
      found['turns'].append((sent, first - sent))


async def _knocks(address, a_minute, ends) -> dict:
  """How a crowd that wants to come in is answered: {'let in', an HTTP status, or 'broken': how often}."""
  found, began, number = collections.Counter(), time.monotonic(), 0
  async with aiohttp.ClientSession() as client:
    while a_minute and time.monotonic() < ends:
      try:
        async with client.ws_connect(f'ws://{address}/v1/realtime'):
          found['let in'] += 1
      except aiohttp.WSServerHandshakeError as problem:
        found[str(problem.status)] += 1
      except (aiohttp.ClientError, OSError):
        found['broken'] += 1
      number += 1
      await asyncio.sleep(max(0.0, began + number * 60 / a_minute - time.monotonic()))
  return dict(found)


async def _looks(pid, begun, ends) -> list[float]:
  """The server's resident memory in MiB, LOOKS times, evenly."""
  found = []
  for number in range(LOOKS):
    await asyncio.sleep(begun + number * (ends - begun) / LOOKS - time.monotonic())
    found.append(_resident_mib(pid))
  return found


async def _until(events, kind):
  async for event in events:
    if event['type'] == kind:
      return


async def _metrics(address) -> dict:
  async with aiohttp.ClientSession() as client, client.get(f'http://{address}/metrics') as answer:
    lines = (line.rsplit(' ', 1) for line in (await answer.text()).splitlines() if not line.startswith('#'))
    return {name.removeprefix('telugu_s2s_'): float(value) for name, value in lines}


def _question(config) -> np.ndarray:
  path = config.question or min((sample.folder() / 'audio').glob('q*'))
  return files.read(path)[0]


def quantiles(values) -> dict:
  """{'0.5': .., '0.95': .., '0.99': ..} of numbers, and the most."""
  values = list(values)
  return {f'{q:g}': float(np.quantile(values, q)) if values else None for q in QUANTILES} | {'max': max(values, default=None)}


def slope(points) -> list[float]:
  """[slope, half the width of its 95 % interval] of a line through points (x, y), by least squares."""
  x, y = np.array(list(points)).T
  x = x - x.mean()
  found = x @ y / (x @ x)
  rest = y - y.mean() - found * x
  return [float(found), float(1.96 * np.sqrt(rest @ rest / (len(x) - 2) / (x @ x)))]


def _resident_mib(pid) -> float:
  text = Path(f'/proc/{pid}/status').read_text()
  return int(re.search(r'VmRSS:\s+(\d+)', text)[1]) / 1024


def _cpu_s(pid) -> float:
  ticks = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[11:13]
  return sum(map(int, ticks)) / 100      # Linux counts hundredths


def show(sessions, row) -> None:
  """Prints what so many sessions met."""
  if not row['turns']:
    print(f'{sessions} sessions: no turn was answered')
    return
  of = lambda name: ' / '.join(f'{row[name][f"{q:g}"]:.0f}' for q in QUANTILES)
  print(f'{sessions:3} sessions, {row["turns"]} turns: first audio p50/p95/p99 {of("server_ms")} ms at the server, {of("client_ms")} ms at '
        f'the client, first sound {of("sound_ms")} ms; an event there and back {of("event_ms")} ms; a tick {of("tick_ms")} ms; '
        f'{row["late"]:.0f} beats without a tick and {row["underruns"]:.0f} frames late of {row["frames"]}, {row["starved"]} after a '
        f'buffer of {1000 * talk.BUFFER_S:.0f} ms; {row["cores"]:.2f} cores; {row["resident_mib"][0]:.0f} -> {row["resident_mib"][-1]:.0f} '
        f'MiB resident; {row["refused"]} times refused, {row["broken"]} sessions broken off', flush=True)
  if 'first_half_ms' in row:
    change, sure = row['ms_an_hour']
    print(f'    over {row["seconds"]:.0f} s, {row["sessions"]} sessions: p99 {row["first_half_ms"]["0.99"]:.0f} ms in the first half, '
          f'{row["second_half_ms"]["0.99"]:.0f} in the second, {change:+.1f} ± {sure:.1f} ms an hour; MiB resident a tenth and nine tenths through '
          f'{row["resident_mib"][LOOKS // 10]:.0f} and {row["resident_mib"][-LOOKS // 10]:.0f}; {row["programs"]:.0f} compiled program of a tick; '
          f'others that knocked: {row["knocks"]}')
