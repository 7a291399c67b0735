"""The mean of the weights of several codecs, as a codec (model soups, Wortsman et al., 2022).

It is one where they come from one another: their weights then lie in one valley, in which the mean has less of the noise of
small batches than any of them, and no code has changed its meaning.
"""
import json
from pathlib import Path

import jax
import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError


def run(config, workdir) -> None:
  """The job 'average': the mean of config.codecs as the file config.out below workdir.

  Raises:
    InputError: fewer than two codecs, one that cannot be read or has other sizes, or shares that are not those of as many.
  """
  codecs = [weights.load(codec) for codec in config.codecs]
  if len(codecs) < 2:
    raise InputError(f'config.codecs: {len(codecs)} codec; give two at least, for one is its own mean')
  for given, one in zip(config.codecs, codecs):
    if one.config != codecs[0].config:
      raise InputError(f'config.codecs: {given} has other sizes than {config.codecs[0]}; only codecs of the same sizes have a mean')
  try:
    shares = np.array(config.shares or (1.0,) * len(codecs), np.float64)
  except ValueError:
    raise InputError(f'config.shares {tuple(config.shares)}: give numbers') from None
  if len(shares) != len(codecs) or not (np.isfinite(shares).all() and shares.min() >= 0 and shares.sum() > 0):
    raise InputError(f'config.shares {tuple(config.shares)}: give {len(codecs)} numbers, none below 0 and not all 0, or () for equal ones')
  out, shares = Path(workdir) / config.out, shares / shares.sum()
  if any(out.resolve() == weights.file(codec).resolve() for codec in config.codecs):
    raise InputError(f'config.out: {out} is one of config.codecs; give another --workdir or another name')
  of = {one.identity: round(float(share), 6) for one, share in zip(codecs, shares)}
  params = mean([one.params for one in codecs], shares)
  # Where decoders alone differ tokens stay what they are.
  kept = weights.codes_kept(weights.file(config.codecs[0]), params, codecs[0].config)
  files.write(out, weights.to_bytes(params, codecs[0].config, {'mean of': json.dumps(of), **kept}))
  print(f'{out}: {weights.load(out).name}, the mean of ' + ', '.join(f'{share:.0%} {name}' for name, share in of.items()))


def mean(trees, shares):
  """The weighted mean of trees of arrays, f32. shares: f64[n] that sum to 1."""
  return jax.tree.map(lambda *arrays: sum(share * np.asarray(x, np.float64) for share, x in zip(shares, arrays)).astype(np.float32), *trees)
