"""Residual vector quantization over factorised, normalised codes (SoundStream III-C; DAC 3.2), its first level apart."""
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import normal


def unit(x):
  """x scaled to length 1 along its last axis, in float32."""
  x = x.astype(jnp.float32)
  return x * jax.lax.rsqrt(jnp.sum(x**2, -1, keepdims=True) + 1e-12)


def product(x, y):
  """x @ y to the last bit of float32: NVIDIA's GPUs else keep 10 bits of a factor (TF32), and frames get other codes than on a CPU."""
  return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


class Quantizer(nn.Module):
  """Each level codes what the levels before it left over.

  split: level 0 stands beside the others: level 1 begins with the whole frame again, so that level 0 can be
  taught what is said without the others having to mend it (Mimi: Defossez et al., 2024, 3.3.3).
  """
  codebooks: int
  codes: int
  width: int
  code_width: int = 8            # DAC's: a lookup in few dimensions keeps every code in use
  split: bool = False

  def setup(self):
    q, v, d, z = self.codebooks, self.codes, self.width, self.code_width
    self.into_qdz = self.param('into_qdz', normal(d ** -0.5), (q, d, z))
    self.table_qvz = self.param('table_qvz', normal(1.0), (q, v, z))
    self.out_qzd = self.param('out_qzd', normal(z ** -0.5), (q, z, d))

  def entry(self, level, code):
    """Level `level`'s contribution of codes i32[...]: f32[... d]."""
    return product(unit(self.table_qvz[level])[code], self.out_qzd[level])

  def __call__(self, x, levels=None, exact=None):
    """Quantizes encoder frames.

    Args:
      x: f32[b t d].
      levels: i32[b], how many levels each row is decoded from (quantizer dropout), or None for all.
      exact: bool[b], rows that go through each level's few dimensions but not to its nearest code, or None.

    Returns:
      The sum of entries f32[b t d] with the straight-through gradient, and a dict: codes i32[b t q];
      codebook and commitment losses (means over the levels in use); latent f32[b t q z], the unit
      vectors that were looked up (what dead codes are restarted from).
    """
    rest, total, codes, latents, codebook, commit = x.astype(jnp.float32), 0.0, [], [], 0.0, 0.0
    levels = jnp.full(x.shape[:1], self.codebooks) if levels is None else levels
    used = 0.0
    for level in range(self.codebooks):
      latent = unit(product(rest, self.into_qdz[level]))                        # [b t z]
      table = unit(self.table_qvz[level])
      code = jnp.argmax(product(latent, table.T), -1)                           # [b t], highest cosine
      chosen = table[code]
      on = (level < levels)[:, None, None].astype(jnp.float32)
      codebook += jnp.mean(on * (chosen - jax.lax.stop_gradient(latent)) ** 2) * latent.shape[-1]
      held = on if exact is None else on * (1.0 - exact[:, None, None])
      commit += jnp.mean(held * (latent - jax.lax.stop_gradient(chosen)) ** 2) * latent.shape[-1]
      used += jnp.mean(on)
      chosen = latent + jax.lax.stop_gradient(chosen - latent)
      if exact is not None:
        chosen = jnp.where(exact[:, None, None], latent, chosen)
      step = product(chosen, self.out_qzd[level])
      total = total + on * step
      if level or not self.split:
        rest = rest - step
      codes.append(code)
      latents.append(latent)
    return total, {'codes': jnp.stack(codes, -1).astype(jnp.int32), 'codebook': codebook / used,
                   'commit': commit / used, 'latent': jnp.stack(latents, 2)}

  def first_latent(self, x):
    """What level 0 looks up for frames f32[b t d]: unit vectors f32[b t z]."""
    return unit(product(x.astype(jnp.float32), self.into_qdz[0]))

  def decode(self, codes):
    """Codes i32[b t q], of all or only the first levels, to the sum of their entries f32[b t d]."""
    return sum(self.entry(level, codes[..., level]) for level in range(codes.shape[-1]))


def restart(table_qvz, usage_qv, latent, key, threshold):
  """Codes used less than `threshold` of their fair share start again from the batch's own frames.

  Mimi's rule (Defossez et al., 2024, 3.3): free of the batch size.

  Args:
    table_qvz: f32[q v z].
    usage_qv: f32[q v], running share of frames per code (a row sums to 1).
    latent: f32[b t q z], unit vectors of this batch.
    key: of the random choice of frames.
    threshold: share of 1/v below which a code restarts.

  Returns:
    The table, the usage (1/v where restarted) and how many codes restarted, i32[].
  """
  q, v, z = table_qvz.shape
  frames = latent.reshape(-1, q, z)
  pick = jax.random.randint(key, (q, v), 0, frames.shape[0])
  fresh = jnp.take_along_axis(frames.swapaxes(0, 1), pick[..., None], axis=1)   # [q v z]
  dead = usage_qv < threshold / v
  length = jnp.linalg.norm(table_qvz, axis=-1, keepdims=True)
  table = jnp.where(dead[..., None], fresh * length, table_qvz)
  return table, jnp.where(dead, 1.0 / v, usage_qv), jnp.sum(dead)
