"""Two codecs on the same clips: tables of one row a clip, and what the one is better at, by paired bootstrap.

A table is a TSV file with the columns below; more may follow and fewer measures may stand in it. Clips are told
by `set`, a folder below the corpus, and the name of the file without its extension; where both tables have `seconds`, by these too.
"""
import csv
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.training import intervals

CLIP = ('name', 'kbps', 'set', 'file', 'seconds', 'lag_ms', 'rtfx')        # lag_ms: what was taken off before measuring
MEASURES = ('pesq_wb', 'pesq_c2', 'stoi', 'estoi', 'visqol', 'si_sdr', 'ms_mel', 'mel80_db', 'lsd', 'spk_sim', 'dns_ovrl',
            'dns_sig', 'dns_bak', 'dns_p808', 'distillmos', 'f0_rmse_hz', 'f0_cents', 'f0_gpe', 'vuv_err', 'gain_db',
            'clip_pct', 'short_ms', 'xc_peak')
LOWER = {'ms_mel', 'mel80_db', 'lsd', 'f0_rmse_hz', 'f0_cents', 'f0_gpe', 'vuv_err', 'clip_pct', 'short_ms'}    # is better
SAME_S = 0.1                     # by which one clip's seconds may differ from table to table
COMPARED = ('pesq_wb', 'stoi', 'estoi', 'visqol', 'si_sdr', 'ms_mel', 'mel80_db', 'spk_sim', 'dns_ovrl', 'dns_p808',
            'distillmos', 'f0_cents', 'f0_gpe', 'vuv_err')


def write(path, rows: Iterable[dict]) -> None:
  """Puts rows under a name; a measure that a row does not have is left empty, one that could not be taken is nan."""
  text = io.StringIO(newline='')
  table = csv.DictWriter(text, CLIP + MEASURES, delimiter='\t', extrasaction='ignore', lineterminator='\n')
  table.writeheader()
  for row in rows:
    table.writerow({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})
  files.write(path, text.getvalue().encode())


def read(path) -> list[dict]:
  """The rows of a table; its seconds and measures as numbers, nan where a cell is empty.

  Raises:
    InputError: there is no such file, it has no column `set` or `file`, no row, or seconds or a measure that is no number.
  """
  try:
    text = Path(path).read_text('utf-8-sig')
  except (OSError, UnicodeDecodeError) as problem:
    raise InputError(f'{path}: cannot be read as a table ({problem}); give a TSV file of one row a clip') from None
  table = csv.DictReader(io.StringIO(text, newline=''), delimiter='\t')
  missing = {'set', 'file'} - set(table.fieldnames or ())
  if missing:
    raise InputError(f'{path}: no column {" or ".join(sorted(missing))} in its first row; '
                     'give a TSV file of one row a clip')
  rows = []
  for row in table:
    try:
      rows.append(row | {name: float(row[name] or 'nan') for name in ('seconds', *MEASURES) if name in row})
    except (TypeError, ValueError):
      raise InputError(f'{path}: line {table.line_num}: seconds or a measure is no number; make the table again') from None
  if not rows:
    raise InputError(f'{path}: it holds no clip; make the table again')
  return rows


def difference(ours: list[dict], theirs: list[dict], rng: np.random.Generator) -> dict[str, dict]:
  """What `ours` has more than `theirs` on the clips that both hold.

  Returns:
    {measure: {clips, mean, low, high, verdict}} of the measures that both took: low and high bound the 95 %
    interval of the mean over clips (training/intervals.py); verdict is 'better' or 'worse' where it does not hold 0, else ''.

  Raises:
    InputError: no clip is in both.
  """
  pairs = paired(ours, theirs)
  result = {}
  for name in COMPARED:
    values = np.array([first.get(name, np.nan) - second.get(name, np.nan) for first, second in pairs])
    values = values[np.isfinite(values)]
    if not len(values):
      continue
    mean, (low, high) = values.mean(), intervals.by_group(values, np.arange(len(values)), rng)
    verdict = '' if not (low > 0 or high < 0) else 'better' if (mean > 0) != (name in LOWER) else 'worse'
    result[name] = {'clips': len(values), 'mean': float(mean), 'low': float(low), 'high': float(high), 'verdict': verdict}
  return result


def paired(ours: list[dict], theirs: list[dict]) -> list[tuple[dict, dict]]:
  """The rows of both tables that are of one clip, in the order of ours. Raises InputError where there is none.

  A recording that the one measured whole and the other in part is not one clip.
  """
  clip = lambda row: (row['set'], PurePosixPath(row['file']).stem)
  other = lambda row, peer: abs(row.get('seconds', np.nan) - peer.get('seconds', np.nan)) > SAME_S
  known = {clip(row): row for row in theirs}
  pairs = [(row, known[clip(row)]) for row in ours if clip(row) in known and not other(row, known[clip(row)])]
  if not pairs:
    raise InputError(f'no clip of {named(ours)} is one of {named(theirs)}: {"/".join(clip(ours[0]))} against '
                     f'{"/".join(clip(theirs[0]))}; measure both on the same folder, and as much of each recording')
  return pairs


def named(rows) -> str:
  """What a table calls its codec, with its bitrate."""
  kbps = [float(row.get('kbps') or 'nan') for row in rows]
  return f'{rows[0].get("name") or "a table"} ({np.mean(kbps):.2f} kbit/s)'


def show(ours: list[dict], theirs: list[dict], found: dict[str, dict]) -> None:
  """Prints a difference, with the means of both on the clips that they share."""
  pairs = paired(ours, theirs)
  print(f'\n{named(ours)} minus {named(theirs)}, {len(pairs)} paired clips; of how many each measure was taken, both means, 95 % bootstrap interval')
  for name, one in found.items():
    both = np.array([[row.get(name, np.nan) for row in rows] for rows in pairs])
    first, second = both[np.isfinite(both).all(1)].mean(0)
    print(f'{name:>12} {one["clips"]:4} {first:8.3f} {second:8.3f} {one["mean"]:+8.3f} [{one["low"]:+.3f}, {one["high"]:+.3f}] '
          + one['verdict'])
