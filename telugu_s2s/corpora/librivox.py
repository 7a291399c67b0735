"""LibriVox: all its books are looked through for sections in Telugu, whose files lie at the Internet Archive.

The interface has no language to ask for. A book may be in several languages, so sections count. Readers give their
recordings to the public domain.
"""
from pathlib import PurePosixPath
from urllib.parse import unquote, urlencode, urlsplit

import tqdm

from telugu_s2s.corpora import ask, download, internet_archive, licences
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

BOOKS = 'https://librivox.org/api/feed/audiobooks/'
LANGUAGE = 'Telugu'
PAGE = 50            # books; what the interface gives at once unless it is asked for less
MOST = 10**6         # books: a service that never ends is not this one


def listing(service, licence, books=BOOKS, archive=internet_archive.ARCHIVE) -> tuple[list[dict], list[Skip]]:
  """The files of all Telugu sections, as {url, name, bytes, sha1, md5, row}, and what is not taken.

  Args:
    service: an ask.Service.
    licence: SPDX identifier of LibriVox' recordings.

  Raises:
    InputError: an address does not answer as LibriVox or the Internet Archive do.
  """
  found, skips, items = [], [], {}
  for book in _telugu(service, books):
    for section in filter(lambda one: _language(one, book) == LANGUAGE, book['sections']):
      place = f'book {book.get("id")} section {section.get("section_number")}'
      parts = PurePosixPath(unquote(urlsplit(str(section.get('listen_url') or '')).path)).parts
      if len(parts) < 4 or parts[1] != 'download':
        skips.append(Skip(place, 'missing', f'no file at the Internet Archive: {section.get("listen_url")!r}'))
        continue
      name = parts[2]
      if name not in items:
        items[name] = internet_archive.described(service, name, archive)
      file, fault = _file(items[name], '/'.join(parts[3:]))
      if fault:
        skips.append(Skip(place, *fault))
        continue
      row = {'licence': licence, 'title': str(section.get('title', '')).strip(), 'speaker': _reader(section), 'style': 'read',
             'revision': internet_archive.revision(items[name]), 'item': name,
             'attribution': f'{book.get("title", "")}, read for LibriVox, {book.get("url_librivox", "")}'.rstrip(' ,')}
      found.append(internet_archive.made(name, file, archive) | {'row': row})
  return ask.once(found, skips), skips


def _telugu(service, books):
  """The books with a section in Telugu, in the order of their numbers."""
  result = []
  for offset in tqdm.tqdm(range(0, MOST, PAGE), 'books of LibriVox', unit='page', delay=2):
    address = f'{books}?{urlencode({"format": "json", "extended": 1, "limit": PAGE, "offset": offset, "sort_field": "id"})}'
    try:
      answer, _ = service.get(address, ask.a(dict))
    except download.Missing:       # so it says that there are no more
      answer = {}
    page = ask.dicts(answer.get('books'))
    if not page and not offset:
      raise InputError(f'{address}: no books; is it the address of the interface of LibriVox? Give it as config.services.librivox')
    if not page:
      return result
    for book in page:
      sections = book.get('sections')
      book['sections'] = ask.dicts(list(sections.values()) if isinstance(sections, dict) else sections)
      if any(_language(one, book) == LANGUAGE for one in book['sections']):
        result.append(book)
  raise InputError(f'{books}: more than {MOST} books; is it the address of the interface of LibriVox?')


def _language(section, book):
  return str(section.get('language') or book.get('language') or '').strip()


def _reader(section):
  """The number of whoever reads; '' where several do."""
  readers = {str(one.get('reader_id') or '') for one in ask.dicts(section.get('readers'))}
  return readers.pop() if len(readers) == 1 else ''


def _file(item, listened):
  """(the best file of the recording that a section's address names, None), or (None, why not)."""
  metadata = item.get('metadata')
  if not isinstance(metadata, dict):
    return None, ('missing', 'no such item, or it was withdrawn')
  stated = str(metadata.get('licenseurl') or '')
  if stated and licences.licence_class(licences.from_url(stated)) != 'A':
    return None, ('licence', f'the item states {stated}')
  origins = {str(file.get('name')): str(file.get('original' if file.get('source') == 'derivative' else 'name'))
             for file in ask.dicts(item.get('files'))}
  for file in internet_archive.best(item):
    if listened in origins and origins[file['name']] == origins[listened]:
      return file, None
  return None, ('missing', f'{listened} is not among the files of the item')
