"""Token shards to token shards whose records say where their words are; what is there already is kept."""
import collections
import dataclasses
import hashlib
import math
from pathlib import Path

import tqdm

from telugu_s2s.audio import files
from telugu_s2s.codec import aligner
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import read, segment, shards
from telugu_s2s.tokens import record
from telugu_s2s.tokens.alignment import Aligned, Forced

MAKER = 2                        # raised whenever the same segments, tokens and aligner would give other words
GROUP = 256                      # clips that are aligned at a time


def run(config, workdir) -> dict:
  """The job 'align': tokens with the words of their segments, in the folder `config.out` of workdir."""
  for name in ('segments', 'tokens', 'aligner'):
    if not config[name]:
      raise InputError(f'config.{name} is empty: give what configs/'
                       f'{dict(segments="prepare", tokens="tokenize", aligner="aligner")[name]}.py made')
  return align(config.segments, config.tokens, Path(workdir) / config.out, aligner.load(config.aligner), config.least)


def align(segments, tokens, out, trained: aligner.Trained, least: float) -> dict:
  """Makes the shards with words that are not there yet, and their manifest; returns it.

  Args:
    segments: the folder of the segments.
    tokens: the folder of their tokens, in any number of views.
    out: the folder of the tokens with words; made if missing.
    least: the confidence below which a clip goes without words.

  Raises:
    InputError: the tokens are not those of the segments, or a shard is missing or damaged.
  """
  out = Path(out)
  if out.resolve() == Path(tokens).resolve():
    raise InputError(f'config.out: {out} holds the tokens themselves; give another folder')
  out.mkdir(parents=True, exist_ok=True)
  shards.sweep(out)
  heard, manifest = shards.check(segments, segment.KIND), shards.check(tokens, record.KIND)
  sources = [row for row in heard['shards'] if shards.kept(row)]
  views = manifest.get('views', 1)
  if manifest['made_from'].get('segments') != heard['content'] or len(manifest['shards']) != views * len(sources):
    raise InputError(f'{tokens}: these are not the tokens of {segments}; tokenise again with configs/tokenize.py')
  names = [_name(row, trained, least) for row in manifest['shards']]
  found = {name: shards.finished(out, name) for name in names}
  print(f'words: {sum(row is not None for row in found.values())} of {len(names)} shards are there already, in {out}', flush=True)
  forced = Forced(trained, least)
  for index, source in enumerate(tqdm.tqdm(sources, unit='shard', desc='words', disable=None not in found.values())):
    missing = [number for number in range(index, len(names), len(sources)) if found[names[number]] is None]
    if missing:                                        # a view has the words of the clip, moved as its sound was
      words = aligned(Path(segments) / source['file'], shards.kept(source), forced)
    for number in missing:
      row = manifest['shards'][number]
      found[names[number]] = make_shard(Path(tokens) / row['file'], row, out, names[number], words)
  rows = [found[name] for name in names]
  facts = {name: manifest[name] for name in ('codec', 'frame_rate', 'codebooks', 'codes', 'silence', 'views') if name in manifest}
  reasons = collections.Counter()
  for row in rows[:len(sources)]:
    reasons.update(row['words'])
  result = shards.write_manifest(out, record.KIND, record.TIMED,
                                 {**manifest['made_from'], 'tokens': manifest['content'], 'aligner': trained.name,
                                  'least': least}, rows, **facts, words=dict(reasons))
  print(f'words: {trained.name}; of {reasons.total()} clips ' + ', '.join(f'{count} {reason}' for reason, count in
                                                                         sorted(reasons.items())), flush=True)
  return result


def _name(row, trained, least):
  key = f'{MAKER} {record.TIMED} {trained.name} {least} {shards.content(row)}'
  return f'tokens-{hashlib.sha256(key.encode()).hexdigest()[:16]}'


def aligned(path, kept, forced: Forced) -> dict[tuple[str, str], Aligned]:
  """{(id, hash) of a segment: its words} of the kept records of a shard; those that are damaged are left out."""
  source, found = shards.Records(path), {}
  for at in range(0, len(kept), GROUP):
    clips = []
    for index in kept[at:at + GROUP]:
      try:
        clips.append(segment.from_bytes(source[index]))
      except (ValueError, RuntimeError):               # it has no tokens either
        continue
    for clip, one in zip(clips, forced([(clip.audio, clip.text) for clip in clips])):
      found[clip.id, clip.sha256] = one
  return found


def make_shard(path, row, out, name, words) -> dict:
  """Writes one shard of tokens with words and returns its row, with `words`: {reason, or 'aligned': clips}."""
  source, counts = shards.Records(path), collections.Counter()
  more = {field: row[field] for field in ('seconds', 'damaged', 'view') if field in row}

  def records():
    for index in range(len(source)):
      try:
        tokens = record.from_bytes(source[index])
      except (ValueError, RuntimeError) as problem:
        raise read.damaged(Path(path).parent, index, problem) from problem
      one = words.get((tokens.labels['id'], tokens.labels['sha256']), Aligned(reason='no segment'))
      counts[one.reason or 'aligned'] += 1
      yield record.to_bytes(tokens if one.reason else timed(tokens, one))
    more['words'] = dict(counts)

  return shards.write(out, name, records(), more)


def timed(tokens: record.Tokens, one: Aligned) -> record.Tokens:
  """A clip's tokens with its words; those of a view are moved as its sound was, see tokens/views.py."""
  view = tokens.labels.get('view') or {'phase': 0, 'speed': 1.0}
  last = len(tokens.codes)

  def frame(seconds, round_):
    moved = (seconds - view['phase'] / files.SAMPLE_RATE) / view['speed'] * tokens.frame_rate
    return min(max(round_(round(moved, 6)), 0), last)

  return dataclasses.replace(tokens, words=tuple(
      record.Word(word.text, frame(word.start_s, math.floor), frame(word.end_s, math.ceil), word.confidence)
      for word in one.words))
