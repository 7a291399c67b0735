"""Downloads against a server with the faults of real ones."""
import email.utils
import hashlib
import random
import time

import pytest

from telugu_s2s.corpora import download
from telugu_s2s.errors import InputError

from tests.corpora.web import serving

DATA = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
WHOLE = dict(size=len(DATA), sha256=SHA256)


def fetch(server, tmp_path, waits=None, name='/a.zip', **fields):
  waits = [] if waits is None else waits
  return download.download(server.url + name, tmp_path / 'got', sleep=waits.append, progress=False, **fields)


def left(tmp_path):
  return sorted(path.name for path in tmp_path.iterdir())


def test_a_file_arrives_whole_and_is_not_asked_for_twice(tmp_path):
  with serving({'/a.zip': DATA}) as server:
    assert fetch(server, tmp_path, **WHOLE).read_bytes() == DATA
    fetch(server, tmp_path, **WHOLE)
    assert len(server.requests) == 1 and left(tmp_path) == ['got']


def test_a_dropped_connection_resumes_where_it_stopped(tmp_path):
  with serving({'/a.zip': DATA}, [('drop', 100_000), ('drop', 50_000)]) as server:
    assert fetch(server, tmp_path, **WHOLE).read_bytes() == DATA
    assert [headers.get('Range') for _, headers in server.requests] == [None, 'bytes=100000-', 'bytes=150000-']


def test_a_later_call_goes_on_from_what_an_earlier_one_left(tmp_path):
  with serving({'/a.zip': DATA}, [('drop', 100_000)]) as server:
    with pytest.raises(InputError, match='100000 bytes'):
      fetch(server, tmp_path, attempts=1)
    assert left(tmp_path) == ['got.part', 'got.part.json']
    assert fetch(server, tmp_path, **WHOLE).read_bytes() == DATA
    assert server.requests[-1][1]['Range'] == 'bytes=100000-'


def test_a_server_without_ranges_starts_over(tmp_path):
  with serving({'/a.zip': DATA}, [('drop', 100_000), ('no ranges',)]) as server:
    assert fetch(server, tmp_path, **WHOLE).read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_never_mixed_with_the_old_one(tmp_path):
  with serving({'/a.zip': DATA}, [('drop', 100_000)]) as server:
    with pytest.raises(InputError):
      fetch(server, tmp_path, attempts=1)
    server.files['/a.zip'] = DATA[::-1]
    assert fetch(server, tmp_path).read_bytes() == DATA[::-1]


