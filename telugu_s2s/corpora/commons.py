"""Wikimedia Commons: the audio files of some categories, each under its own licence.

Asked through MediaWiki's interface: `continue` leads from page to page, and what belongs to one file may come in several.
"""
import html
import re
from pathlib import PurePosixPath
from urllib.parse import urlencode

from telugu_s2s.audio.files import EXTENSIONS
from telugu_s2s.corpora import ask, licences
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

COMMONS = 'https://commons.wikimedia.org/w/api.php'
WANTED = {'action': 'query', 'format': 'json', 'formatversion': 2, 'prop': 'imageinfo',
          'iiprop': 'url|size|mime|sha1|timestamp|user|extmetadata', 'iiextmetadatafilter': 'Artist|LicenseShortName|LicenseUrl|Credit'}
AT_ONCE = 50         # titles in a question
MOST_PAGES = 10**5
# LL-Q8097 (tel)-SPEAKER-WORD.wav, as Lingua Libre names what it records
LINGUA_LIBRE = re.compile(r'File:LL-Q\d+ \((\w+)\)-(.+)\.\w+')


def listing(service, about, items=(), commons=COMMONS) -> tuple[list[dict], list[Skip]]:
  """The audio files of categories and single files on the allow-list, as {url, name, bytes, sha1, row}, and what is not taken.

  Args:
    service: an ask.Service.
    about: `allow`, where `items` names nothing: 'Category:NAME' or 'File:NAME', see `ask.allowed`.

  Raises:
    InputError: the allow-list is empty or names something else, or the service answers with an error.
  """
  found, skips, seen = [], [], set()
  for entry in ask.allowed(items, about):
    kind, _, name = entry['item'].partition(':')
    if kind not in ('Category', 'File') or not name or '|' in name:
      raise InputError(f'config.allow: {entry["item"]!r} is neither Category:NAME nor File:NAME')
    asked = ({'generator': 'categorymembers', 'gcmtitle': entry['item'], 'gcmtype': 'file', 'gcmlimit': AT_ONCE}
             if kind == 'Category' else {'titles': entry['item']})
    pages = _pages(service, commons, asked)
    if not pages:
      skips.append(Skip(entry['item'], 'missing', 'no such category, or it holds no file'))
    for title, page in sorted(pages.items()):
      if title in seen:
        continue
      seen.add(title)
      file, fault = _file(title, page, entry)
      if fault:
        skips.append(Skip(title, *fault))
      else:
        found.append(file)
  return ask.once(found, skips), skips


def _pages(service, commons, asked):
  """{title: what all answers together say of a page}."""
  pages, further = {}, {}
  for _ in range(MOST_PAGES):
    answer, _ = service.get(f'{commons}?{urlencode(WANTED | asked | further)}', _fault)
    for page in ask.dicts((answer.get('query') or {}).get('pages')):
      pages.setdefault(str(page.get('title', '')), {}).update(page)
    if not isinstance(answer.get('continue'), dict) or answer['continue'] == further:
      return pages
    further = answer['continue']
  raise InputError(f'{commons}: more than {MOST_PAGES} answers; name smaller categories in config.allow')


def _fault(answer):
  if not isinstance(answer, dict) or not isinstance(answer.get('query') or {}, dict):
    return 'not what MediaWiki answers'
  if 'error' in answer:
    error = answer['error'] if isinstance(answer['error'], dict) else {}
    return f'{error.get("code", "error")}: {error.get("info", "")}'
  return ''


def _file(title, page, entry):
  """({url, name, bytes, sha1, row}, None) of a page, or (None, why not)."""
  about = (ask.dicts(page.get('imageinfo')) or [{}])[0]
  if page.get('missing') or not about.get('url') or not isinstance(about['url'], str):
    return None, ('missing', 'no such file')
  mime, ending = str(about.get('mime', '')), PurePosixPath(title).suffix.lower().replace('.oga', '.ogg')
  if ending not in EXTENSIONS or not re.match('audio/|application/ogg', mime):
    return None, ('non-audio', f'{mime}, {ending}')
  said = about.get('extmetadata') if isinstance(about.get('extmetadata'), dict) else {}
  url = _plain(said, 'LicenseUrl')
  spdx = licences.from_url(url)
  if detail := ask.refused(spdx, url or _plain(said, 'LicenseShortName'), entry.get('licence', '')):
    return None, ('licence', detail)
  artist = _plain(said, 'Artist')
  author = artist or str(about.get('user', ''))
  language, speaker, text = _lingua_libre(title, artist)
  if language not in ('', 'tel'):
    return None, ('language', language)
  row = ask.licence(spdx, entry.get('doubt', '')) | {
      'attribution': f'{author}, {title.removeprefix("File:")}, {about.get("descriptionurl", "")}'.rstrip(' ,'),
      'speaker': entry.get('speaker') or speaker or author, 'text': text, 'revision': str(about.get('timestamp', '')), 'item': title}
  name = ask.local_name(re.sub(r'\.oga$', '.ogg', title.removeprefix('File:'), flags=re.I))
  size = about.get('size')
  return {'url': about['url'], 'name': name, 'bytes': size if isinstance(size, int) else None,
          'sha1': str(about.get('sha1', '')), 'row': row}, None


def _lingua_libre(title, artist):
  """(language, speaker, word) of a recording of Lingua Libre; empty for any other."""
  named = LINGUA_LIBRE.fullmatch(title)
  if not named:
    return '', '', ''
  parts = named[2].split('-')
  # A hyphen may belong to the speaker or to the word; the author's name tells which.
  cuts = [cut for cut in range(len(parts) - 1, 0, -1) if '-'.join(parts[:cut]) in artist] or [1]
  return named[1], '-'.join(parts[:cuts[0]]), '-'.join(parts[cuts[0]:])


def _plain(said, name):
  """A field of extmetadata without its HTML, in one line."""
  value = said.get(name)
  value = str(value.get('value') or '') if isinstance(value, dict) else ''
  return ' '.join(html.unescape(re.sub(r'<[^>]*>', '', value)).split())
