"""Which recordings go into a build: split, exclusion, licence, and each file once."""
import collections
import dataclasses
import errno
import fnmatch
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from telugu_s2s.audio import decoding
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import splits
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import hashes

HELD_OUT = 'held out'


@dataclasses.dataclass(frozen=True, slots=True)
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
  unheard: int                   # of `held`, what cannot be decoded here, or read


class NoSplit(InputError):
  """No recording is of the split that is asked for."""


def gather(data, folders: Sequence, out) -> Gathered:
  """The recordings of several folders that go in, and those that are held out.

  Args:
    data: a prepare.Data.
    folders: of the corpora. Where two hold one file, the first one's counts.
    out: where hashes of the files are kept.

  Raises:
    InputError: a folder or its manifest cannot be used, none of them has the split asked for, or two recordings have one name.
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
  lost = []
  found, held = _decodable(found, skips), _decodable(held, lost)
  where = lambda folder, one: f'{folder}/{one.path}'
  paths = (where(folder, one) for folder, one, _ in itertools.chain(held, found))
  hashed = hashes.of_files(paths, out, len(held) + len(found))
  taken, aside, unheard = {}, [], len(lost)
  for (folder, one, _), (sha256, failed) in zip(held, hashed):
    unheard += bool(failed)
    if not failed:
      taken[sha256] = where(folder, one)
      aside.append(_input(folder, one, sha256))
  chosen, seen, named = [], {}, {}
  for (folder, one, name), (sha256, failed) in zip(found, hashed):
    whole = one.channel is one.start_s is one.end_s is None
    # As in selection.select, a turn is also what it answers.
    part = (sha256, one.dialogue, one.turn if one.dialogue else None, *(() if whole else (one.channel, one.start_s, one.end_s)))
    if failed:
      skips.append(corpus.Skip(name + one.path, 'missing' if failed == os.strerror(errno.ENOENT) else decoding.PASSING, failed))
    elif one.split == splits.TRAIN and taken.get(sha256, here := where(folder, one)) != here:
      skips.append(corpus.Skip(name + one.path, HELD_OUT, f'the same file as {taken[sha256]}, of another split'))
    elif part in seen:
      skips.append(corpus.Skip(name + one.path, 'duplicate', f'the same file as {seen[part]}'))
    else:
      seen[part] = name + one.path
      if len(folders) > 1 and (other := named.setdefault((one.source, one.path), folder)) != folder:
        raise InputError(f'data.audio: {other} and {folder} both have a recording {one.path} of source {one.source!r}, which would be told apart '
                         'by nothing; rename one of the folders, or give a source in its manifest')
      chosen.append(_input(folder, one, sha256))
  return Gathered(chosen, aside if data.split else [], skips, dict(left_out), unheard if data.split else 0)


def _input(folder, recording, sha256):
  return Input(sys.intern(os.path.abspath(folder)), recording, sha256)         # workers may stand in another folder


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
    raise NoSplit(f"data.split: {where} holds no split {data.split!r}; it has {', '.join(sorted(have))}; data.split = '' takes all" + (
        ', and data.eval_share of configs/prepare.py, such as 0.02, holds some out' if data.split == splits.EVAL else ''))


def _read(data, folder):
  """The recordings of a folder, each with its split, and skips."""
  found, skips = corpus.recordings(folder, data.licence)
  if data.eval_share:
    # Whoever published a corpus held out what others report numbers on: that is never trained on.
    found = splits.apart([one if one.split != splits.TRAIN else dataclasses.replace(one, split=splits.split(one, data.seed, data.eval_share))
                          for one in found])
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
  if decoding.complete():              # then no file is opened, nor asked for again a million times
    return found
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
