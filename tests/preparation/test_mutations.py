"""Ten thousand damaged and hostile inputs: no crash, no hang, nothing written outside, each kept or left out for a reason.

A tenth of them runs by default; TELUGU_S2S_MUTATIONS=10000 says how many. They run in a process of their own, so that
a crash or a hang of a decoder fails the test and names the batch.
"""
import collections
import contextlib
import csv
import hashlib
import io
import multiprocessing
import os
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip('av')
from telugu_s2s.audio.files import EXTENSIONS, temporary_prefix
from telugu_s2s.corpora import archives, folder as corpus
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import segment, shards
from telugu_s2s.preparation.prepare import Data, prepare
from tests.preparation import mutations

COUNT = int(os.environ.get('TELUGU_S2S_MUTATIONS', '1000'))
SHARES = {'audio': 0.45, 'headers': 0.15, 'manifests': 0.2, 'archives': 0.2}
BATCH = 50
LIMIT_S = 60.0                # of a batch, on a machine that does other things too; it takes about one
MOST_BYTES = 400_000          # of an archive
REASONS = {'bad row', 'outside', 'duplicate', 'missing', 'non-audio', 'zero-second', 'corrupt', 'silent', 'too short', 'clipped',
           'licence', 'held out'}
REFUSALS = {'outside', 'link', 'device', 'encrypted', 'compression', 'duplicate', 'corrupt'}
REFUSED = ('not UTF-8', 'no column named path', 'field larger than field limit', 'no audio file', 'holds no split', 'nothing usable',
           'nothing in it can be read', 'unpacks to more than')


@pytest.fixture(scope='module')
def process():
  with multiprocessing.get_context('spawn').Pool(1) as pool:
    yield pool


@pytest.mark.mutation
@pytest.mark.parametrize('kind', SHARES)
def test_whatever_comes_in_is_kept_or_counted_and_nothing_gets_out(kind, process, tmp_path):
  total, counts = round(COUNT * SHARES[kind]), collections.Counter()
  for start in range(0, total, BATCH):
    numbers = range(start, min(start + BATCH, total))
    try:
      counts += process.apply_async(RUNS[kind], (numbers, tmp_path / str(start))).get(LIMIT_S)
    except multiprocessing.TimeoutError:
      pytest.fail(f'{kind} {numbers}: a crash, or more than {LIMIT_S:g} s; the files are in {tmp_path / str(start)}')
  assert sum(count for (what, _), count in counts.items() if what == 'given') == total
  print(f'\n{kind}: {total} mutations; ' + ', '.join(f'{count} {what}: {why}' for (what, why), count in sorted(counts.items())))


@contextlib.contextmanager
def guarded(box):
  """A folder to work in and one outside of it with a secret, of which nothing may change but the folder `out`."""
  for name in ('in', 'outside', 'out'):
    (box / name).mkdir(parents=True, exist_ok=True)
  (box / 'outside' / 'secret').write_bytes(b'secret')
  yield box / 'in', box / 'outside', box / 'out'
  shutil.rmtree(box)


def state(box):
  """What stands in a box outside of its folder `out`."""
  found = {}
  for parent, folders, names in os.walk(box):
    if Path(parent) == box:
      folders.remove('out')
    for name in folders + names:
      path = Path(parent, name)
      found[str(path)] = os.readlink(path) if path.is_symlink() else (
          hashlib.sha256(path.read_bytes()).digest() if path.is_file() else '')
  return found


def prepared(root, out):
  """{path: reason or 'kept'} of the folder `root`; a path with several reasons has one of them."""
  data = Data(audio=str(root), split='', profile='research', shortest_s=0.1, workers=0)
  with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    manifest = prepare(data, out)
  with open(out / 'report.tsv', encoding='utf-8', newline='') as file:
    fates = {row['path']: row['reason'] for row in csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE)}
  for row in manifest['shards']:              # every segment, also those of which there are copies
    source = shards.Records(out / row['file'])
    fates |= {segment.from_bytes(source[index]).path: 'kept' for index in range(len(source))}
  return fates


def run_audio(make, numbers, box):
  """A folder with one sound file and mutated ones: every file has its fate."""
  counts = collections.Counter()
  with guarded(box) as (root, outside, out):
    given = {'sound.wav': mutations.clips()['wav'][0]} | dict(map(make, numbers))
    for name, data in given.items():
      (root / name).write_bytes(data)
    traps = {'loop': 'duplicate', 'dangling.wav': 'missing', 'pipe.wav': 'missing'}
    (root / 'loop').symlink_to(root)
    (root / 'dangling.wav').symlink_to(root / 'nowhere')
    os.mkfifo(root / 'pipe.wav')
    before = state(box)
    fates = prepared(root, out)
    assert state(box) == before
    assert set(fates) == {*given, *traps} and {name: fates.pop(name) for name in traps} == traps
    assert fates.pop('sound.wav') in ('kept', 'duplicate')
    for name, fate in fates.items():
      assert fate == 'kept' or fate in REASONS, (name, fate)
      counts['given', Path(name).suffix[1:]] += 1
      counts['fate', fate] += 1
  return counts


