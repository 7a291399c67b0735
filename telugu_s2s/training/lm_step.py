"""One update of the audio LM: microbatches, the loss in chunks, the guard, the running mean of the weights."""
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from telugu_s2s import axes
from telugu_s2s.errors import InputError
from telugu_s2s.lm import amortised, conditions, losses
from telugu_s2s.lm.model import AudioLM, Config, as_slots, targets, user_part
from telugu_s2s.training import optimiser, voices

# Not read by a chunk of the loss.
HEARD = ('temporal', 'norm_out_d', 'code_qvd', 'stream_cd', 'prosody_vd', 'text_vd', 'conditions', 'floor_dc', 'asked_dz', 'answer_cvz', 'sharp',
         'heard_vz', 'ear_zd', 'into_depth_cdf')


@dataclasses.dataclass(frozen=True)
class Update:
  """How a batch becomes an update. What is learnt changes with `ema`, `depth_frame_fraction` and, of a model with `match`, `accumulate`, and
  else but for the order of float sums.
  """
  accumulate: int = 1            # parts that a batch is read in, one after the other; answers are told from those of their part
  loss_chunk: int = 0            # frames whose logits exist at once; 0 = all
  ema: float = 0.0               # decay of the running mean of the weights, which is then what is measured; 0 = none
  depth_frame_fraction: float = 1.0          # of a row's frames, at how many its slots are learnt in a step; see lm/amortised.py


