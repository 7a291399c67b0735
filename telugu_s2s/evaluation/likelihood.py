"""Controlled likelihood tests: whether a model finds the right ending of a recording likelier than a wrong one.

The items are those of splices.py. Three scores: over the ending (what is before it is the same in both); of the first part of
the ending alone; and that less what the same ending costs without a beginning, which takes out that some endings are
likelier by themselves (arXiv 2601.06329 finds the latter two nearer to what listeners say).
"""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.evaluation import embedding, splices
from telugu_s2s.lm import frames, losses
from telugu_s2s.lm.model import AudioLM
from telugu_s2s.preparation import read
from telugu_s2s.tokens import baselines, encoding, prosody
from telugu_s2s.training import intervals

BATCH = 32
SCORES = ('global', 'local', 'normalised')
COUNTED = 2000                   # training clips at most that the bigram is counted on
EMBEDDED = 125                   # couples at most whose voices are compared as vectors, which a network takes longest over


@dataclasses.dataclass(frozen=True)
class Items:
  """The codes of couples. Axes: couple, beginning, ending, ..."""
  codes: np.ndarray                # i32[n 2 2 t q], beginning and ending, or where `turns` the ending alone with what is before it
  heard: np.ndarray                # i32[n 2 2 t q], of the user, who is silent but in turns
  prosody: np.ndarray              # i32[n 2 2 t]
  start: int                       # of the ending


def sizes(config, codec) -> tuple[int, int]:
  """Frames of a beginning and of an ending, both even, since prosody comes every second frame."""
  return tuple(2 * max(1, round(seconds * codec.frame_rate / 2)) for seconds in (config.beginning_s, config.ending_s))


