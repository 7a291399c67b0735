"""Stage 3, conversation: a model that goes on speaking learns to listen first, to answer, and to stop when it is interrupted.

Continues a stage 2 run on exchanges of dialogues in two streams, among its own data (replay). The user's side is heard as a
microphone hears it; a head tells who speaks in the two seconds that follow.
"""
import collections
import dataclasses
import functools
import json
import math
from pathlib import Path
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s import axes
from telugu_s2s.audio import files
from telugu_s2s.errors import InputError, check_number
from telugu_s2s.preparation.read import spread
from telugu_s2s.tokens import batches, turns
from telugu_s2s.training import heard, hosts, intervals, lm_step, loop, runs, stage2, texts, voices

TAKES = 8                        # of a held-out question that are measured
FLOOR_S = 0.2                    # of the first span in which it is told who speaks
AFTER_S = 2.0                    # of silence behind an answer that are learnt: a voice that has answered waits for the user
# The most that numbers of stages 3 and 4 may be, from 0 on: shares, and others.
MOST = dict.fromkeys(('user_share', 'retold', 'balance'), 1) | dict.fromkeys(
    ('seed', 'replay', 'swapped', 'interrupted', 'followed', 'history_s', 'overlap_s', 'onset', 'listen_steps', 'match', 'beta', 'anchor'), math.inf)


def run(config, workdir):
  """The job: exchanges of the run's data -> train or resume -> what answers are worth after their own question and after another."""
  check(config)
  of = Path(config.run).absolute()
  model, params, trained = begun(of, config.floor, config.match, config.seed, config.anew)
  config, text = texts.continued(runs.continued(config, of), of, model)
  config.model.floor_frames, config.model.match = model.floor_frames, model.match
  if config.listen_steps and not (model.floor_frames and model.match):
    raise InputError(f'config.listen_steps {config.listen_steps}: a model learns to listen by both heads; set config.floor and config.match too')
  tx, kind, how = stage2.optimiser_of(config), stage2.optimiser_name(config), stage2.update_of(config)
  workdir = loop.begin(config, workdir)
  texts.keep(text, config, workdir)
  talk = talk_of(config, of, model, trained, workdir, text, knobs=False)
  learnt = fitted(
      config, workdir, model, talk, talk.batches(config), stage=3, init=lambda key: lm_step.init(model, tx, key, how.ema), given={'params': params},
      phases=((0, lm_step.Step(model, how, kind, listening)), (config.listen_steps, lm_step.Step(model, how, kind))), line=line,
      facts={'listen_steps': config.listen_steps})
  if learnt is None:
    return
  before, after = listens(model, (params, learnt), talk, config.seed)
  summary = {'exchanges': len(talk.found), 'held_out': len(talk.held), 'before': before, 'after': after}
  files.write(workdir / 'summary.json', (json.dumps(summary, indent=1) + '\n').encode())
  show(summary)


def check(config, field: str = 'config') -> None:
  """Raises InputError where a number of stage 3 or 4 is none that it takes. Below 0 or nan it would train, and something else than was meant.

  field: where the config stands in another one.
  """
  for name, most in MOST.items():
    check_number(f'{field}.{name}', config.get(name, 0), most)
  heard.check(config.heard)


