"""Which recordings go into a build: split, exclusion, licence, and each file once."""
import collections
import concurrent.futures
import dataclasses
import fnmatch
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import tqdm

from telugu_s2s.audio import decoding, files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import splits
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import pool, shards

KNOWN = 'inputs.json'          # sha256 of the inputs, by path, size and time of change: they are hashed once
HELD_OUT = 'held out'


@dataclasses.dataclass(frozen=True)
class Input:
  """A recording, where it lies, and the sha256 of its file."""
  folder: str
  recording: corpus.Recording
  sha256: str


@dataclasses.dataclass(frozen=True)
class Gathered:
  """What folders hold for a build."""
  chosen: list[Input]            # what goes in, in the order of the folders
  held: list[Input]              # of a build of 'train': what other splits hold, of which nothing may come in as a copy
  skips: list[corpus.Skip]
  left_out: dict                 # counts of what split and exclusion left aside


def gather(data, folders: Sequence, out) -> Gathered:
  """The recordings of several folders that go in, and those that are held out.

  Args:
    data: a prepare.Data.
    folders: of the corpora. Where two hold one file, the first one's counts.
    out: where hashes of the files are kept.

  Raises:
    InputError: a folder or its manifest cannot be used, or none of them has the split asked for.
  """
  found, held, skips, left_out, have = [], [], [], collections.Counter(), set()
  for folder in map(Path, folders):
    recordings, more = _read(data, folder)
    have |= {one.split for one in recordings}
    name = f'{folder.resolve().name}/' if len(folders) > 1 else ''
    chosen, others, refused = _chosen(data, recordings)
    for counted, count in others.items():
      left_out[counted] += count
    found += [(folder, one, name) for one in chosen]
    if data.split in ('', splits.TRAIN):
      held += [(folder, one, name) for one in recordings if one.split != splits.TRAIN]
    skips += [dataclasses.replace(skip, path=name + skip.path) for skip in more + refused]
  _check_split(data, have, ', '.join(map(str, folders)))
  found = _decodable(found, skips)
  hashes, failed = _hashes([folder / one.path for folder, one, _ in found + held], out)
  taken = {hashes[path]: path for folder, one, _ in held if (path := str(folder / one.path)) in hashes}
  chosen, seen = [], {}
  for folder, one, name in found:
    path = str(folder / one.path)
    if path in failed:
      skips.append(corpus.Skip(name + one.path, 'missing', failed[path]))
      continue
    part = hashes[path], *(getattr(one, field, None) for field in ('channel', 'start_s', 'end_s'))
    if part[0] in taken and taken[part[0]] != path and one.split == splits.TRAIN:
      skips.append(corpus.Skip(name + one.path, HELD_OUT, f'the same file as {taken[part[0]]}, of another split'))
    elif part in seen:
      skips.append(corpus.Skip(name + one.path, 'duplicate', f'the same file as {seen[part]}'))
    else:
      seen[part] = name + one.path
      chosen.append(_input(folder, one, part[0]))
  aside = [_input(folder, one, hashes[path]) for folder, one, _ in _decodable(held, [])
           if data.split and (path := str(folder / one.path)) in hashes]
  return Gathered(chosen, aside, skips, dict(left_out))


def _input(folder, recording, sha256):
  return Input(os.path.abspath(folder), recording, sha256)       # workers may stand in another folder


def select(data, folder) -> tuple[list[corpus.Recording], list[corpus.Skip], dict]:
  """The recordings of one folder that split, exclusion and profile let in; skips; counts of what the first two left aside.

  Raises:
    InputError: the folder or its manifest cannot be used, or it has no such split.
  """
  found, skips = _read(data, folder)
  _check_split(data, {one.split for one in found}, folder)
  chosen, left_out, refused = _chosen(data, found)
  return chosen, skips + refused, left_out


def _check_split(data, have, where):
  if data.split and data.split not in have:
    raise InputError(f'data.split: {where} holds no split {data.split!r}; it has {", ".join(sorted(have))}')


def _read(data, folder):
  """The recordings of a folder, each with its split, and skips."""
  found, skips = corpus.recordings(folder, data.licence)
  if data.eval_share:
    # Whoever published a corpus held out what others report numbers on: that is never trained on.
    found = [one if one.split != splits.TRAIN else dataclasses.replace(one, split=splits.split(one, data.seed, data.eval_share))
             for one in found]
  return found, skips


def _chosen(data, found):
  """Of recordings: those that go in, counts of what split and exclusion left aside, and skips for licences."""
  chosen = [one for one in found if data.split in ('', one.split)]
  inside = [one for one in chosen if not (data.exclude and fnmatch.fnmatchcase(one.path, data.exclude))]
  left_out = {'split': len(found) - len(chosen), 'exclude': len(chosen) - len(inside)}
  result, skips = corpus.licensed(inside, data.profile)
  return result, left_out, skips


def _decodable(found, skips):
  """Recordings but for those whose decoder is not installed, which go to skips: no shard remembers them as bad."""
  result = []
  for folder, one, name in found:
    try:
      problem = decoding.undecodable(folder / one.path)
    except OSError:
      problem = ''                     # said when it is read
    if problem:
      skips.append(corpus.Skip(name + one.path, decoding.NO_DECODER, problem))
    else:
      result.append((folder, one, name))
  return result


def _hashes(paths, out):
  """{path: sha256} of files that can be read, and {path: why not} of the others."""
  try:
    known = json.loads((Path(out) / KNOWN).read_bytes())
  except (OSError, ValueError):
    known = {}

  def fingerprint(path):
    try:
      stat = os.stat(path)
      entry = known.get(path)
      if entry and entry[:2] == [stat.st_size, stat.st_mtime_ns]:
        return entry
      with open(path, 'rb') as file:
        return [stat.st_size, stat.st_mtime_ns, hashlib.file_digest(file, 'sha256').hexdigest()]
    except OSError as error:
      return error.strerror

  paths = sorted({str(path) for path in paths})
  with concurrent.futures.ThreadPoolExecutor(min(8, pool.cores())) as threads:
    entries = dict(zip(paths, tqdm.tqdm(threads.map(fingerprint, paths), 'fingerprints', len(paths), unit='file', delay=2)))
  good = {path: entry for path, entry in entries.items() if isinstance(entry, list)}
  if good != known:
    files.write(Path(out) / KNOWN, shards.canonical(good))
  return {path: entry[2] for path, entry in good.items()}, {path: entries[path] for path in entries.keys() - good.keys()}
