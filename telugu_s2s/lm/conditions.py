"""What a voice is asked for beside the dialogue: who it is, how it feels, how it delivers a phrase, with what between, and what it speaks for.

Each condition is a vector; their sum is added to what the temporal transformer reads at every step, so it takes no place in
the memory of a stream and never falls out of its window. What is absent adds exactly zero, and guidance compares with that.
"""
import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import normal, zeros

from telugu_s2s.codec.transformer import fan_in, rms_norm
from telugu_s2s.lm.frames import ABSENT, looked_up

NONVERBAL = 'breath', 'filler'   # each 0 = none, 1 = some: audible breaths, and filled pauses
NAMES = ('speaker', 'reference', 'emotion', 'knobs', 'task', 'guidance', *NONVERBAL)
KNOBS = ('pitch', 'range', 'rate', 'energy')     # of a phrase: mean F0 against the speaker's, F0 range, syllables, loud to soft
COEFFICIENTS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)      # of guidance, where it is learnt as a condition
# What is drawn for a row in training, the frames that are told among it, each from a key that is folded by its place here: what is new
# comes last, and changes no other.
DRAWS = ('speaker', 'reference', 'emotion', 'knobs', 'task', 'guidance', 'some', 'share', 'knobs alone', *NONVERBAL, 'told')
DROP, DROP_ALL = 0.2, 0.1        # shares of rows that learn without a condition, and without any (PersonaPlex drops 0.2)
TIE_WEIGHT = 0.01                # of the mean square between a speaker's row and the voice of a recording
BLOCKS, TAPS = 2, 3              # of the reference encoder


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Which conditions there are; 0 = there is no such condition."""
  width: int                     # of the model
  speakers: int                  # rows of their table
  reference: bool                # a voice may be heard from a recording instead
  voice_width: int               # of what speakers and recordings are told apart by
  emotions: int
  knob_bins: int                 # of each knob
  tasks: int
  guidances: int                 # of COEFFICIENTS, that many
  nonverbal: bool = False        # those of NONVERBAL

  @property
  def tables(self) -> dict:
    """{name: entries} of the conditions that are one number and one table."""
    found = {'emotion': self.emotions, 'task': self.tasks, 'guidance': self.guidances}
    return {name: size for name, size in found.items() if size} | ({name: 2 for name in NONVERBAL} if self.nonverbal else {})

  @property
  def entries(self) -> dict:
    """{name: how many values it has} of the conditions that there are, recordings aside."""
    found = {'speaker': self.speakers, 'knobs': self.knob_bins} | self.tables
    return {name: size for name, size in found.items() if size}

  @property
  def any(self) -> bool:
    return bool(self.entries) or self.reference


def filled(c: Sizes, given: dict, codebooks: int, rows: int = 1) -> dict:
  """All conditions of a model, those that `given` has and ABSENT for the others.

  given: {speaker, emotion, task, guidance, breath, filler: i32[b]; knobs: i32[b 4]; reference: i32[b r q], codes of a recording, ABSENT
    where it is over}, any of them; a condition that the model does not have is passed over.
  rows: b, where nothing is given.
  """
  b = len(next(iter(given.values()))) if given else rows
  shapes = {name: (b, len(KNOBS)) if name == 'knobs' else (b,) for name in c.entries}
  if c.reference:
    shapes['reference'] = (b, 1, codebooks)
  return {name: given[name] if name in given else jnp.full(shape, ABSENT, jnp.int32) for name, shape in shapes.items()}


def heard(conditions: dict):
  """bool[b], the rows that have a recording."""
  return jnp.any(conditions['reference'][..., 0] >= 0, -1)


def tied(c: Sizes, conditions: dict):
  """bool[b], the rows that have both a speaker and a recording, or None where a model cannot have both."""
  return (conditions['speaker'] >= 0) & heard(conditions) if c.speakers and c.reference else None


def kept(key, c: Sizes, conditions: dict) -> dict:
  """What a row learns with in training: {name: bool[b]; knobs: bool[b 4]}, drawn for each row and condition alone.

  Speaker and recording are one condition. Where both are there, each is the one that is read in half of the rows. Of knobs a row
  drops a share of its own between DROP and 1: recordings have all four, and people ask for one or two. An emotion tells much of how
  a voice delivers: half of the rows that have both go without it where they keep a knob, or knobs would tell nothing more.
  """
  b = len(next(iter(conditions.values())))
  drawn = lambda name, *shape: jax.random.uniform(jax.random.fold_in(key, DRAWS.index(name)), (b, *shape))
  some = drawn('some') >= DROP_ALL
  on = {name: some & (drawn(name) >= DROP) for name in ('speaker', *c.tables)}
  found = {name: on[name] for name in conditions if name in c.tables}
  if c.speakers:
    found['speaker'] = on['speaker']
  if c.reference:
    found['reference'] = on['speaker']
  both = tied(c, conditions)
  if both is not None:
    second = drawn('reference') < 0.5
    found['speaker'] &= ~(both & second)
    found['reference'] &= ~(both & ~second)
  if c.knob_bins:
    share = DROP + (1 - DROP) * drawn('share', 1)
    found['knobs'] = some[:, None] & (drawn('knobs', len(KNOBS)) >= share)
    if c.emotions:
      told = jnp.any(found['knobs'] & (conditions['knobs'] >= 0), -1)
      found['emotion'] &= ~(told & (drawn('knobs alone') < 0.5))
  return found


class Reference(nn.Module):
  """The voice of a recording: convolutions over its frames, their mean and spread, weighed by attention.

  After ECAPA-TDNN (Desplanques et al., 2020, 3.1), in small, and of codes instead of a spectrum.
  """
  width: int

  @nn.compact
  def __call__(self, x, there):
    """f32[b z] of root mean square 1, 0 where there is no frame. x: f32[b r d], embedded codes; there: bool[b r]."""
    z, mask = self.width, there[..., None]
    x = jnp.where(mask, x @ self.param('into_dz', fan_in, (x.shape[-1], z)), 0)
    for block in range(BLOCKS):
      y = rms_norm(x, self.param(f'norm{block}_z', zeros, (z,)))
      kernel = self.param(f'mix{block}_wio', normal((TAPS * z) ** -0.5), (TAPS, z, z))
      y = jax.lax.conv_general_dilated(y, kernel.astype(y.dtype), (1,), 'SAME', dimension_numbers=('NWC', 'WIO', 'NWC'))
      x = jnp.where(mask, x + nn.silu(y), 0)
    score = jnp.where(there, x @ self.param('weigh_z', normal(z ** -0.5), (z,)), -1e9)
    share = jax.nn.softmax(score, -1)[..., None] * mask
    mean = jnp.sum(share * x, 1)
    spread = jnp.sqrt(jnp.sum(share * (x - mean[:, None]) ** 2, 1) + 1e-6)
    y = jnp.concatenate([mean, spread], -1) @ self.param('out_iz', fan_in, (2 * z, z))
    return jnp.where(jnp.any(there, -1, keepdims=True), rms_norm(y, 0.0), 0)


class Conditions(nn.Module):
  """The sum of conditions."""
  sizes: Sizes

  @nn.compact
  def __call__(self, conditions, recorded=None, keep=None):
    """What is added to every step.

    Args:
      conditions: from `filled`. A recording goes before a speaker where `keep` leaves both.
      recorded: f32[b r d], the embedded codes of the recordings.
      keep: from `kept`, or None for all.

    Returns:
      f32[b d], and the mean square f32[b] between a speaker's row and the voice of the recording, 0 where not both are there.
    """
    c, b = self.sizes, len(next(iter(conditions.values())))
    on = lambda name: True if keep is None or name not in keep else keep[name]
    asked = lambda name: jnp.where(on(name), conditions[name], ABSENT)
    total, squares = jnp.zeros((b, c.width)), jnp.zeros((b,))
    if c.speakers or c.reference:
      row = voice = jnp.zeros((b, c.voice_width))
      if c.speakers:
        # Rows and voices lie on one sphere: only the direction tells speakers apart.
        row = rms_norm(looked_up(self.param('speaker_cz', normal(1.0), (c.speakers, c.voice_width)), conditions['speaker']), 0.0)
      if c.reference:
        voice = Reference(c.voice_width, name='reference')(recorded, conditions['reference'][..., 0] >= 0)
        chosen = (heard(conditions) & on('reference'))[:, None]
      if c.speakers and c.reference:
        squares = jnp.where(tied(c, conditions), jnp.mean((row - voice) ** 2, -1), 0)
      if c.speakers:
        row = jnp.where(jnp.broadcast_to(on('speaker'), (b,))[:, None], row, 0)
      voice = jnp.where(chosen, voice, row) if c.reference else row
      total += voice @ self.param('voice_zd', normal(0.5 * c.voice_width ** -0.5), (c.voice_width, c.width))
    for name, size in c.tables.items():
      # Guidance is learnt by distillation alone, and breaths by data that has any; until then they change nothing.
      init = zeros if name in ('guidance', *NONVERBAL) else normal(0.5)
      total += looked_up(self.param(f'{name}_cd', init, (size, c.width)), asked(name))
    if c.knob_bins:
      table, value = self.param('knobs_cd', normal(0.5), (len(KNOBS) * c.knob_bins, c.width)), asked('knobs')
      total += jnp.sum(looked_up(table, jnp.where(value >= 0, value + c.knob_bins * jnp.arange(len(KNOBS)), ABSENT)), 1)
    return total.astype(jnp.float32), squares


def guidance(coefficient: float, guidances: int) -> int:
  """The number of the nearest of the first `guidances` COEFFICIENTS, for a model that learnt them as a condition."""
  return min(range(guidances), key=lambda number: abs(COEFFICIENTS[number] - coefficient))
