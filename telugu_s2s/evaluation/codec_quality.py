"""What a codec makes of held-out clips, by language, with 95 % bootstrap intervals."""
import collections

import numpy as np
import tqdm

from telugu_s2s.audio import files, quality
from telugu_s2s.codec import streaming, weights
from telugu_s2s.preparation import prepare, read
from telugu_s2s.tokens import tokenise

SHOWN = ('pesq', 'stoi', 'estoi', 'si_sdr', 'mel_distance', 'f0_cents', 'voicing_error')
RESAMPLES = 1000


def measure(config, workdir) -> dict:
  """Prints and returns {language: {measure: [mean, half width]}} of the clips of `config.data`, and the code entropy."""
  trained = weights.load(config.codec)
  folder = workdir / 'segments'
  prepare.prepare(prepare.Data(**config.data), folder)
  segments = read.Segments(folder)
  rows, encoder, codes = collections.defaultdict(list), tokenise.Encoder(trained), []
  for index in tqdm.trange(len(segments), unit='clip', desc='measuring'):
    clip = segments[index]
    decoded = streaming.roundtrip(trained, clip.audio, config.levels)
    rows[clip.language or 'unknown'].append(quality.measures(clip.audio, decoded))
    codes.append(clip.audio)
    if config.keep_wavs:
      files.write_wav(workdir / 'decoded' / f'{index:04}.wav', decoded)
      files.write_wav(workdir / 'original' / f'{index:04}.wav', clip.audio)
  result = {'codec': trained.name, 'levels': config.levels, 'entropy_bits': entropy(encoder(codes), trained.config.codes)}
  result['nominal_bps'] = config.levels * np.log2(trained.config.codes) * trained.config.frame_rate
  rng = np.random.default_rng(config.seed)
  every = {**{language: rows[language] for language in sorted(rows)}, 'all': sum(rows.values(), [])}
  print(f'codec {trained.name}, {config.levels} levels, {result["nominal_bps"]:.0f} bit/s nominal, '
        f'{sum(result["entropy_bits"][:config.levels]) * trained.config.frame_rate:.0f} bit/s by the entropy of its codes')
  print('language  clips  ' + ' '.join(f'{name:>15}' for name in SHOWN))
  for language, found in every.items():
    table = {name: interval([row[name] for row in found], rng) for name in found[0]}
    result[language] = {'clips': len(found), **table}
    print(f'{language:>8} {len(found):>6}  ' + ' '.join(f'{table[name][0]:8.3f} ±{table[name][1]:5.3f}' for name in SHOWN))
  return result


def interval(values, rng) -> list[float]:
  """[mean, half the width of its 95 % bootstrap interval] over the values that are not nan."""
  values = np.array([value for value in values if not np.isnan(value)])
  if not len(values):
    return [float('nan')] * 2
  means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(1)
  low, high = np.percentile(means, [2.5, 97.5])
  return [float(values.mean()), float(high - low) / 2]


def entropy(codes, entries: int) -> list[float]:
  """Bits a code of each level, from the counts over all clips (an underestimate where codes are few)."""
  flat = np.concatenate(codes)
  shares = [np.bincount(flat[:, level], minlength=entries) / len(flat) for level in range(flat.shape[1])]
  return [float(-(share[share > 0] * np.log2(share[share > 0])).sum()) for share in shares]
