"""Licences: classes, profiles and the notice."""
import pytest

from telugu_s2s.corpora import licences
from telugu_s2s.errors import InputError


@pytest.mark.parametrize('spdx, letter', [
    ('CC0-1.0', 'A'), ('cc0-1.0', 'A'), ('LicenseRef-own', 'A'), ('CC-PDDC', 'A'),
    ('CC-BY-4.0', 'B'), ('CC-BY-3.0-IGO', 'B'), ('Apache-2.0', 'B'), ('MIT', 'B'), ('BSD-3-Clause', 'B'),
    ('CC-BY-4.0-NC', 'D'), ('CC-BY-4.0-NC-ND', 'D'), ('CC-BY-4.0-NONCOMMERCIAL', 'D'), ('CC-BY-SA-4.0-ND', 'D'), ('CC-BY-3.0-NC', 'D'), ('CC-BY-2.5-IN', 'B'),
    ('CC-BY-SA-2.0-UK', 'C'), ('CC-BY-SA-3.0', 'C'), ('CC-BY-SA-4.0', 'C'),
    ('CC-BY-NC-4.0', 'D'), ('CC-BY-ND-4.0', 'D'), ('CC-BY-NC-SA-4.0', 'D'), ('CC-BY', 'D'), ('CC-BY-', 'D'),
    ('GPL-3.0-only', 'D'), ('all rights reserved', 'D'), ('', 'D'), ('LicenseRef-paid', 'E'),
])
def test_a_licence_has_its_class_and_doubt_is_d(spdx, letter):
  assert licences.licence_class(spdx) == letter


def test_each_profile_adds_to_the_one_before_and_none_takes_what_is_paid():
  sets = [set(licences.classes(profile)) for profile in
          ('no_attribution', 'commercial_attribution', 'share_alike', 'research')]
  assert sets == [set('A'), set('AB'), set('ABC'), set('ABCD')]


def test_an_unknown_profile_is_refused_with_those_there_are():
  with pytest.raises(InputError, match='comercial.*commercial_attribution'):
    licences.classes('comercial')


def row(source, licence, seconds=3600, speakers=3, attribution=''):
  return {'source': source, 'licence': licence, 'seconds': seconds, 'speakers': speakers, 'attribution': attribution}


def test_the_notice_credits_whom_it_must_and_counts_hours_and_speakers():
  text = licences.notice([row('radio', 'CC-BY-4.0', 5400, 7, 'Radio Godavari, 2024'), row('mine', 'LicenseRef-own', 360, 0)])
  assert '| radio | CC-BY-4.0 | B | 1.50 | 7 |' in text
  assert '| mine | LicenseRef-own | A | 0.10 | not labelled |' in text
  credits = text.split('## Attribution')[1]
  assert 'Radio Godavari, 2024' in credits and 'CC-BY-4.0' in credits and 'mine' not in credits


def test_the_notice_does_not_depend_on_the_order_of_its_rows():
  rows = [row('b', 'CC0-1.0'), row('a', 'CC-BY-4.0'), row('a', 'CC-BY-SA-4.0'), row('a|b\nc', ''), row('a', 'CC-BY-4.0', attribution='Rani'),
          row('a', 'CC-BY-4.0', attribution='Gopi')]
  assert licences.notice(rows) == licences.notice(rows[::-1])
  assert all(line.count('|') - line.count('\\|') == 6 for line in licences.notice(rows).splitlines() if line.startswith('|'))


def test_a_credit_of_several_lines_is_one_line_of_the_notice():
  row = {'source': 'a\r|b', 'licence': 'CC-BY-4.0', 'seconds': 3600.0, 'speakers': 1, 'attribution': 'Rani\n\n## Attribution\r- nobody. Licence: CC0-1.0.'}
  lines = licences.notice([row]).splitlines()
  assert lines[-1].startswith('- Rani ## Attribution - nobody. Licence: CC0-1.0.. Licence: CC-BY-4.0 (') and lines.count('## Attribution') == 1
  assert '| a \\|b | CC-BY-4.0 | B | 1.00 | 1 |' in lines
