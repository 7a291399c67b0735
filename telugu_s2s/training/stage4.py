"""Stage 4, speaker and emotion: one voice held and an emotion given on request, then answers preferred to worse ones.

Continues a stage 3 run on its own or other dialogues: voices, each a speaker with an emotion, come equally often, with their
conditions. In the last steps each answer stands beside a worse one (tokens/preferences.py), and the model learns to tell
which is which: direct preference optimisation (Rafailov et al., 2023, equation 7), with log-likelihoods a frame, so that
long answers count no more than short ones.
"""
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.lm import amortised, losses
from telugu_s2s.lm.model import AudioLM
from telugu_s2s.tokens import preferences, turns
from telugu_s2s.training import hosts, intervals, lm_step, loop, optimiser, runs, stage2, stage3, texts, voices

LACKING = {                      # why there is no worse answer of a kind among those held out
    'reply': 'no voice says two things in held-out answers', 'speaker': 'no two speakers say the same words in held-out answers',
    'emotion': 'no speaker says the same words in two labelled emotions in held-out answers'}


def run(config, workdir):
  """The job: trains or resumes -> how often a held-out answer is likelier than a worse one, before and after."""
  stage3.check(config)
  of = Path(config.run).absolute()
  model, params, trained = stage3.begun(of, False, 0, config.seed)
  if not voices.of_data(model):
    raise InputError(f'config.run: {of} has no speakers, recordings, emotions, knobs or breaths, so no voice can be asked for; train stage 2 with '
                     'config.model.speakers, reference, emotions, knob_bins or nonverbal')
  config, text = texts.continued(runs.continued(config, of), of, model)
  steps = config.steps - config.preference_steps
  if not 0 <= steps <= config.steps:
    raise InputError(f'config.preference_steps {config.preference_steps}: give 0 to config.steps = {config.steps}')
  workdir, kind, how = loop.begin(config, workdir), stage2.optimiser_name(config), stage2.update_of(config)
  texts.keep(text, config, workdir)
  talk = stage3.talk_of(config, of, model, trained, workdir, text, knobs=True)
  often = turns.balanced(talk.found, config.balance)
  print(told(talk.found), flush=True)
  learnt = stage3.fitted(
      config, workdir, model, talk, Phased(talk.batches(config, often), pairs_of(config, talk, often), steps), stage=4,
      init=lambda key: runs.state_of(config, model, key), given={'params': params, 'teacher': params}, facts={'preferences from step': steps},
      phases=((0, lm_step.Step(model, how, kind)),
              (steps, lambda state, batch, key, rate: preferring(model, optimiser.at(kind, rate), state, batch, how, key, steps, config.beta,
                                                                 config.anchor))), line=line, idle=('teacher',))
  if learnt is None:
    return
  before, after = prefers(model, (params, learnt), talk, config.seed)
  listened, then = stage3.listens(model, (params, learnt), talk, config.seed)
  summary = {'exchanges': len(talk.found), 'voices': len({one.voice for one in talk.found}), 'held_out': len(talk.held),
             'before': before, 'after': after, 'listens': {'before': listened, 'after': then}}
  files.write(workdir / 'summary.json', (json.dumps(summary, indent=1) + '\n').encode())
  show(summary)


def told(found) -> str:
  """What voices there are, in a line."""
  speakers, emotions = ({one.voice[place] for one in found} - {''} for place in (0, 1))
  return (f'voices: {len(speakers)} speakers, emotions {", ".join(sorted(emotions)) or "not labelled"}' +
          ('; with one emotion alone none can be asked for' if len(emotions) < 2 else ''))


class Phased:
  """Batches of conversation, then of preferences."""

  def __init__(self, first, second, start: int):
    self._first, self._second, self._start = first, second, start

  def __getitem__(self, step):
    return self._first[step] if step < self._start else self._second[step]


def pairs_of(config, talk, often):
  return preferences.make(talk.scenes, talk.found, talk.window, batch=config.batch, seed=config.seed, process=jax.process_index(),
                          processes=jax.process_count(), views=config.views, asked=talk.asked, counted=talk.counted, often=often)


def preferring(model, tx, state, batch, how, key, first: int, beta: float, anchor: float):
  """One update on preferences, in which all conditions are read. The teacher is the model as it was at step `first`."""
  batch = lm_step.amortising(model, batch, how, key)
  teacher = jax.tree.map(lambda now, then: jnp.where(state['step'] == first, now, then), state['params'], state['teacher'])
  return lm_step.step(model, tx, {**state, 'teacher': teacher}, batch, how, None,
                      functools.partial(parts_of, teacher=teacher, beta=beta, anchor=anchor))


