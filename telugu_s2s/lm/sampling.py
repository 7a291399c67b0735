"""Speaking: one compiled step a frame samples all slots of a batch of streams and carries their memory."""
import dataclasses

import jax
import jax.numpy as jnp

from telugu_s2s.lm import model
from telugu_s2s.lm.frames import ABSENT


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How a slot's code is drawn."""
  temperature: float = 0.8       # 0 = the likeliest
  top_k: int = 200               # 0 = all
  silence: int = ABSENT          # a0's code of silence
  silence_bias: float = 0.0      # taken off its logit: the greater, the more is said and the shorter are pauses


def draw(logits, key, how: Sampling):
  """i32[b] from f32[b v]."""
  if how.temperature == 0:
    return jnp.argmax(logits, -1).astype(jnp.int32)
  if how.top_k and how.top_k < logits.shape[-1]:
    least = jax.lax.top_k(logits, how.top_k)[0][:, -1:]
    logits = jnp.where(logits < least, -jnp.inf, logits)
  return jax.random.categorical(key, logits / how.temperature).astype(jnp.int32)


def empty_state(c: model.Config, batch: int):
  """Streams that have not begun: the cache, each stream's frames so far i32[b], and what it said last i32[b slots]."""
  return {'cache': model.empty_memory(c, batch)[0], 'position': jnp.zeros((batch,), jnp.int32),
          'said': jnp.full((batch, c.slots), ABSENT, jnp.int32)}


def step(c: model.Config, params, state, user, key, how: Sampling, forced=None):
  """One frame of a batch of streams.

  Args:
    state: from `empty_state` or the step before; donate it.
    user: i32[b q], the user's frame just heard.
    key: a random key; each stream draws with its own.
    how: of the codes; prosody is drawn with its temperature.
    forced: i32[b slots], what is said instead of what was drawn where it is not ABSENT, or None.

  Returns:
    The next state and i32[b slots]: (text,) prosody (ABSENT at odd steps), a0 of this frame, and a1.. of the
    frame `delay` before, which are meaningless until `delay` frames have passed.
  """
  net, b = model.AudioLM(c), user.shape[0]
  position = state['position']
  h, cache = net.apply({'params': params}, state['said'][:, None], user[:, None], position[:, None], state['cache'],
                       method='think')
  depth, said, last = model.empty_memory(c, b)[1], [], None
  keys = jax.random.split(key, b)
  first = c.slots - c.codebooks
  for slot in range(c.slots):
    number = jnp.full((b, 1), slot, jnp.int32)
    logits, depth = net.apply({'params': params}, h[:, 0], last, slot, number, depth, method='slot_step')
    if slot == first and how.silence >= 0:
      logits = logits.at[:, how.silence].add(-how.silence_bias)
    last = jax.vmap(lambda row, one: draw(row[None], jax.random.fold_in(one, slot), how)[0])(logits, keys)
    if slot == first - 1:
      last = jnp.where(position % 2 == 0, last, ABSENT)
    elif slot > first:
      last = jnp.where(position >= c.delay, last, ABSENT)
    if forced is not None:
      last = jnp.where(forced[:, slot] >= 0, forced[:, slot], last)
    said.append(last)
  said = jnp.stack(said, 1)
  return {'cache': cache, 'position': position + 1, 'said': said}, said


def prefill(c: model.Config, params, state, slots, user):
  """Reads a prompt in one call.

  Args:
    slots: i32[b t slots], what the assistant said at each step; user: i32[b t q].

  Returns:
    The state after step t, as if `step` had been forced to say `slots`.
  """
  net = model.AudioLM(c)
  read = jnp.concatenate([state['said'][:, None], slots[:, :-1]], 1)
  position = state['position'][:, None] + jnp.arange(slots.shape[1])
  _, cache = net.apply({'params': params}, read, user, position, state['cache'], method='think')
  return {'cache': cache, 'position': state['position'] + slots.shape[1], 'said': slots[:, -1]}


def generate(c: model.Config, params, state, user, key, how: Sampling):
  """Speaks while the user says `user` i32[b t q]: the state and all slots i32[b t slots]. One compiled scan."""
  def body(state, inputs):
    frame, number = inputs
    return step(c, params, state, frame, jax.random.fold_in(key, number), how)
  state, slots = jax.lax.scan(body, state, (user.swapaxes(0, 1), jnp.arange(user.shape[1])))
  return state, slots.swapaxes(0, 1)
