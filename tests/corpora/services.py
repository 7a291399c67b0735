"""The services that list recordings, in miniature: what they answer to a question, with the shapes that theirs have."""
import hashlib


def checksums(data):
  return {'size': str(len(data)), 'md5': hashlib.md5(data).hexdigest(), 'sha1': hashlib.sha1(data).hexdigest()}


def item(files, **metadata):
  """An item of the Internet Archive. files: {name: (bytes, further fields)}."""
  listed = [{'name': name, 'source': 'original', 'format': 'x', **checksums(data), **more} for name, (data, more) in files.items()]
  return {'created': 1, 'item_last_updated': 1700000000, 'files': [*listed, {'name': 'x_meta.xml', 'source': 'original', 'format': 'Metadata'}],
          'metadata': {'identifier': 'x', 'mediatype': 'audio', **metadata}}


def internet_archive(items):
  """Answers /metadata/NAME from {NAME: item}; {} where there is none, as it does."""
  def answer(path, query):
    return items.get(path.rpartition('/')[2], {}) if path.startswith('/metadata/') else None
  return answer


def page(title, data, url, licence, **about):
  """A file of Commons. licence: the address, '' for none."""
  said = {'Artist': {'value': '<a href="//commons.wikimedia.org/wiki/User:Rani">Rani</a>', 'source': 'commons-desc-page'}}
  if licence:
    said['LicenseUrl'] = {'value': licence}
  return {'pageid': len(title), 'ns': 6, 'title': title, 'imageinfo': [
      {'timestamp': '2024-05-01T10:00:00Z', 'user': 'Rani', 'size': len(data), 'url': url, 'mime': 'audio/wav',
       'descriptionurl': 'https://commons.wikimedia.org/wiki/' + title, 'sha1': hashlib.sha1(data).hexdigest(), 'extmetadata': said, **about}]}


def commons(categories, at_once=2):
  """Answers MediaWiki's action=query: {category: [page]}, two at a time, and what belongs to a page an answer later."""
  def answer(path, query):
    if path != '/w/api.php':
      return None
    assert (query['action'], query['format'], query['formatversion'], query['prop']) == ('query', 'json', '2', 'imageinfo')
    pages = {page['title']: page for pages in categories.values() for page in pages}
    if 'titles' in query:
      return {'batchcomplete': True, 'query': {'pages': [pages.get(title, {'title': title, 'missing': True}) for title in query['titles'].split('|')]}}
    assert query['generator'] == 'categorymembers' and query['gcmtype'] == 'file'
    if query['gcmtitle'] not in categories:
      return {'batchcomplete': True}
    start = int(query.get('gcmcontinue', 0))
    batch = categories[query['gcmtitle']][start:start + at_once]
    if 'iistart' not in query:      # the properties of the last page did not fit
      bare = {name: value for name, value in batch[-1].items() if name != 'imageinfo'}
      carry = {'gcmcontinue': str(start)} if start else {}
      return {'continue': {**carry, 'iistart': '1', 'continue': '||'}, 'query': {'pages': [*batch[:-1], bare]}}
    more = start + at_once < len(categories[query['gcmtitle']])
    return {'query': {'pages': [{name: value for name, value in one.items() if name != 'imageinfo'} for one in batch[:-1]] + batch[-1:]},
            **({'continue': {'gcmcontinue': str(start + at_once), 'continue': 'gcmcontinue||'}} if more else {'batchcomplete': True})}
  return answer


def book(number, language, sections):
  """A book of LibriVox. sections: (language, listen_url, [reader_id])."""
  return {'id': str(number), 'title': f'Book {number}', 'language': language, 'num_sections': str(len(sections)), 'totaltimesecs': 60,
          'url_librivox': f'https://librivox.org/book-{number}/', 'sections': [
              {'id': str(100 * number + place), 'section_number': str(place), 'title': f'Chapter {place} ', 'listen_url': listen, 'language': spoken,
               'playtime': '60', 'file_name': None, 'readers': [{'reader_id': reader, 'display_name': 'x'} for reader in readers]}
              for place, (spoken, listen, readers) in enumerate(sections, 1)]}


def librivox(books):
  """Answers the list of audiobooks in pages, and nothing (404) beyond the last."""
  def answer(path, query):
    if path != '/api/feed/audiobooks/':
      return None
    assert query['format'] == 'json' and query['extended'] == '1'
    start = int(query['offset'])
    return {'books': books[start:start + int(query['limit'])]} if start < len(books) else None
  return answer


def both(*services):
  """One server for several services."""
  def answer(path, query):
    return next((value for one in services if (value := one(path, query)) is not None), None)
  return answer
