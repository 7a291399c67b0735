"""Which licence lets a recording into which build, and the notice that a build owes to its sources.

  A  no condition: CC0, public domain, the user's own recordings
  B  attribution: CC-BY, Apache-2.0, MIT, BSD
  C  share-alike: CC-BY-SA
  D  non-commercial, no derivatives, unclear or unknown
  E  paid: never in a build that a profile names
"""
import re
from collections.abc import Iterable, Mapping

from telugu_s2s.errors import InputError

OWN = 'LicenseRef-own'     # recordings that belong to whoever builds
PAID = 'LicenseRef-paid'
DOUBTFUL = 'LicenseRef-doubtful'      # a name of our own for a licence that may not bind the owners: class D
PROFILES = {
    'no_attribution': 'A',
    'commercial_attribution': 'AB',
    'share_alike': 'ABC',
    'research': 'ABCD',
}
CLASSES = {'A': 'no condition', 'B': 'attribution', 'C': 'share-alike', 'D': 'non-commercial, no derivatives, unclear or unknown', 'E': 'paid'}
_FREE = {'CC0-1.0', 'PDDL-1.0', 'UNLICENSE', '0BSD', 'CC-PDDC', 'CC-PDM-1.0', 'PUBLIC-DOMAIN', OWN.upper()}
_ATTRIBUTION = {'APACHE-2.0', 'MIT', 'MIT-0', 'BSD-2-CLAUSE', 'BSD-3-CLAUSE', 'ISC', 'ODC-BY-1.0'}
# A port is a country's; there is none of 4.0. NC and ND are no countries here, and what else may follow is another licence.
_CREATIVE = re.compile(r'CC-BY(-SA)?-(?:4\.0|(?:1\.0|2\.0|2\.1|2\.5|3\.0)(?:-(?!NC|ND|SA)(?:[A-Z]{2}|IGO|SCOTLAND))?)')


def licence_class(spdx: str) -> str:
  """The class 'A' to 'E' of an SPDX identifier; what is empty or unknown is D.

  A Creative Commons licence may carry a version and a port ('CC-BY-SA-3.0-IGO'); without a version it is
  unclear, hence D. Case does not matter, as SPDX says.
  """
  name = spdx.strip().upper()
  if name in _FREE:
    return 'A'
  if name in _ATTRIBUTION:
    return 'B'
  if name == PAID.upper():
    return 'E'
  if found := _CREATIVE.fullmatch(name):
    return 'C' if found[1] else 'B'
  return 'D'


def from_url(address: str) -> str:
  """The SPDX identifier of a Creative Commons licence by its web address, '' for any other address.

  'https://creativecommons.org/licenses/by-sa/3.0/us/deed.en' gives 'CC-BY-SA-3.0-US'.
  """
  found = re.fullmatch(r'(?:https?:)?//(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/?(?:(\d\.\d)/?)?(?:(igo|scotland|[a-z]{2})/?)?'
                       r'(?:(?:deed|legalcode)[\w.-]*/?)?', address.strip().lower())
  if not found:
    return ''
  kind, name, version, port = found.groups()
  if name == 'publicdomain':
    return 'CC-PDDC'
  if kind == 'publicdomain':
    return {'zero': 'CC0-1.0', 'mark': 'CC-PDM-1.0', 'certification': 'CC-PDDC'}.get(name, '') if version == '1.0' else ''
  return '-'.join(['CC', name.upper(), version, *([port.upper()] if port else [])]) if version else ''


def combined(first: str, second: str) -> str | None:
  """The licence under which two recordings stand side by side, such as a question and its answer; None where they must not.

  It is the one of the stricter class: what is free of conditions, or asks for attribution only, may stand beside share-alike
  or non-commercial speech, under that licence. Two share-alike licences, one that forbids derivatives, one that is unknown
  and one that is paid for stand only beside their like.
  """
  first, second = sorted((first.strip(), second.strip()), key=lambda one: (licence_class(one), one.upper()))
  if first.upper() == second.upper():
    return second
  strictest = licence_class(second)
  if licence_class(first) not in 'AB' or strictest == 'E' or '-ND' in second.upper():
    return None
  return second if strictest in 'ABC' or second.upper().startswith('CC-BY-NC-') else None


def classes(profile: str) -> str:
  """The licence classes that a build profile lets in, such as 'AB'.

  Raises:
    InputError: there is no such profile.
  """
  if profile not in PROFILES:
    raise InputError(f'data.profile: {profile!r} is no build profile; choose one of {", ".join(PROFILES)}')
  return PROFILES[profile]


def notice(rows: Iterable[Mapping]) -> str:
  """The text of DATA_NOTICE.md: what a build holds and whom it owes attribution.

  Args:
    rows: one mapping a source and licence with source, licence (SPDX), seconds, speakers (a count; 0 = not
      labelled) and attribution (a line of text, may be empty).

  Returns:
    Markdown, the same for the same rows in any order.
  """
  rows = sorted(rows, key=lambda row: (licence_class(row['licence']), row['source'], row['licence'], row['attribution'], row['seconds'], row['speakers']))
  lines = ['# Data notice', '',
           'The recordings in this folder come from these sources. They were converted to 16 kHz mono and cut into '
           'segments; nothing here implies an endorsement by their makers. They are provided as they are.', '',
           '| source | licence | class | hours | speakers |', '|---|---|---|---|---|']
  for row in rows:
    speakers = row['speakers'] or 'not labelled'
    lines.append(f'| {_cell(row["source"])} | {_cell(row["licence"] or "unknown")} | {licence_class(row["licence"])} '
                 f'| {row["seconds"] / 3600:.2f} | {speakers} |')
  credits = [row for row in rows if licence_class(row['licence']) != 'A' or row['attribution']]
  if credits:
    lines += ['', '## Attribution', '']
  for row in credits:
    link = f' (https://spdx.org/licenses/{row["licence"]}.html)' if licence_class(row['licence']) in 'BC' else ''
    lines.append(f'- {_line(row["attribution"] or row["source"])}. Licence: {_line(row["licence"] or "unknown")}{link}.')
  return '\n'.join(lines) + '\n'


def _line(text):
  return ' '.join(text.split())          # who is credited wrote it: a line of their own would be taken for one of ours


def _cell(text):
  return _line(text).replace('|', '\\|')
