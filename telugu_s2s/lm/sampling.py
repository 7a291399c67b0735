"""Speaking: one compiled step a frame samples all slots of a batch of streams and carries their memory.

A stream's draws depend on its own key, its own frame and its own settings, so what it says is the same
alone, among others, frame by frame and in bursts. Where streams are guided (classifier-free guidance, Ho & Salimans,
2022), each is read twice, with its conditions and without any, and speaks by what they change, times a coefficient.
"""
import jax
import jax.numpy as jnp

from telugu_s2s.codec.precision import dense
from telugu_s2s.codec.transformer import EMPTY
from telugu_s2s.lm import drawing, model
from telugu_s2s.lm.drawing import Sampling
from telugu_s2s.lm.frames import ABSENT, PAD, SILENT


def empty_state(c: model.Config, batch: int, guided=False):
  """Streams that have not begun.

  Args:
    guided: read each stream twice, for Sampling.guidance; takes a model with conditions.

  Returns:
    {cache, position: i32[b], each stream's frames so far, said: i32[b slots], what it said last,
    recent: i32[b RECENT], its last a0}, with a model that has conditions condition: f32[b d], from `conditioned`, and with one
    that tells who speaks next floor: f32[b 2 spans], the logits of AudioLM.floor at the last frame.
    Where guided the cache has 2 b rows, the last b without conditions.
  """
  state = {'cache': model.empty_memory(c, 2 * batch if guided else batch)[0], 'position': jnp.zeros((batch,), jnp.int32),
           'said': jnp.full((batch, c.slots), ABSENT, jnp.int32),
           'recent': jnp.full((batch, drawing.RECENT), ABSENT, jnp.int32)}
  if c.floor_frames:
    state['floor'] = jnp.zeros((batch, model.STREAMS * model.SPANS))
  return {**state, 'condition': jnp.zeros((batch, c.width))} if c.conditions.any else state


def conditioned(c: model.Config, params, state, given, rows=None):
  """The state with other conditions from the next frame on.

  Args:
    given: any of the conditions, each for all b streams, see conditions.filled; what is not given is absent.
    rows: bool[b], the streams that change; None = all.
  """
  condition, _ = model.AudioLM(c).apply({'params': dense(params)}, given, method='condition')
  return {**state, 'condition': condition if rows is None else jnp.where(rows[:, None], condition, state['condition'])}


def _twice(state, x):
  """x [b ...] for each row of the cache."""
  return jnp.concatenate([x, x]) if _guided(state) else x


def _guided(state) -> bool:
  return state['cache']['position'].shape[0] != state['position'].shape[0]


def _condition(state):
  """f32[rows of the cache, d], or None where a model has no conditions."""
  condition = state.get('condition')
  return jnp.concatenate([condition, jnp.zeros_like(condition)]) if _guided(state) else condition


def reset(state, rows):
  """The state with the streams of bool[b] begun anew. What has no position is not seen, but a NaN there would be heard for ever."""
  begun = lambda x, value: jnp.where(rows.reshape(-1, *[1] * (x.ndim - 1)), value, x)
  twice = _twice(state, rows)
  seen = jnp.where(twice[:, None], EMPTY, state['cache']['position'])
  cache = {name: jnp.where(twice[:, None, None, None], 0, state['cache'][name]) for name in ('k', 'v')}            # [layers b ...]
  fresh = {'position': 0, 'said': ABSENT, 'recent': ABSENT, 'condition': 0.0, 'floor': 0.0}
  return {'cache': {**state['cache'], **cache, 'position': seen}} | {name: begun(state[name], fresh[name]) for name in fresh.keys() & state}


