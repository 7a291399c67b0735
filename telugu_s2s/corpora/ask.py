"""Questions to a service that lists its files: JSON answers, kept until the list is whole, and what such a list holds.

An interrupted list goes on where it was; each answer comes through `download`, so that Retry-After and dropped
connections are treated like those of a file.
"""
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from telugu_s2s.audio import files
from telugu_s2s.corpora import download, licences
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

ANSWERS = 'answers'          # below the folder of a source, until its list is written
ANSWER_BYTES = 100 * 2**20
NAME_BYTES = 120             # of a file's name here: with what `download` puts around it, it stays below 255
USED = 'ABC'                 # classes of licences that a file is fetched under; D would be listened to by nobody but researchers
NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')       # of a Link header, RFC 8288


class Service:
  """Asks with one token and one contact, and keeps sound answers below `folder` until `forget` is called."""

  def __init__(self, folder, token='', contact=''):
    self._folder, self._token, self._contact = Path(folder) / ANSWERS, token, contact

  def get(self, address: str, fault: Callable) -> tuple:
    """What the JSON at an address holds, and the address of the next page, '' where this is the last.

    Args:
      fault: a function of what the JSON holds; it says what is wrong with it, or ''.

    Raises:
      InputError: it is no JSON, or is wrong: then it is asked for anew the next time; or as `download` does.
    """
    kept = self._folder / f'{hashlib.sha256(address.encode()).hexdigest()[:24]}.json'
    if not kept.is_file():
      heard = {}
      raw = download.download(address, kept.with_suffix('.raw'), token=self._token, contact=self._contact, heard=heard,
                              cap_bytes=ANSWER_BYTES, progress=False)
      data = raw.read_bytes()
      raw.unlink()
      try:
        value = json.loads(data)
      except (ValueError, RecursionError) as problem:
        raise InputError(f'{address}: not JSON ({problem}); is it the address of such a service?') from None
      if wrong := fault(value):
        raise InputError(f'{address}: {wrong}')
      files.write(kept, json.dumps([value, _following(address, heard)]).encode())
    return tuple(json.loads(kept.read_bytes()))

  def forget(self):
    shutil.rmtree(self._folder, ignore_errors=True)


def _following(address, heard):
  """The next page that an answer's headers name. Only on the same host: it gets the token."""
  found = NEXT.search(heard.get('link', ''))
  if not found:
    return ''
  following = urljoin(address, found[1])
  if urlsplit(following)[:2] != urlsplit(address)[:2]:
    raise InputError(f'{address}: its next page is on another host, {urlsplit(following).netloc}; it is not followed')
  return following


def a(kind) -> Callable:
  """A `fault` of Service.get: whether it is a `kind`, a class."""
  return lambda value: '' if isinstance(value, kind) else f'not the {kind.__name__} that was expected; is the address right?'


def dicts(value) -> list[dict]:
  """The dictionaries in a list, none for anything else: what a service sends is not always what it says."""
  return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def local_name(*parts: str) -> str:
  """A name for a file here, whatever it is called there: no folders, not too long, other names for other parts."""
  whole = '-'.join(parts).encode(errors='replace').decode()      # JSON can write half a surrogate pair
  name = re.sub(r'[\x00-\x1f/\\:*?"<>|]', '-', whole).lstrip('.')
  if name == whole and len(name.encode()) <= NAME_BYTES:
    return name
  ending = name[name.rfind('.'):] if '.' in name[-6:] else ''
  start = name.removesuffix(ending).encode()[:NAME_BYTES - 20].decode(errors='ignore')
  return f'{start}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}{ending}'


def refused(spdx: str, said: str, expected: str = '') -> str:
  """Why a file is not taken under a licence, '' where it is.

  Args:
    spdx: its licence, '' where it is not known.
    said: what stands there, for the message.
    expected: the licence that a reviewer saw; '' = any that may be used.
  """
  if not spdx:
    return f'{said!r} is no licence that is known' if said else 'no licence stands there'
  if licences.licence_class(spdx) not in USED:
    return f'{spdx} is class {licences.licence_class(spdx)}'
  if expected and spdx.upper() != expected.upper():
    return f'{spdx}, but the allow-list has {expected}: look at it again'
  return ''


def allowed(items, about) -> list[dict]:
  """The allow-list as tables {item, licence, doubt, speaker}, of which only `item` must be there.

  Args:
    items: names that take the place of the catalogue's, or none.
    about: `allow` of the catalogue: names or such tables.

  Raises:
    InputError: the list is empty or a name in it is.
  """
  entries = [entry if isinstance(entry, dict) else {'item': entry} for entry in list(items) or about.get('allow', [])]
  if not entries or not all(str(entry.get('item', '')).strip() for entry in entries):
    raise InputError('config.allow: nothing is on the allow-list of this source yet: hear and read what you want to take, '
                     'then name it there, or in `allow` in catalogue.toml')
  return [{name: str(value).strip() for name, value in entry.items()} for entry in entries]


def licence(spdx: str, doubt: str) -> dict:
  """The columns of a row's licence; a doubtful one is for research only, whatever is claimed."""
  return {'licence': licences.DOUBTFUL, 'licence_claimed': spdx, 'doubt': doubt} if doubt else {'licence': spdx}


def once(found: list[dict], skips: list[Skip]) -> list[dict]:
  """Files whose names are each other's by all file systems come once; the others go to skips."""
  seen, result = set(), []
  for file in found:
    if file['name'].casefold() in seen:
      skips.append(Skip(file['name'], 'duplicate', f'{file["url"]} has the name of another file'))
    else:
      seen.add(file['name'].casefold())
      result.append(file)
  return result
