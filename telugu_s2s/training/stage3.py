"""Stage 3, conversation: a model that goes on speaking learns to listen first, and to answer.

Continues a stage 2 run on adjacent turns of dialogues in two streams, among its own data (replay). A start: no timing
beyond a drawn pause, no noise on what the user says, no heads for turn-taking.
"""
import json
from pathlib import Path

import jax
import numpy as np

from telugu_s2s import axes
from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.tokens import batches, turns
from telugu_s2s.training import hosts, lm_step, loop, runs, stage2, voices

Z = 1.96                         # of a 95 % interval


def run(config, workdir):
  """The job: exchanges of the run's data -> train or resume -> what answers are worth after their own question and after another."""
  of = Path(config.run).absolute()
  model, params, trained = runs.loaded(of)
  if model.text_codes:
    raise InputError(f"config.run: {of} has a text slot, which stage 3 does not fill yet; give a run of config.text.vocabulary = ''")
  config, params = runs.continued(config, of), hosts.whole(params)
  workdir, mesh, rate = loop.begin(config, workdir), axes.mesh(**config.mesh), trained.config.frame_rate
  how = stage2.update_of(config)
  lm_step.check(model, how, config.batch, mesh)
  train, held_out = stage2.folders(config, workdir)
  clips, tested = batches.Clips(train, trained.name), batches.Clips(held_out, trained.name)
  found, held = turns.exchanges(clips), turns.exchanges(tested)
  if len(held) < 2:
    raise InputError(f'{held_out}: {len(held)} exchanges, and at least 2 are compared; hold out dialogues')
  print(f'exchanges: {len(found)} to learn from, {len(held)} held out', flush=True)
  window = stage2.window_of(config, model)
  asked, asked_then = voices.asked(config, model, workdir, clips, tested, (train, held_out), rate)
  made = turns.make(clips, found, window, rate, batch=config.batch, seed=config.seed, replay=config.replay,
                    process=jax.process_index(), processes=jax.process_count(), views=config.views, asked=asked,
                    counted=stage2.census_of(train, clips))
  tx = stage2.optimiser_of(config)
  tests = turns.tests(tested, held, window, rate, config.batch // how.accumulate, asked=asked_then)
  score = stage2.scoring(model, how, mesh)
  stage = loop.Stage(
      init=lambda key: lm_step.init(model, tx, key, how.ema),
      given=lambda: {'params': params} | ({'mean': params} if how.ema else {}),
      phases=((0, lambda state, batch, key: lm_step.step(model, tx, state, batch, how, key)),),
      batches=stage2.Checked(made, model), audio_s=config.batch * config.frames / rate,
      facts={'stage': 3, 'data': clips.manifest['content'], 'codec': trained.name, 'seed': config.seed, 'batch': config.batch},
      line=stage2.line, evaluate=lambda state, now: stage2.evaluated(score, lm_step.learnt(state), tests, mesh))
  schedule = loop.Schedule(config.steps, config.log_every, config.save_every, config.evaluate_every)
  state, done = loop.fit(stage, schedule, mesh, config.seed, workdir)
  if not done:
    return
  learnt = hosts.whole(lm_step.learnt(state))
  if jax.process_index() > 0:
    return
  of_pairs = lambda params: listens(model, params, tested, held, window, rate, asked_then)
  summary = {'exchanges': len(found), 'held_out': len(held), 'before': of_pairs(params), 'after': of_pairs(learnt)}
  files.write(workdir / 'summary.json', (json.dumps(summary, indent=1) + '\n').encode())
  show(summary)


def listens(model, params, clips, found, window, rate, asked=None) -> dict:
  """Whether answers are likelier after their own question than after another one, of held-out exchanges.

  Returns:
    {own, other: mean nats a code of the answers (weighted over codebooks); share: of the answers that are likelier after
    their own question; interval: its 95 % interval (Wilson, 1927)}.
  """
  score = jax.jit(jax.vmap(lambda row: lm_step.parts_of(model, params, jax.tree.map(lambda x: x[None], row))[1]['codes']))

  def nats(shift):
    every = turns.tests(clips, found, window, rate, 8, shift, asked)
    return np.concatenate([np.asarray(score(batch)) for batch in every])[:len(found)]

  own, other = nats(0), nats(1 + len(found) // 2)
  n, share = len(found), float(np.mean(own < other))
  middle, half = (share + Z**2 / (2 * n)) / (1 + Z**2 / n), Z / (1 + Z**2 / n) * (share * (1 - share) / n + Z**2 / (4 * n**2)) ** 0.5
  return {'own': float(own.mean()), 'other': float(other.mean()), 'share': share, 'interval': [middle - half, middle + half]}


def show(summary):
  print(f'{summary["held_out"]} held-out answers, nats a code (weighted over codebooks):')
  print('         after their own question   after another   likelier after their own')
  for name in ('before', 'after'):
    one = summary[name]
    low, high = one['interval']
    print(f'{name:>6} {one["own"]:26.4f} {one["other"]:15.4f}   {one["share"]:.0%} ({low:.0%} to {high:.0%}; chance is 50 %)')
