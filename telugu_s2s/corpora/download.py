"""Files from a web server: resumed after any interruption, verified, and never half there under their name."""
import email.utils
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import tqdm

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError

BLOCK = 2**20
REDIRECTS = 8
LONGEST_WAIT_S = 300.0       # whatever a server asks for
AGENT = 'telugu_s2s (+data preparation; resumes, honours Retry-After)'


class _Again(Exception):
  """What may go better the next time, after so many seconds where the server named them."""

  def __init__(self, why, wait_s=None):
    super().__init__(why)
    self.wait_s = wait_s


def token(variable: str, how: str) -> str:
  """The token in an environment variable; InputError with `how` to get one where it is not set."""
  value = os.environ.get(variable, '').strip()
  if not value:
    raise InputError(f'{variable} is not set in the environment: this source is gated; {how}, make a token there, '
                     f'and run with {variable}=TOKEN')
  return value


def download(url: str, path, *, size: int | None = None, sha256: str = '', token: str = '', cap_bytes: int | None = None,
             attempts: int = 6, timeout_s: float = 30.0, progress: bool = True, sleep: Callable = time.sleep) -> Path:
  """Brings the file at `url` to `path`, through `path`.part, which a later call goes on with.

  Args:
    size, sha256: of the whole file, where they are known; a file that has them already is kept without a request.
    token: sent as a bearer token, to the host of `url` only.
    cap_bytes: no more than that is written.
    attempts: before giving up on dropped connections, 429 and 5xx; Retry-After is honoured.

  Raises:
    InputError: the address or the answer cannot be used, a checksum differs, or there is no room; what to do is said.
  """
  path = Path(path)
  if path.is_file() and _whole(path, size, sha256):
    return path
  _scheme(url)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  for attempt in range(attempts):
    try:
      _append(url, part, size, token, cap_bytes, timeout_s, progress)
      break
    except (_Again, OSError, http.client.HTTPException) as problem:
      if isinstance(problem, OSError) and problem.errno == 28:       # no space left on the device
        raise InputError(f'{part}: the disk is full; make room and run again, it goes on from there') from None
      if attempt + 1 == attempts:
        raise InputError(f'{url}: {problem}; given up after {attempts} attempts. Run again, it goes on from '
                         f'{part.stat().st_size if part.exists() else 0} bytes') from None
      wait_s = getattr(problem, 'wait_s', None)
      sleep(min(2.0**attempt if wait_s is None else wait_s, LONGEST_WAIT_S))
  got = part.stat().st_size
  if size is not None and got != size:
    _forget(part)
    raise InputError(f'{url}: {got} bytes, {size} were expected: the file has changed; was the address or the catalogue renewed?')
  if sha256 and (found := _sha256(part)) != sha256.lower():
    _forget(part)
    raise InputError(f'{url}: sha256 {found}, {sha256} was expected: damaged on the way or changed there; run again, and if it '
                     'stays so, do not use it')
  files.settle(part, path)
  _note(part).unlink(missing_ok=True)
  return path


def _append(url, part, size, token, cap_bytes, timeout_s, progress):
  """One attempt: asks for what is missing of `part` and appends it."""
  have = part.stat().st_size if part.exists() else 0
  known = _tag(part)
  if have and known.get('url') != url or have and not known.get('tag') or size is not None and have > size:
    _forget(part)
    have = 0
  if size is not None and have == size:
    return
  headers = {'Range': f'bytes={have}-', 'If-Range': known['tag']} if have else {}
  try:
    answer = _opened(url, headers, token, timeout_s)
  except urllib.error.HTTPError as problem:
    problem.close()
    if problem.code == 416 and have:                 # nothing is left to send, or it is another file by now
      total = (problem.headers.get('Content-Range') or '').rpartition('/')[2]
      if total == str(have):
        return
      _forget(part)
      raise _Again('the file there has become shorter', 0) from None
    raise _refusal(url, problem, token) from None
  with answer:
    if answer.status == 206 and not (answer.headers.get('Content-Range') or '').startswith(f'bytes {have}-'):
      _forget(part)
      raise _Again('the server sent another range than it was asked for', 0)
    if answer.status != 206:
      have = 0
    tag = answer.headers.get('ETag') or answer.headers.get('Last-Modified') or ''
    files.write(_note(part), json.dumps({'url': url, 'tag': '' if tag.startswith('W/') else tag}).encode())
    length = answer.headers.get('Content-Length')
    total = have + int(length) if length and length.isdecimal() else size
    _room(url, part, total, have, cap_bytes)
    with open(part, 'r+b' if have else 'wb') as file, tqdm.tqdm(
        total=total, initial=have, unit='B', unit_scale=True, desc=part.name.removesuffix('.part'), disable=not progress, delay=2) as bar:
      file.seek(have)
      while block := answer.read(BLOCK):
        have += len(block)
        if cap_bytes is not None and have > cap_bytes:
          raise InputError(f'{url}: more than the cap of {cap_bytes} bytes; raise config.most_gb if that is what you want')
        file.write(block)
        bar.update(len(block))
      file.flush()
      os.fsync(file.fileno())
  if total is not None and have < total:
    raise _Again(f'the connection ended at {have} of {total} bytes')


