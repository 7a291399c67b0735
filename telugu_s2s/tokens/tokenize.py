"""Segment shards to token shards, one for one; what is there already is kept.

The codec streams over a batch of clips in chunks of one length, so one compiled program serves clips of
any length, and what stands behind a clip's end cannot reach back into it.
"""
import hashlib
from pathlib import Path

import numpy as np
import tqdm

from telugu_s2s.codec import streaming, weights
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import read, segment, shards
from telugu_s2s.tokens import prosody, record

MAKER = 1                        # raised whenever the same segments would give other tokens
BATCH = 16                       # clips


def run(config, workdir):
  """The job 'tokenize': the segments in `config.segments` to token shards in the folder `config.out` of workdir."""
  if not config.segments:
    raise InputError('config.segments is empty: give the folder that configs/prepare.py made')
  return tokenize(Path(config.segments), Path(workdir) / config.out, weights.load(config.codec))


class Encoder:
  """A codec that encodes clips of any length in batches of one size."""

  def __init__(self, trained: weights.Trained, batch: int = BATCH, chunk: int = streaming.CHUNK):
    self.codec, self._batch, self._chunk = trained, batch, chunk

  def __call__(self, clips) -> list[np.ndarray]:
    """Codes u16[t q] of each clip f32[samples], its last frame filled up with silence."""
    c = self.codec.config
    codes = [None] * len(clips)
    order = np.argsort([-len(clip) for clip in clips], kind='stable')          # alike lengths together
    for start in range(0, len(clips), self._batch):
      group = order[start:start + self._batch]
      audio = np.zeros((self._batch, max(len(clips[index]) for index in group)), np.float32)
      for row, index in enumerate(group):
        audio[row, :len(clips[index])] = clips[index]
      whole = np.concatenate(list(streaming.encode(self.codec, [audio], self._chunk)), 1).astype(np.uint16)
      for row, index in enumerate(group):
        codes[index] = whole[row, :-(-len(clips[index]) // c.hop)]
    return codes

  def silence(self) -> np.ndarray:
    """u16[q], the codes that lasting silence settles on."""
    return self([np.zeros(2 * self._chunk * self.codec.config.hop, np.float32)])[0][-1]


def tokenize(segments, out, trained: weights.Trained, encoder: Encoder | None = None) -> dict:
  """Makes the token shards of prepared segments that are not there yet, and their manifest; returns it.

  encoder: one of `trained` that is compiled already.

  Raises:
    InputError: the folder holds no segments, or a shard is missing or truncated.
  """
  segments, out = Path(segments), Path(out)
  out.mkdir(parents=True, exist_ok=True)
  shards.sweep(out)
  manifest = shards.check(segments, segment.KIND)
  names = {row['file']: _name(row, trained) for row in manifest['shards'] if row['records']}
  rows = {file: shards.finished(out, name) for file, name in names.items()}
  missing = [file for file in names if rows[file] is None]
  print(f'tokens: {len(names) - len(missing)} of {len(names)} shards are there already, in {out}', flush=True)
  encoder = encoder or Encoder(trained)
  todo = {row['file']: row for row in manifest['shards']}
  with tqdm.tqdm(total=sum(todo[file]['records'] for file in missing), unit='clip', desc='tokens',
                 disable=not missing) as bar:
    for file in missing:
      rows[file] = _shard(segments / file, out, names[file], encoder, bar.update)
  before = _before(out, trained)
  silence = before if before is not None else encoder.silence().tolist()
  result = shards.write_manifest(
      out, record.KIND, record.VERSION, {'segments': manifest['content'], 'codec': trained.name},
      [rows[file] for file in names], codec=trained.name, frame_rate=trained.config.frame_rate,
      codebooks=trained.config.codebooks, codes=trained.config.codes, silence=silence)
  print(f'tokens: {result["records"]} clips, {result["seconds"] / 3600:.2f} h, codec {trained.name}', flush=True)
  return result


def _name(row, trained):
  key = hashlib.sha256(f'{MAKER} {record.VERSION} {trained.name} {row["content"]}'.encode()).hexdigest()
  return f'tokens-{key[:16]}'


def _before(out, trained):
  """The silence of a manifest of the same codec that stands in `out`, or None."""
  try:
    manifest = shards.read_manifest(out, record.KIND)
  except InputError:
    return None
  return manifest['silence'] if manifest.get('codec') == trained.name else None


def _shard(path, out, name, encoder, done):
  """Writes the tokens of one shard of segments; a damaged record is counted and left out."""
  row = {'seconds': 0.0, 'damaged': []}
  c, clips = encoder.codec.config, []
  source = read.records(path)
  for index in range(len(source)):
    try:
      clips.append(segment.from_bytes(source[index]))
    except (ValueError, RuntimeError) as problem:
      row['damaged'].append([index, str(problem).splitlines()[0]])
  codes = encoder([clip.audio for clip in clips])

  def records():
    for clip, found in zip(clips, codes):
      labels = {field: getattr(clip, field) for field in record.LABELS}
      moves = prosody.codes(clip.audio, 2 * c.hop, (len(found) + 1) // 2)
      row['seconds'] = round(row['seconds'] + len(found) / c.frame_rate, 4)
      yield record.to_bytes(record.Tokens(found, moves, encoder.codec.name, c.codes, c.frame_rate, labels))
      done()

  return shards.write(out, name, records(), row)
