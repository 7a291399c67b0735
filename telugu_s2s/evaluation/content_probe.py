"""How much of what is said each part of the codes carries: the grapheme error rate of small readers trained on them.

One reader a part, all of one size, budget and seed: level 0 alone, the other levels alone, all of them. What a reader
gets wrong on held-out utterances is compared, so the readers' own weakness counts for all alike.
"""
import functools
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm

from telugu_s2s.audio import files
from telugu_s2s.codec import content, weights
from telugu_s2s.codec.transformer import fan_in
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import prepare, read
from telugu_s2s.tokens import encoding, graphemes
from telugu_s2s.training.spoken import needed

TAPS = 5                         # frames that each of the two layers sees


class Reader(nn.Module):
  """Codes to graphemes: embeddings summed over levels, two convolutions that see both ways, CTC."""
  codes: int
  graphemes: int
  width: int = 192

  @nn.compact
  def __call__(self, codes):
    """codes: i32[b t q], -1 behind a row's end -> f32[b t c]."""
    q, d = codes.shape[-1], self.width
    table = self.param('table_qvd', nn.initializers.normal(q ** -0.5), (q, self.codes, d))
    x = sum(table[level][jnp.maximum(codes[..., level], 0)] for level in range(q)) * (codes[..., :1] >= 0)
    for layer in range(2):
      padded = jnp.pad(nn.silu(x) if layer else x, ((0, 0), (TAPS // 2, TAPS // 2), (0, 0)))
      seen = jnp.concatenate([padded[:, tap:tap + x.shape[1]] for tap in range(TAPS)], -1)
      x = x * layer + seen @ self.param(f'mix{layer}_io', fan_in, (TAPS * d, d))
    return nn.silu(x) @ self.param('out_dc', fan_in, (d, self.graphemes))


def measure(config, workdir) -> dict:
  """Prints and returns {part: grapheme error rate on held-out utterances}."""
  trained = weights.load(config.codec)
  every = {split: utterances(config, split, workdir) for split in ('train', 'eval')}
  table = graphemes.table(text for _, text in every['train'])
  encoder, rows = encoding.Encoder(trained), {}
  for split, found in every.items():
    codes = encoder([audio for audio, _ in found])
    rows[split] = [(code.astype(np.int32), graphemes.encoded(text, table)) for code, (_, text) in zip(codes, found)]
    rows[split] = [row for row in rows[split] if 0 < needed(row[1]) <= len(row[0])]
    if not rows[split]:
      raise InputError(f'config.data.audio: no utterance of the split {split!r} has a transcript that a reader could learn')
  levels = trained.config.codebooks
  parts = {'level 0': slice(0, 1), f'levels 1 to {levels - 1}': slice(1, None), 'all levels': slice(None)}
  result = {'codec': trained.name, 'utterances': {split: len(found) for split, found in rows.items()},
            'graphemes': len(table), 'steps': config.steps}
  print(f'codec {trained.name}: {len(rows["train"])} utterances to learn from, {len(rows["eval"])} held out, '
        f'{len(table)} graphemes')
  for name, part in parts.items():
    start = time.monotonic()
    result[name] = error_rate(*(cut(rows[split], part) for split in rows), table, trained.config.codes, config)
    print(f'grapheme error rate from {name}: {result[name]:.3f} ({time.monotonic() - start:.0f} s)', flush=True)
  return result


def utterances(config, split, workdir):
  """[(audio, text)] of the segments of a split that have a transcript and are short enough, spread over it, no more than a reader gets to see."""
  folder = workdir / 'segments' / split
  prepare.prepare(prepare.Data(**{**config.data, 'split': split, 'longest_s': 20.0}), folder)
  source = read.Segments(folder)
  fit = [index for index, (labels, samples) in enumerate(source.outlines())        # what is not taken is not decoded
         if labels['text'] and samples <= config.longest_s * files.SAMPLE_RATE]
  found = [source[fit[number]] for number in read.spread(len(fit), config.steps * config.batch)] if fit else []
  return [(clip.audio, clip.text) for clip in found]


def cut(rows, part):
  return [(codes[:, part], text) for codes, text in rows]


def error_rate(train, held_out, table, codes, config) -> float:
  """Trains a reader and gives its share of graphemes that are wrong on the held-out rows [(codes, graphemes)]."""
  reader = Reader(codes, len(table) + 1)
  frames = max(len(row[0]) for row in train + held_out)
  longest = max(len(row[1]) for row in train + held_out)
  batch = functools.partial(batched, frames=frames, longest=longest)
  params = reader.init(jax.random.key(config.seed), batch(train[:1])['codes'])
  tx = optax.adam(optax.cosine_decay_schedule(config.lr, config.steps))

  @jax.jit
  def step(params, opt, rows):
    def loss_of(params):
      return content.grapheme_loss(reader.apply(params, rows['codes']), rows['frames'], rows['graphemes'])
    updates, opt = tx.update(jax.grad(loss_of)(params), opt, params)
    return optax.apply_updates(params, updates), opt

  opt, rng = tx.init(params), np.random.default_rng(config.seed)
  for _ in tqdm.trange(config.steps, unit='step', desc='reader', leave=False):
    params, opt = step(params, opt, batch([train[index] for index in rng.integers(len(train), size=config.batch)]))
  read_out, wrong, total = jax.jit(reader.apply), 0, 0
  for codes_of, true in held_out:
    best = np.asarray(read_out(params, batch([(codes_of, true)])['codes'])[0, :len(codes_of)].argmax(-1))
    text = ''.join(table[number - 1] for number in true)
    wrong, total = wrong + graphemes.errors(text, graphemes.decoded(best, table)), total + len(text)
  return wrong / total


def batched(rows, frames, longest):
  """Rows [(codes, graphemes)] as arrays of one size."""
  return {'codes': np.stack([np.pad(codes, ((0, frames - len(codes)), (0, 0)), constant_values=-1) for codes, _ in rows]),
          'frames': np.array([len(codes) for codes, _ in rows], np.int32),
          'graphemes': np.stack([np.pad(text, (0, longest - len(text))) for _, text in rows])}