def _opened(url, headers, token, timeout_s):
  """The answer, after redirects. The token goes to the first host alone, and never over http after https."""
  first = urlsplit(url)
  opener = urllib.request.build_opener(_Stay)
  for _ in range(REDIRECTS + 1):
    place = urlsplit(url)
    same = (place.scheme, place.netloc) == (first.scheme, first.netloc)
    sent = {'User-Agent': AGENT, 'Accept-Encoding': 'identity', **headers, **({'Authorization': f'Bearer {token}'} if token and same else {})}
    try:
      return opener.open(urllib.request.Request(url, headers=sent), timeout=timeout_s)
    except urllib.error.HTTPError as problem:
      if problem.code not in (301, 302, 303, 307, 308) or not problem.headers.get('Location'):
        raise
      problem.close()
      url = urljoin(url, problem.headers['Location'])
      _scheme(url)
  raise InputError(f'{url}: more than {REDIRECTS} redirects')


class _Stay(urllib.request.HTTPRedirectHandler):
  """Leaves redirects to `_opened`, since the library's own would take the token along."""

  def redirect_request(self, *arguments):
    return None


def _refusal(url, problem, token):
  if problem.code == 429 or problem.code >= 500:
    return _Again(f'HTTP {problem.code}', _retry_after(problem.headers.get('Retry-After')))
  if problem.code in (401, 403):
    return InputError(f'{url}: HTTP {problem.code}: ' + ('the token was refused; have its terms been accepted by that account?' if token
                                                        else 'the source is gated and no token was given'))
  return InputError(f'{url}: HTTP {problem.code}; has it moved? Give its new address as config.urls')


def _retry_after(value):
  """Seconds that a Retry-After header asks for, or None."""
  if not value:
    return None
  if value.strip().isdecimal():
    return float(value)
  try:
    return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
  except ValueError:
    return None


def _room(url, part, total, have, cap_bytes):
  if total is None:
    return
  if cap_bytes is not None and total > cap_bytes:
    raise InputError(f'{url}: {total} bytes, above the cap of {cap_bytes}; raise config.most_gb if that is what you want')
  free = shutil.disk_usage(part.parent).free
  if total - have > free:
    raise InputError(f'{url}: {total - have} bytes are missing, {free} are free in {part.parent}; make room or choose another workdir')


def _scheme(url):
  if urlsplit(url).scheme not in ('http', 'https') or not urlsplit(url).netloc:
    raise InputError(f'{url!r} is no address of a web server: give http:// or https://')


def _whole(path, size, sha256):
  """Whether a finished file is what was asked for; without size and checksum, that it has its name is enough."""
  return (size is None or path.stat().st_size == size) and (not sha256 or _sha256(path) == sha256.lower())


def _sha256(path):
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _note(part):
  return part.with_name(part.name + '.json')


def _tag(part):
  try:
    known = json.loads(_note(part).read_bytes())
  except (OSError, ValueError):
    return {}
  return known if isinstance(known, dict) else {}


def _forget(part):
  part.unlink(missing_ok=True)
  _note(part).unlink(missing_ok=True)
