"""Sources whose service lists each file: the Internet Archive, Wikimedia Commons and LibriVox, each in miniature on this machine."""
import copy
import json
from urllib.parse import parse_qsl

from hypothesis import given, settings, strategies
import pytest

from telugu_s2s.corpora import ask, catalogue, fetch, folder, librivox
from telugu_s2s.errors import InputError

from tests.corpora import services
from tests.corpora.test_fetch import config, sound
from tests.corpora.web import serving

BY, BY_SA, NC = (f'https://creativecommons.org/licenses/{name}/4.0/' for name in ('by', 'by-sa', 'by-nc'))
ZERO = 'http://creativecommons.org/publicdomain/zero/1.0/'
WAV, SHORT = sound(), sound(1.1)


def taken(result):
  """Recordings of a fetched folder by the name of their file, and the skips of both steps by path."""
  found, skips = folder.recordings(result['folder'], '')
  lines = (fetch.Path(result['folder']) / 'skipped.tsv').read_text().splitlines()[1:]
  assert not skips
  return {one.path.removeprefix('downloads/'): one for one in found}, {line.split('\t')[0]: line.split('\t')[1] for line in lines}


def archive_server(plan=()):
  items = {
      'talk': services.item({'a b.flac': (WAV, {'title': 'One'}), 'a b.mp3': (b'lossy', {'source': 'derivative', 'original': 'a b.flac'}),
                             'c.aiff': (b'x', {}), 'c_64.mp3': (b'c', {'source': 'derivative', 'original': 'c.aiff'}),
                             'c.mp3': (SHORT, {'source': 'derivative', 'original': 'c.aiff'}), 'bad.wav': (SHORT, {}), 'cover.jpg': (b'j', {}),
                             'gone.wav': (b'gone', {}), 'secret.wav': (b's', {'private': 'true'})},
                            licenseurl=BY, creator='Rani', title='Talk', language=['tel']),
      'song': services.item({'s.mp3': (WAV, {})}, licenseurl=ZERO, rights='All rights reserved by the label'),
      'bare': services.item({'s.mp3': (WAV, {})}, language='Telugu'), 'hobby': services.item({'s.mp3': (WAV, {})}, licenseurl=NC),
      'kannada': services.item({'s.mp3': (WAV, {})}, licenseurl=BY, language='kan'),
      'text': services.item({'s.pdf': (b'p', {})}, licenseurl=BY),
      'claimed': services.item({'s.wav': (SHORT, {})}, licenseurl=ZERO, creator=['Ravi', 'Sita'])}
  files = {'/download/talk/a%20b.flac': WAV, '/download/talk/c.mp3': SHORT, '/download/talk/bad.wav': b'!' + SHORT[1:], '/download/claimed/s.wav': SHORT}
  return serving(files, plan, services.internet_archive(items))


ITEMS = ('talk', 'song', 'bare', 'hobby', 'kannada', 'text', 'absent')


def test_only_items_on_the_list_with_a_free_licence_become_rows_and_the_others_are_counted(tmp_path):
  with archive_server([('status', 429, {'Retry-After': '0'})]) as server:
    asked = config(source='internet_archive', allow=ITEMS, services={'archive': server.url})
    result = fetch.run(asked, tmp_path)
    count = len(server.requests)
    assert fetch.run(asked, tmp_path)['rows'] == result['rows']
    # A second run asks for what did not come, and for nothing else.
    assert {path for path, _ in server.requests[count:]} == {'/download/talk/bad.wav', '/download/talk/gone.wav'}
  found, skipped = taken(result)
  assert sorted(found) == ['talk-a b.flac', 'talk-c.mp3']
  one = found['talk-a b.flac']
  assert (one.licence, one.source, one.revision, one.language) == ('CC-BY-4.0', 'internet_archive', '1700000000', 'te')
  assert one.custom['attribution'] == 'Rani, Talk, https://archive.org/details/talk' and one.custom['title'] == 'One'
  assert skipped == {'song': 'licence', 'bare': 'licence', 'hobby': 'licence', 'kannada': 'language', 'text': 'non-audio', 'absent': 'missing',
                     'talk-bad.wav': 'not fetched', 'talk-gone.wav': 'not fetched'}


