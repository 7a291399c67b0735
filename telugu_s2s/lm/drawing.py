"""How codes are drawn: what each stream asks for, as arrays, so that streams with other settings share one program."""
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.errors import InputError
from telugu_s2s.lm.frames import ABSENT

RECENT = 50                      # frames in which a0 does not repeat itself: 2 s at 25 frames a second
LONGEST = 8                      # codes of what is not repeated, at most
BARRED = 1e9                     # taken off the logit of what may not be said; finite, so that something always may


@dataclasses.dataclass(frozen=True)
class Draw:
  """How a slot's code is drawn."""
  temperature: float = 0.8       # 0 = the likeliest
  top_k: int = 200               # 0 = all
  top_p: float = 1.0             # of the likeliest, as many as have this probability together; 1 = all


@dataclasses.dataclass(frozen=True)
class Sampling:
  """What one stream asks for. A slot that has no Draw of its own is drawn by the first two fields and `top_p`."""
  temperature: float = 0.8
  top_k: int = 200
  silence: int = ABSENT          # a0's code of silence
  silence_bias: float = 0.0      # taken off its logit: the greater, the more is said and the shorter are pauses
  top_p: float = 1.0
  text: Draw | None = None
  a0: Draw | None = None
  guidance: float = 1.0          # how much conditions count, where streams are guided, see sampling.py; 1 = as they were learnt
  floor: float = 0.0             # how likely its turn must be (model.whose_turn) before a voice that is silent speaks, and
                                 # that the user speaks before it gives way; 0 = as it likes, as of a model that tells no turns
  repetition: int = 0            # a0 says no run of so many codes twice within RECENT, silence excepted; 0 = it may


# Text is drawn as Moshi draws it (Defossez et al., 2024); the first code more carefully than its finish.
CAREFUL = Sampling(0.8, 200, text=Draw(0.7, 25), a0=Draw(0.7, 100), repetition=4)


def settings(c, streams):
  """What a batch of streams asks for, as arrays.

  Args:
    c: the model's Config.
    streams: a Sampling for each stream.

  Returns:
    {temperature, top_p: f32[b slots], top_k: i32[b slots], silence, repetition: i32[b], silence_bias, guidance, floor: f32[b]}.

  Raises:
    InputError: a setting is out of its range.
  """
  rows = []
  for how in streams:
    rest = Draw(how.temperature, how.top_k, how.top_p)
    draws = [how.text] if c.text_codes else []
    rows.append([one or rest for one in (*draws, None, how.a0)] + [rest] * (c.codebooks - 1))          # None: of prosody
    for one in rows[-1]:
      _check(one)
    if not (0 <= how.repetition <= LONGEST and how.silence < c.codes and not math.isnan(how.silence_bias)
            and 0 <= how.guidance < math.inf and 0 <= how.floor <= 1):
      raise InputError(f'{how}: repetition is 0 to {LONGEST}, silence one of {c.codes} codes or {ABSENT}, '
                       'silence_bias a number, guidance a number from 0, floor one from 0 to 1')
  array = lambda name, dtype: np.array([[getattr(one, name) for one in row] for row in rows], dtype)
  each = lambda name, dtype: np.array([getattr(how, name) for how in streams], dtype)
  return {'temperature': array('temperature', np.float32), 'top_k': array('top_k', np.int32),
          'top_p': array('top_p', np.float32), 'silence': each('silence', np.int32),
          'silence_bias': each('silence_bias', np.float32), 'guidance': each('guidance', np.float32), 'floor': each('floor', np.float32),
          'repetition': each('repetition', np.int32)}


def _check(draw: Draw):
  if not (0 <= draw.temperature < math.inf and draw.top_k >= 0 and 0 < draw.top_p <= 1):
    raise InputError(f'{draw}: temperature is from 0, top_k from 0, top_p over 0 and at most 1')


def draw(logits, keys, temperature, top_k, top_p):
  """i32[b] from f32[b v] by key[b], f32[b], i32[b] and f32[b]; a stream's depends on nothing of the others."""
  x = logits / jnp.maximum(temperature, 1e-6)[:, None]
  size = x.shape[-1]
  wanted = jnp.where((top_k <= 0) | (top_k > size), size, top_k)
  least = jax.lax.cond(jnp.any(wanted < size), lambda: _least(x, jnp.ones_like(x), wanted), lambda: jnp.min(x, -1))
  share = jnp.where(x < least[:, None], 0, jnp.exp(x - jnp.max(x, -1, keepdims=True)))

  def nucleus():
    least = _least(x, share, top_p * jnp.sum(share, -1))
    return jnp.where((x < least[:, None]) & (top_p < 1)[:, None], 0, share)
  share = jax.lax.cond(jnp.any(top_p < 1), nucleus, lambda: share)
  return jnp.where(temperature == 0, jnp.argmax(logits, -1), _picked(share, keys)).astype(jnp.int32)


