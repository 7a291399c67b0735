"""The server's door: who knocks and says nothing is shown out, and with a certificate only TLS is spoken."""
import asyncio
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import types

import pytest

aiohttp = pytest.importorskip('aiohttp')

from telugu_s2s.errors import InputError
from telugu_s2s.serving import server as servers


@pytest.fixture
def visit(config):
  """visit(work, field=value, ..): what work(port) gives beside a server, without a voice, whose config has these fields."""
  ready = threading.Event()
  ready.set()
  engine = types.SimpleNamespace(voice=types.SimpleNamespace(name='nobody'), hop=320, places=3, sessions=0, busy=False, alive=True, ready=ready)

  def run(work, **fields):
    config.update(fields)

    async def served():
      port = asyncio.get_running_loop().create_future()
      serving = asyncio.create_task(servers.serve(config, engine, port.set_result))
      await asyncio.wait([serving, port], return_when=asyncio.FIRST_COMPLETED)
      if serving.done():
        return serving.result()
      try:
        return await work(port.result())
      finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
    return asyncio.run(asyncio.wait_for(served(), 60))
  return run


@pytest.mark.parametrize('said', [b'', b'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-', b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'],
                         ids=['nothing', 'half', 'no second'])
def test_a_connection_that_makes_no_request_in_time_is_closed(visit, monkeypatch, said):
  monkeypatch.setattr(servers, 'REQUEST_S', 0.5)

  async def work(port):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(said)
    async with asyncio.timeout(10):
      answer = await reader.read()
    writer.close()
    return answer
  assert (b'"status": "ok"' in visit(work)) == said.endswith(b'\r\n\r\n')


def certificate(folder, name='cert'):
  """The files of a certificate of 127.0.0.1 that it signed itself, and of its key."""
  files = [str(folder / f'{name}-{part}.pem') for part in ('cert', 'key')]
  subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', '-subj',
                  '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-out', files[0], '-keyout', files[1]], check=True, capture_output=True)
  return files


@pytest.mark.skipif(not shutil.which('openssl'), reason='openssl makes the certificate')
def test_with_a_certificate_only_tls_is_spoken(visit, tmp_path, capsys):
  cert, key = certificate(tmp_path)

  async def work(port):
    async with aiohttp.ClientSession() as client:
      async with client.get(f'https://127.0.0.1:{port}/healthz', ssl=ssl.create_default_context(cafile=cert)) as answer:
        assert answer.status == 200 and (await answer.json())['status'] == 'ok'
      with pytest.raises(aiohttp.ClientError):
        await client.get(f'http://127.0.0.1:{port}/healthz')
  visit(work, tls_cert=cert, tls_key=key)
  assert 'wss://127.0.0.1' in capsys.readouterr().out
  _, other = certificate(tmp_path, 'other')
  with pytest.raises(InputError, match='config.tls_cert .*config.tls_key'):
    visit(work, tls_cert=cert, tls_key=other)


@pytest.mark.parametrize('field', ['port', 'tls_cert'])
def test_a_door_that_cannot_be_opened_is_told_before_a_voice_is_loaded(config, tmp_path, monkeypatch, field):
  monkeypatch.setattr(servers.voice, 'load', lambda *_: pytest.fail('a voice was loaded'))
  with socket.create_server(('127.0.0.1', 0)) as taken:
    fields = dict(port=taken.getsockname()[1]) if field == 'port' else dict(tls_cert=str(tmp_path / 'none'), tls_key=str(tmp_path / 'none'))
    config.update(fields)
    with pytest.raises(InputError, match=f'config.{field} {fields[field]}'):
      servers.run(config, tmp_path)