def test_a_file_comes_through_redirects_and_dropped_connections(tmp_path):
  with archive_server() as server:
    fetch.run(config(source='internet_archive', allow=('claimed',), services={'archive': server.url}), tmp_path / 'a')
    server.plan[:] = [('sound',), ('redirect', server.url + '/download/claimed/s.wav'), ('drop', 1000)]
    result = fetch.run(config(source='internet_archive', allow=('claimed',), services={'archive': server.url}), tmp_path / 'b')
    assert server.requests[-1][1]['Range'] == 'bytes=1000-'
  assert (fetch.Path(result['folder']) / 'downloads/claimed-s.wav').read_bytes() == SHORT


@pytest.mark.parametrize('entry, licence', [
    ({'item': 'claimed', 'doubt': 'sounds like radio', 'speaker': 'ravi'}, 'LicenseRef-doubtful'), ({'item': 'claimed', 'licence': 'CC0-1.0'}, 'CC0-1.0'),
    ({'item': 'claimed', 'licence': 'CC-BY-4.0'}, None)])
def test_a_reviewer_can_doubt_a_licence_and_a_licence_that_changed_since_is_not_taken(tmp_path, monkeypatch, entry, licence):
  found = copy.deepcopy(catalogue.sources())
  catalogue.source(found, 'internet_archive')['fetch']['allow'] = [entry]
  monkeypatch.setattr(catalogue, 'sources', lambda: found)
  with archive_server() as server:
    asked = config(source='internet_archive', services={'archive': server.url})
    if licence is None:
      with pytest.raises(InputError, match='claimed: licence.*look at it again'):
        fetch.run(asked, tmp_path)
      return
    (one,) = taken(fetch.run(asked, tmp_path))[0].values()
  assert one.licence == licence and one.speaker == ('internet_archive:ravi' if 'speaker' in entry else '')
  assert one.custom.get('licence_claimed', '') == ('CC0-1.0' if 'doubt' in entry else '')


def test_more_than_the_cap_in_all_is_refused_before_anything_is_downloaded(tmp_path):
  with archive_server() as server:
    with pytest.raises(InputError, match='config.most_gb.*config.allow'):
      fetch.run(config(source='internet_archive', allow=ITEMS, services={'archive': server.url}, most_gb=1e-5), tmp_path)
    assert all(path.startswith('/metadata/') for path, _ in server.requests)


@pytest.mark.parametrize('allow, said', [((), 'allow-list'), (('../x',), 'no identifier'), ((' ',), 'allow-list')])
def test_an_allow_list_that_is_none_is_refused(tmp_path, allow, said):
  with pytest.raises(InputError, match=said):
    fetch.run(config(source='internet_archive', allow=allow, services={'archive': 'http://127.0.0.1:9'}), tmp_path)


def test_another_allow_list_in_the_same_folder_is_refused(tmp_path):
  with archive_server() as server:
    fetch.run(config(source='internet_archive', allow=('claimed',), services={'archive': server.url}), tmp_path)
    with pytest.raises(InputError, match='claimed.*config.out'):
      fetch.run(config(source='internet_archive', allow=('talk',), services={'archive': server.url}), tmp_path)


