"""One command from sources to segments: a folder and a source of the catalogue, fetched from a server on this machine."""
import json
import runpy
import shutil

import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import prepare, read

from tests.corpora.test_fetch import TEXT, parquet, row
from tests.corpora.web import serving

NAME = 'q001-mezzo.opus'


@pytest.fixture
def config():
  found = runpy.run_path(str(prepare.SAMPLE.parents[2] / 'configs' / 'prepare.py'))['get_config']()
  found.data.workers = 0
  found.data.report = False
  return found


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / 'mine'
  root.mkdir()
  shutil.copy(prepare.SAMPLE / 'audio' / NAME, root)
  return root


def kathbath(voice):
  """A hub's answers for a data set of one row."""
  data, name = parquet([row(voice)]), 'telugu/train-00000-of-00001.parquet'
  base = '/api/datasets/ai4bharat/Kathbath'
  return {base: b'{"sha": "c0ffee"}', f'/datasets/ai4bharat/Kathbath/resolve/c0ffee/{name}': data,
          f'{base}/tree/c0ffee/telugu?recursive=true': json.dumps([{'type': 'file', 'path': name, 'size': len(data)}]).encode()}


def test_a_folder_and_a_source_of_the_catalogue_become_segments_in_one_go(tmp_path, folder, config, monkeypatch):
  monkeypatch.setenv('HF_TOKEN', 'secret')
  voice = (prepare.SAMPLE / 'audio' / 'a001-buzz.opus').read_bytes()
  config.sources = f'{folder}, kathbath'
  with serving(kathbath(voice)) as server:
    config.fetch.services.hub = server.url
    manifest = prepare.run(config, tmp_path / 'run')
    count = len(server.requests)
    assert prepare.run(config, tmp_path / 'run') == manifest and len(server.requests) == count
  mine, theirs = read.Segments(tmp_path / 'run' / 'segments')
  assert (mine.source, mine.licence_class, mine.path) == ('mine', 'A', NAME)
  assert (theirs.source, theirs.licence, theirs.text, theirs.revision) == ('kathbath', 'CC-BY-4.0', TEXT, 'c0ffee')
  assert 'Kathbath, AI4Bharat' in (tmp_path / 'run' / 'segments' / 'DATA_NOTICE.md').read_text()


def test_what_a_source_gives_stays_out_of_a_profile_that_does_not_let_it_in(tmp_path, folder, config, monkeypatch):
  monkeypatch.setenv('HF_TOKEN', 'secret')
  config.sources, config.data.profile = f'{folder},kathbath', 'no_attribution'
  with serving(kathbath((prepare.SAMPLE / 'audio' / 'a001-buzz.opus').read_bytes())) as server:
    config.fetch.services.hub = server.url
    manifest = prepare.run(config, tmp_path / 'run')
  assert manifest['records'] == 1 and manifest['skipped'] == {'licence': 1}


def test_a_source_that_is_neither_a_folder_nor_in_the_catalogue_is_named(tmp_path, folder, config):
  config.sources = 'no_such_corpus'
  with pytest.raises(InputError, match='no_such_corpus'):
    prepare.run(config, tmp_path / 'run')
  config.sources, config.data.audio = str(folder), str(folder)
  with pytest.raises(InputError, match='give one of the two'):
    prepare.run(config, tmp_path / 'run')
