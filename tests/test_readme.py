"""The README says what is so: its commands can be parsed, its paths exist, and no file tells of somebody's machine."""
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from telugu_s2s import main, usage

ROOT = pathlib.Path(usage.ROOT)
README = (ROOT / 'README.md').read_text(encoding='utf-8')
MEASURED = ROOT / 'telugu_s2s/evaluation/results/README.md'
BOTH = README + MEASURED.read_text(encoding='utf-8')
TOP = {path.name for path in ROOT.iterdir()} - {'runs', 'build'}
# Folders in which a user's files lie: nobody's home or mount belongs into this repository.
PLACES = re.compile(r'(?<![\w.])/(home|root|Users|work|workspace|mnt|tmp|private|content|scratch)(/|\b)')
TEXTS = {'.py', '.md', '.tsv', '.txt', '.toml', '.ipynb', '.json', '.cfg', ''}


def commands():
  """Every command line in the README, and in the page of what was measured, that names a config."""
  spans = re.findall(r'^    (\S.*)$|`([^`\n]+)`', BOTH, re.M)
  lines = [(block or span).split('  #')[0] for block, span in spans]
  return [line for line in lines if '--config=' in line and '...' not in line]


def named_paths():
  """Every path below the repository that the README names, in links, code spans and commands."""
  words = [link for link in re.findall(r'\]\(([^)#]+)\)', README) if '://' not in link]
  for span in re.findall(r'`([^`\n]+)`', README) + re.findall(r'^    (\S.*)$', README, re.M):
    words += re.findall(r'[\w./-]+', span)
  words = {word.removeprefix('./').rstrip('.') for word in words}
  return sorted(word for word in words if '/' in word.rstrip('/') and word.split('/')[0] in TOP)


def text_files():
  """The files under version control, or all where there is no git, whose text people write."""
  try:
    listed = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split('\0')
    files = [ROOT / name for name in listed if name]
  except (OSError, subprocess.CalledProcessError):
    files = [pathlib.Path(folder, name) for folder, _, names in os.walk(ROOT) for name in names
             if not any(part in ('runs', 'build', '__pycache__') or part.endswith('.egg-info') or
                        part.startswith('.') and part != '.ci' for part in pathlib.Path(folder).relative_to(ROOT).parts)]
  return [path for path in files if path.is_file() and path.suffix in TEXTS]


def test_the_readme_shows_every_job():
  shown = {re.search(r'--config=([\w./]+)', line)[1] for line in commands()}
  assert shown == set(usage.names())


@pytest.mark.parametrize('line', sorted(set(commands())))
def test_a_command_of_the_readme_names_configs_sizes_and_fields_that_exist(line):
  words = shlex.split(line)
  assert words[:3] == ['python', '-m', 'telugu_s2s.main'] or words[0] in ('./launch/run',) or words[0].startswith('--config')
  values = [word.removeprefix('--config=') for word in words if word.startswith('--config=')]
  assert len(values) == 1
  path, size = main.find(values[0])
  assert pathlib.Path(path).resolve().is_relative_to(ROOT)
  fields = main.flat(main.load(path, size))
  for word in words:
    if field := re.match(r'--config\.([^=]+)=', word):
      assert field[1] in fields


@pytest.mark.parametrize('name', sorted(set(re.findall(r'--config\.([a-z_.0-9]+)', BOTH))))
def test_a_field_that_the_readme_names_is_in_a_config(name):
  assert any(name in main.flat(main.load(str(ROOT / file), [])) for file in usage.names())


@pytest.mark.parametrize('path', named_paths())
def test_a_path_that_the_readme_names_exists(path):
  assert (ROOT / path).exists()


@pytest.mark.parametrize('link', re.findall(r'\]\(([^)#]+)\)', MEASURED.read_text(encoding='utf-8')))
def test_a_link_of_what_was_measured_leads_to_a_file(link):
  assert (MEASURED.parent / link).is_file()


def test_the_readme_shows_every_room():
  rooms = {path.parent.name for path in (ROOT / 'telugu_s2s').glob('*/__init__.py')}
  section = README.split('\n## The house\n')[1].split('\n## ')[0]
  assert set(re.findall(r'^\| `(\w+)/` \|', section, re.M)) == rooms


@pytest.mark.parametrize('target', re.findall(r'\]\(#([^)]+)\)', README))
def test_a_link_within_the_readme_has_its_heading(target):
  assert target in {re.sub(r'[^\w -]', '', title).lower().replace(' ', '-') for title in re.findall(r'^#+ (.+)$', README, re.M)}


def test_the_readme_and_setup_agree_on_pythons_and_extras():
  setup = (ROOT / 'setup.py').read_text()
  assert "python_requires='>=3.11,<3.14'" in setup and 'Python 3.11, 3.12 or 3.13' in README
  for extras in re.findall(r'`\.\[([\w,]+)\]`', README):
    for extra in extras.split(','):
      assert f"'{extra}': [" in setup


def test_no_file_names_a_place_on_somebodys_machine():
  found = []
  for path in text_files():
    try:
      lines = path.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError:
      continue
    found += [f'{path.relative_to(ROOT)}:{number}' for number, line in enumerate(lines, 1)
              if PLACES.search(line) and not line.startswith('PLACES')]
  assert not found