def test_commons_pages_come_together_over_many_answers_each_with_its_own_licence(tmp_path):
  word = 'File:LL-Q8097 (tel)-Rani-అమ్మ-నాన్న.wav'
  category = 'Category:Lingua Libre pronunciation-tel'
  with serving({'/a.wav': WAV, '/b.oga': SHORT}) as server:
    pages = [services.page(word, WAV, server.url + '/a.wav', BY_SA), services.page('File:Talk.oga', SHORT, server.url + '/b.oga', BY, mime='application/ogg'),
             services.page('File:None.wav', WAV, server.url + '/a.wav', ''), services.page('File:Nc.wav', WAV, server.url + '/a.wav', NC),
             services.page('File:LL-Q33673 (kan)-Rani-x.wav', WAV, server.url + '/a.wav', BY), services.page('File:Film.webm', WAV, server.url + '/a.wav', BY, mime='video/webm'),
             {'title': 'File:Empty.wav', 'imageinfo': [{'url': server.url + '/a.wav', 'mime': 'audio/wav', 'extmetadata': []}]}]
    with serving({}, service=services.commons({category: pages})) as api:
      asked = config(source='commons', allow=(category, word, 'File:Nobody.wav', 'Category:Nothing'), contact='rani@example.org',
                     services={'commons': api.url + '/w/api.php'})
      result = fetch.run(asked, tmp_path)
      assert all('rani@example.org' in headers['User-Agent'] for _, headers in api.requests + server.requests)
  found, skipped = taken(result)
  spoken, talk = found[word.removeprefix('File:')], found['Talk.ogg']
  assert (spoken.text, spoken.speaker, spoken.licence, spoken.text_provenance) == ('అమ్మ-నాన్న', 'commons:Rani', 'CC-BY-SA-4.0', 'human')
  assert (talk.licence, talk.speaker, talk.revision) == ('CC-BY-4.0', 'commons:Rani', '2024-05-01T10:00:00Z')
  assert talk.custom['attribution'] == 'Rani, Talk.oga, https://commons.wikimedia.org/wiki/File:Talk.oga'
  assert skipped == {'File:None.wav': 'licence', 'File:Nc.wav': 'licence', 'File:Empty.wav': 'licence', 'File:Film.webm': 'non-audio',
                     'File:LL-Q33673 (kan)-Rani-x.wav': 'language', 'File:Nobody.wav': 'missing', 'Category:Nothing': 'missing'}


def test_what_mediawiki_refuses_is_said_and_asked_anew_the_next_time(tmp_path):
  answers = [{'error': {'code': 'ratelimited', 'info': 'slow down'}}, {'batchcomplete': True}]
  with serving({}, service=lambda path, query: answers.pop(0)) as server:
    asked = config(source='commons', allow=('Category:X',), contact='x', services={'commons': server.url + '/w/api.php'})
    with pytest.raises(InputError, match='ratelimited: slow down'):
      fetch.run(asked, tmp_path)
    with pytest.raises(InputError, match='Category:X: missing'):
      fetch.run(asked, tmp_path)


def librivox_server():
  item = 'https://www.archive.org/download/telugu_1'
  books = [services.book(number, 'English', [('English', f'{item}/e_64kb.mp3', ['1'])]) for number in range(1, 60)]
  books += [services.book(60, 'Telugu', [('Telugu', f'{item}/t1_64kb.mp3', ['14']), ('Telugu', f'{item}/t2_64kb.mp3', ['14', '15']),
                                         ('Telugu', f'{item}/lost_64kb.mp3', ['14']), ('Telugu', '', ['14'])]),
            services.book(61, 'Multilingual', [('Telugu', 'https://www.archive.org/download/mixed/m_64kb.mp3', ['16']),
                                               ('Tamil', 'https://www.archive.org/download/mixed/n_64kb.mp3', ['17'])])]
  items = {'telugu_1': services.item({
      't1_128kb.mp3': (WAV, {}), 't1_64kb.mp3': (b'small', {'source': 'derivative', 'original': 't1_128kb.mp3'}),
      't2.wav': (SHORT, {}), 't2_64kb.mp3': (b'small', {'source': 'derivative', 'original': 't2.wav'})},
      licenseurl='http://creativecommons.org/licenses/publicdomain/'), 'mixed': services.item({'m_64kb.mp3': (b'm', {})}, licenseurl=NC)}
  files = {'/download/telugu_1/t1_128kb.mp3': WAV, '/download/telugu_1/t2.wav': SHORT}
  return serving(files, service=services.both(services.librivox(books), services.internet_archive(items)))


