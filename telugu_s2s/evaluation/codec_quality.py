"""What a codec makes of held-out recordings, whole, by language, with 95 % intervals over clips, and beside its peers."""
import collections
import dataclasses
import importlib.util
from pathlib import Path, PurePosixPath

import numpy as np
import tqdm

from telugu_s2s.audio import files, quality
from telugu_s2s.codec import streaming, weights
from telugu_s2s.corpora.folder import Recording
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import paired, perceptual
from telugu_s2s.preparation import inputs, pool, prepare
from telugu_s2s.training import intervals

SHOWN = ('pesq_wb', 'stoi', 'estoi', 'visqol', 'si_sdr', 'ms_mel', 'mel80_db', 'spk_sim', 'dns_ovrl', 'dns_sig', 'dns_bak',
         'dns_p808', 'distillmos', 'f0_cents', 'f0_gpe', 'vuv_err', 'gain_db', 'clip_pct')


@dataclasses.dataclass(frozen=True)
class Clip:
  """A recording and what the codec made of it."""
  recording: Recording
  row: dict                      # name, kbps, set, file, seconds, lag_ms: the clip's columns of the table
  pair: perceptual.Pair
  levels: tuple[perceptual.Pair, ...]    # decoded from 1, 2, ... levels; empty if not asked for

  @property
  def group(self) -> str:
    return self.recording.language or self.row['set']


def measure(config, workdir) -> dict:
  """Prints and returns all measures of the recordings of `config.data`.

  The decoded wavs go to workdir/decoded, with the sub-folders of the recordings, and one row a clip to
  workdir/codec.tsv. Recordings are neither cut at their pauses nor trimmed, since other codecs are measured whole;
  of one above data.longest_s its beginning is taken, one below data.shortest_s is left out, and one of nothing but zeros, of which no
  measure tells anything.

  Returns:
    A dict of plain values; measures: {language: {measure: [mean, half the width of its interval], clips, taken: {measure: of how many
    clips, where that is fewer}}}.

  Raises:
    InputError: nothing usable is in the folder, or a peer's table cannot be read or has none of its clips, or the
      codec has fewer levels.
  """
  workdir, data, trained = Path(workdir), prepare.Data(**config.data), weights.load(config.codec)
  c = trained.config
  if not 0 < config.levels <= c.codebooks:
    raise InputError(f'config.levels {config.levels}: this codec has 1 to {c.codebooks}')
  peers = {path: paired.read(path) for path in config.peers.split(',') if path}
  counts = np.zeros((c.codebooks, c.codes), np.int64)
  clips = list(decoded(config, data, trained, workdir, counts))
  if not clips:
    raise InputError(f'data.audio: no recording in {data.audio or prepare.SAMPLE} can be measured')
  for theirs in peers.values():
    paired.paired([clip.row for clip in clips], theirs)                        # raises before the measuring, which takes longest
  missing(config.perceptual)
  found = dict(_measured(clips, data.workers))
  rows = [clip.row | found[clip.pair] for clip in clips]
  paired.write(workdir / 'codec.tsv', rows)
  rng = np.random.default_rng(config.seed)
  result = {'codec': trained.identity, 'levels': config.levels, 'clips': len(clips),
            'seconds': round(sum(row['seconds'] for row in rows), 2), **bitrate(counts[:config.levels], c.frame_rate)}
  result['measures'], result['reference'] = tables(clips, rows, rng)
  show(result)
  if config.by_level:
    result['pesq_by_level'] = by_level(clips, found)
  result['peers'] = {}
  for path, theirs in peers.items():
    name = paired.named(theirs)
    name = f'{name}, {path}' if name in result['peers'] else name              # two trainings of one codec
    result['peers'][name] = paired.difference(rows, theirs, rng)
    paired.show(rows, theirs, result['peers'][name])
  print(f'each clip: {workdir / "codec.tsv"}; the decoded wavs: {workdir / "decoded"}')
  return result


