"""Dialogues as a folder that every job reads: a file and a manifest row for each turn, with when it begins and whose it is.

What makes dialogues (spoken.py, found.py, matched.py, selfplay.py) gives units, each of which makes its dialogues by itself, so
that a unit which is done is not made again. What a unit cannot give is set aside, counted and told in report.tsv.
"""
import collections
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tqdm

import telugu_s2s
from telugu_s2s.audio import decoding, files, opus
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import licences, splits
from telugu_s2s.dialogue import timing
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import hashes

PAIRS, NEGATIVES, REPORT = 'pairs', 'negatives', 'report.tsv'
COLUMNS = ('path', 'split', 'language', 'speaker', 'gender', 'style', 'emotion', 'text', 'text_provenance', 'licence', 'source', 'dialogue',
           'turn', 'channel', 'seconds', 'at_s', 'act', 'text_raw', 'sources', 'licences', 'attribution', 'generator', 'negative')
KBPS = 24.0                      # Opus, of synthetic speech
UNSPOKEN = 'not spoken'
# Why something was set aside that may be otherwise next time: a program was mended, a disk answers. All else follows from what it is made of.
AGAIN = {UNSPOKEN, decoding.PASSING, decoding.NO_DECODER}
WORDS = 3                        # of a sentence that is one split's alone: shorter ones ("yes", "all right") are everybody's


class Aside(Exception):
  """Why a unit, or a dialogue, is left out: (reason, detail), the reason a word or two."""


@dataclasses.dataclass(frozen=True)
class Turn:
  """One sound of one side, and when it begins."""
  at_s: float                    # from the dialogue's beginning
  samples: np.ndarray            # f32 at 16 kHz
  speaker: str
  source: str
  licence: str                   # SPDX
  act: str = timing.TURN
  text: str = ''
  text_provenance: str = ''      # human where there is text
  gender: str = ''
  style: str = ''
  emotion: str = ''
  language: str = 'te'
  channel: int | None = None
  attribution: str = ''
  text_raw: str = ''             # with marks of what is between words, where there is any
  mixed: tuple = ()              # (source, licence, attribution) of what of others is in it

  @property
  def end_s(self) -> float:
    return self.at_s + len(self.samples) / files.SAMPLE_RATE


def told(recording: corpus.Recording, **more) -> dict:
  """The fields of a turn that its recording tells, and `more`."""
  kept = {name: getattr(recording, name) for name in ('source', 'licence', 'text', 'gender', 'style', 'emotion')}
  custom = {name: recording.custom.get(name, '') for name in ('attribution', 'text_raw')}
  return kept | custom | {'text_provenance': recording.text_provenance if recording.text else '', 'language': recording.language or 'te'} | more


@dataclasses.dataclass(frozen=True)
class Dialogue:
  """Turns in the order of time. `negative`: why it is a bad example, '' of a good one. `texts`: (source, licence) of what is said."""
  name: str
  split: str
  turns: Sequence[Turn]
  negative: str = ''
  texts: tuple[str, str] = ('', '')


@dataclasses.dataclass(frozen=True)
class Unit:
  """What is made in one go and kept: a conversation that was found, or one to be spoken."""
  name: str                      # letters, digits, - and _; unique, see `named`
  made: Callable[[], list[Dialogue | Aside]]       # raises Aside where there is none
  of: str = ''                   # a hash of what it is made of: where that changes, it is made again


def generator(name: str, **settings) -> str:
  """The hash of a generator: its name, the version of this package, and the settings that what it makes follows from."""
  told = json.dumps({'name': name, 'version': telugu_s2s.__version__, 'settings': settings}, sort_keys=True, default=_plain)
  return f'{name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}'


def _plain(value):
  return value.to_dict() if hasattr(value, 'to_dict') else dataclasses.asdict(value)


def sound(samples) -> str:
  """A hash of samples."""
  return hashlib.sha256(np.ascontiguousarray(samples)).hexdigest()[:16]


def contents(folder, recordings: Iterable[corpus.Recording], out) -> dict[str, str]:
  """{path: SHA-256, '' where it cannot be read} of the files of recordings; the folder `out` remembers them."""
  paths = list(dict.fromkeys(one.path for one in recordings))
  found = hashes.of_files((str(Path(folder, path)) for path in paths), out, len(paths))
  return {path: sha256 for path, (sha256, _) in zip(paths, found)}


def hashed(*things) -> str:
  """A hash of what things look like in print."""
  return hashlib.sha256(repr(things).encode()).hexdigest()[:16]


def named(names: Iterable[str]) -> dict[str, str]:
  """{name: the same as a file may be called, of letters, digits, - and _}, each of them once."""
  found, taken, count = {}, set(), collections.Counter()
  for name in dict.fromkeys(names):
    stem = free = re.sub(r'[^A-Za-z0-9_-]+', '-', name).strip('-') or 'dialogue'
    while free in taken:
      count[stem] += 1
      free = f'{stem}--{count[stem] + 1}'
    taken.add(free)
    found[name] = free
  return found


def rng_of(seed: int, name: str) -> np.random.Generator:
  """What a unit is drawn from: another unit more or less changes nothing of it."""
  return np.random.default_rng([seed, zlib.crc32(name.encode())])


