"""Files from a web server: resumed after any interruption, verified, and never half there under their name."""
import email.utils
import hashlib
import http.client
import json
import os
import shutil
import ssl
import string
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import tqdm

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError

BLOCK = 2**20
REDIRECTS = 8
LONGEST_WAIT_S = 300.0       # whatever a server asks for
AGENT = 'telugu_s2s ({}data preparation; resumes, honours Retry-After)'      # the contact stands in it


class Unfit(InputError):
  """What is there is not what was expected; other files of the same place may be sound."""


class Missing(Unfit):
  """Nothing is there (HTTP 404 or 410)."""


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


def download(url: str, path, *, size: int | None = None, sha256: str = '', sha1: str = '', md5: str = '', token: str = '',
             contact: str = '', heard: dict | None = None, cap_bytes: int | None = None, attempts: int = 6,
             timeout_s: float = 30.0, progress: bool = True, sleep: Callable = time.sleep) -> Path:
  """Brings the file at `url` to `path`, through `path`.part, which a later call goes on with.

  Args:
    size, sha256, sha1, md5: of the whole file, where they are known; a file that has them already is kept without a
      request. Of several checksums the strongest counts.
    token: sent as a bearer token, to the host of `url` only.
    contact: a mail or web address of whoever downloads, which some services ask for.
    heard: gets the headers of the last answer, with names in lower case.
    cap_bytes: no more than that is written.
    attempts: before giving up on dropped connections, 429 and 5xx; Retry-After is honoured.

  Raises:
    Unfit: size or checksum differ, or (Missing) no such file is there.
    InputError: the address or the answer cannot be used, or there is no room; what to do is said.
  """
  path = Path(path)
  checksum = next(((name, value.lower()) for name, value in (('sha256', sha256), ('sha1', sha1), ('md5', md5)) if value), None)
  if path.is_file() and _whole(path, size, checksum):
    return path
  if path.is_dir():
    raise InputError(f'{path} is a folder; move it away, the file from {url} is to have its name')
  _checked(url)
  if not (token.isascii() and token.isprintable()) or ' ' in token:
    raise InputError(f'{url}: the token has a space, a line break or a letter that no token has; copy it again')
  if not (contact.isascii() and contact.isprintable()):
    raise InputError(f'config.contact: {contact!r} cannot stand in a request; give a mail or web address in ASCII')
  part = path.with_name(path.name + '.part')
  agent = AGENT.format(f'{contact}; ' if contact else '')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    _brought(url, part, size, {'User-Agent': agent}, token, cap_bytes, attempts, timeout_s, progress, sleep, heard)
    _verify(url, part, size, checksum)
    files.settle(part, path)
    _note(part).unlink(missing_ok=True)
  except OSError as problem:              # of the disk: those of the connection became _Again
    raise InputError(f'{part}: cannot be written ({problem.strerror or problem}); make room or choose another workdir and run '
                     'again, it goes on from there') from None
  return path


def _brought(url, part, size, headers, token, cap_bytes, attempts, timeout_s, progress, sleep, heard):
  """Makes `part` whole in as many attempts as are allowed."""
  for attempt in range(attempts):
    try:
      return _append(url, part, size, headers, token, cap_bytes, timeout_s, progress, heard)
    except _Again as problem:
      if attempt + 1 >= attempts:
        raise InputError(f'{url}: {problem}; given up after {attempts} attempts. Run again, it goes on from '
                         f'{part.stat().st_size if part.exists() else 0} bytes') from None
      wait_s = getattr(problem, 'wait_s', None)
      sleep(min(2.0**attempt if wait_s is None else wait_s, LONGEST_WAIT_S))


def _verify(url, part, size, checksum):
  """Removes a part that is not what was expected, and says so."""
  got = part.stat().st_size
  if size is not None and got != size:
    _forget(part)
    raise Unfit(f'{url}: {got} bytes, {size} were expected: the file has changed; was the address or the catalogue renewed?')
  if checksum and (found := _digest(part, checksum[0])) != checksum[1]:
    _forget(part)
    raise Unfit(f'{url}: {checksum[0]} {found}, {checksum[1]} was expected: damaged on the way or changed there; run again, and '
                'if it stays so, do not use it')


