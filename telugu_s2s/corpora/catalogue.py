"""The catalogue of Telugu speech as records, and the job 'corpora', which prints what a build profile gets from it.

The facts stand in catalogue.toml, with where each was read and whether it was verified; nothing here knows a source.
"""
import collections
import json
import textwrap
import tomllib
from collections.abc import Sequence
from pathlib import Path

from telugu_s2s.audio import files
from telugu_s2s.corpora import licences
from telugu_s2s.errors import InputError

FACTS = Path(__file__).with_name('catalogue.toml')
ACCESS = ('open', 'gated', 'request', 'paid', 'none')
WISHES = ('50 speakers', 'emotions', 'conversation', 'clean', 'natural rate')
SPEAKERS = 50    # that the first wish asks for
LINE = 118       # characters of a printed line


def run(config, workdir) -> dict:
  """The job 'corpora': prints one source whole, or all and what `config.profile` gets, which go into corpora.json too."""
  found = sources()
  if config.source:
    one = source(found, config.source)
    print(page(one))
    return one
  build = summary(found, config.profile)
  print('\n'.join([*table(found), '', *built(build), '', *checklist(build)]))
  out = Path(workdir) / 'corpora.json'
  files.write(out, (json.dumps({'sources': found, 'build': build}, ensure_ascii=False, indent=1) + '\n').encode())
  print(f'\nOne source whole: --config.source=ID. All of it as data: {out}')
  return build


def sources(path=FACTS) -> list[dict]:
  """Every source of a catalogue, in its order.

  Raises:
    InputError: the file is no TOML, an id stands twice, or a source lacks what every source must have.
  """
  try:
    found = tomllib.loads(Path(path).read_text(encoding='utf-8')).get('source', [])
  except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
    raise InputError(f'{path}: {problem}') from problem
  ids = collections.Counter(one.get('id', '') for one in found)
  for one in found:
    if problem := _fault(one, ids):
      raise InputError(f'{path}: source {one.get("id", "")!r}: {problem}')
  return found


def source(found: Sequence[dict], name: str) -> dict:
  """The source with the id `name`; InputError with all ids where there is none."""
  for one in found:
    if one['id'] == name:
      return one
  raise InputError(f'config.source: {name!r} is not in the catalogue; it has {", ".join(one["id"] for one in found)}')


def why_not(one: dict, profile: str) -> str:
  """Why a source is not in a profile, '' where it is."""
  letter = one['licence']['class']
  if not one['use']:
    return one['why_not']
  if letter not in licences.classes(profile):
    return f'class {letter}: {one["licence"]["reason"]}'
  if 'doubt' in one['licence'] and profile != 'research':
    return f'doubt: {one["licence"]["doubt"]}'
  return ''


def summary(found: Sequence[dict], profile: str) -> dict:
  """What a profile gets: hours in all and by licence, style and access, speakers, emotions; who is in and who is not.

  A source within another one that is in adds no hours. Hours that nobody knows count as none and are listed in `unknown`.
  """
  reasons = {one['id']: why_not(one, profile) for one in found}
  inside = [one for one in found if not reasons[one['id']]]
  names = {one['id'] for one in inside}
  counted = [one for one in inside if one.get('within') not in names]
  hours, by = 0.0, {name: collections.Counter() for name in ('licence', 'style', 'access')}
  for one in counted:
    value = one['hours'].get('value', 0)
    hours += value
    by['licence'][one['licence']['spdx'] or 'each item its own'] += value
    by['access'][one['access']] += value
    by['style'].update(one['styles'])
  return {
      'profile': profile, 'hours': round(hours, 1),
      'verified_hours': round(sum(one['hours'].get('value', 0) for one in counted if one['hours']['verified']), 1),
      'transcribed_hours': round(sum(one.get('transcribed', {}).get('value', 0) for one in counted), 1),
      'by': {name: {key: round(value, 1) for key, value in counts.most_common() if value} for name, counts in by.items()},
      'speakers': sum(one.get('speakers', {}).get('value', 0) for one in counted),
      'emotions': {one['id']: one['emotions'] for one in counted if one.get('emotions')},
      'unknown': [one['id'] for one in counted if 'value' not in one['hours']],
      'within': {one['id']: one['within'] for one in inside if one.get('within') in names},
      'left_out': {name: reason for name, reason in reasons.items() if reason},
      'wishes': {one['id']: wishes(one) for one in inside}}


def wishes(one: dict) -> dict[str, str]:
  """The plan's checklist, answered by one source: {wish: 'yes', 'no', 'partly' or 'unknown', mostly with why}.

  Prepared segments are judged by it too, see `preparation/checklist.py`: any dict with some of a source's fields will do.
  """
  speakers = one.get('speakers', {}).get('value')
  talk = {'extempore', 'conversation'} & set(one.get('styles', ()))
  return {
      '50 speakers': 'unknown' if speakers is None else f'{"yes" if speakers >= SPEAKERS else "no"}: {speakers}',
      'emotions': f'yes: {len(one["emotions"])}' if one.get('emotions') else 'no: none labelled',
      'conversation': ('yes: two people talk' if one.get('dialogue') or 'conversation' in talk else
                       'partly: extempore' if talk else 'no: one person speaks'),
      'clean': one.get('clean', 'unknown'), 'natural rate': one.get('natural', 'unknown')}