def write(units: Iterable[Unit], workdir, made_by: str, form: str, workers: int = 0, skips: Sequence[corpus.Skip] = ()) -> dict:
  """Makes the units that are not there yet, and the manifests of workdir/pairs and workdir/negatives.

  Args:
    made_by: from `generator`; units that another one made are made again.
    form: of the files, 'opus' or 'flac'.
    workers: threads; 0 = one a core.
    skips: recordings that could not be used before there were units, for the report.

  Returns:
    {dialogues, negatives, aside, turns, seconds: of speech, made: units of this call, wall_s}.

  Raises:
    InputError: nothing came of any unit; or a setting is out of its range.
  """
  if workers < 0:
    raise InputError(f'config.workers {workers}: give threads from 1, or 0 for one a core')
  workdir, units, began = Path(workdir), list(units), time.monotonic()
  pool = ThreadPoolExecutor(workers or os.cpu_count())
  try:
    one = functools.partial(_unit, workdir=workdir, made_by=made_by, form=form)
    done = list(tqdm.tqdm(pool.map(one, units), 'dialogues', len(units), unit='unit'))
  finally:
    pool.shutdown(cancel_futures=True)
  wall_s = time.monotonic() - began
  skips = [*skips] + [corpus.Skip(unit.name, *left) for unit, (kept, _) in zip(units, done) for left in kept['aside']]
  rows = [row for kept, _ in done for row in kept['rows']]
  rows, held = kept_apart(rows)
  skips += held
  good, bad = ([row for row in rows if bool(row['negative']) == negative] for negative in (False, True))
  corpus.report(workdir / REPORT, skips)
  if not good:
    raise InputError(f'{workdir}: no dialogue came of {len(units)} ({corpus.counted(corpus.reasons(skips)) or "nothing to begin with"}); '
                     f'{REPORT} says more')
  for name, some in ((PAIRS, good), (NEGATIVES, bad)):
    if some or (workdir / name).exists():
      files.write(workdir / name / 'MANIFEST.tsv', corpus.table(COLUMNS, some))
  count = lambda some: len({row['dialogue'] for row in some})
  fresh = sum(new for _, new in done)
  print(f'{workdir / PAIRS}: {count(good)} dialogues, {len(good)} turns, {sum(float(row["seconds"]) for row in good) / 60:.1f} minutes; '
        f'{count(bad)} negatives; set aside: {corpus.counted(corpus.reasons(skips)) or "none"}')
  if fresh:
    made = len({row['dialogue'] for kept, new in done if new for row in kept['rows']})
    print(f'{made} dialogues made in {wall_s:.1f} s, {60 * made / wall_s:.0f} a minute; {len(units) - fresh} of {len(units)} units were there')
  return {'dialogues': count(good), 'negatives': count(bad), 'aside': len(skips), 'turns': len(good), 'made': fresh,
          'seconds': sum(float(row['seconds']) for row in good), 'wall_s': wall_s}


def _unit(unit: Unit, workdir, made_by, form) -> tuple[dict, bool]:
  """What is kept of a unit, {generator, of, rows, aside: [(reason, detail)]}, and whether it was made now."""
  place = workdir / 'units' / f'{unit.name}.json'
  try:
    kept = json.loads(place.read_bytes())
    if (kept['generator'], kept['of']) == (made_by, unit.of) and not {reason for reason, _ in kept['aside']} & AGAIN and all(
        (workdir / _folder(row) / row['path']).is_file() for row in kept['rows']):
      return kept, False
  except (OSError, ValueError, KeyError):
    pass                             # not there, or of another kind: made again
  kept = {'generator': made_by, 'of': unit.of, 'rows': [], 'aside': []}
  try:
    for one in unit.made():
      try:
        if isinstance(one, Aside):
          raise one
        kept['rows'] += rows_of(one, made_by, form, workdir)
      except Aside as problem:
        kept['aside'].append(problem.args)
  except Aside as problem:
    kept['aside'].append(problem.args)
  except files.Unreadable as problem:
    kept['aside'].append((problem.reason, problem.detail))
  files.write(place, (json.dumps(kept, ensure_ascii=False) + '\n').encode())
  return kept, True


def _folder(row):
  return NEGATIVES if row['negative'] else PAIRS