def _append(url, part, size, headers, token, cap_bytes, timeout_s, progress, heard):
  """One attempt: asks for what is missing of `part` and appends it."""
  have = part.stat().st_size if part.exists() else 0
  known = _tag(part)
  if have and not (known.get('url') == url and known.get('tag') and isinstance(known['tag'], str)) or size is not None and have > size:
    _forget(part)
    have = 0
  if size is not None and have == size:
    return
  headers = headers | ({'Range': f'bytes={have}-', 'If-Range': known['tag']} if have else {})
  try:
    answer = _opened(url, headers, token, timeout_s)
  except urllib.error.HTTPError as problem:
    problem.close()
    if problem.code == 416 and have:                 # nothing is left to send, or it is another file by now
      total = (problem.headers.get('Content-Range') or '').rpartition('/')[2]
      if total == str(have) and _validator(problem.headers) in ('', known['tag']):
        return
      _forget(part)
      raise _Again('the file there has changed', 0) from None
    raise _refusal(url, problem, token) from None
  with answer:
    if heard is not None:
      heard.update({name.lower(): value for name, value in answer.headers.items()})
    total = have + answer.length if answer.length is not None else None
    if answer.status == 206:
      first, _, stated = (answer.headers.get('Content-Range') or '').partition('/')
      # A server that passes over If-Range sends the rest of another file.
      if not have or not first.startswith(f'bytes {have}-') or _validator(answer.headers) not in ('', known['tag']):
        _forget(part)
        raise _Again('the server sent another range, or the range of another file, than it was asked for', 0)
      total = int(stated) if stated.isdecimal() and len(stated) < 20 else total
    elif answer.status == 200:
      _forget(part)                      # before the note of the new file: an old part never has a new tag
      total, have = answer.length, 0
    else:
      raise InputError(f'{url}: HTTP {answer.status} instead of a file; is the address right? Give it as config.urls')
    if size is not None and total is not None and total != size:
      raise Unfit(f'{url}: {total} bytes are offered, {size} were expected: the file has changed; was the address or the '
                  'catalogue renewed?')
    total = size if total is None else total
    _room(url, part, total, have, cap_bytes)
    if not have:
      files.write(_note(part), json.dumps({'url': url, 'tag': _validator(answer.headers)}).encode())
    with open(part, 'r+b' if have else 'wb') as file, tqdm.tqdm(
        total=total, initial=have, unit='B', unit_scale=True, desc=part.name.removesuffix('.part'), disable=not progress, delay=2) as bar:
      file.seek(have)
      while block := _block(answer):
        have += len(block)
        if cap_bytes is not None and have > cap_bytes:
          raise InputError(f'{url}: more than the cap of {cap_bytes} bytes; raise config.most_gb if that is what you want')
        if total is not None and have > total:
          raise InputError(f'{url}: more than the {total} bytes that were expected: the file has changed; was the address or the '
                           'catalogue renewed?')
        file.write(block)
        bar.update(len(block))
      file.flush()
      os.fsync(file.fileno())
  if total is not None and have < total:
    raise _Again(f'the connection ended at {have} of {total} bytes')


def _block(answer):
  """The next bytes of an answer, b'' at its end."""
  try:
    return answer.read1(BLOCK)         # what has come: with read(), a connection that breaks takes up to a block along
  except (OSError, http.client.HTTPException) as problem:
    raise _Again(f'the connection broke ({problem})') from None


def _validator(headers):
  """What tells one version of a file from another: a strong ETag, or else a date; '' without both."""
  tag = headers.get('ETag') or ''
  return tag if tag and not tag.startswith('W/') else headers.get('Last-Modified') or ''