def fitted(config, workdir, model, talk, made, *, stage: int, init, given: dict, phases, line, facts=MappingProxyType({}), idle=()):
  """The weights that a stage of conversation learnt, trained or resumed; None where it was stopped, and in all processes but the first.

  Args:
    made: its batches. given: what a fresh state begins with beside the optimiser. facts: more that a resumed run has to share; the others
      as in loop.Stage. One that learns as the run before it did takes its program.
  """
  mesh, how = axes.mesh(**config.mesh), stage2.update_of(config)
  score = stage2.scoring(model, how, mesh)
  tests = turns.tests(talk.compared, talk.held, talk.window, config.batch // how.accumulate, asked=talk.asked_then)
  facts = {**facts, 'stage': stage, 'data': talk.clips.manifest['content'], 'codec': talk.clips.manifest['codec'], 'seed': config.seed,
           'batch': config.batch, 'optimiser': stage2.optimiser_name(config),
           **stage2.order(config, 'swapped', 'interrupted', 'followed', 'replay')}
  state, done = loop.fit(
      loop.Stage(init=init, given=lambda: given | ({'mean': given['params']} if how.ema else {}), phases=phases,
                 rates=stage2.rates_of(config), idle=idle, batches=stage2.Checked(made, model),
                 audio_s=config.batch * config.frames / talk.scenes.rate, facts=facts, line=line,
                 evaluate=lambda state, now: stage2.evaluated(score, lm_step.learnt(state), tests, mesh)),
      loop.Schedule(config.steps, config.log_every, config.save_every, config.evaluate_every), mesh, config.seed, workdir)
  learnt = hosts.whole(lm_step.learnt(state)) if done else None
  return learnt if jax.process_index() == 0 else None


def begun(of, floor: bool, match: int, seed: int, anew: bool = False):
  """(model, params, codec) that a run of conversation begins with.

  anew: its temporal transformer is a fresh one, while what it knows of codes and of a frame's levels stays. Weights that were
    trained before learn something else more slowly than fresh ones (Ash and Adams, On warm-starting neural network training, 2020).
  """
  model, params, trained = runs.loaded(of)
  params = jax.device_get(hosts.whole(params))       # where it is trained it is cut as the mesh says: no device keeps all of it beside that
  if anew:
    del params['temporal']
    # Stage 3 tells no knobs. What they said to the old transformer would be a jolt to this one when stage 4 first tells them.
    if model.knob_bins:
      params['conditions'] = params['conditions'] | {'knobs_cd': jnp.zeros_like(params['conditions']['knobs_cd'])}
  return *grown(model, params, trained.config.frame_rate, floor, match, seed), trained


@dataclasses.dataclass(frozen=True)
class Talk:
  """What a run of conversation learns from, and what it is measured on."""
  clips: batches.Clips
  counted: object                # their census
  found: list                    # turns.Exchange, to learn from
  held: list                     # held out
  window: batches.Window
  scenes: turns.Scenes           # of the clips
  compared: turns.Scenes         # of held-out ones
  asked: object                  # labels.Asked or None
  asked_then: object
  counted_then: object           # the census of held-out clips

  def batches(self, config, often=None):
    """Those of stage 3."""
    return turns.make(self.scenes, self.found, self.window, batch=config.batch, seed=config.seed, times=times(config),
                      process=jax.process_index(), processes=jax.process_count(), views=config.views, asked=self.asked,
                      counted=self.counted, often=often)


def talk_of(config, of, model, trained, workdir, text, knobs: bool) -> Talk:
  """The exchanges of a run's data. Raises InputError where fewer than two are held out, or model, batch and mesh do not go together.

  text: how the text slot is filled, or None.
  knobs: whether an answer's prosody is told. It tells which of a few hundred answers it is, and who is told so does not listen.
  """
  lm_step.check(model, stage2.update_of(config), config.batch, axes.mesh(**config.mesh))
  train, held_out = stage2.folders(config, workdir)
  clips, tested, rate = batches.Clips(train, trained.name), batches.Clips(held_out, trained.name), trained.config.frame_rate
  texts.check(text, clips, train)
  found, held = turns.exchanges(clips), turns.exchanges(tested)
  for folder, there, least in ((train, found, 1), (held_out, held, 2)):
    if len(there) < least:
      raise InputError(f'{folder}: {len(there)} exchanges, at least {least} are needed: turns that follow one another, with the labels `dialogue`, `turn` and '
                       '`speaker`. Give tokens of dialogues with config.data.tokens; configs/pairs.py makes some')
  counted_then = stage2.census_of(held_out, tested)
  held = few(held, tested, counted_then.text)
  print(f'exchanges: {len(found)} to learn from, {len(held)} held out to measure on', flush=True)
  asked, asked_then = voices.asked(config, model, workdir, clips, tested, (train, held_out), rate, knobs)
  scenes = turns.Scenes(clips, rate, heard.of(config, of, workdir, trained, clips, train), round(config.history_s * rate),
                        model.floor_frames, config.onset, round(config.overlap_s * rate), config.retold, text)
  window = dataclasses.replace(stage2.window_of(config, model), trailing=round(AFTER_S * rate))
  return Talk(clips, stage2.census_of(train, clips), found, held, window, scenes,
              turns.Scenes(tested, rate, floor=model.floor_frames, text=text), asked, asked_then, counted_then)


def few(held, clips, text) -> list:
  """Exchanges without more than TAKES of a question, spread over its takes, which are no independent ones. text: of the clips, see Census."""
  takes = collections.defaultdict(list)
  for place, one in enumerate(held):
    takes[turns.sentence(clips, text, one.asked)].append(place)
  return [held[place] for place in sorted(many[at] for many in takes.values() for at in spread(len(many), TAKES))]


def grown(model, params, rate: float, floor: bool, match: int, seed: int):
  """A model that tells who speaks next and which answer a question has, and its weights, of which those that it lacks begin knowing nothing."""
  wanted = dataclasses.replace(model, floor_frames=model.floor_frames or floor * max(1, round(FLOOR_S * rate)), match=model.match or match)
  fresh = functools.partial(lm_step.fresh, wanted, jax.random.key(seed))
  names = jax.eval_shape(fresh).keys()
  lacking = names - params.keys()                # in most runs none
  # Those alone, as one program: all of a toy's, one operation after the other, take 30 s of a CPU.
  made = jax.jit(lambda: {name: value for name, value in fresh().items() if name in lacking})() if lacking else {}
  return wanted, {name: params[name] if name in params else made[name] for name in names}


def listening(model, params, batch, chunk=0, divisors=None):
  """(loss, its parts) of a batch by what is heard alone: who speaks next, and which answer a question has. Called as lm_step.parts_of.

  No conditions are told: a recording of the answering voice would help to guess the answer, and the question would go unheard.
  The depth transformer, most of a small model's work, has no part in it, so a step takes a fraction of the time.
  """
  h, _ = lm_step.heard(model, params, batch, None)
  return lm_step.with_heads(model, params, h, jnp.zeros(()), {}, batch, lm_step.counts(model, batch) if divisors is None else divisors)


def times(config) -> dict:
  """How often an epoch has each kind of row while it has each exchange once."""
  return {turns.SWAPPED: config.swapped, turns.INTERRUPTED: config.interrupted, turns.FOLLOWED: config.followed, turns.CLIPS: config.replay}


def line(values):
  """The stage's part of the screen's line."""
  heads = ''.join(f' | {name} {values[name]:.3f}' for name in ('floor', 'match') if name in values)
  return (stage2.line(values) if 'codes' in values else f'loss {values["loss"]:.3f}') + heads


def listens(model, every, talk: Talk, seed: int) -> list[dict]:
  """Whether answers are likelier after their own question than after another one, of held-out exchanges, by each of several weights.

  The other one says something else and is answered by something else. Takes of one question are no independent ones.

  Returns:
    Of each {own, other: mean nats a code of the answers (weighted over codebooks), with those of their text; n, share: of the answers
    that are likelier after their own question, with its interval, see intervals.share_by_group}; {n: 0} where all held-out questions
    say the same.
  """
  found, others, says = with_others(talk)
  if not found:
    return [{'n': 0} for _ in every]
  score, result = scoring(model), []
  sides = [turns.tests(talk.compared, found, talk.window, 8, questions, talk.asked_then) for questions in (None, others)]
  for params in map(hosts.alone, every):
    own, other = (np.concatenate([np.asarray(score(params, batch)) for batch in side])[:len(found)] for side in sides)
    result.append({'own': float(own.mean()), 'other': float(other.mean()),
                   **intervals.share_by_group(own < other, says, np.random.default_rng(seed))})
  return result


@functools.lru_cache(2)
def scoring(model):
  """score(params, batch): the nats a code of each row f32[b], with those of its text."""
  def one(params, row):
    parts = lm_step.parts_of(model, params, jax.tree.map(lambda x: x[None], row))[1]
    return parts['codes'] + parts.get('text', 0.0)
  return jax.jit(jax.vmap(one, (None, 0)))


def with_others(talk: Talk) -> tuple[list, list, list]:
  """(held-out exchanges, for each another one whose question and answer say something else, a number for what each question says)."""
  clips, held = talk.compared.clips, talk.held
  text = talk.counted_then.text
  says = [tuple(turns.sentence(clips, text, clip) for clip in (one.asked, one.answered)) for one in held]
  far = 1 + len(held) // 2
  other = [next((place for place in (np.arange(len(held)) + number + far) % len(held)
                 if says[place][0] != says[number][0] and says[place][1] != says[number][1]), None) for number in range(len(held))]
  kept = [number for number, place in enumerate(other) if place is not None]
  return [held[number] for number in kept], [held[other[number]] for number in kept], [says[number][0] for number in kept]


def show(summary):
  print(f'{summary["held_out"]} held-out answers, nats a code (weighted over codebooks):')
  print('         after their own question   after another   likelier after their own')
  for name in ('before', 'after'):
    one = summary[name]
    if not one['n']:
      print(f'{name:>6} not measured: all held-out questions say the same; hold out more dialogues')
      continue
    low, high = one['interval']
    print(f'{name:>6} {one["own"]:26.4f} {one["other"]:15.4f}   {one["share"]:.0%} ({low:.0%} to {high:.0%}; chance is 50 %)')