def test_telugu_sections_are_found_in_all_of_librivox_and_come_in_their_best_form(tmp_path):
  with librivox_server() as server:
    result = fetch.run(config(source='librivox', services={'librivox': server.url + '/api/feed/audiobooks/', 'archive': server.url}), tmp_path)
    offsets = [path for path, _ in server.requests if 'offset' in path]
    assert len(offsets) == 3 and not list(tmp_path.rglob('answers'))
  found, skipped = taken(result)
  assert {name: (one.speaker, one.licence, one.custom['title']) for name, one in found.items()} == {
      'telugu_1-t1_128kb.mp3': ('librivox:14', 'CC-PDM-1.0', 'Chapter 1'), 'telugu_1-t2.wav': ('', 'CC-PDM-1.0', 'Chapter 2')}
  assert skipped == {'book 60 section 3': 'missing', 'book 60 section 4': 'missing', 'book 61 section 1': 'licence'}


def test_a_scan_that_was_interrupted_goes_on_where_it_was(tmp_path, monkeypatch):
  monkeypatch.setattr(librivox, 'PAGE', 20)
  with librivox_server() as server:
    asked = config(source='librivox', services={'librivox': server.url + '/api/feed/audiobooks/', 'archive': server.url})
    server.plan[:] = [('sound',), ('sound',), ('status', 403, {})]
    with pytest.raises(InputError, match='403'):
      fetch.run(asked, tmp_path)
    assert fetch.run(asked, tmp_path)['rows'] == 2
    assert [path.split('offset=')[1].split('&')[0] for path, _ in server.requests if 'offset' in path] == ['0', '20', '40', '40', '60', '80']


@pytest.mark.parametrize('answer', [b'<html>', b'[]', b'{}', b'{"books": []}', b'{"error": "Audiobooks could not be found"}'])
def test_what_is_not_librivox_is_refused(tmp_path, answer):
  with serving({}, service=lambda path, query: None) as server:
    server.files = {path: answer for path in ['/api?format=json&extended=1&limit=50&offset=0&sort_field=id']}
    with pytest.raises(InputError):
      fetch.run(config(source='librivox', services={'librivox': server.url + '/api', 'archive': server.url}), tmp_path)


def test_a_list_of_a_hub_goes_over_pages_and_never_takes_the_token_to_another_host(tmp_path, monkeypatch):
  monkeypatch.setenv('HF_TOKEN', 'secret')
  tree = '/api/datasets/ai4bharat/Kathbath/tree/c0ffee/telugu?recursive=true'
  entry = lambda number: json.dumps([{'path': f'telugu/train-{number}.parquet', 'size': 10}]).encode()
  with serving({'/api/datasets/ai4bharat/Kathbath': b'{"sha": "c0ffee"}'}) as server, serving({'/more': entry(3)}) as other:
    server.files |= {tree: (entry(1), {'Link': f'<{server.url}{tree}&cursor=x>; rel="next"'}), tree + '&cursor=x': entry(2)}
    service = ask.Service(tmp_path, 'secret')
    about = catalogue.source(catalogue.sources(), 'kathbath')['fetch']
    revision, found = fetch.hub.listing(service, about, hub=server.url)
    assert revision == 'c0ffee' and [one['name'] for one in found] == ['telugu-train-1.parquet', 'telugu-train-2.parquet']
    service.forget()
    server.files[tree] = entry(1), {'Link': f'<{other.url}/more>; rel="next"'}
    with pytest.raises(InputError, match='another host'):
      fetch.hub.listing(service, about, hub=server.url)
    assert not other.requests


