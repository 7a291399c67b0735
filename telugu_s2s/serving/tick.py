"""One frame of every session in one compiled call: what was heard is encoded, the model goes one step on, what it says is decoded.

All sessions lie in one state with a row for each. Who joins, leaves, listens or speaks is told by masks and numbers, so that
nothing is ever compiled again, and a session's answer does not depend on the sessions beside it.
"""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.codec import model as codec_model
from telugu_s2s.codec import streaming
from telugu_s2s.codec.transformer import EMPTY
from telugu_s2s.lm import frames, model, sampling


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What a program is compiled for, beside the number of rows."""
  model: model.Config
  codec: codec_model.Config
  silence: tuple[int, ...]       # the codes of silence, a frame of them

  @property
  def quiet(self) -> jax.Array:
    """i32[q], a frame of silence."""
    return jnp.array(self.silence, jnp.int32)


def empty_state(c: Sizes, batch: int):
  """Sessions that have not begun.

  Returns:
    {encoder, decoder, lm: as their rooms make them; first: i32[b delay], a0 of the newest frames, whose other codes are yet to
    come; marked: {position, said, recent} of the lm, to go back to}.
  """
  encoder, decoder = codec_model.empty_states(c.codec, batch)
  lm = sampling.empty_state(c.model, batch)
  return {'encoder': encoder, 'decoder': decoder, 'lm': lm, 'marked': jax.tree.map(jnp.copy, _marks(lm)),
          'first': jnp.full((batch, c.model.delay), c.silence[0], jnp.int32)}


def orders(c: Sizes, batch: int) -> dict:
  """What a tick is told, as numpy arrays, of rows that rest.

  audio: f32[b hop], what is heard. hears: bool[b], it is to be encoded; of a row that does not hear the user is silent.
  speaks: bool[b], the model says what it draws; a row that hears and does not speak says silence. floor: f32[b], how likely its turn must
  be before it speaks, in place of `how`'s. sounds: bool[b], what is said
  is to be decoded. fresh: bool[b], the decoder begins anew. mark: bool[b], the model's place before this step is kept.
  back: bool[b], the model first goes back to the place that was kept. key: u32[b 2].
  """
  flags = {name: np.zeros(batch, bool) for name in ('hears', 'speaks', 'sounds', 'fresh', 'mark', 'back')}
  return {'audio': np.zeros((batch, c.codec.hop), np.float32), 'key': np.zeros((batch, 2), np.uint32), 'floor': np.zeros(batch, np.float32), **flags}


def tick(c: Sizes, params, state, given, how):
  """One frame.

  Args:
    params: {lm, codec}, the codec's as `streaming.taken_apart` gives them.
    state: from `empty_state` or the tick before; given up.
    given: as `orders` makes it.
    how: from drawing.settings.

  Returns:
    Audio f32[b hop] in [-1, 1], of rows that sound; its root mean square f32[b]; the text slot i32[b] of what is said, ABSENT where
    there is none; and the next state.
  """
  hears, speaks, sounds = (given[name] for name in ('hears', 'speaks', 'sounds'))
  how = how | {'floor': given['floor']}
  marked = {name: _where(given['mark'] & ~given['back'], now, state['marked'][name]) for name, now in _marks(state['lm']).items()}
  lm = _gone_back(state['lm'], marked, given['back'])

  run = lambda x, memory, method: streaming.run(c.codec, params['codec'], x, memory, method)
  quiet = jnp.broadcast_to(c.quiet, (len(hears), len(c.silence)))
  # Most ticks only listen or only speak; a codec's half that nobody asks for is passed over.
  codes, encoder = jax.lax.cond(
      jnp.any(hears), lambda audio, memory: run(audio, memory, 'encode'), lambda audio, memory: (quiet[:, None], memory),
      given['audio'], state['encoder'])
  user = _where(hears, codes[:, 0], quiet)

  silent = _silent(c, quiet, lm['position'])
  spoken = lambda lm, user: sampling.step(c.model, params['lm'], lm, user, jax.random.wrap_key_data(given['key']), how)
  listened = lambda lm, user: (sampling.prefill(c.model, params['lm'], lm, silent[:, None], user[:, None]), silent)
  # Where nobody speaks nothing is drawn: half of the work.
  after, said = jax.lax.cond(jnp.any(speaks), spoken, listened, lm, user)
  said = _where(speaks, said, silent)
  first = said[:, c.model.slots - c.model.codebooks]
  after = {**after, 'said': said, 'recent': after['recent'].at[:, -1].set(first)}
  firsts = jnp.concatenate([state['first'], first[:, None]], 1)
  frame = jnp.concatenate([firsts[:, :1], said[:, c.model.slots - c.model.codebooks + 1:]], 1)
  frame = jnp.where(frame == frames.ABSENT, quiet, frame)

  memory = streaming.begun_again(state['decoder'], given['fresh'])
  audio, decoder = jax.lax.cond(
      jnp.any(sounds), lambda frame, memory: run(frame[:, None], memory, 'decode'),
      lambda frame, memory: (jnp.zeros_like(given['audio']), memory), frame, memory)
  audio = jnp.clip(audio, -1, 1)
  goes_on = hears | speaks
  word = said[:, 0] if c.model.text_codes else jnp.full(len(hears), frames.ABSENT)
  return audio, jnp.sqrt(jnp.mean(audio ** 2, -1)), word, {
      'encoder': _kept(state['encoder'], encoder, hears), 'decoder': _kept(memory, decoder, sounds),
      'lm': _moved(lm, after, goes_on), 'marked': marked, 'first': _where(goes_on, firsts[:, 1:], state['first'])}


def begun(c: Sizes, params, state, rows, told):
  """The state in which sessions begin: rows bool[b] have heard and said nothing, and speak as they are `told`, see `asked`."""
  quiet = jnp.full_like(state['first'], c.silence[0])
  state = {'encoder': streaming.begun_again(state['encoder'], rows), 'decoder': streaming.begun_again(state['decoder'], rows),
           'lm': sampling.reset(state['lm'], rows), 'first': _where(rows, quiet, state['first']), 'marked': state['marked']}
  state['marked'] = {name: _where(rows, now, state['marked'][name]) for name, now in _marks(state['lm']).items()}
  return asked(c, params, state, rows, told)


def asked(c: Sizes, params, state, rows, told):
  """The state in which rows bool[b] have other conditions. told: {condition: i32[b ...]}, {} of a model that has none."""
  lm = sampling.conditioned(c.model, params['lm'], state['lm'], told, rows) if told else state['lm']
  return {**state, 'lm': lm}


def _silent(c: Sizes, quiet, position):
  """i32[b slots], what a silent assistant says: no word, the prosody of silence, and silence, of its first frames no more than a0."""
  late = (position < c.model.delay)[:, None] & (jnp.arange(c.model.codebooks) > 0)
  none = jnp.full((len(quiet), c.model.slots - c.model.codebooks), frames.PAD, jnp.int32)
  none = none.at[:, -1].set(jnp.where((position % 2 == 0) & c.model.prosody, frames.SILENT, frames.ABSENT))
  return jnp.concatenate([none, jnp.where(late, frames.ABSENT, quiet)], 1)


def _marks(lm):
  return {name: lm[name] for name in ('position', 'said', 'recent')}


def _gone_back(lm, marked, rows):
  """The lm where it was marked. What has meanwhile fallen out of its window stays forgotten."""
  seen = jnp.where(rows[:, None] & (lm['cache']['position'] >= marked['position'][:, None]), EMPTY, lm['cache']['position'])
  return {**lm, 'cache': {**lm['cache'], 'position': seen}} | {name: _where(rows, value, lm[name]) for name, value in marked.items()}


def _moved(before, after, rows):
  """The lm after a step that only some rows take.

  Keys and values are not compared and copied: a row that rests has written over the one frame that its next step cannot see
  and writes over itself.
  """
  cache = {**after['cache'], 'position': _where(rows, after['cache']['position'], before['cache']['position'])}
  return after | {'cache': cache} | {name: _where(rows, after[name], before[name]) for name in {*_marks(after), 'floor'} & after.keys()}


def _kept(before, after, rows):
  """The state of an encoder or a decoder after a step that only some rows take."""
  def one(path, x, y):
    name = jax.tree_util.keystr(path, simple=True, separator='.')
    axis = 1 if name in ('cache.k', 'cache.v') else 0                          # behind the layers
    return jnp.where(rows.reshape((1,) * axis + (-1,) + (1,) * (x.ndim - axis - 1)), y, x)
  return jax.tree_util.tree_map_with_path(one, before, after)


def _where(rows, x, y):
  """x of the rows and y of the others."""
  return jnp.where(rows.reshape(-1, *[1] * (x.ndim - 1)), x, y)


@functools.cache
def programs(c: Sizes):
  """The compiled (tick, begun, asked) of these sizes, without their first argument; each takes the state over."""
  return tuple(jax.jit(functools.partial(one, c), donate_argnames='state') for one in (tick, begun, asked))