def encoded(couples, encoder, frames_x: int, frames_y: int, converses: bool) -> Items:
  """The items of couples, each joined and encoded whole.

  Prosody is that of each side by itself: that of both together would tell the one's pitch from the other's.

  converses: the model listens to a second stream, so that what another one says before is heard there.
  """
  hop, silence = encoder.codec.config.hop, encoder.silence().astype(np.int32)
  orders = [(one, i, j) for one in couples for i in range(2) for j in range(2)]
  apart = [converses and one.turns for one, _, _ in orders]
  whole = [np.concatenate([np.zeros(frames_x * hop, np.float32), one.y[j]]) if two else splices.joined(one.x[i], one.y[j])
           for (one, i, j), two in zip(orders, apart)]
  codes = np.stack([x[:frames_x + frames_y] for x in encoder(whole)]).astype(np.int32)
  heard = np.tile(silence, (*codes.shape[:2], 1))
  if any(apart):
    said = encoder([one.x[i][:frames_x * hop] for (one, i, _), two in zip(orders, apart) if two])
    heard[np.flatnonzero(apart), :frames_x] = np.stack(said)
    codes[np.flatnonzero(apart), :frames_x] = silence
  moves = functools.cache(lambda number, side, which: prosody.codes((couples[number].x, couples[number].y)[side][which], 2 * hop,
                                                                   (frames_x, frames_y)[side] // 2))
  found = np.tile(prosody.silent(codes.shape[1]), (len(codes), 1))
  for row, (two, number) in enumerate(zip(apart, np.arange(len(orders)) // 4)):
    if not two:
      found[row, :frames_x:2] = moves(number, 0, row // 2 % 2)
    found[row, frames_x::2] = moves(number, 1, row % 2)
  shaped = lambda x: x.reshape(len(couples), 2, 2, *x.shape[1:])
  return Items(shaped(codes), shaped(heard), shaped(found), frames_x)


@functools.partial(jax.jit, static_argnames='model')
def _nats(model, params, codes, prosody):
  net = AudioLM(model)
  h, slots = net.apply({'params': params}, codes, prosody, method='hear')
  every = net.apply({'params': params}, h, slots, method='speak')[-model.codebooks:]
  target = slots[..., -model.codebooks:]
  found = [losses.code_nats(logits, target[..., level])[0] for level, logits in enumerate(every)]
  return frames.undelayed(jnp.stack(found, -1), model.delay)


def nats(model, params, said, heard, moves) -> np.ndarray:
  """f32[n t-delay q], what each code of the assistant costs the model. said, heard: i32[n t q]; moves: i32[n t]."""
  result = []
  for at in range(0, len(said), BATCH):
    rows = np.minimum(np.arange(at, at + BATCH), len(said) - 1)              # the last one again: one shape, one program
    found = _nats(model, params, np.stack([said[rows], heard[rows]], 1), moves[rows])
    result.append(np.asarray(found)[:len(said) - at])
  return np.concatenate(result)


def scored(cost, items: Items) -> tuple[np.ndarray, np.ndarray]:
  """What the endings cost after the beginnings, and by themselves: f32[n 2 2 t q], both.

  cost: of codes i32[m t q] as said and heard and prosody i32[m t], f32[m t or less q].
  """
  flat = lambda x: x.reshape(-1, *x.shape[3:])
  shaped = lambda x: x.reshape(*items.codes.shape[:3], *x.shape[1:])
  said, heard, moves = flat(items.codes), flat(items.heard), flat(items.prosody)
  silence = np.broadcast_to(heard[:, -1:], (len(heard), said.shape[1] - items.start, heard.shape[-1]))
  after = cost(said, heard, moves)[:, items.start:]
  alone = cost(said[:, items.start:], silence, moves[:, items.start:])
  return shaped(after), shaped(alone)


def right(scores) -> np.ndarray:
  """f64[n 2], of each item: 1 where the right ending costs less, 0.5 in a tie. scores: f[n 2 2], couple, beginning, ending."""
  good, bad = np.stack([scores[:, 0, 0], scores[:, 1, 1]], 1), np.stack([scores[:, 0, 1], scores[:, 1, 0]], 1)
  return np.where(good == bad, 0.5, good < bad)


def answers(after, alone, local, weights) -> dict[str, np.ndarray]:
  """{score: f64[n 2]}, right or not. after, alone: f32[n 2 2 t q]; local: the frames (first, end) of the two local scores."""
  part = slice(*local)
  mean = lambda x: (x.mean(3) * weights).sum(-1)
  return {'global': right(mean(after)), 'local': right(mean(after[..., part, :])),
          'normalised': right(mean(after[..., part, :]) - mean(alone[..., part, :]))}


def shares(weights) -> dict[str, np.ndarray]:
  """Of codebooks: as they are trained (f64[q]), the first alone, the others alone."""
  first = np.eye(len(weights))[0]
  rest = weights * (1 - first)
  return {'weighted': weights, 'a0': first} | ({'a1..': rest / rest.sum()} if len(weights) > 1 else {})


def test(couples, model, params, encoder, bigram, config, converses, rng) -> dict:
  """What the model, the bigram and voices as vectors have right of the items of couples."""
  rate, (frames_x, frames_y) = encoder.codec.config.frame_rate, sizes(config, encoder.codec.config)
  items = encoded(couples, encoder, frames_x, frames_y, converses)
  last = frames_y - model.delay
  local = tuple(min(last, round(seconds * rate)) for seconds in config.local_s)
  groups = [one.group for one in couples for _ in range(2)]
  weights = shares(losses.code_weights(model.codebooks))

  def table(found):
    return {name: intervals.share(one.ravel()) | {'by_group': intervals.share_by_group(one.ravel(), groups[:one.size], rng)['interval']}
            for name, one in found.items()}

  after, alone = scored(functools.partial(nats, model, params), items)
  found = {name: answers(after, alone, local, one) for name, one in weights.items()}
  result = {'items': 2 * len(couples), 'groups': len({name for group in groups for name in group}), 'chance': 0.5,
            'model': {name: table(one) for name, one in found.items()}}
  if bigram:
    keep = bigram.keep(items.codes[:, :, :, :frames_x].reshape(-1, frames_x, model.codebooks))
    costs = scored(lambda said, *_: bigram.nats(said, keep), items)
    found['bigram'] = answers(*(x[..., :last, :] for x in costs), local, weights['weighted'])
    result['bigram'] = table(found['bigram'])
    result['minus_bigram'] = {name: {'mean': float(np.mean(ours - theirs)), 'by_group': intervals.by_group(ours - theirs, groups, rng)}
                              for name in SCORES for ours, theirs in [(found['weighted'][name].ravel(), found['bigram'][name].ravel())]}
  voices = embedding.of([part for one in couples[:EMBEDDED] for part in (*one.x, *one.y)])
  result['embedding'] = table({name: right(-alike(x)) for name, x in voices.items()})
  return result


def alike(x):
  """f64[n 2 2], cosines of beginnings and endings. x: f64[n x 4 d] of length 1, of each couple x0, x1, y0, y1."""
  x = x.reshape(-1, 2, 2, x.shape[-1])
  return np.einsum('nid,njd->nij', x[:, 0], x[:, 1])


def counted(clips, codes: int) -> baselines.Bigram:
  """The bigram of training tokens, a batches.Clips, or of as many clips as are counted."""
  return baselines.Bigram([clips[number].codes.astype(np.int64) for number in read.spread(len(clips), COUNTED)], codes)


def measured(config, segments, model, params, codec, bigram, converses: bool):
  """Yields (task, what `test` gives, or skipped: why) of the tasks of config.tasks, one after the other, and prints them."""
  encoder = encoding.Encoder(codec)
  frames_x, frames_y = sizes(config, codec.config)
  x_s, y_s = (count / codec.config.frame_rate for count in (frames_x, frames_y))
  heading()
  for task in config.tasks:
    rng = np.random.default_rng([config.seed, splices.TASKS.index(task)])      # the same items, whatever else is tested
    couples, why = splices.couples(task, segments, -(-config.count // 2), x_s, y_s, rng)
    found = test(couples, model, params, encoder, bigram, config, converses, rng) if couples else {'skipped': why}
    show(task, found)
    yield task, found


def heading():
  print(f'right, percent, with 95 % intervals over speakers; the right column scores a0 and a1.. alone\n{"":>11} {"items":>6} {"groups":>6}'
        + ''.join(f'{name:>18}' for name in SCORES) + f'{"bigram":>9}{"mel":>7}{"ge2e":>7}{"a0":>8}{"a1..":>7}', flush=True)


def show(task, one):
  """Prints a line of a task; of the bigram, a0 and a1.. the normalised score."""
  if 'skipped' in one:
    print(f'{task:>11} not measured: {one["skipped"]}', flush=True)
    return
  percent = lambda of: f'{100 * of["share"]:.1f}' if of else '-'
  cells = [f'{percent(of)} ({100 * of["by_group"][0]:.0f} to {100 * of["by_group"][1]:.0f})'
           for of in (one['model']['weighted'][name] for name in SCORES)]
  print(f'{task:>11} {one["items"]:6} {one["groups"]:6}' + ''.join(f'{cell:>18}' for cell in cells)
        + f'{percent(one.get("bigram", {}).get("normalised")):>9}'
        + ''.join(f'{percent(one["embedding"].get(name)):>7}' for name in ('mel', 'ge2e'))
        + '  ' + ''.join(f'{percent(one["model"].get(name, {}).get("normalised")):>6} ' for name in ('a0', 'a1..')), flush=True)