def decoded(config, data, trained, workdir, counts):
  """Yields the clips, their wavs written; adds the use of each code of each level to counts i64[q v]."""
  (folder,), c = data.folders(), trained.config
  chosen, skips, _ = inputs.select(data, folder)
  check_places(chosen)
  kbps = config.levels * float(np.log2(c.codes)) * c.frame_rate / 1000
  for recording in tqdm.tqdm(chosen, unit='clip', desc='decoding'):
    if (recording.start_s, recording.end_s) != (None, None):
      tqdm.tqdm.write(f'left out: {recording.path} from {recording.start_s or 0:g} s: a part of a file; give a folder of whole files')
      continue
    try:
      audio = files.read(folder / recording.path, recording.channel)[0][:round(data.longest_s * files.SAMPLE_RATE)]
    except files.Unreadable as problem:
      tqdm.tqdm.write(f'left out: {problem}')
      continue
    if len(audio) < data.shortest_s * files.SAMPLE_RATE:
      tqdm.tqdm.write(f'left out: {recording.path} is shorter than {data.shortest_s:g} s')
      continue
    if not audio.any():
      tqdm.tqdm.write(f'left out: {recording.path} is silent')
      continue
    codes = streaming.codes_of(trained, audio)
    counts += [np.bincount(codes[:, level], minlength=c.codes) for level in range(c.codebooks)]
    place, file = place_of(recording)

    def pair(levels, root, takes):
      out = workdir / root / place / f'{file}.wav'
      files.write_wav(out, streaming.audio_of(trained, codes[:, :levels], len(audio)))
      return perceptual.Pair(str(folder / recording.path), recording.channel, str(out), takes)

    yield Clip(recording, {'name': trained.name, 'kbps': kbps, 'set': place, 'file': f'{file}.wav',
                           'seconds': round(len(audio) / files.SAMPLE_RATE, 3), 'lag_ms': 0.0, 'short_ms': 0.0},
               pair(config.levels, 'decoded', 'all' if config.perceptual else 'plain'),
               tuple(pair(levels, f'levels/{levels}', 'pesq_wb') for levels in range(1, c.codebooks + 1) if config.by_level))


def check_places(chosen) -> None:
  """Raises InputError where two recordings would be decoded to one wav: one would be measured against the other."""
  taken = {}
  for recording in chosen:
    place = tuple(part.casefold() for part in place_of(recording))
    if (other := taken.setdefault(place, recording.path)) != recording.path:
      raise InputError(f'config.data.audio: {other} and {recording.path} have one name without their split and ending; call one of them otherwise')


def place_of(recording: Recording) -> tuple[str, str]:
  """The sub-folder of a recording, less a first folder that is called after its split, and the file's stem."""
  path = PurePosixPath(recording.path)
  parts = path.parent.parts
  if parts and parts[0] == recording.split:
    parts = parts[1:]
  stem = path.stem if recording.channel is None else f'{path.stem}-{recording.channel}'
  return '/'.join(parts) or '.', stem


def missing(networks: bool) -> None:
  """Prints which measures cannot be taken here, and what installs them."""
  remedies = collections.defaultdict(list)
  for name, remedy in {**quality.PACKAGES, **(perceptual.PACKAGES if networks else {})}.items():
    if importlib.util.find_spec(name) is None:
      remedies[remedy].append(name)
  for remedy, names in remedies.items():
    print(f'not installed: {", ".join(names)}; the measures are nan; to have them: {remedy}')


def _measured(clips, workers):
  """Yields (pair, its measures), worked off in this process or by a pool."""
  pairs = [pair for clip in clips for pair in (clip.pair, *clip.levels)]
  workers = pool.count(workers, len(pairs))
  ended = ((pair, perceptual.measured(pair)) for pair in pairs) if workers < 2 else \
      pool.results(perceptual.measured, pairs, workers, field='data.workers')
  yield from tqdm.tqdm(ended, total=len(pairs), unit='pair', desc='measuring')


