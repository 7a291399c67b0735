"""What the language model is trained on: weighted cross-entropy of every slot, in nats."""
import jax
import jax.numpy as jnp
import numpy as np

# Shares of a0..a7: what is said counts more than its finish (MiMo-Audio, 2025, table 2).
CODE_WEIGHTS = np.array([12, 8, 6, 4, 2, 2, 1, 1]) / 36
PROSODY_WEIGHT = 0.5
TEXT_WEIGHT = 1.0
USER_WEIGHT = 0.25
Z_WEIGHT = 1e-4                  # keeps logits near zero (PaLM, Chowdhery et al., 2022, 5)


def code_weights(codebooks: int):
  """f32[q] summing to 1, for any number of codebooks."""
  weights = CODE_WEIGHTS[:codebooks] if codebooks <= 8 else np.pad(CODE_WEIGHTS, (0, codebooks - 8), mode='edge')
  return weights / weights.sum()


def masked_mean(logits, target, weight):
  """Mean cross-entropy and mean squared log-partition where the target is present and weighted.

  logits: f32[b t v]; target: i32[b t], -1 = absent; weight: f32[b t].
  """
  weight = weight * (target >= 0)
  log_z = jax.nn.logsumexp(logits, -1)
  nats = log_z - jnp.take_along_axis(logits, jnp.maximum(target, 0)[..., None], -1)[..., 0]
  total = jnp.maximum(jnp.sum(weight), 1.0)
  return jnp.sum(weight * nats) / total, jnp.sum(weight * log_z**2) / total


def total(config, mine, theirs, slots, user, weight):
  """The loss of a batch and its parts.

  Args:
    config: the model's Config.
    mine, theirs, slots: what AudioLM returned.
    user: i32[b t q], the user's codes.
    weight: f32[b t].

  Returns:
    f32[], and {codes: the weighted mean over codebooks, a0..: each alone, prosody, user, text, loss}.
  """
  q, nats, z = config.codebooks, {}, 0.0
  names = (['text'] if config.text_codes else []) + ['prosody'] + [f'a{level}' for level in range(q)]
  for slot, name in enumerate(names):
    nats[name], square = masked_mean(mine[slot], slots[..., slot], weight)
    z += square / len(names)
  share = code_weights(q)
  nats['codes'] = sum(share[level] * nats[f'a{level}'] for level in range(q))
  every = config.user_every
  nats['user'] = sum(share[level] * masked_mean(theirs[level], user[:, 1::every, level], weight[:, 1::every])[0]
                     for level in range(q))
  loss = nats['codes'] + PROSODY_WEIGHT * nats['prosody'] + USER_WEIGHT * nats['user'] + Z_WEIGHT * z
  loss += TEXT_WEIGHT * nats.get('text', 0.0)
  return loss, {'loss': loss, **nats}