def _picked(share, keys):
  """i32[b], an index of each row of f32[b v] as often as its share says.

  One random number a row, and halving to where the sum of shares reaches it: noise for each entry takes longer than all else.
  """
  wanted = (1 - jax.vmap(jax.random.uniform)(keys)) * jnp.sum(share, -1)       # over 0: an entry without a share is never it
  index = jnp.arange(share.shape[-1])

  def halve(_, ends):
    low, high = ends
    middle = (low + high) // 2
    reached = jnp.sum(jnp.where(index <= middle[:, None], share, 0), -1) >= wanted
    return jnp.where(reached, low, middle + 1), jnp.where(reached, middle, high)
  ends = jnp.zeros(len(share), jnp.int32), jnp.full(len(share), share.shape[-1] - 1, jnp.int32)
  return jax.lax.fori_loop(0, share.shape[-1].bit_length(), halve, ends)[1]


def _least(x, weight, wanted):
  """The greatest number f32[b] such that what is not below it in x f32[b v] weighs `wanted` [b] or more.

  Halves the interval bit by bit, which is exact. Sorting costs 4 ms for 32 rows of 1024 on a CPU core, this 0.3.
  """
  order = _ordered(x)

  def halve(_, ends):
    low, high = ends
    middle = (low >> 1) + (high >> 1) + ((low | high) & 1)                     # rounded up, without overflow
    enough = jnp.sum(jnp.where(order >= middle[:, None], weight, 0), -1) >= wanted
    return jnp.where(enough, middle, low), jnp.where(enough, high, middle - 1)
  low, _ = jax.lax.fori_loop(0, 32, halve, (jnp.min(order, -1), jnp.max(order, -1)))
  return jax.lax.bitcast_convert_type(_turned(low), jnp.float32)


def _ordered(x):
  """Float32 numbers as integers in the same order."""
  return _turned(jax.lax.bitcast_convert_type(x, jnp.int32))


def _turned(bits):
  return jnp.where(bits < 0, bits ^ 0x7fffffff, bits)


def held(recent, how, mine, theirs, position, frames: int):
  """What is taken off the logits of silence, f32[b]: -BARRED by who waits for a turn or gives way, BARRED by who begins.

  A stream that was silent for `frames` waits; one that pauses for less goes on as it likes. It begins at an even frame, where
  prosody is, and for twice as long it may not fall silent again while its turn lasts: who does not know what to say tries. It gives
  way where the user takes it.

  Args:
    recent: as in `barred`. mine, theirs: f32[b], from model.whose_turn. position: i32[b].
  """
  quiet = (recent == how['silence'][:, None]) | (recent == ABSENT)
  ends = range(max(frames, RECENT - 2 * frames), RECENT + 1)
  waited = jnp.stack([jnp.all(quiet[:, end - frames:end], 1) for end in ends], 1)        # [b 2 frames + 1], the newest last
  asked, own, waits = (how['floor'] > 0) & (how['silence'] >= 0), mine >= how['floor'], waited[:, -1]
  begins = own & jnp.where(waits, position % 2 == 0, jnp.any(waited, 1))
  return jnp.where(asked & begins, BARRED, jnp.where(asked & (waits | (theirs >= how['floor'])), -BARRED, 0.0))


def barred(recent, how, codes: int):
  """What is taken off a0's logits, f32[b codes]: the bias of silence, and BARRED where a run would be said again.

  recent: i32[b RECENT], a0 of the frames before, the newest last, ABSENT where there was none; how: from `settings`.
  """
  length, silence = how['repetition'][:, None], how['silence'][:, None]
  ends = jnp.arange(RECENT)
  same = (recent != ABSENT) & (recent != silence) & (ends >= length - 1) & (length > 0)
  for back in range(1, LONGEST):                 # the codes before each of `recent` are those that were said last
    said = jnp.pad(recent[:, :-back], ((0, 0), (back, 0)), constant_values=ABSENT)
    same &= (back >= length) | ((said == recent[:, -back][:, None]) & (said != ABSENT))
  row = jnp.arange(len(recent))[:, None]
  off = jnp.zeros((len(recent), codes)).at[row, jnp.where(same, recent, codes)].set(BARRED, mode='drop')
  return off.at[row, jnp.where(silence >= 0, silence, codes)].add(how['silence_bias'][:, None], mode='drop')