def table(found: Sequence[dict]) -> list[str]:
  """The catalogue, a line each; a figure that was not verified is marked with ~."""
  lines = [f'{"source":<18} {"plan h":>7} {"found h":>8} {"text h":>7} {"speakers":>8}  {"licence":<25} {"":1} {"access":<8} use']
  for one in found:
    claimed = one['hours'].get('claimed', '')
    use = f'no; instead: {one["substitute"]}' if not one['use'] else 'with doubt' if 'doubt' in one['licence'] else 'yes'
    lines.append(f'{one["id"]:<18} {claimed:>7} {_figure(one["hours"]):>8} {_figure(one.get("transcribed", {})):>7} '
                 f'{_figure(one.get("speakers", {})):>8}  {one["licence"]["spdx"] or "each its own / unknown":<25} '
                 f'{one["licence"]["class"]} {one["access"]:<8} {use}')
  return [*lines, '~ not verified, ? not known. Classes: A no condition, B attribution, C share-alike, D research, E paid.']


def built(build: dict) -> list[str]:
  """What a profile gets, as lines to print."""
  lines = [f'profile {build["profile"]}: {build["hours"]:,.0f} h of Telugu, {build["transcribed_hours"]:,.0f} h with text, '
           f'{build["speakers"]:,} counted speakers; {build["verified_hours"]:,.0f} h are verified']
  for name, counts in build['by'].items():
    lines.append(f'  by {name:<8} ' + (', '.join(f'{key} {value:,.1f}' for key, value in counts.items()) or 'none'))
  lines.append('  emotions    ' + ('; '.join(f'{name}: {", ".join(labels)}' for name, labels in build['emotions'].items()) or 'none'))
  if build['unknown']:
    lines.append(f'  hours not known yet, counted as none: {", ".join(build["unknown"])}')
  for name, holder in build['within'].items():
    lines.append(f'  {name} lies within {holder} and is counted once')
  lines.append('  left out:')
  for name, reason in build['left_out'].items():
    lines += textwrap.wrap(f'{name}: {reason}', LINE, initial_indent='    ', subsequent_indent='      ')
  return lines


def checklist(build: dict) -> list[str]:
  """The plan's checklist as lines: each wish with the sources that meet it and those that do so in part."""
  lines = ['the checklist of the plan, by source:']
  for wish in WISHES:
    answers = collections.defaultdict(list)
    for name, answer in build['wishes'].items():
      answers[answer[wish].split(':')[0]].append(name)
    parts = [f'{word}: {", ".join(answers[word])}' for word in ('yes', 'partly', 'no', 'unknown') if answers[word]]
    lines += textwrap.wrap(f'{wish:<14}' + '; '.join(parts or ['no source is left']), LINE, initial_indent='  ',
                           subsequent_indent=' ' * 16)
  return lines


def page(one: dict) -> str:
  """All that is known of one source, as text."""
  lines = [f'{one["name"]} ({one["id"]})']
  for key, value in one.items():
    if key in ('id', 'name'):
      continue
    if isinstance(value, dict):
      value = '; '.join(f'{name} {content}' for name, content in value.items()) or 'none'
    elif isinstance(value, list):
      value = '; '.join(map(str, value)) or 'none known'
    lines += textwrap.wrap(f'{key:<12} {value}', LINE, initial_indent='  ', subsequent_indent=' ' * 15)
  return '\n'.join(lines + textwrap.wrap(f'{"checklist":<12} ' + '; '.join(f'{wish} {answer}' for wish, answer in wishes(one).items()),
                                         LINE, initial_indent='  ', subsequent_indent=' ' * 15))


def _figure(fact):
  """'154.9' for a verified figure, '~296' for another, '?' for none."""
  return '?' if 'value' not in fact else ('' if fact['verified'] else '~') + f'{fact["value"]:g}'


def _fault(one, ids):
  """What is wrong with a source, '' where nothing is."""
  for field in ('id', 'name', 'planned', 'access', 'use', 'hours', 'licence', 'traps', 'from'):
    if field not in one:
      return f'{field} is missing'
  licence = one['licence']
  if ids[one['id']] > 1:
    return 'the id stands twice'
  if one['access'] not in ACCESS:
    return f'access {one["access"]!r} is none of {", ".join(ACCESS)}'
  if 'verified' not in one['hours'] or 'from' not in one['hours']:
    return 'hours need `verified` and `from`'
  if not {'spdx', 'class', 'reason', 'from'} <= set(licence):
    return 'licence needs spdx, class, reason and from'
  if licence['class'] < licences.licence_class(licence['spdx']):
    return f'class {licence["class"]} is laxer than {licence["spdx"] or "no licence"} allows'
  if not one['use'] and not {'why_not', 'substitute'} <= set(one):
    return 'a source that is not used needs why_not and substitute'
  if one['use'] and not {'fetch', 'attribution', 'styles', 'clean', 'natural', 'schema'} <= set(one):
    return 'a source that is used needs fetch, attribution, styles, clean, natural and schema'
  for field in ('substitute', 'within'):
    if field in one and one[field] not in ids:
      return f'{field} {one[field]!r} is not in the catalogue'
  return ''