def run_audio_files(numbers, box):
  return run_audio(mutations.audio, numbers, box)


def run_headers(numbers, box):
  return run_audio(mutations.headers, numbers, box)


def run_manifests(numbers, box):
  """A folder with files, links and a pipe; every row of a manifest becomes a recording or a skip."""
  counts = collections.Counter()
  with guarded(box) as (root, outside, out):
    names = ['a.wav', 'b.wav', 'c.wav', 'folder/d.flac']
    (root / 'folder').mkdir()
    for name, data in zip(names, [*mutations.clips()['wav'], mutations.clips()['flac'][0]]):
      (root / name).write_bytes(data)
    for name, target in {'loop': root, 'outside': outside, 'dangling': root / 'nowhere'}.items():
      (root / name).symlink_to(target)
    os.mkfifo(root / 'fifo')
    before = state(box)
    for number in numbers:
      name, data = mutations.manifest(number, names, str(outside))
      path = root / name
      path.write_bytes(data)
      counts['given', name] += 1
      try:
        found, skips = corpus.recordings(root, 'CC0-1.0')
        assert len(found) + len(skips) == rows(path), number
        assert all(skip.reason in REASONS for skip in skips), number
        assert not any(one.path.startswith('/') or '..' in one.path.split('/') for one in found), number
        counts['row', 'taken'] += len(found)
        counts.update(('row', skip.reason) for skip in skips)
        fates = prepared(root, out / str(number))
        assert {one.path for one in found} <= set(fates), number
      except InputError as problem:
        counts['refused', what(problem)] += 1
      except Exception as problem:
        raise AssertionError(f'manifests {number}') from problem
      path.unlink()
    assert state(box) == before
  return counts


def what(problem):
  """Of what kind an InputError is; it names a file, in one line."""
  text = str(problem)
  assert '\n' not in text and '/' in text
  return next(phrase for phrase in REFUSED if phrase in text)


def rows(path):
  """How many rows a manifest has, blank ones aside."""
  text = path.read_bytes().decode('utf-8-sig')
  lines = re.split('\r\n|\r|\n', text)
  if path.suffix == '.jsonl':
    return sum(bool(line.strip()) for line in lines)
  if path.suffix == '.tsv':
    return sum(bool(line) for line in lines) - 1
  return sum(bool(row) for row in csv.reader(io.StringIO(text, newline=''))) - 1


def run_archives(numbers, box):
  """Archives unpacked in turn: what is written lies inside and is a plain file, and what is not is named."""
  counts = collections.Counter()
  with guarded(box) as (root, outside, out):
    for number in numbers:
      name, data, members = mutations.archive(number, str(outside))
      (root / name).write_bytes(data)
      counts['given', name] += 1
      before = state(box)
      try:
        refused = archives.unpack(root / name, out / 'unpacked', most_bytes=MOST_BYTES)
        assert all(one.reason in REFUSALS for one in refused), number
        counts.update(('member', one.reason) for one in refused)
        written = check_inside(out / 'unpacked')
        counts['member', 'written'] += written
        assert members in (None, written + len(refused)), number
        walk(out / 'unpacked')
      except InputError as problem:
        counts['refused', what(problem)] += 1
        check_inside(out / 'unpacked')
      except Exception as problem:
        raise AssertionError(f'archives {number}') from problem
      assert state(box) == before and os.listdir(out) in ([], ['unpacked']), number
      shutil.rmtree(out / 'unpacked', ignore_errors=True)
  return counts


def check_inside(root):
  """How many files lie below a folder; none is a link or unfinished."""
  paths = [Path(parent, name) for parent, folders, names in os.walk(root) for name in folders + names]
  assert not any(path.is_symlink() or path.name.startswith(temporary_prefix()) for path in paths)
  assert all(path.is_file() or path.is_dir() for path in paths)
  return sum(path.is_file() for path in paths)


def walk(root):
  """What was unpacked is a corpus like any other: every visible file is a recording or a skip."""
  try:
    found, skips = corpus.recordings(root, 'CC0-1.0')
  except InputError:
    return
  assert all(Path(one.path).suffix.lower() in EXTENSIONS for one in found) and all(skip.reason in REASONS for skip in skips)


RUNS = {'audio': run_audio_files, 'headers': run_headers, 'manifests': run_manifests, 'archives': run_archives}