def test_all_districts_of_a_hub_are_listed_folder_by_folder(tmp_path):
  folders = ['audio/AndhraPradesh', 'audio/Telangana']
  base = '/api/datasets/ARTPARK-IISc/Vaani'
  files = {f'{base}/tree/1/{one}?recursive=true': json.dumps([{'path': f'{one}/{district}/train-0.parquet', 'size': 1} for district in 'AB']).encode()
           for one in folders}
  with serving({base: b'{"sha": "1"}', **files}) as server:
    _, found = fetch.hub.listing(ask.Service(tmp_path), {'repo': 'ARTPARK-IISc/Vaani', 'config': folders}, hub=server.url)
    assert len({one['name'] for one in found}) == 4
    with pytest.raises(InputError, match='404'):
      fetch.hub.listing(ask.Service(tmp_path), {'repo': 'ARTPARK-IISc/Vaani', 'config': folders}, ['audio/Goa'], hub=server.url)


class Said:
  """A service that answers with what is in memory."""

  def __init__(self, answer):
    self._answer = answer

  def get(self, address, fault):
    place, _, query = address.partition('?')
    value = self._answer(place.removeprefix('x:'), dict(parse_qsl(query)))
    if wrong := fault(value):
      raise InputError(wrong)
    return value, ''


def mangled(value, draw):
  """The same JSON, but for one place in it that holds something else."""
  if isinstance(value, (dict, list)) and value and draw(strategies.integers(0, 5)):
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(strategies.sampled_from(keys))
    copied = copy.copy(value)
    copied[key] = mangled(value[key], draw)
    return copied
  return draw(strategies.sampled_from([None, '', 0, -1.5, True, [], {}, [None], ['x'], [{}], {'x': 1}, 'x', '\ud800/../x', [['x']]]))


ITEM = services.item({'a.flac': (b'x', {}), 'b.mp3': (b'y', {'source': 'derivative', 'original': 'a.flac'})}, licenseurl=ZERO)
PAGE = {'query': {'pages': [services.page('File:LL-Q8097 (tel)-Rani-x.wav', b'x', 'http://127.0.0.1/x', BY)]}}
BOOK = {'books': [services.book(1, 'Telugu', [('Telugu', 'https://archive.org/download/item/b.mp3', ['1'])])]}


@settings(max_examples=300, deadline=None)
@given(strategies.data(), strategies.sampled_from(['archive', 'commons', 'librivox', 'librivox item', 'hub']))
def test_an_answer_of_another_shape_gives_files_skips_or_one_clear_error(data, kind):
  item, page, books = ITEM, PAGE, BOOK
  if kind in ('archive', 'librivox item'):
    item = mangled(ITEM, data.draw)
  elif kind == 'commons':
    page = mangled(PAGE, data.draw)
  elif kind == 'librivox':
    books = mangled(BOOK, data.draw)
  tree = mangled([{'path': 'a/b.parquet', 'size': 1, 'lfs': {'oid': 'x'}}], data.draw)
  said = Said(lambda path, query: (item if 'metadata' in path else page if 'api.php' in path else tree if '/tree/' in path else {'sha': 'x'}
                                   if 'datasets' in path else books if query.get('offset') == '0' else {}))
  try:
    if kind == 'archive':
      found, _ = fetch.internet_archive.listing(said, {}, ['item'], 'x:')
    elif kind == 'commons':
      found, _ = fetch.commons.listing(said, {}, ['Category:X'], 'x:/w/api.php')
    elif kind == 'hub':
      _, found = fetch.hub.listing(said, {'repo': 'a/b', 'config': 'a'}, hub='x:')
    else:
      found, _ = librivox.listing(said, 'CC-PDM-1.0', 'x:/api', 'x:')
  except InputError:
    return
  assert all(isinstance(one['url'], str) and '/' not in one['name'] and (kind == 'hub' or isinstance(one['row'], dict)) for one in found)
  json.dumps(found)


@given(strategies.lists(strategies.text(min_size=1, max_size=300), min_size=2, max_size=2, unique=True))
def test_a_local_name_is_one_part_of_a_path_short_enough_and_its_own(names):
  made = [ask.local_name('item', name) for name in names]
  assert all(len(name.encode(errors='replace')) <= 160 and '/' not in name and '\0' not in name and '\\' not in name and name[0] != '.' for name in made)
  assert made[0] != made[1]