def step(c: model.Config, params, state, user, keys, how, forced=None):
  """One frame of a batch of streams.

  Args:
    params: float32 or narrowed by codec/precision.py.
    state: from `empty_state` or the step before; `frame` donates it.
    user: i32[b q], the user's frame just heard.
    keys: key[b], the same at every step, or one key for all.
    how: from drawing.settings, or one Sampling for all.
    forced: i32[b slots], what is said instead of what was drawn where it is not ABSENT, or None.

  Returns:
    The next state and i32[b slots]: (text,) prosody (ABSENT at odd steps), a0 of this frame, and a1.. of the
    frame `delay` before, which are meaningless until `delay` frames have passed.
  """
  net, params, b, guided = model.AudioLM(c), dense(params), user.shape[0], _guided(state)
  keys, how = each(keys, b), _arrays(c, how, b)
  position = state['position']
  h, cache = net.apply({'params': params}, *(_twice(state, x)[:, None] for x in (state['said'], user, position)), state['cache'],
                       _condition(state), method='think')
  depth, said, last = model.empty_memory(c, h.shape[0])[1], [], None
  keys = jax.vmap(jax.random.fold_in)(keys, position)
  first = c.slots - c.codebooks
  if c.floor_frames:
    state = {**state, 'floor': net.apply({'params': params}, h[:b, 0], method='floor')}
    held = drawing.held(state['recent'], how, *model.whose_turn(state['floor']), position, c.floor_frames)
    how = how | {'silence_bias': how['silence_bias'] + held}
  for slot in range(c.slots):
    number = jnp.full((h.shape[0], 1), slot, jnp.int32)
    before = _twice(state, last) if slot else None
    logits, depth = net.apply({'params': params}, h[:, 0], before, slot, number, depth, method='slot_step')
    if guided:                     # so written that a coefficient of 1 takes nothing away and adds nothing
      logits = logits[:b] + (how['guidance'] - 1)[:, None] * (logits[:b] - logits[b:])
    if slot == first - 1 and c.floor_frames:
      logits = logits.at[:, SILENT].add(-held)
    if slot < first - 1 and c.floor_frames:                  # who waits has no words; who begins may have one later
      logits = logits.at[:, PAD].add(jnp.maximum(-held, 0))
    if slot == first:
      logits -= drawing.barred(state['recent'], how, c.codes)
    last = drawing.draw(logits, jax.vmap(jax.random.fold_in, (0, None))(keys, slot),
                        *(how[name][:, slot] for name in ('temperature', 'top_k', 'top_p')))
    if slot == first - 1:
      last = jnp.where(position % 2 == 0, last, ABSENT) if c.prosody else jnp.full_like(last, ABSENT)
    elif slot > first:
      last = jnp.where(position >= c.delay, last, ABSENT)
    if forced is not None:
      last = jnp.where(forced[:, slot] >= 0, forced[:, slot], last)
    said.append(last)
  said = jnp.stack(said, 1)
  recent = jnp.concatenate([state['recent'][:, 1:], said[:, first:first + 1]], 1)
  return {**state, 'cache': cache, 'position': position + 1, 'said': said, 'recent': recent}, said


def each(key, batch: int):
  """Keys key[b] of a batch, made of one if only one is given."""
  return key if key.ndim else jax.random.split(key, batch)


def _arrays(c, how, batch):
  return drawing.settings(c, [how] * batch) if isinstance(how, Sampling) else how


def prefill(c: model.Config, params, state, slots, user):
  """Reads a prompt in one call; what of it lies beyond the window frame by frame, as there a chunk's distances to the sinks are others.

  Args:
    slots: i32[b t slots], what the assistant said at each step; user: i32[b t q].

  Returns:
    The state after step t, as if `step` had been forced to say `slots`.
  """
  if c.sinks and slots.shape[1] > c.window:
    state = prefill(c, params, state, slots[:, :c.window], user[:, :c.window])
    later = [x[:, c.window:].swapaxes(0, 1)[:, :, None] for x in (slots, user)]
    return jax.lax.scan(lambda state, x: (prefill(c, params, state, *x), None), state, later)[0]
  net = model.AudioLM(c)
  read = jnp.concatenate([state['said'][:, None], slots[:, :-1]], 1)
  position = state['position'][:, None] + jnp.arange(slots.shape[1])
  h, cache = net.apply({'params': dense(params)}, *(_twice(state, x) for x in (read, user, position)), state['cache'],
                       _condition(state), method='think')
  if c.floor_frames:
    state = {**state, 'floor': net.apply({'params': dense(params)}, h[:len(slots), -1], method='floor')}
  recent = jnp.concatenate([state['recent'], slots[..., c.slots - c.codebooks]], 1)[:, -drawing.RECENT:]
  return {**state, 'cache': cache, 'position': state['position'] + slots.shape[1], 'said': slots[:, -1], 'recent': recent}


def generate(c: model.Config, params, state, user, keys, how):
  """Speaks while the user says `user` i32[b t q]: the state and all slots i32[b t slots]. One compiled scan."""
  keys, how = each(keys, len(user)), _arrays(c, how, len(user))
  body = lambda state, heard: step(c, params, state, heard, keys, how)
  state, slots = jax.lax.scan(body, state, user.swapaxes(0, 1))
  return state, slots.swapaxes(0, 1)


# A frame, or a burst of them where a turn may be said ahead of time. The state is given up.
frame = jax.jit(step, static_argnames='c', donate_argnames='state')
burst = jax.jit(generate, static_argnames='c', donate_argnames='state')
