"""A folder of recordings made small enough to travel: Opus files of one bitrate with their manifest.

For a machine that is reached through a narrow door. Opus costs some quality, so the largest bitrate that fits is taken,
and where even the least one does not fit, fewer recordings.
"""
import hashlib
import json
import re
from pathlib import Path

import tqdm

from telugu_s2s.audio import files, opus
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import licences
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import export, prepare, read

LEAST, MOST = 16.0, 48.0         # kbit/s: below it wideband speech is audibly coarse, above it nothing is gained
OVERHEAD = 1100                  # bytes of a file beside its sound
MANIFEST = 'MANIFEST.jsonl'
NAMED = r'\d{6,}-[0-9a-f]{16}\.opus'            # files of ours; earlier versions had numbers alone
COLUMNS = ('split', 'language', 'speaker', 'gender', 'style', 'emotion', 'text', 'text_provenance', 'licence', 'source',
           'revision', 'dialogue', 'turn')


def run(config, workdir):
  """The job: the segments of `config.data` as Opus in the folder `config.out` of workdir, at most `config.megabytes`."""
  workdir = Path(workdir)
  splits = {}
  for split in config.splits:
    folder = workdir / 'segments' / split
    prepare.prepare(prepare.Data(**{**config.data, 'split': split}), folder)
    splits[split] = read.Segments(folder)
  write(splits, workdir / config.out, config.megabytes)


def write(splits, out, megabytes: float) -> dict:
  """Writes {split: segments} below `out`, with their labels and their notice; returns {files, seconds, kbps, bytes}.

  Opus files of an earlier call that are not among them are removed.

  Raises:
    InputError: not even one segment fits, or another manifest is there.
  """
  if not megabytes > 0:
    raise InputError(f'config.megabytes {megabytes}: give more than 0')
  out, room = Path(out), megabytes * 1e6
  if (other := corpus.manifest_of(out)) not in (None, out / MANIFEST):
    raise InputError(f'{out}: its {other.name} would be read in place of {MANIFEST}; give another config.out')
  before = export.listed(out / MANIFEST, 'path', rf'[^/]+/({NAMED}|\d{{6,}}\.opus)')
  index = [(split, number) for split, source in splits.items() for number in range(len(source))]
  seconds = sum(source.manifest['seconds'] for source in splits.values())
  if not index:
    raise InputError('config.splits: there is nothing to carry; give splits that hold segments')
  kbps = min(MOST, 8 * (room - OVERHEAD * len(index)) / seconds / 1000)
  if kbps < LEAST:
    cost = OVERHEAD * len(index) + seconds * LEAST * 125
    index = [index[place] for place in read.spread(len(index), int(len(index) * room / cost))]
    kbps = LEAST
  if not index:
    raise InputError(f'config.megabytes: {megabytes} MB hold no segment; {LEAST:g} kbit/s take '
                     f'{seconds * LEAST / 8000:.0f} MB')
  total, spoken, rows = 0, 0.0, []
  for split, number in tqdm.tqdm(index, unit='clip', desc=f'Opus at {kbps:.0f} kbit/s'):
    clip = splits[split][number]
    data = opus.encoded(clip.audio, kbps * 0.96)      # libopus aims, it does not cap
    # Other bytes have another name: until the new manifest is there, the one before speaks of what it spoke of.
    path = f'{split}/{number:06}-{hashlib.sha256(data).hexdigest()[:16]}.opus'
    files.write(out / path, data)
    rows.append({**clip.custom, **_at(clip), 'path': path, **{name: getattr(clip, name) for name in COLUMNS}})
    total, spoken = total + len(data), spoken + clip.seconds
  files.write(out / 'DATA_NOTICE.md', licences.notice([one for source in splits.values() for one in source.manifest['sources']]).encode())
  files.write(out / MANIFEST, ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows).encode())
  named = {row['path'] for row in rows}
  for path in out.glob('*/*.opus'):
    relative = path.relative_to(out).as_posix()
    if relative not in named and (relative in before or re.fullmatch(NAMED, path.name)):      # those of a run that was killed too
      path.unlink()
  left = f'; {sum(map(len, splits.values())) - len(index)} clips were left out' if kbps == LEAST else ''
  print(f'{out}: {len(index)} clips, {spoken / 3600:.2f} h, {total / 1e6:.1f} MB at {kbps:.0f} kbit/s{left}')
  return {'files': len(index), 'seconds': spoken, 'kbps': kbps, 'bytes': total}


def _at(clip) -> dict:
  """When a clip of a dialogue that was put together begins there: its file begins with it now."""
  try:
    return {'at_s': f'{float(clip.custom["at_s"]) + clip.start_s:.4f}'}
  except (KeyError, ValueError):
    return {}