def _opened(url, headers, token, timeout_s):
  """The answer, after redirects. The token goes to the first host alone, and not again once it was left."""
  place, opener = url, urllib.request.build_opener(_Stay)
  for _ in range(REDIRECTS + 1):
    token = token if _same_host(url, place) else ''
    sent = {'Accept-Encoding': 'identity', **headers, **({'Authorization': f'Bearer {token}'} if token else {})}
    try:
      # What is no ASCII, or a space, is quoted, as browsers do.
      return opener.open(urllib.request.Request(quote(place, safe=string.punctuation), headers=sent), timeout=timeout_s)
    except urllib.error.HTTPError as problem:
      if problem.code not in (301, 302, 303, 307, 308) or not problem.headers.get('Location'):
        raise
      problem.close()
      try:
        place = urljoin(place, problem.headers['Location'])
      except ValueError:
        raise InputError(f'{url}: it redirects to {problem.headers["Location"]!r}, which is no address') from None
      _checked(place)
    except (OSError, http.client.HTTPException) as problem:
      if isinstance(getattr(problem, 'reason', None), ssl.SSLCertVerificationError):
        raise InputError(f'{url}: {problem.reason}; the clock, the certificates of this machine or the address is wrong') from None
      raise _Again(f'no answer ({problem})') from None
    except ValueError as problem:        # a host that has no encoding
      raise InputError(f'{url}: {problem}; is the address right? Give it as config.urls') from None
  raise InputError(f'{url}: more than {REDIRECTS} redirects; is the address right? Give it as config.urls')


def _same_host(one, other):
  """Whether a token for one address may go to the other: the same scheme, host and port."""
  one, other = urlsplit(one), urlsplit(other)
  return (one.scheme, one.netloc.lower()) == (other.scheme, other.netloc.lower())


class _Stay(urllib.request.HTTPRedirectHandler):
  """Leaves redirects to `_opened`, since the library's own would take the token along."""

  def http_error_302(self, *arguments):
    return None

  http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _refusal(url, problem, token):
  if problem.code == 429 or problem.code >= 500:
    return _Again(f'HTTP {problem.code}', _retry_after(problem.headers.get('Retry-After')))
  if problem.code in (401, 403):
    return InputError(f'{url}: HTTP {problem.code}: ' + ('the token was refused; have its terms been accepted by that account?' if token
                                                        else 'the source is gated and no token was given; accept its terms, make a token there, and '
                                                        'give it in the environment variable that the catalogue names'))
  kind = Missing if problem.code in (404, 410) else InputError
  return kind(f'{url}: HTTP {problem.code}; has it moved? Give its new address as config.urls')


def _retry_after(value):
  """Seconds that a Retry-After header asks for, or None."""
  if not value:
    return None
  if value.strip().isdecimal():
    return float(value)
  try:
    return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
  except (ValueError, TypeError, IndexError, OverflowError):
    return None


def _room(url, part, total, have, cap_bytes):
  if total is None:
    return
  if cap_bytes is not None and total > cap_bytes:
    raise InputError(f'{url}: {total} bytes, above the cap of {cap_bytes}; raise config.most_gb if that is what you want')
  free = shutil.disk_usage(part.parent).free
  if total - have > free:
    raise InputError(f'{url}: {total - have} bytes are missing, {free} are free in {part.parent}; make room or choose another workdir')


def _checked(url):
  try:
    place = urlsplit(url)
    sound = place.scheme in ('http', 'https') and place.hostname and (place.port is None or place.port)
  except ValueError:
    sound = False
  if not sound:
    raise InputError(f'{url!r} is no address of a web server: give http:// or https://')
  if '@' in place.netloc:
    raise InputError(f'{place.hostname}: a name or password stands in the address; leave it out')


def _whole(path, size, checksum):
  """Whether a finished file is what was asked for; without size and checksum, that it has its name is enough."""
  return (size is None or path.stat().st_size == size) and (not checksum or _digest(path, checksum[0]) == checksum[1])


def _digest(path, name):
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, name).hexdigest()


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
