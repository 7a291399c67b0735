"""A web server on this machine with the faults of real ones, for the tests of downloads."""
import contextlib
import http.server
import json
import threading
from urllib.parse import parse_qsl, urlsplit


@contextlib.contextmanager
def serving(files, plan=(), service=None):
  """Yields a server of `files` {path: bytes, or (bytes, headers)}: `.url`, `.requests` as (path, headers), and `.plan`.

  service: asked with (path, {field: value}) of the query first; what it returns is sent as JSON, unless it is None.
  plan: what happens to the next requests, one each, before they are answered properly: ('status', code, {header: value}),
  ('drop', bytes before the connection ends), ('no ranges',), ('no if-range',): the range is sent though the file changed, ('redirect', url).
  """
  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *arguments):
      pass

    def do_GET(self):
      server.requests.append((self.path, dict(self.headers)))
      step = server.plan.pop(0) if server.plan else ('sound',)
      if step[0] == 'status':
        return self.head(step[1], 0, step[2])
      if step[0] == 'redirect':
        return self.head(302, 0, {'Location': step[1]})
      place = urlsplit(self.path)
      value = service(place.path, dict(parse_qsl(place.query, keep_blank_values=True))) if service else None
      data = json.dumps(value).encode() if value is not None else server.files.get(self.path)
      if data is None:
        return self.head(404, 0, {})
      data, more = data if isinstance(data, tuple) else (data, {})
      start, wanted, tag = 0, self.headers.get('Range'), f'"{hash(data)}"'
      if wanted and step[0] != 'no ranges' and (step[0] == 'no if-range' or self.headers.get('If-Range') in (None, tag)):
        start = int(wanted.removeprefix('bytes=').rstrip('-'))
      if start and start >= len(data):
        return self.head(416, 0, {'Content-Range': f'bytes */{len(data)}'})
      self.head(206 if start else 200, len(data) - start,
                {'ETag': tag, **more, **({'Content-Range': f'bytes {start}-{len(data) - 1}/{len(data)}'} if start else {})})
      self.wfile.write(data[start:start + step[1]] if step[0] == 'drop' else data[start:])
      self.close_connection = step[0] == 'drop'

    def head(self, status, length, headers):
      self.send_response(status)
      for name, value in {'Content-Length': length, **headers}.items():
        self.send_header(name, str(value))
      self.end_headers()

  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  server.daemon_threads = True
  server.files, server.plan, server.requests = dict(files), list(plan), []
  server.url = f'http://127.0.0.1:{server.server_address[1]}'
  thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    server.server_close()
