"""Whose a dialogue is: every part of it is named under its own licence, whatever licence holds for the whole."""
from telugu_s2s.dialogue import pairs, spoken
from telugu_s2s.dialogue.pairs import Dialogue
from telugu_s2s.preparation import prepare
from tests.dialogue.test_pairs import ANSWER, QUESTION, how, manifest, turn, written


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