def bitrate(counts, frame_rate) -> dict:
  """Nominal and empirical bit/s of codes used so often, i64[q v]; of each level entropy / log2(v), and percent in use.

  The entropy is that of each code by itself, an underestimate where frames are few.
  """
  share = counts / counts.sum(1, keepdims=True)
  bits = -(share * np.log2(np.where(share > 0, share, 1))).sum(1)
  most = np.log2(counts.shape[1])
  return {'frames': int(counts[0].sum()), 'nominal_bps': float(len(counts) * most * frame_rate),
          'entropy_bps': float(bits.sum() * frame_rate), 'entropy_bits': bits.tolist(),
          'entropy_normalised': (bits / most).tolist(), 'used_pct': (100 * (counts > 0).mean(1)).tolist()}


def tables(clips, rows, rng):
  """({group: {clips, taken, measure: [mean, half width]}}, the same of what needs no reference, of the recordings themselves)."""
  groups = collections.defaultdict(list)
  for clip, row in zip(clips, rows):
    groups[clip.group].append(row)
  groups = {**{name: groups[name] for name in sorted(groups)}, **({'all': rows} if len(groups) != 1 else {})}
  ours, true = {}, {}
  for name, found in groups.items():
    ours[name] = {one: interval([row[one] for row in found], rng) for one in SHOWN if one in found[0]}
    taken = {one: int(np.sum(~np.isnan([row[one] for row in found]))) for one in ours[name]}
    ours[name] |= {'clips': len(found), 'taken': {one: count for one, count in taken.items() if count < len(found)}}
    if 'reference' in found[0]:
      true[name] = {one: interval([row['reference'][one] for row in found], rng) for one in perceptual.ALONE}
  return ours, true


def interval(values, rng) -> list[float]:
  """[mean, half the width of its 95 % interval] over the values that are not nan, see training/intervals.py; of one the latter is nan."""
  values = np.array([value for value in values if not np.isnan(value)])
  if not len(values):
    return [float('nan')] * 2
  low, high = intervals.by_group(values, np.arange(len(values)), rng)
  return [float(values.mean()), float(high - low) / 2]


def show(result):
  """Prints the bitrate, the use of the codes and the measures, a line each."""
  print(f'codec {result["codec"]}, {result["levels"]} levels, {result["clips"]} clips, {result["seconds"]:.0f} s: '
        f'{result["nominal_bps"]:.0f} bit/s nominal, {result["entropy_bps"]:.0f} by the entropy of its codes')
  for title, name in (('codes in use, %', 'used_pct'), ('entropy, of 1', 'entropy_normalised')):
    print(f'{title:>15} by level: ' + ' '.join(f'{value:.3g}' for value in result[name])
          + f' (of {result["frames"]} frames)')
  groups = list(result['measures'])
  titles = [f'{name} ({result["measures"][name]["clips"]})' for name in groups]
  print(f'{"mean ± 95 %":>20}' + ''.join(f'{title:>24}' for title in titles))
  for name in SHOWN:
    lines = {name: result['measures']} | ({f'{name} of original': result['reference']} if name in perceptual.ALONE else {})
    for title, table in lines.items():
      cells = [table.get(group, {}).get(name, [float('nan')] * 2) for group in groups]
      if any(np.isfinite(mean) for mean, _ in cells):
        fewer = [result['measures'][group]['taken'].get(name) if title == name else None for group in groups]
        print(f'{title:>20}' + ''.join(f'{f"{mean:.3f} ±{half:.3f}" + (f" ({count})" if count else ""):>24}'
                                                for (mean, half), count in zip(cells, fewer)))


def by_level(clips, found) -> list[float]:
  """PESQ-WB by how many levels are decoded, of the clips that have it at all of them; prints it, and whether each level adds to it."""
  scores = np.array([[found[pair]['pesq_wb'] for pair in clip.levels] for clip in clips])
  there = scores[np.isfinite(scores).all(1)]
  means = there.mean(0) if len(there) else np.full(scores.shape[1], np.nan)
  falls = [str(level + 2) for level in np.flatnonzero(np.diff(means) <= 0)]
  verdict = 'not taken of any clip' if not len(there) else f'not monotone: level {", ".join(falls)}' if falls else 'monotone'
  print('PESQ-WB of 1 level and more: ' + ' '.join(f'{mean:.3f}' for mean in means) + f' ({verdict}; {len(there)} of {len(scores)} clips)')
  return means.tolist()
