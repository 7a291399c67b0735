"""The losses between a codec and its discriminators, none of which grows with their number.

`real` and `fake` are what `Discriminators` returns for true and for decoded speech: a list of feature
maps for each discriminator, its logits last.
"""
import jax
import jax.numpy as jnp


def discriminator_loss(real, fake):
  """Least squares (Mao et al., 2017): logits of true speech to 1, of decoded to 0; 0.5 where they cannot be told apart."""
  return _mean(jnp.mean((1 - a[-1]) ** 2) + jnp.mean(b[-1] ** 2) for a, b in zip(real, fake, strict=True))


def generator_losses(real, fake):
  """What the codec is to lower: {'adversarial', 'feature'}, float32.

  adversarial: least squares of the decoded speech's logits to 1; 1 where the discriminators win.
  feature: L1 between the feature maps, each divided by the mean magnitude of the true one (EnCodec, Defossez
    et al., 2022, eq. 6), so that it is a share and no layer's scale counts; mean over a discriminator's
    layers, then over discriminators. (DAC sums the plain L1 of all layers: its weight of 2 means another thing.)
  """
  def distance(a, b):
    a, b = jax.lax.stop_gradient(a).astype(jnp.float32), b.astype(jnp.float32)
    return jnp.mean(jnp.abs(a - b)) / (jnp.mean(jnp.abs(a)) + 1e-3)

  return {'adversarial': _mean(jnp.mean((1 - maps[-1]) ** 2) for maps in fake),
          'feature': _mean(_mean(map(distance, a[:-1], b[:-1])) for a, b in zip(real, fake, strict=True))}


def both_sides(discriminate, params, real, fake, weights):
  """The losses and the gradients of both sides from one pass: the judges move against the codec they have just met.

  A step on each side with its own passes costs 9 forward passes' worth of arithmetic, this one 7.

  Args:
    discriminate: (params, f32[b t]) -> lists of feature maps.
    params: the discriminators'.
    real, fake: f32[b t], true and decoded speech.
    weights: {'adversarial', 'feature'}: how much each counts for the codec.

  Returns:
    Losses {'discriminator', 'adversarial', 'feature'}; the gradient of the first for `params`; and that of
    the weighted sum of the others for `fake`, f32[b t], to be carried on into the codec.
  """
  heard, from_real = jax.vjp(lambda params: discriminate(params, real), params)
  made, from_fake = jax.vjp(discriminate, params, fake)

  def pull(made):
    parts = generator_losses(heard, made)
    return sum(weights[name] * value for name, value in parts.items()), parts

  loss, (to_heard, to_made) = jax.value_and_grad(discriminator_loss, (0, 1))(heard, made)
  (_, parts), pulled = jax.value_and_grad(pull, has_aux=True)(made)
  grads = jax.tree.map(jnp.add, from_real(to_heard)[0], from_fake(to_made)[0])
  return {'discriminator': loss, **parts}, grads, from_fake(pulled)[1]


def _mean(values):
  values = list(values)
  return sum(values) / len(values)
