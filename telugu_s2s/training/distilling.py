"""Guidance at the cost of none: a model learns to say at once what it says guided, with the coefficient as a condition.

After Meng et al. (On Distillation of Guided Diffusion Models, 2023, 3.1), for distributions of codes: the guided ones of
the run as it was are the teacher, and their divergence from what is said in one pass the loss.
"""
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s import axes
from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.lm import conditions, losses
from telugu_s2s.lm.model import AudioLM
from telugu_s2s.tokens import batches
from telugu_s2s.training import hosts, lm_step, loop, runs, stage2, texts, voices


def run(config, workdir):
  """The job: continues the run `config.run` with its own data; prints how far guided and distilled speech are apart."""
  of = Path(config.run).absolute()
  model, teacher, trained = runs.loaded(of)
  check(model, of)
  config, text = texts.continued(runs.continued(config, of), of, model)
  teacher = jax.device_get(hosts.whole(teacher))
  workdir, mesh = loop.begin(config, workdir), axes.mesh(**config.mesh)
  texts.keep(text, config, workdir)
  how = stage2.update_of(config)
  lm_step.check(model, how, config.batch, mesh)
  train, held_out = stage2.folders(config, workdir)
  clips, tested = batches.Clips(train, trained.name), batches.Clips(held_out, trained.name)
  texts.check(text, clips, train)
  asked, asked_then = voices.asked(config, model, workdir, clips, tested, (train, held_out), trained.config.frame_rate)
  window = stage2.window_of(config, model)
  made = stage2.batches_of(config, clips, window, stage2.census_of(train, clips), text, asked)
  tests = batches.evaluation(tested, window, config.batch // how.accumulate, text, asked_then)
  score = scoring(model, how, tests, mesh)
  tx = stage2.optimiser_of(config)
  stage = loop.Stage(
      init=lambda key: runs.state_of(config, model, key),
      given=lambda: {'params': teacher, 'teacher': teacher} | ({'mean': teacher} if how.ema else {}),
      phases=((0, lambda state, batch, key: step(model, tx, state, batch, how, key)),),
      batches=stage2.Checked(made, model),
      audio_s=config.batch * config.frames / trained.config.frame_rate,
      facts={'stage': 'distil', 'data': clips.manifest['content'], 'codec': trained.name, 'seed': config.seed, 'batch': config.batch},
      line=lambda values: f'loss {values["loss"]:.4f} | codes {values["codes"]:.4f}',
      evaluate=lambda state, now: score(lm_step.learnt(state), state['teacher']))
  schedule = loop.Schedule(config.steps, config.log_every, config.save_every, config.evaluate_every)
  state, done = loop.fit(stage, schedule, mesh, config.seed, workdir)
  if done:
    before, after = score(state['teacher'], state['teacher']), score(lm_step.learnt(state), state['teacher'])
    if jax.process_index() == 0:
      show(before, after, workdir)


def check(model, of):
  """Raises InputError where the model of the run `of` has no place for a coefficient, or nothing to guide by."""
  if not model.guidances:
    raise InputError(f'config.run: {of} was trained with config.model.guidances = 0, so the coefficient has no place in it; train '
                     f'one with {len(conditions.COEFFICIENTS)}')
  if not voices.of_data(model):
    raise InputError(f'config.run: {of} has no speakers, recordings, emotions, knobs or breaths: there is nothing to guide by')


def step(model, tx, state, batch, how, key):
  """One update: each clip by a coefficient of its own. The teacher stays as it is."""
  batch = {**batch, 'guidance': jax.random.randint(key, clips_of(batch), 0, model.guidances)}
  return lm_step.step(model, tx, state, batch, how, None, functools.partial(parts_of, teacher=state['teacher']))


def clips_of(batch):
  """(b,), or of packed rows (b, s): what a condition that is a number has the shape of."""
  several = next(value for name, value in batch.items() if name in conditions.NAMES)
  return several.shape[:2 if 'segment' in batch else 1]


def parts_of(model, params, batch, chunk=0, divisors=None, *, teacher):
  """(loss, its parts) of a batch with `guidance`, the numbers of coefficients; called as lm_step.parts_of."""
  net, inputs = AudioLM(model), (batch['codes'], batch['prosody'], batch.get('text'))
  segment, absent = batch.get('segment'), jnp.full_like(batch['guidance'], conditions.ABSENT)
  hear = lambda params, condition: net.apply({'params': params}, *inputs, condition, segment, method='hear')
  mine, slots = hear(params, lm_step.conditioned(model, params, batch)[0])
  asked, _ = hear(teacher, lm_step.conditioned(model, teacher, {**batch, 'guidance': absent})[0])
  free, _ = hear(teacher, None)
  coefficient = jnp.asarray(conditions.COEFFICIENTS)[batch['guidance']]
  each = lm_step.by_frame(coefficient.reshape(-1, 1), segment)[..., 0] if 'segment' in batch else jnp.broadcast_to(
      coefficient[:, None], slots.shape[:2])
  if divisors is None:
    divisors = lm_step.counts(model, batch)
  weight = losses.slot_weights(model, slots, batch['weight'])

  def sums(part):
    mine, asked, free, each, slots, weight = part
    speak = lambda params, h: net.apply({'params': params}, h, slots, method='speak')
    many = zip(speak(params, mine), speak(teacher, asked), speak(teacher, free))
    return [losses.divergence_sum(with_ + (each - 1)[..., None] * (with_ - without), said, slots[..., slot],
                                  losses.of_slot(weight, slot)) for slot, (said, with_, without) in enumerate(many)]

  found = losses.in_chunks(sums, (mine, asked, free, each, slots, weight), chunk)
  loss, nats = losses.weighed(model, [one / count for one, count in zip(found, divisors[0])])
  return loss, {'loss': loss, **nats}


def scoring(model, how, tests, mesh):
  """score(params, teacher): {'COEFFICIENT': how far what is said in one pass is from what is said guided, nats a code}."""
  part = jax.jit(lambda both, batch: parts_of(model, both['params'], batch, how.loss_chunk, teacher=both['teacher']),
                 out_shardings=jax.NamedSharding(mesh, jax.P()))

  def score(params, teacher):
    found = {}
    for number in range(model.guidances):
      given = [{**batch, 'guidance': np.full(clips_of(batch), number, np.int32)} for batch in tests]
      found[f'{conditions.COEFFICIENTS[number]:g}'] = stage2.evaluated(part, {'params': params, 'teacher': teacher}, given, mesh)['codes']
    return found
  return score


def show(before, after, workdir):
  """Prints and writes the divergences."""
  print('from what is said guided, held out, in nats a code (weighted over codebooks):\ncoefficient   unguided   distilled')
  for name in before:
    print(f'{name:>11}   {before[name]:8.4f}   {after[name]:9.4f}')
  files.write(Path(workdir) / 'summary.json', (json.dumps({'unguided': before, 'distilled': after}, indent=1) + '\n').encode())