def check(model, how: Update, batch: int, mesh) -> None:
  """Raises InputError where a model, batch and mesh do not go together."""
  if how.accumulate < 1 or batch % how.accumulate:
    raise InputError(f'config.batch: {batch} rows do not divide into config.accumulate = {how.accumulate} parts')
  try:
    axes.check_batch(batch // how.accumulate, mesh)
  except InputError as problem:
    raise problem if how.accumulate == 1 else InputError(
        f'{problem}, in each of config.accumulate = {how.accumulate} parts') from None
  if how.loss_chunk < 0 or not 0 <= how.ema < 1:
    raise InputError(f'config.loss_chunk {how.loss_chunk} and config.ema {how.ema}: give frames from 0 on, and a decay from 0 '
                     'to below 1')
  if not 0 < how.depth_frame_fraction <= 1:
    raise InputError(f'config.depth_frame_fraction {how.depth_frame_fraction}: give more than 0, and at most 1, which is all frames')
  for policy in (model.remat, model.depth_remat):
    if policy != 'none' and not hasattr(jax.checkpoint_policies, policy):
      raise InputError(f"config.model.remat {policy!r}: give 'none', 'nothing_saveable', 'dots_saveable' or "
                       "'dots_with_no_batch_dims_saveable'")
  if model.attention not in ('xla', 'cudnn', 'auto'):
    raise InputError(f"config.model.attention {model.attention!r}: give 'xla', 'cudnn' or 'auto'")
  voices.check(model)


def init(model, tx, key, ema=0.0, heard=None):
  """A fresh state {params, opt, step}, and mean, the running mean of the weights, where there is one.

  heard: f32[v z], the codec's vectors of level 0, for a model with an ear; None = any.
  """
  params = fresh(model, key)
  if heard is not None:
    params = {**params, 'heard_vz': jnp.asarray(heard)}
  state = {'params': params, 'opt': tx.init(params), 'step': jnp.zeros((), jnp.int32)}
  return {**state, 'mean': jax.tree.map(jnp.copy, params)} if ema else state


def fresh(c, key):
  """The weights of a model that has learnt nothing."""
  return AudioLM(c).init(key, jnp.zeros((1, 2, 4, c.codebooks), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params']


def learnt(state):
  """The weights to measure and to speak with: their running mean where there is one."""
  return state.get('mean', state['params'])


def asked(model, batch):
  """The conditions of a batch's clips, all of those that the model has, the clips of a row one after the other; or None.

  A batch of packed rows has them as [b s ...], for s clips a row, others as [b ...].
  """
  if not model.conditions.any:
    return None
  given = {name: batch[name] for name in conditions.NAMES if name in batch}
  if 'segment' in batch:
    given = jax.tree.map(joined, given)
  return conditions.filled(model.conditions, given, model.codebooks, len(batch['codes']))


def joined(x):
  """[b s ...] as [b s, ...]."""
  return x.reshape(-1, *x.shape[2:])


def by_frame(condition, segment):
  """What conditions add to each frame of packed rows, f[b t d]. condition: f[b s, d]; segment: i32[b t]."""
  of_row = condition.reshape(len(segment), -1, condition.shape[-1])
  found = jnp.take_along_axis(of_row, jnp.clip(segment, 0, of_row.shape[1] - 1)[..., None], 1)
  return jnp.where(segment[..., None] >= 0, found, 0)


def conditioned(model, params, batch):
  """What the conditions of a batch add, f[b d] or of packed rows f[b t d], and the squares of the tie; None, None without any."""
  given, keep = asked(model, batch), batch.get('keep')
  if given is None:
    return None, None
  if 'segment' in batch and keep is not None:
    keep = jax.tree.map(joined, keep)
  condition, squares = AudioLM(model).apply({'params': params}, given, keep, method='condition')
  return by_frame(condition, batch['segment']) if 'segment' in batch else condition, squares


def counts(model, batch):
  """What sums over a batch are divided by: `losses.counts`, its rows whose speaker and recording are tied, what its floor tells, its
  exchanges, and its rows that are compared with worse ones."""
  slots = targets(model, batch['codes'], batch['prosody'], batch.get('text'), batch.get('segment'))
  given = asked(model, batch)
  tied = None if given is None else conditions.tied(model.conditions, given)
  many = jnp.zeros(()) if tied is None else jnp.maximum(jnp.sum(tied).astype(jnp.float32), 1.0)
  floor = losses.present(batch['floor'], batch['weight'][..., None]) if tells_floor(model, batch) else jnp.zeros(())
  match = jnp.maximum(jnp.sum(batch['asked'][..., 0] > 0), 1) if matches(model, batch) else jnp.zeros(())
  compared = jnp.maximum(jnp.sum(batch['compared']), 1.0) if 'compared' in batch else jnp.zeros(())
  return *losses.counts(model, slots, batch['codes'][:, 1], batch['weight'], batch.get('segment')), many, floor, match, compared


def amortising(model, batch, how: Update, key) -> dict:
  """The batch, with `told` where slots are learnt at a fraction of its frames. key: of the step."""
  if how.depth_frame_fraction >= 1:
    return batch
  return batch | told(model, batch, how.depth_frame_fraction, jax.random.fold_in(key, conditions.DRAWS.index('told')))


def told(model, batch, fraction: float, key) -> dict:
  """{told, stands_for} of a batch, see lm/amortised.py."""
  slots = targets(model, batch['codes'], batch['prosody'], batch.get('text'), batch.get('segment'))
  moves = amortised.moving(slots[..., -model.codebooks:])
  if model.text_codes:
    moves |= slots[..., 0] >= losses.FILLERS
  frames, stands_for = amortised.chosen(key, moves, batch['weight'] > 0, fraction)
  return {'told': frames, 'stands_for': stands_for}


def tells_floor(model, batch) -> bool:
  return bool(model.floor_frames) and 'floor' in batch


def matches(model, batch) -> bool:
  return bool(model.match) and 'asked' in batch


def match_sum(model, params, h, a0, asked):
  """`losses.match_sum` of a batch.

  h: f[b t d]; a0: i32[b t]; asked: i32[b 3] from `turns.asked_at`, i32[b s 3] of packed rows.
  """
  asked = asked.reshape(len(asked), -1, 3)
  heard, answer = AudioLM(model).apply({'params': params}, h, a0, asked, method='match')
  first, way = asked[..., 0].reshape(-1), asked[..., 2].reshape(-1)
  same = way[:, None] == way
  return sum(losses.match_sum(joined(one), joined(answer), first > 0, same) for one in heard) / len(heard)


def with_tie(model, loss, parts, squares, many):
  """(loss, parts) with the tie of speakers to recordings, where the model has both. squares: f32[b]."""
  if not (model.speakers and model.reference):
    return loss, parts
  tie = jnp.sum(squares) / many
  loss += conditions.TIE_WEIGHT * tie
  return loss, {**parts, 'loss': loss, 'tie': tie}


def with_heads(model, params, h, loss, parts, batch, divisors):
  """(loss, parts) with telling who speaks next and which answer a question has, those that model and batch have.

  h: f[b t d]; divisors: from `counts`.
  """
  head = lambda h, method: AudioLM(model).apply({'params': params}, h, method=method)
  if tells_floor(model, batch):
    floor = losses.floor_sum(head(h, 'floor'), batch['floor'], batch['weight']) / divisors[3]
    loss, parts = loss + losses.FLOOR_WEIGHT * floor, parts | {'floor': floor}
  if matches(model, batch):
    match = match_sum(model, params, h, batch['codes'][:, 0, :, 0], batch['asked']) / divisors[4]
    loss, parts = loss + losses.MATCH_WEIGHT * match, parts | {'match': match}
  return loss, {**parts, 'loss': loss}


def parts_of(model, params, batch, chunk=0, divisors=None):
  """(loss, its parts) of a batch; see lm/losses.py. divisors: `counts` of the batch that this one is a part of.

  A batch may have conditions, see lm/conditions.py, `keep`, which of them are read, `segment`, see tokens/batches.py, `floor`,
  see tokens/scenes.py, `asked`, see tokens/turns.py, `told` and `stands_for`, see lm/amortised.py.
  """
  condition, squares = conditioned(model, params, batch)
  return parts_from(model, params, batch, *heard(model, params, batch, condition), squares, chunk, divisors)


def heard(model, params, batch, condition):
  """(h f[b t d], slots i32[b t slots]) of a batch: what the frames before say to each frame, and what it is to say. condition: from `conditioned`."""
  inputs = (batch['codes'], batch['prosody'], batch.get('text'), condition, batch.get('segment'))
  return AudioLM(model).apply({'params': params}, *inputs, method='hear')


def parts_from(model, params, batch, h, slots, squares, chunk=0, divisors=None):
  """`parts_of` from what `heard` and `conditioned` found."""
  net, user, weight = AudioLM(model), batch['codes'][:, 1], batch['weight']
  if divisors is None:
    divisors = counts(model, batch)
  weight_user = losses.heard_weight(model, weight, batch.get('segment'))
  spoken = params
  if chunk:
    spoken = {**params, **axes.gathered({name: params[name] for name in params if name not in HEARD})}

  mine, theirs = (h, slots, losses.slot_weights(model, slots, weight)), user_part(model, h, user)
  if 'told' in batch:
    mine = amortised.taken(mine, batch['told'], batch['stands_for'])
  enter = lambda h, stream: net.apply({'params': params}, h, stream, method='enter')
  sums = losses.both_sums(
      lambda x, said: net.apply({'params': spoken}, x, said, method='tell'),
      (enter(mine[0], 0), *mine[1:]), (enter(theirs[0], 1), as_slots(model, theirs[1]), weight_user), chunk)
  found = with_tie(model, *losses.combined(model, *sums, divisors), squares, divisors[2])
  return with_heads(model, params, h, *found, batch, divisors)


def gradients(model, params, batch, how: Update, parts_of=parts_of):
  """(parts, gradients) of a batch, read in `how.accumulate` parts; the sums are divided by what the whole batch holds."""
  def graded(part, divisors):
    return jax.value_and_grad(lambda params: parts_of(model, params, part, how.loss_chunk, divisors), has_aux=True)(params)

  if how.accumulate == 1:
    (_, parts), grads = graded(batch, None)
    return parts, grads

  def split(x):                   # a part holds rows i, i + n, ..: each device keeps its own
    return x.reshape(-1, how.accumulate, *x.shape[1:]).swapaxes(0, 1)

  divisors = counts(model, batch)

  def body(total, part):
    part = jax.tree.map(lambda x: axes.constrain(x, 'b' + 'c' * (x.ndim - 1)), part)
    (_, parts), grads = graded(part, divisors)
    return jax.tree.map(jnp.add, total, (parts, grads)), None

  rows = jax.tree.map(split, batch)
  first = jax.eval_shape(lambda: graded(jax.tree.map(lambda x: x[0], rows), divisors))
  zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (first[0][1], first[1]))
  return jax.lax.scan(body, zero, rows)[0]


def step(model, tx, state, batch, how=Update(), key=None, parts_of=parts_of):
  """One update: the next state, and the batch's parts with the guard's {grad_norm, skipped}.

  Args:
    state: from `init`; what it holds beside that goes through.
    key: draws which conditions are dropped, and at which frames slots are learnt; None = none is, and at all.
    parts_of: the loss, called as the function of that name here.
  """
  if model.conditions.any and key is not None:
    keep = conditions.kept(key, model.conditions, asked(model, batch))
    if 'segment' in batch:         # by row, as what the parts of a batch are cut from
      keep = jax.tree.map(lambda x: x.reshape(len(batch['codes']), -1, *x.shape[1:]), keep)
    batch = {**batch, 'keep': keep}
  if key is not None:
    batch = amortising(model, batch, how, key)
  parts, grads = gradients(model, state['params'], batch, how, parts_of)
  new, guard = optimiser.apply(tx, state, grads)
  if how.ema:
    mean = optimiser.average(state['mean'], new['params'], state['step'], how.ema)
    new['mean'] = jax.tree.map(lambda a, b: jnp.where(guard['skipped'] > 0, a, b), state['mean'], mean)
  return {**state, **new, 'step': state['step'] + 1}, {**parts, **guard}


@dataclasses.dataclass(frozen=True)
class Step:
  """`step` as a value: two runs whose models learn alike, at whatever rates, take one program (loop.compiled)."""
  model: Config
  how: Update
  kind: str = 'adamw'            # of optimiser.KINDS
  parts_of: Callable = parts_of

  def __call__(self, state, batch, key, rate):
    return step(self.model, optimiser.at(self.kind, rate), state, batch, self.how, key, self.parts_of)
