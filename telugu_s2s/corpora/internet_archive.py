"""Items of the Internet Archive that somebody has reviewed, each under the licence that it states itself.

What an uploader claims is often untrue: film songs stand there as CC0. So nothing that a search returns is taken, only
what is on an allow-list, and an item whose own words contradict its licence is left out all the same.
"""
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import quote

from telugu_s2s.audio.files import EXTENSIONS
from telugu_s2s.corpora import ask, licences
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

ARCHIVE = 'https://archive.org'
TELUGU = {'tel', 'te', 'telugu', 'తెలుగు'}
LOSSLESS = ('.wav', '.flac')
RESERVED = re.compile(r'all rights reserved|not for (commercial|re)|personal use only|non-?commercial', re.I)


def listing(service, about, items=(), archive=ARCHIVE) -> tuple[list[dict], list[Skip]]:
  """The audio files of the items on the allow-list, as {url, name, bytes, sha1, md5, row}, and what is not taken.

  Args:
    service: an ask.Service.
    about: `allow`, where `items` names nothing; see `ask.allowed`.

  Raises:
    InputError: the allow-list is empty or names what is no item, or the service answers with something else.
  """
  found, skips = [], []
  for entry in ask.allowed(items, about):
    if not re.fullmatch(r'[A-Za-z0-9][\w.-]{0,99}', entry['item'], re.ASCII):
      raise InputError(f'config.allow: {entry["item"]!r} is no identifier of the Internet Archive')
    item = described(service, entry['item'], archive)
    if fault := _fault(item) or _licence_fault(item, entry):
      skips.append(Skip(entry['item'], *fault))
      continue
    spdx = licences.from_url(_text(item, 'licenseurl'))
    row = ask.licence(spdx, entry.get('doubt', '')) | {
        'attribution': ', '.join(filter(None, [_text(item, 'creator'), _text(item, 'title'), f'{ARCHIVE}/details/{entry["item"]}'])),
        'revision': revision(item), 'item': entry['item'], 'speaker': entry.get('speaker', '')}
    here = [made(entry['item'], file, archive) | {'row': row | {'title': str(file.get('title', ''))}} for file in best(item)]
    if not here:
      skips.append(Skip(entry['item'], 'non-audio', 'no file of it can be read here'))
    found += here
  return ask.once(found, skips), skips


def described(service, name: str, archive: str) -> dict:
  """The answer of the metadata service on one item; {} where there is none of that name."""
  return service.get(f'{archive}/metadata/{name}', ask.a(dict))[0]


def best(item: dict) -> Iterator[dict]:
  """One file for each recording of an item: the original if it can be read here, else the largest copy made of it."""
  groups = {}
  for file in ask.dicts(item.get('files')):
    if isinstance(file.get('name'), str) and file.get('private') != 'true':
      ending = PurePosixPath(file['name']).suffix.lower()
      copy = file.get('source') == 'derivative'
      if ending in EXTENSIONS:
        groups.setdefault(str(file.get('original')) if copy else file['name'], []).append(
            ((copy, ending not in LOSSLESS, -_whole(file.get('size')), file['name']), file))
  for group in groups.values():
    yield min(group, key=lambda one: one[0])[1]


def made(name: str, file: dict, archive: str) -> dict:
  """A file of an item as {url, name, bytes, sha1, md5}."""
  return {'url': f'{archive}/download/{name}/{quote(file["name"], errors="replace")}', 'name': ask.local_name(name, file['name']),
          'bytes': _whole(file.get('size')) or None, 'sha1': str(file.get('sha1', '')), 'md5': str(file.get('md5', ''))}


def revision(item: dict) -> str:
  """The time at which an item was changed last, in seconds since 1970."""
  return str(item.get('item_last_updated') or item.get('updated') or '')


def _fault(item):
  """Why an item is not to be had, as (reason, detail), or None."""
  if not isinstance(item.get('metadata'), dict) or not item['metadata'] or item.get('is_dark'):
    return 'missing', 'no such item, or it was withdrawn'
  if _text(item, 'access-restricted-item') == 'true':
    return 'restricted', 'lent, not given'
  languages = {language.strip().lower() for language in re.split('[;,]', _text(item, 'language')) if language.strip()}
  if languages and not languages & TELUGU:
    return 'language', ', '.join(sorted(languages))
  return None


def _licence_fault(item, entry):
  spdx = licences.from_url(_text(item, 'licenseurl'))
  if detail := ask.refused(spdx, _text(item, 'licenseurl'), entry.get('licence', '')):
    return 'licence', detail
  words = f'{_text(item, "rights")} {_text(item, "possible-copyright-status")}'
  if found := RESERVED.search(words):
    return 'licence', f'{spdx} is claimed, and beside it stands {found[0]!r}'
  return None


def _text(item, name):
  """A field of an item's metadata, which may stand there several times."""
  value = item['metadata'].get(name) or ''
  return ', '.join(map(str, value)) if isinstance(value, list) else str(value)


def _whole(value):
  return int(value) if str(value).isdecimal() and len(str(value)) < 20 else 0
