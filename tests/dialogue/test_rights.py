"""Whose a dialogue is: every part of it is named under its own licence, whatever licence holds for the whole."""
import json

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.dialogue import pairs, spoken
from telugu_s2s.dialogue.pairs import Dialogue
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import pairs as job
from telugu_s2s.preparation import prepare, shards
from telugu_s2s.tokens import record
from tests.dialogue.test_pairs import ANSWER, QUESTION, config, how, manifest, turn, written


def credit(one, texts=('', ''), under='CC-BY-SA-4.0'):
  return pairs.credits(one, texts, under)


def test_a_source_beside_a_stricter_one_is_credited_under_its_own_licence(tmp_path):
  turns = [turn(0, 'A', 'CC-BY-4.0', 'here', attribution='A. Reader'), turn(2, 'B', 'CC-BY-SA-4.0', 'there'), turn(4, 'C', 'CC0-1.0', 'free')]
  written([Dialogue('d', 'train', turns)], tmp_path)
  rows = manifest(tmp_path / 'pairs')
  assert {row['licence'] for row in rows} == {'CC-BY-SA-4.0'}
  assert [row['attribution'] for row in rows] == ['A. Reader (CC-BY-4.0)', '', 'free (CC0-1.0)']
  prepare.prepare(prepare.Data(audio=str(tmp_path / 'pairs'), profile='share_alike', workers=0), tmp_path / 'segments')
  notice = (tmp_path / 'segments/DATA_NOTICE.md').read_text()
  for line in ('A. Reader (CC-BY-4.0)', 'there', 'free (CC0-1.0)'):
    assert f'- {line}. Licence: CC-BY-SA-4.0 (' in notice


def test_who_wrote_what_is_said_is_credited_too(tmp_path):
  said = spoken.spoken('d', [QUESTION, ANSWER], how(), ('book.tsv', 'CC-BY-4.0'))
  assert {row['attribution'] for row in pairs.rows_of(said, 'g', 'flac', tmp_path)} == {'book.tsv (CC-BY-4.0)'}
  both = turn(licence='CC-BY-4.0', source='voice', attribution='A. Speaker', text='ఇదే.')
  assert credit(both, ('book.tsv', 'CC-BY-SA-4.0')) == 'A. Speaker (CC-BY-4.0); book.tsv (CC-BY-SA-4.0)'
  assert credit(turn(licence='CC-BY-SA-4.0'), ('book.tsv', 'CC-BY-SA-4.0')) == '', 'nothing of the book is said'


def test_what_is_mixed_into_a_turn_takes_the_credit_of_nobody():
  breath = 'breaths', 'CC-BY-4.0', 'A. Breather'
  assert credit(turn(licence='CC-BY-SA-4.0', source='voice', mixed=(breath,))) == 'voice (CC-BY-SA-4.0); A. Breather (CC-BY-4.0)'
  assert credit(turn(mixed=(breath,)), under='CC-BY-4.0') == 'A. Breather (CC-BY-4.0)', 'whom nothing is owed is not named beside others'
  own = turn(licence='CC-BY-4.0', source='voice', attribution='A. Speaker', mixed=(('voice', 'CC-BY-4.0', 'A. Speaker'),))
  assert credit(own, under='CC-BY-4.0') == 'A. Speaker'


def test_sources_and_licences_are_told_in_one_order(tmp_path):
  turns = [turn(0, 'A', 'CC0-1.0', 'here'), turn(2, 'B', 'CC-BY-4.0', 'here'), turn(4, 'C', 'CC-BY-SA-4.0', 'there')]
  written([Dialogue('d', 'train', turns)], tmp_path)
  [row, *_] = manifest(tmp_path / 'pairs')
  assert list(zip(row['sources'].split('; '), row['licences'].split('; '))) == [
      ('here', 'CC-BY-4.0'), ('here', 'CC0-1.0'), ('there', 'CC-BY-SA-4.0')]


def run_on(folder, *given, before=''):
  """A run of stage 3, say, whose tokens have these licences, a clip each."""
  clips = [record.Tokens(np.zeros((4, 3), 'u2'), np.zeros(2, 'u1'), 'codec-a', 1024, 25.0,
                         {'id': f'{folder.name}-{number}', 'source': f's{number}', 'licence': one}) for number, one in enumerate(given)]
  place = folder / 'tokens/train'
  place.mkdir(parents=True)
  shards.write_manifest(place, record.KIND, record.VERSION, {}, [shards.write(place, 'tokens-0', [record.to_bytes(one) for one in clips])],
                        codec='codec-a', silence=[0, 0, 0], frame_rate=25.0)
  asked = {'job': 'stage3', 'run': str(before), 'text': {'vocabulary': ''}, 'data': {'tokens': str(folder / 'tokens')}}
  files.write(folder / 'config.json', json.dumps(asked).encode())
  return folder


def test_what_a_model_says_has_the_strictest_licence_of_what_it_learnt_from_at_any_stage(tmp_path):
  first = run_on(tmp_path / 'first', 'CC-BY-4.0', 'CC-BY-NC-4.0')
  second = run_on(tmp_path / 'second', 'CC0-1.0', 'LicenseRef-own', before=first)
  alone = run_on(tmp_path / 'alone', 'CC0-1.0', 'LicenseRef-own')
  said = lambda run, **fields: job.licence_of(config(run=str(run), **fields), 'codec-a')
  assert (said(first), said(second), said(alone)) == ('CC-BY-NC-4.0', 'CC-BY-NC-4.0', 'LicenseRef-own')
  assert said(second, run_licence='LicenseRef-own') == 'LicenseRef-own', 'whoever has agreed with the owners says so'


def test_a_model_whose_licence_cannot_be_told_is_asked_about(tmp_path):
  both = run_on(tmp_path / 'both', 'CC-BY-SA-4.0', 'CC-BY-NC-4.0')
  gone = run_on(tmp_path / 'gone', 'CC0-1.0', before=tmp_path / 'nowhere')
  for run, says in ((both, 'CC-BY-NC-4.0 may not be'), (gone, 'nowhere, which .* goes on from')):
    with pytest.raises(InputError, match=f'config.run_licence: .*{says}'):
      job.licence_of(config(run=str(run)), 'codec-a')
    assert job.licence_of(config(run=str(run), run_licence='CC0-1.0'), 'codec-a') == 'CC0-1.0'
