"""What the language model is trained on: weighted cross-entropy of every slot, in nats."""
import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s import axes
from telugu_s2s.lm.model import user_part

# Shares of a0..a7: what is said counts more than its finish (MiMo-Audio, 2025, table 2).
CODE_WEIGHTS = np.array([12, 8, 6, 4, 2, 2, 1, 1]) / 36
PROSODY_WEIGHT = 0.5
TEXT_WEIGHT = 1.0
FILLER_WEIGHT = 0.5              # of text steps that hold no word, most of them (moshi-finetune, text_padding_weight)
FILLERS = 2                      # PAD and EPAD are the first of the text codes, see tokens/vocabulary.py
USER_WEIGHT = 0.25
FLOOR_WEIGHT = 0.1               # of telling who speaks next
MATCH_WEIGHT = 1.0               # of telling a question's answer from others
NEVER = -1e9                     # a score; infinity has no gradient
Z_WEIGHT = 1e-4                  # keeps logits near zero (PaLM, Chowdhery et al., 2022, 5)


def code_weights(codebooks: int):
  """f32[q] summing to 1, for any number of codebooks."""
  weights = CODE_WEIGHTS[:codebooks] if codebooks <= 8 else np.pad(CODE_WEIGHTS, (0, codebooks - 8), mode='edge')
  return weights / weights.sum()


def present(target, weight):
  """f32[...]: what a mean over the targets that are there is divided by. target: i32[b t], -1 = absent; weight: f32[b t]."""
  return jnp.maximum(jnp.sum(weight * (target >= 0)), 1.0)


def code_nats(logits, target):
  """Cross-entropy of each code f32[...], any number where it is absent, and its log-partition. logits: f32[... v]; target: i32[...]."""
  log_z = jax.nn.logsumexp(logits, -1)
  return log_z - jnp.take_along_axis(logits, jnp.maximum(target, 0)[..., None], -1)[..., 0], log_z


def masked_sums(logits, target, weights):
  """Sums of cross-entropy and of squared log-partition where the target is present and weighted, [(f32[], f32[]) of each of several weights].

  logits: f32[b t v]; target: i32[b t], -1 = absent; weights: [f32[b t]].
  """
  nats, log_z = code_nats(logits, target)
  return [(jnp.sum(weight * nats), jnp.sum(weight * log_z**2)) for weight in (weight * (target >= 0) for weight in weights)]


def slot_weights(config, slots, weight):
  """f32[b t slots], the weight of each slot, or `weight` itself where there is no text. slots: i32[b t slots]; weight: f32[b t]."""
  if not config.text_codes:
    return weight
  text = weight * jnp.where(slots[..., 0] < FILLERS, FILLER_WEIGHT, 1.0)
  return jnp.stack([text] + [weight] * (config.slots - 1), -1)


def of_slot(weight, slot: int):
  """f32[b t] of what `slot_weights` gave."""
  return weight[..., slot] if weight.ndim == 3 else weight


def sums(every_logits, targets, *weights):
  """[`masked_sums` of each slot] of each of several weights.

  every_logits: list of f32[b t v]; targets: i32[b t slots]; weights: f32[b t], or [b t slots].
  """
  found = [masked_sums(logits, targets[..., slot], [of_slot(weight, slot) for weight in weights]) for slot, logits in enumerate(every_logits)]
  return [list(one) for one in zip(*found)]


def both_sums(tell, mine, theirs, chunk: int):
  """The `sums` of what is said and those of the user's frames, of one pass of the depth transformer over both.

  Args:
    tell: (x, slots) -> logits of every slot.
    mine, theirs: (x f[b t e], slots i32[b t slots], weight f32[b t], or [b t slots]), of any numbers of steps.
    chunk: steps whose logits exist at once; 0 = all.
  """
  x, slots = (jnp.concatenate(both, 1) for both in zip(mine[:2], theirs[:2]))
  behind, ahead = theirs[2].shape[1], mine[2].shape[1]
  beside = lambda weight, before, after: jnp.pad(weight, ((0, 0), (before, after)) + ((0, 0),) * (weight.ndim - 2))

  def part(of):
    x, slots, *weights = of
    return sums(tell(axes.constrain(x, 'btd'), slots), slots, *weights)

  return in_chunks(part, (x, slots, beside(mine[2], 0, behind), beside(theirs[2], ahead, 0)), chunk)


def in_chunks(sums, of, chunk: int):
  """sums(of), a tree of f32[], as the sum over `chunk` steps at a time, so that no more logits exist at once.

  The backward pass makes them again. of: arrays [b t ...], those with weights 0 where others fill up; chunk: 0 = all at once.
  """
  if not 0 < chunk < of[0].shape[1]:
    return sums(of)
  pad = -of[0].shape[1] % chunk

  def split(x):
    x = jnp.pad(x, ((0, 0), (0, pad)) + ((0, 0),) * (x.ndim - 2))
    return x.reshape(x.shape[0], -1, chunk, *x.shape[2:]).swapaxes(0, 1)       # [chunks b chunk ...]

  def body(total, part):
    return jax.tree.map(jnp.add, total, sums(part)), None

  zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(sums, tuple(x[:, :1] for x in of)))
  return jax.lax.scan(jax.checkpoint(body, prevent_cse=False), zero, tuple(map(split, of)))[0]


