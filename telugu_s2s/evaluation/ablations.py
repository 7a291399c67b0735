"""What each mechanism of stage 2 is worth: the same training with and without it, on the same held-out clips, and the same voice guided or not."""
import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import control
from telugu_s2s.evaluation.recipes import of
from telugu_s2s.lm import losses
from telugu_s2s.lm.model import AudioLM, targets
from telugu_s2s.tokens import batches, labels
from telugu_s2s.training import intervals, runs, stage2

WHOLE = 'as it is'


def arms_of(names, recipe) -> dict[str, dict]:
  """{what is changed: fields of configs/stage2.py}, `WHOLE` first. recipe: that config as it is.

  Raises:
    InputError: one of the names is none.
  """
  known = {'no prosody slot': {'prosody': False}, 'no user prediction': {'model__user_every': 0},
           'the other delay': {'model__delay': 1 - recipe.model.delay}, 'half of the frames': {'depth_frame_fraction': 0.5},
           'a quarter of the frames': {'depth_frame_fraction': 0.25}}
  if wrong := set(names) - set(known):
    raise InputError(f'config.changes: {", ".join(sorted(wrong))}: give some of {", ".join(known)}')
  return {WHOLE: {}} | {name: known[name] for name in names}


def measure(config, workdir) -> dict:
  """Trains each with every seed, or finds it trained, and measures it.

  Raises:
    InputError: one of the changes is none, or what is there was trained in another way.

  Returns:
    {seeds, steps, clips, arms: {name: {codes: mean nats a code (weighted over codebooks), frame: nats of a frame with its prosody, and
    `compared`}}, guidance: {coefficient: {knob: control.agreement}}}.
  """
  found, tokens = {}, ''
  for name, fields in arms_of(config.changes, of('stage2', config.size)).items():
    each = []
    for seed in config.seeds:
      folder = folder_of(workdir, name, seed)
      print(f'--- {name}, seed {seed}', flush=True)
      recipe = of('stage2', config.size, seed=seed, steps=config.steps, data__audio=config.audio, data__tokens=tokens, **fields)
      same(recipe, folder)
      if not (folder / 'summary.json').exists():
        stage2.run(recipe, folder)
      tokens = tokens or str(folder / 'tokens')
      each.append(by_clip(folder, Path(tokens, 'eval')))
    found[name] = np.array(each)                                               # [seeds 2 clips]
  rng, whole = np.random.default_rng(config.seed), found[WHOLE][:, 0]
  arms = {name: {'codes': float(x[:, 0].mean()), 'frame': float(x[:, 1].mean())} | compared(x[:, 0] - whole, rng) for name, x in found.items()}
  result = {'seeds': [*config.seeds], 'steps': config.steps, 'clips': whole.shape[1], 'arms': arms,
            'guidance': guided(folder_of(workdir, WHOLE, config.seeds[0]), config)}
  show(result)
  return result


def folder_of(workdir, name: str, seed: int) -> Path:
  """Where an arm's run with a seed lies."""
  return Path(workdir, f'{name.replace(" ", "-")}-{seed}')


def same(recipe, folder) -> None:
  """Raises InputError where a run that lies in a folder, trained or begun, is none of this recipe: its numbers would stand for others."""
  if not (folder / 'config.json').exists():
    return
  plain = lambda config: {**config, 'data': {**config['data'], 'tokens': ''}, 'model': {**config['model'], 'text_codes': 0}}       # see texts.chosen
  found, now = plain(runs.config_of(folder).to_dict()), plain(recipe.to_dict())
  for name in sorted(found.keys() | now.keys()):
    before, wanted = (json.loads(json.dumps(one.get(name))) for one in (found, now))
    if before != wanted:
      raise InputError(f'{folder} was trained with {name} {before}, and now it is to be {wanted}; give another --workdir, or what it was '
                       'trained with')


def compared(more, rng) -> dict:
  """Of codes f[seeds clips] less those of `WHOLE` with the same seed {more: their mean and its 95 % interval over clips, by_seed: each mean}."""
  low, high = intervals.by_group(more.mean(0), np.arange(more.shape[1]), rng)
  return {'more': [float(more.mean()), low, high], 'by_seed': more.mean(1).tolist()}


def by_clip(run, tokens) -> np.ndarray:
  """f64[2 clips] of a run on held-out tokens: nats a code, weighted over codebooks, and nats of a frame, its share of the prosody included.

  A row holds one clip, in whatever rows the run has learnt.
  """
  model, params, codec = runs.loaded(run)
  config = runs.config_of(run)
  clips = batches.Clips(tokens, codec.name)
  score = jax.jit(lambda params, batch: nats(model, params, batch))
  window = dataclasses.replace(stage2.window_of(config, model), clips=1)
  found = [np.asarray(score(params, batch)) for batch in batches.evaluation(clips, window, config.batch)]
  return np.concatenate(found, 1)[:, :len(clips)].astype(np.float64)


def nats(model, params, batch):
  """f32[2 b], as `by_clip`, of a batch whose weight is on its clips."""
  every = AudioLM(model).apply({'params': params}, batch['codes'], batch['prosody'])[0]
  slots, weight = targets(model, batch['codes'], batch['prosody']), batch['weight']
  total = jax.vmap(lambda *row: sum(nats for nats, _ in losses.sums(*row)[0]))(every, slots, weight)
  return jnp.stack([losses.by_row(model, losses.row_sums(model, every, slots, weight)), total / jnp.maximum(jnp.sum(weight, 1), 1.0)])


def guided(run, config) -> dict:
  """{coefficient of guidance: {knob: `control.agreement`}} of a run, at each of config.guidance."""
  loaded, table, result = runs.loaded(run), labels.load(Path(run, labels.FILE)), {}
  for guidance in config.guidance:
    found = control.measure(of('evaluate', 'stage4', seed=config.seed, draws=config.draws, guidance=guidance), [], *loaded, table)
    result[str(guidance)] = {knob: found[knob] for knob in control.HEARD if knob in found}
  return result


def show(result) -> None:
  print(f'held-out nats of {result["clips"]} clips, {result["steps"]} steps, {len(result["seeds"])} seeds:')
  print(f'{"":>20}   a code   a frame   more than {WHOLE}')
  for name, one in result['arms'].items():
    more, low, high = one['more']
    print(f'{name:>20} {one["codes"]:8.3f} {one["frame"]:9.2f}   {more:+.3f} ({low:+.3f} to {high:+.3f})')
  for guidance, knobs in result['guidance'].items():
    print(f'guidance {guidance}: Spearman of ' + ', '.join(f'{knob} {one["spearman"]:+.2f}' for knob, one in knobs.items()))