def test_a_part_that_was_whole_already_is_finished_without_mixing(tmp_path):
  with serving({'/a.zip': DATA}, [('drop', 100_000)]) as server:
    with pytest.raises(InputError):
      fetch(server, tmp_path, attempts=1)
    (tmp_path / 'got.part').write_bytes(DATA)
    assert fetch(server, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize('value, low, high', [('7', 7, 7), ('date', 15, 30), ('99999', 300, 300), ('soon', 1, 1)])
def test_retry_after_is_honoured_and_capped(tmp_path, value, low, high):
  value = email.utils.formatdate(time.time() + 30, usegmt=True) if value == 'date' else value
  waits = []
  with serving({'/a.zip': DATA}, [('status', 429, {'Retry-After': value})]) as server:
    fetch(server, tmp_path, waits, **WHOLE)
  assert len(waits) == 1 and low <= waits[0] <= high


def test_server_errors_are_tried_again_with_growing_waits_and_then_given_up(tmp_path):
  waits = []
  with serving({'/a.zip': DATA}, [('status', 503, {})] * 9) as server:
    with pytest.raises(InputError, match='503; given up after 4'):
      fetch(server, tmp_path, waits, attempts=4)
  assert waits == [1, 2, 4]


@pytest.mark.parametrize('fields, said', [(dict(sha256='0' * 64), 'sha256'), (dict(size=len(DATA) - 1), 'were expected'),
                                          (dict(size=len(DATA) + 1), 'connection ended|were expected')])
def test_a_wrong_checksum_or_size_is_refused_and_nothing_is_left_to_resume(tmp_path, fields, said):
  with serving({'/a.zip': DATA}) as server:
    with pytest.raises(InputError, match=said):
      fetch(server, tmp_path, attempts=2, **fields)
  assert not (tmp_path / 'got').exists()


def test_a_missing_file_is_named_at_once(tmp_path):
  with serving({}) as server:
    with pytest.raises(InputError, match='404'):
      fetch(server, tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize('code', [401, 403])
@pytest.mark.parametrize('token, said', [('', 'gated'), ('t', 'refused')])
def test_a_gated_file_says_so(tmp_path, code, token, said):
  with serving({}, [('status', code, {})]) as server:
    with pytest.raises(InputError, match=said):
      fetch(server, tmp_path, token=token)


def test_the_token_goes_to_the_first_host_only(tmp_path):
  with serving({'/a.zip': DATA}) as other, serving({}, [('redirect', '/b'), ('redirect', other.url + '/a.zip')]) as server:
    fetch(server, tmp_path, token='secret', **WHOLE)
    assert [headers.get('Authorization') for _, headers in server.requests] == ['Bearer secret'] * 2
    assert [headers.get('Authorization') for _, headers in other.requests] == [None]


@pytest.mark.parametrize('target', ['file:///etc/passwd', 'ftp://127.0.0.1/x'])
def test_a_redirect_to_another_kind_of_address_is_refused(tmp_path, target):
  with serving({}, [('redirect', target)]) as server:
    with pytest.raises(InputError, match='no address'):
      fetch(server, tmp_path)


def test_endless_redirects_end(tmp_path):
  with serving({}, [('redirect', '/again')] * 20) as server:
    with pytest.raises(InputError, match='redirects'):
      fetch(server, tmp_path)


def test_the_cap_is_checked_before_a_byte_is_stored(tmp_path):
  with serving({'/a.zip': DATA}) as server:
    with pytest.raises(InputError, match='cap'):
      fetch(server, tmp_path, cap_bytes=1000)
  assert not (tmp_path / 'got.part').exists() and not (tmp_path / 'got').exists()


def test_a_token_that_is_not_set_is_asked_for_by_name(monkeypatch):
  monkeypatch.delenv('SOME_TOKEN', raising=False)
  with pytest.raises(InputError, match='SOME_TOKEN.*accept the terms'):
    download.token('SOME_TOKEN', 'accept the terms')
  monkeypatch.setenv('SOME_TOKEN', ' x ')
  assert download.token('SOME_TOKEN', '') == 'x'


def test_a_server_that_passes_over_if_range_cannot_mix_two_files(tmp_path):
  with serving({'/a.zip': DATA}, [('drop', 100_000)]) as server:
    with pytest.raises(InputError):
      fetch(server, tmp_path, attempts=1)
    server.files['/a.zip'] = DATA[::-1]
    server.plan = [('no if-range',)]
    assert fetch(server, tmp_path).read_bytes() == DATA[::-1]


@pytest.mark.parametrize('token', ['a b', 'a\r\nX-Evil: 1', 'టోకెన్'])
def test_a_token_that_would_break_the_header_is_refused_before_any_request(tmp_path, token):
  with serving({'/a.zip': DATA}) as server:
    with pytest.raises(InputError, match='token'):
      fetch(server, tmp_path, token=token)
    assert not server.requests


@pytest.mark.parametrize('url', ['http://', 'http://[', 'ftp://127.0.0.1/x', 'http://u:secret@127.0.0.1/x', 'a.zip'])
def test_what_is_no_address_is_refused_without_showing_a_password(tmp_path, url):
  with pytest.raises(InputError) as problem:
    download.download(url, tmp_path / 'got')
  assert 'secret' not in str(problem.value)


def test_a_server_that_offers_another_size_is_refused_before_the_download(tmp_path):
  with serving({'/a.zip': DATA}) as server:
    with pytest.raises(InputError, match='offered'):
      fetch(server, tmp_path, size=len(DATA) + 1)
    assert len(server.requests) == 1