def heard_weight(config, weight, segment=None):
  """f32[b u], what the user's frames that are predicted count: none where the frame before is another clip's.

  weight: f32[b t]; segment: i32[b t] of packed rows, or None.
  """
  found = weight[:, config.predicted]
  if segment is None:
    return found
  before, own = user_part(config, segment, segment)
  return found * (before == own)


def counts(config, slots, user, weight, segment=None):
  """What the sums over a batch are divided by: ([f32[] of each slot], [f32[] of each of the user's codebooks]).

  slots: i32[b t slots], what AudioLM was to say; user: i32[b t q]; weight: f32[b t]; segment: as in `heard_weight`.
  """
  heard, weight_heard = user[:, config.predicted], heard_weight(config, weight, segment)
  each = slot_weights(config, slots, weight)
  return ([present(slots[..., slot], of_slot(each, slot)) for slot in range(config.slots)],
          [present(heard[..., level], weight_heard) for level in range(config.codebooks)])


def combined(config, mine, theirs, divisors):
  """The loss of a batch and its parts.

  mine, theirs: from `both_sums`, each slot of what is said weighed by `slot_weights`, and of the user the frames that are predicted.
  divisors: the `counts`, which may be those of a larger batch.

  Returns:
    f32[], and {codes: the weighted mean over codebooks, a0..: each alone, prosody, user, text, loss}.
  """
  loss, nats = weighed(config, [one / count for (one, _), count in zip(mine, divisors[0])])
  z = sum(square / count for (_, square), count in zip(mine, divisors[0])) / config.slots
  nats['user'] = sum(share * one / count for share, (one, _), count in zip(code_weights(config.codebooks), theirs[-config.codebooks:], divisors[1]))
  loss += USER_WEIGHT * nats['user'] + Z_WEIGHT * z
  return loss, {'loss': loss, **nats}


def weighed(config, means):
  """(their weighted sum, {text, prosody, a0.. and codes: the mean over codebooks}) of the assistant's slots, [f32[] of each slot]."""
  names = (['text'] if config.text_codes else []) + ['prosody'] + [f'a{level}' for level in range(config.codebooks)]
  nats = dict(zip(names, means, strict=True))
  nats['codes'] = sum(share * nats[f'a{level}'] for level, share in enumerate(code_weights(config.codebooks)))
  return nats['codes'] + PROSODY_WEIGHT * nats['prosody'] + TEXT_WEIGHT * nats.get('text', 0.0), nats


def floor_sum(logits, target, weight):
  """The sum of binary cross-entropies. logits: f32[b t k]; target: i32[b t k], 1 or 0, -1 = not known; weight: f32[b t]."""
  nats = jax.nn.softplus(logits) - jnp.maximum(target, 0) * logits
  return jnp.sum(weight[..., None] * (target >= 0) * nats)


def match_sum(heard, answer, there, same):
  """The sum over questions of the nats of their own answer among all answers, and of answers of theirs among all questions, halved.

  Args:
    heard: f32[n z], times how sharply they are compared; answer: f32[n z].
    there: bool[n], False where there is no such exchange.
    same: bool[n n], answers that say the same in the same way: neither is wrong for the other's question.
  """
  score = heard @ answer.T
  others = jnp.where(same & ~jnp.eye(len(heard), dtype=bool), NEVER, score)
  nats = sum(jax.nn.logsumexp(jnp.where(known, others, NEVER), axis) - jnp.diag(score) for axis, known in ((1, there[None]), (0, there[:, None])))
  return jnp.sum(jnp.where(there, nats, 0.0)) / 2


def row_sums(config, every_logits, slots, weight):
  """[(sum of cross-entropy, what it is divided by)] of each row, f32[b] both, of each codebook and of the text.

  Arguments as in `sums`; weight: f32[b t].
  """
  each, found = slot_weights(config, slots, weight), []
  for slot in [*range(config.slots - config.codebooks, config.slots), *([0] if config.text_codes else [])]:
    there = of_slot(each, slot) * (slots[..., slot] >= 0)
    found.append((jnp.sum(there * code_nats(every_logits[slot], slots[..., slot])[0], 1), jnp.sum(there, 1)))
  return found


def by_row(config, found):
  """f32[b], the mean nats a code of each row, weighted over codebooks, and of its text. found: from `row_sums`."""
  return sum(share * nats / jnp.maximum(count, 1.0) for share, (nats, count) in zip([*code_weights(config.codebooks), TEXT_WEIGHT], found))


def divergence_sum(wanted, logits, target, weight):
  """The sum of Kullback-Leibler divergences, of softmax(logits) from softmax(wanted), f32[b t v] both; others as in `masked_sums`."""
  log_p, log_q = jax.nn.log_softmax(wanted), jax.nn.log_softmax(logits)
  return jnp.sum(weight * (target >= 0) * jnp.sum(jnp.exp(log_p) * (log_p - log_q), -1))
