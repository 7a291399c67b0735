"""The catalogue is complete, its classes are never laxer than its licences, and a profile counts what it may, once."""
import json

from hypothesis import given, strategies
import ml_collections
import pytest

from telugu_s2s.corpora import catalogue, licences
from telugu_s2s.errors import InputError

FOUND = catalogue.sources()
PLANNED = {'kathbath', 'slr66', 'slr103', 'common_voice', 'indicvoices', 'vakyansh', 'prasar_bharati', 'nptel', 'librivox',
           'internet_archive', 'commons', 'iiith', 'indictts', 'ciil'}
MINIMAL = """
[[source]]
id = 'one'
name = 'One'
planned = false
access = '{access}'
use = false
why_not = 'closed'
substitute = '{substitute}'
hours = {{verified = false, from = 'nowhere'}}
licence = {{spdx = '{spdx}', class = '{letter}', reason = 'a reason', from = 'nowhere'}}
traps = []
from = 'nowhere'
"""


def config(**fields):
  return ml_collections.ConfigDict({'profile': 'commercial_attribution', 'source': '', **fields})


def test_all_fourteen_sources_of_the_plan_and_those_it_missed_are_there():
  assert {one['id'] for one in FOUND if one['planned']} == PLANNED
  assert {'respin', 'vaani', 'indicvoices_r', 'syspin', 'rasa', 'shrutilipi', 'fleurs', 'cmu_indic', 'iiith_indic',
          'spoken_tutorial'} <= {one['id'] for one in FOUND}


@pytest.mark.parametrize('profile', licences.PROFILES)
def test_a_profile_holds_only_sources_of_its_classes_and_says_why_of_every_other(profile):
  build = catalogue.summary(FOUND, profile)
  allowed = licences.classes(profile)
  inside = set(build['wishes'])
  assert all(one['use'] and one['licence']['class'] in allowed for one in FOUND if one['id'] in inside)
  assert inside | set(build['left_out']) == {one['id'] for one in FOUND} and not inside & set(build['left_out'])
  assert all(build['left_out'].values())


def test_a_wider_profile_never_gets_less():
  hours = [catalogue.summary(FOUND, profile)['hours'] for profile in licences.PROFILES]
  assert hours == sorted(hours) and hours[0] < 10 < 1000 < hours[1]


@given(strategies.lists(strategies.sampled_from(FOUND), unique_by=lambda one: one['id']), strategies.sampled_from(list(licences.PROFILES)))
def test_hours_add_up_whatever_sources_there_are(some, profile):
  build = catalogue.summary(some, profile)
  expected, names = 0.0, set(build['wishes'])
  for one in some:
    if one['id'] in names and not (one.get('within') and one['within'] in names):
      expected += one['hours'].get('value', 0)
  assert build['hours'] == pytest.approx(expected, abs=0.06)
  assert sum(build['by']['licence'].values()) == pytest.approx(expected, abs=0.5)


def test_a_source_inside_another_counts_only_where_the_other_is_absent():
  both = [one for one in FOUND if one['id'] in ('indicvoices', 'indicvoices_r')]
  alone = [one for one in FOUND if one['id'] == 'indicvoices_r']
  assert catalogue.summary(both, 'research')['hours'] == 296
  assert catalogue.summary(alone, 'research')['hours'] == 118


def test_doubtful_rights_are_for_research_only():
  assert 'doubt' in catalogue.summary(FOUND, 'share_alike')['left_out']['shrutilipi']
  assert 'shrutilipi' in catalogue.summary(FOUND, 'research')['wishes']


def test_a_gated_source_that_is_used_says_which_token_and_where_to_accept_its_terms():
  for one in FOUND:
    if one['use'] and one['access'] == 'gated':
      assert one['fetch']['token'] and one['fetch']['terms'].startswith('https://'), one['id']


def test_what_needs_attribution_has_it():
  for one in FOUND:
    if one['use'] and one['licence']['class'] in 'BC':
      assert one['attribution'], one['id']


@pytest.mark.parametrize('fields, said', [
    (dict(letter='A', spdx='CC-BY-SA-4.0'), 'laxer'),
    (dict(letter='A', spdx=''), 'laxer'),
    (dict(access='free'), 'access'),
    (dict(substitute='two'), 'substitute'),
])
def test_a_faulty_source_is_refused_by_name(tmp_path, fields, said):
  path = tmp_path / 'facts.toml'
  path.write_text(MINIMAL.format(**{'access': 'none', 'substitute': 'one', 'spdx': '', 'letter': 'D', **fields}))
  with pytest.raises(InputError, match=said) as problem:
    catalogue.sources(path)
  assert "'one'" in str(problem.value)


def test_an_id_that_stands_twice_and_a_broken_file_are_refused(tmp_path):
  path = tmp_path / 'facts.toml'
  whole = MINIMAL.format(access='none', substitute='one', spdx='', letter='D')
  path.write_text(whole)
  assert [one['id'] for one in catalogue.sources(path)] == ['one']
  path.write_text(whole * 2)
  with pytest.raises(InputError, match='twice'):
    catalogue.sources(path)
  path.write_text('[[source')
  with pytest.raises(InputError, match='facts.toml'):
    catalogue.sources(path)


def test_the_job_prints_every_source_the_profile_and_the_checklist(tmp_path, capsys):
  catalogue.run(config(), tmp_path)
  printed = capsys.readouterr().out
  assert all(one['id'] in printed for one in FOUND) and all(wish in printed for wish in catalogue.WISHES)
  assert max(len(line) for line in printed.splitlines() if str(tmp_path) not in line) <= 130
  written = json.loads((tmp_path / 'corpora.json').read_bytes())
  assert written['sources'] == FOUND and written['build']['profile'] == 'commercial_attribution'


def test_one_source_is_shown_whole(tmp_path, capsys):
  catalogue.run(config(source='slr66'), tmp_path)
  printed = ' '.join(capsys.readouterr().out.split())
  assert '3aa3c22d6fad33ed68951f4934ae47349ee76b77220d8261ec3bda8c24bf42b2' in printed and 'CC-BY-SA-4.0' in printed


@pytest.mark.parametrize('fields', [dict(source='kathbat'), dict(profile='free')])
def test_an_unknown_source_or_profile_is_refused_with_the_known_ones(tmp_path, fields):
  with pytest.raises(InputError, match='kathbath|research'):
    catalogue.run(config(**fields), tmp_path)