def rows_of(dialogue: Dialogue, made_by: str, form: str, workdir) -> list[dict]:
  """The manifest rows of a dialogue, whose files are written.

  Raises:
    Aside: its parts' licences may not stand side by side.
  """
  turns = sorted(dialogue.turns, key=lambda one: (one.at_s, one.end_s))
  sounds = {some for one in turns for some in ((one.source, one.licence), *(other[:2] for other in one.mixed))}
  rights = sorted(sounds | ({dialogue.texts} if dialogue.texts[0] else set()))
  under = one_licence([licence for _, licence in rights])
  rows = []
  for number, one in enumerate(turns):
    path = f'audio/{dialogue.name}-{number:02}.{form}'
    data = _opus(np.asarray(one.samples, np.float32).tobytes()) if form == 'opus' else files.encoded(one.samples, form='flac')
    rows.append(dict(
        path=path, split=dialogue.split, language=one.language, speaker=one.speaker, gender=one.gender, style=one.style, emotion=one.emotion,
        text=' '.join(one.text.split()), text_provenance=one.text_provenance or ('human' if one.text else ''), licence=under, source=one.source,
        dialogue=dialogue.name, turn=number, channel='' if one.channel is None else one.channel,
        seconds=f'{len(one.samples) / files.SAMPLE_RATE:.3f}', at_s=f'{one.at_s:.3f}', act=one.act, text_raw=one.text_raw,
        sources='; '.join(source for source, _ in rights), licences='; '.join(licence or 'unknown' for _, licence in rights),
        attribution=credits(one, dialogue.texts, under), generator=made_by, negative=dialogue.negative))
    files.write(workdir / _folder(rows[-1]) / path, data)
  return rows


@functools.lru_cache(maxsize=64)
def _opus(samples: bytes) -> bytes:
  """The Opus file of float32 samples. An answer that is said alike in all takes of a dialogue is coded once: it takes longer than espeak-ng."""
  return opus.encoded(np.frombuffer(samples, np.float32), KBPS)


def credits(one: Turn, texts: tuple[str, str], under: str) -> str:
  """Whom a row owes attribution, 'who (licence)' each: its licence, `under`, is that of the whole dialogue, and a notice has one a source.

  Where the turn's own source under this licence is all, that is its attribution as it came.
  """
  own = one.source, one.licence, one.attribution
  parts = dict.fromkeys([own, *one.mixed, *([(*texts, '')] if one.text and texts[0] else [])])
  owed = [part for part in parts if part[2] or licences.licence_class(part[1]) != 'A'] or [own]
  if owed == [(one.source, under, one.attribution)]:
    return one.attribution
  return '; '.join(f'{attribution or source} ({licence or "unknown"})' for source, licence, attribution in owed)


def one_licence(given: Iterable[str]) -> str:
  """The licence that holds for all parts of a dialogue, the one of the strictest class.

  Raises:
    Aside: two of them may not stand side by side.
  """
  under = None
  for licence in sorted(set(given), key=lambda one: (licences.licence_class(one), one)):
    together = licence if under is None else licences.combined(under, licence)
    if together is None:
      raise Aside('licence', f'{under or "unknown"} and {licence or "unknown"} may not be in one dialogue')
    under = together
  return under


def kept_apart(rows: Sequence[Mapping]) -> tuple[list, list[corpus.Skip]]:
  """The rows without dialogues by which a speaker or a sentence would be in split eval and in another one, and skips for those.

  Of what is in both, the dialogues of that side go which has fewer of them; of equally many those that are trained on. A sentence is the
  same however it is written. What a listener says is none, nor what is shorter than WORDS: people who talk say that in every split.
  """
  groups = [list(group) for _, group in itertools.groupby(rows, lambda row: row['dialogue'])]
  uses = collections.defaultdict(lambda: ([], []))       # (what, value) -> numbers of the dialogues of train, and of eval
  for number, group in enumerate(groups):
    for thing in sorted({('speaker', f'{row["source"]}/{row["speaker"]}') for row in group if row['speaker']} |
                        {('sentence', plain) for row in group if row['act'] == timing.TURN
                         and len(row['text'].split()) >= WORDS and (plain := splits.plain(row['text']))}):
      uses[thing][group[0]['split'] == 'eval'].append(number)
  out = {}
  for (what, value), sides in uses.items():
    train, held = ([number for number in side if number not in out] for side in sides)
    if train and held:
      fewer, other = (held, 'train') if len(held) < len(train) else (train, 'eval')
      out |= {number: f'{what} {value} is in split {other} too' for number in fewer}
  skips = [corpus.Skip(groups[number][0]['dialogue'], 'held out', why) for number, why in sorted(out.items())]
  return [row for number, group in enumerate(groups) if number not in out for row in group], skips


def tracks(folder, name: str) -> dict[str, np.ndarray]:
  """{speaker: f32[samples]} of a dialogue of workdir/pairs, on one time axis, a track each; their sum is what a room would hear.

  Where two sources call different people alike, each is source/speaker.

  Raises:
    InputError: the folder has no such dialogue.
  """
  turns = [one for one in corpus.recordings(folder, '')[0] if one.dialogue == name]
  if not turns:
    raise InputError(f'{folder}: there is no dialogue {name!r} in its manifest')
  voices = {(one.source, one.speaker) for one in turns}
  alike = collections.Counter(speaker for _, speaker in voices)
  name_of = lambda one: one.speaker if alike[one.speaker] == 1 else f'{one.source}/{one.speaker}'
  sounds = [(name_of(one), round(float(one.custom['at_s']) * files.SAMPLE_RATE), files.read(Path(folder) / one.path)[0]) for one in turns]
  length = max(at + len(sound) for _, at, sound in sounds)
  found = {}
  for speaker, at, sound in sounds:
    found.setdefault(speaker, np.zeros(length, np.float32))[max(0, at):at + len(sound)] += sound[max(0, -at):]
  return found