def parts_of(model, params, batch, chunk=0, divisors=None, *, teacher, beta, anchor):
  """(loss, its parts) of a batch of preferences.

  Args:
    beta: how far a nat a code that the model moved away from the teacher counts.
    anchor: weight of the loss of conversation on the better rows, without which both rows become unlikely.
  """
  if divisors is None:
    divisors = lm_step.counts(model, batch)
  (h, slots), squares = heard(model, params, batch)
  loss, parts = lm_step.parts_from(model, params, batch, apart(h)[:, 0], apart(slots)[:, 0], squares, chunk, divisors)
  moved = advantage(model, teacher, batch, chunk), advantage(model, params, batch, chunk, (h, slots))
  margin = beta * (moved[1] - jax.lax.stop_gradient(moved[0]))
  there = batch['compared']
  mean = lambda value: jnp.sum(there * value) / divisors[5]
  preference = mean(jax.nn.softplus(-margin))
  loss = preference + anchor * loss
  return loss, parts | {'loss': loss, 'preference': preference, 'preferred': mean(moved[1] > 0), 'margin': mean(margin)}


def advantage(model, params, batch, chunk=0, found=None):
  """f32[b], how many nats a code the better answer is likelier than the worse one, weighted over codebooks.

  found: what `heard` found in a batch, h and slots; None = it is heard here.
  """
  found = heard(model, params, batch)[0] if found is None else found
  cost = apart(nats(model, params, *found, both(batch)['answered'], chunk))
  return cost[:, 1] - cost[:, 0]


def heard(model, params, batch):
  """(what `lm_step.heard` finds in the rows of `both`, in one pass; the squares of the tie)."""
  condition, squares = lm_step.conditioned(model, params, batch)
  return lm_step.heard(model, params, both(batch), None if condition is None else jnp.repeat(condition, 2, 0)), squares


def both(batch) -> dict:
  """Each better row and the worse one behind it, of what there is for both: neighbours, which no mesh parts."""
  pairs = lambda name: jnp.stack([batch[name], batch[preferences.WORSE + name]], 1)
  return {name: pairs(name).reshape(-1, *batch[name].shape[1:]) for name in preferences.BOTH if name in batch}


def apart(x):
  """[2b ...] of `both` as [b 2 ...]."""
  return x.reshape(-1, 2, *x.shape[1:])


def nats(model, params, h, slots, answered, chunk=0):
  """f32[b], of the answers of rows, a code, and of their text: the depth transformer runs at their frames alone.

  Args:
    h, slots: from `lm_step.heard`.
    answered: i32[b k], the answers' frames, ABSENT behind their end.
    chunk: frames whose logits exist at once; 0 = all.
  """
  there = amortised.taken((h, slots, jnp.ones(h.shape[:2])), jnp.maximum(answered, 0), answered >= 0)
  sums = lambda of: losses.row_sums(model, AudioLM(model).apply({'params': params}, *of[:2], method='speak'), *of[1:])
  return losses.by_row(model, losses.in_chunks(sums, there, chunk))


def prefers(model, every, talk, seed: int) -> list[dict]:
  """Of each of several weights {kind: the share of the held-out answers that are likelier than a worse one}, of the kinds that there are.

  What a voice or an emotion is worth is told where the same words are said otherwise, and not measured elsewhere.
  """
  score, result = jax.jit(lambda params, batch: advantage(model, params, batch)), [{} for _ in every]
  for kind in preferences.KINDS:
    tests, says = preferences.tests(talk.compared, talk.held, talk.window, kind, talk.counted_then, 8, seed, talk.asked_then)
    for params, found in zip(map(hosts.alone, every), result):
      if says:
        right = np.concatenate([np.asarray(score(params, batch)) for batch in tests])[:len(says)] > 0
        found[kind] = intervals.share_by_group(right, says, np.random.default_rng(seed))
  return result


def line(values):
  """The stage's part of the screen's line."""
  if 'preference' in values:
    return (f'loss {values["loss"]:.3f} | preference {values["preference"]:.3f} | preferred {100 * values["preferred"]:.0f} % | '
            f'codes {values["codes"]:.3f}')
  return stage3.line(values)


def show(summary):
  """Prints what is preferred before and after."""
  print('held-out answers that are likelier than a worse one (chance is 50 %):')
  for kind in preferences.KINDS:
    if kind not in summary['after']:
      print(f'{kind:>8} not measured: {LACKING[kind]}')
      continue
    before, after = (summary[name][kind] for name in ('before', 'after'))
    print(f'{kind:>8} {before["share"]:4.0%} -> {after["share"]:4.0%} ({after["interval"][0]:.0%} to {after["interval"][1]:.0%}, n = {after["n"]})')
