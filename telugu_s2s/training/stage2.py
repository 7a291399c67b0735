"""Stage 2, next-token prediction: makes segments and tokens where they are missing, trains the audio LM, lets it speak."""
import dataclasses
import functools
import json
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s import axes
from telugu_s2s.audio import files, mark, pictures
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError, check_number
from telugu_s2s.lm import frames, losses, sampling
from telugu_s2s.lm.model import Config, targets
from telugu_s2s.preparation import inputs, prepare, read
from telugu_s2s.tokens import baselines, batches, census, encoding, prosody, tokenize
from telugu_s2s.tokens.epochs import Mixture, weights as mixed
from telugu_s2s.training import hosts, loop, optimiser, texts, voices
from telugu_s2s.training.lm_step import Step, Update, check, init, learnt, parts_of

COUNTED_H = 20.0                 # of training clips that counting baselines are made of, at most


def run(config, workdir):
  """The job: prepare -> tokenise -> train or resume -> held-out loss beside counting baselines -> three continuations."""
  began = time.monotonic()
  check_fields(config)
  config, text = texts.chosen(config)
  workdir = loop.begin(config, workdir)
  texts.keep(text, config, workdir)
  mesh = axes.mesh(**config.mesh)
  schedule = loop.Schedule(config.steps, config.log_every, config.save_every, config.evaluate_every)
  trained = weights.load(config.codec)
  model, how = sizes(config, trained), update_of(config)
  check(model, how, config.batch, mesh)
  window = window_of(config, model)
  train, held_out = hosts.first(lambda: token_folders(config, workdir, trained), folders(config, workdir))
  clips = batches.Clips(train, trained.name)
  texts.check(text, clips, train)
  tested = batches.Clips(held_out, trained.name)
  asked, asked_then = voices.asked(config, model, workdir, clips, tested, (train, held_out), trained.config.frame_rate)
  tests = batches.evaluation(tested, window, config.batch // how.accumulate, text, asked_then)
  counted = census_of(train, clips)
  made_s = time.monotonic() - began
  stage, score = stage_of(config, model, how, clips, window, tests, mesh, trained, text, asked, counted)
  state, done = loop.fit(stage, schedule, mesh, config.seed, workdir)
  if not done:
    return
  trained_s = time.monotonic() - began - made_s
  scores, params = evaluated(score, learnt(state), tests, mesh), hosts.whole(learnt(state))
  if jax.process_index() > 0:
    return
  summary = finish(params, model, trained, config, clips, tested, scores, workdir)
  summary['wall_s'] = {'preparation and tokens': made_s, 'training': trained_s, 'all': time.monotonic() - began}
  files.write(workdir / 'summary.json', (json.dumps(summary, indent=1) + '\n').encode())
  print(f'summary: {workdir / "summary.json"}' + (f'; samples and pictures: {workdir / "samples"}' if summary['samples'] else ''))
  print('wall time: ' + ', '.join(f'{name} {loop.clock(seconds)}' for name, seconds in summary['wall_s'].items()))


def check_fields(config) -> None:
  """Raises InputError where a number is none that a run takes: some would teach something else than was meant, others end it when it has learnt."""
  for name, most in (('seed', math.inf), ('user_share', 1), ('reference_s', math.inf), ('temperature', math.inf), ('top_k', math.inf)):
    check_number(f'config.{name}', config.get(name, 0), most)            # a run without recordings needs no seconds of them
  if config.prompt_frames < 1 or config.continue_frames < 0:
    raise InputError(f'config.prompt_frames {config.prompt_frames}, continue_frames {config.continue_frames}: give 1 or more to go on from, and '
                     '0 or more to say')
  mixed(config.mixture)


def sizes(config, trained):
  """The model's Config for a codec. trained: what `weights.load` gave."""
  model = Config(codebooks=trained.config.codebooks, codes=trained.config.codes, prosody=config.get('prosody', True), **config.model)
  width = trained.params['quantizer']['table_qvz'].shape[-1]
  if model.ear not in (0, width):
    raise InputError(f'config.model.ear {model.ear}: the vectors of codec {trained.name} have {width} numbers; give that, or 0')
  return model


def ear_of(model, trained):
  """The codec's vectors of level 0, f32[v z], each of root mean square 1, for a model that hears by them; else None."""
  if not model.ear:
    return None
  table = np.asarray(trained.params['quantizer']['table_qvz'][0], np.float32)
  return table * np.sqrt(table.shape[1]) / np.linalg.norm(table, axis=1, keepdims=True)


def update_of(config):
  return Update(config.accumulate, config.loss_chunk, config.ema, config.get('depth_frame_fraction', 1.0))


def window_of(config, model):
  """The batches.Window of a run. Raises InputError where clips cannot be packed in rows of this length."""
  align = math.lcm(2, model.user_every or 1)
  if not model.delay < config.frames or model.sinks and config.frames > model.window:
    raise InputError(f'config.frames {config.frames}: give more than config.model.delay = {model.delay} and, since the first frames are never '
                     f'forgotten, at most config.model.window = {model.window}')
  if config.packed > 1 and config.frames % align:
    raise InputError(f'config.frames: {config.frames} is no multiple of {align}, at which the clips of a packed row begin; give '
                     f'{-(-config.frames // align) * align}, or config.packed = 1')
  return batches.Window(config.frames, config.user_share, clips=config.packed, prosody=config.get('prosody', True), align=align)


def optimiser_name(config) -> str:
  """One of optimiser.KINDS, that of a run that names none too. Raises InputError for another name."""
  name = config.get('optimiser', 'adamw')
  if name not in optimiser.KINDS:
    raise InputError(f'config.optimiser {name!r}: give one of {", ".join(optimiser.KINDS)}')
  return name


def optimiser_of(config):
  """The optimiser of a run. Raises InputError for a name or a schedule that is none."""
  return optimiser.KINDS[optimiser_name(config)](schedule_of(config))


def schedule_of(config):
  """rate(step), the learning rate; see optimiser.py."""
  return optimiser.warmup_stable_decay(config.lr, config.warmup, config.steps, config.decay)


def rates_of(config) -> np.ndarray:
  """f32[steps], the learning rate of each step of a run: all at once, since to ask a device before each step is to wait for the last."""
  return np.asarray(jax.jit(jax.vmap(schedule_of(config)))(jnp.arange(config.steps)))


def stage_of(config, model, how, clips, window, tests, mesh, trained, text=None, asked=None, counted=None):
  """What the loop needs, and the scoring of a batch. counted: the clips' census."""
  tx, rate, score = optimiser_of(config), trained.config.frame_rate, scoring(model, how, mesh)
  ear = ear_of(model, trained)
  return loop.Stage(
      init=lambda key: init(model, tx, key, how.ema, ear),
      phases=((0, Step(model, how, optimiser_name(config))),), rates=rates_of(config),
      batches=Checked(batches_of(config, clips, window, counted, text, asked), model),
      audio_s=config.batch * config.frames / rate,
      facts={'stage': 2, 'data': clips.manifest['content'], 'codec': trained.name, 'seed': config.seed,
             'batch': config.batch, 'optimiser': optimiser_name(config), **order(config, 'mixture', 'text_cap'),
             'vocabulary': text.vocabulary.name if text else ''},
      line=line, evaluate=lambda state, now: evaluated(score, learnt(state), tests, mesh)), score


def order(config, *fields) -> dict:
  """What says which clip comes when: changed on the way, some would come twice in an epoch and others not at all. fields: of one job alone."""
  return {name: config[name] for name in ('packed', 'views', *fields, *(('frames',) if config.packed > 1 else ()))}


def batches_of(config, clips, window, counted, text, asked):
  """The batches of a run, of this process."""
  return batches.make(clips, window, batch=config.batch, seed=config.seed, process=jax.process_index(),
                      processes=jax.process_count(), views=config.views, text=text, asked=asked, census=counted,
                      mixture=Mixture(mixed(config.mixture), config.text_cap))


def census_of(folder, clips):
  """The census of a folder of tokens, counted by the first process alone where it is not kept there yet."""
  return hosts.first(lambda: census.of(folder, clips), None) or census.of(folder, clips)


@functools.lru_cache(2)
def scoring(model, how, mesh):
  """score(params, batch): the loss and its parts."""
  return jax.jit(lambda params, batch: parts_of(model, params, batch, how.loss_chunk),
                 out_shardings=jax.NamedSharding(mesh, jax.P()))


class Checked:
  """The same batches; one that the model cannot read stops the run, since a wrong code would be clamped in silence."""

  def __init__(self, made, model):
    self._made = made
    self._sizes = {'codes': (0, model.codes, 'codes'), 'prosody': (-1, model.prosody_codes, 'prosody_codes'),
                   'text': (-1, model.text_codes, 'text_codes'), 'reference': (-1, model.codes, 'codes')}
    fields = {'speaker': 'speakers', 'emotion': 'emotions', 'knobs': 'knob_bins', 'task': 'tasks', 'guidance': 'guidances'}
    self._sizes |= {name: (-1, size, fields.get(name, 'nonverbal')) for name, size in model.conditions.entries.items()}

  def __getitem__(self, step):
    """Raises InputError where a code, prosody code, text code or condition is none of the model's, or a weight no number."""
    batch = self._made[step]
    for name, (least, size, field) in self._sizes.items():
      if name in batch and (batch[name].min() < least or batch[name].max() >= size):
        wrong = max(batch[name].max(), batch[name].min(), key=lambda value: abs(value - (least + size) / 2))
        raise InputError(f'batch of step {step}: {name} holds {wrong}, the model takes {least} to {size - 1}; give tokens of '
                         f'this vocabulary, or set config.model.{field} to theirs')
    if not np.isfinite(batch['weight']).all():
      raise InputError(f'batch of step {step}: a weight is not finite; the tokens are damaged, tokenise again')
    return batch


def folders(config, workdir):
  """Where the tokens of training and of evaluation are, or will be."""
  folder = Path(config.data.tokens or workdir / ('aligned' if config.text.vocabulary else 'tokens'))
  if (folder / 'manifest.json').exists() and not (folder / 'train').exists():
    raise InputError(f'config.data.tokens: {folder} holds tokens itself; a run takes a folder with tokens in train/ and, held out, in eval/: run '
                     'configs/tokenize.py once for each split')
  return folder / 'train', folder / 'eval'


def token_folders(config, workdir, trained):
  """The folders of training and held-out tokens; made here where config.data.tokens does not name one."""
  if config.data.tokens:
    return folders(config, workdir)
  full = {'measures': 'full'} if config.model.get('knob_bins') or config.model.get('nonverbal') else {}      # what knobs are made of
  data = prepare.Data(**{name: value for name, value in config.data.items() if name != 'tokens'}, **full)
  encoder = encoding.Encoder(trained)
  for split, chosen in (('train', data), ('eval', dataclasses.replace(data, split='eval'))):
    print(f'--- {split}')
    try:
      if split == 'eval':
        read.check_held_out(data)
      prepare.prepare(chosen, workdir / 'segments' / split)
    except inputs.NoSplit as problem:                  # one that is there and cannot be used is told: nobody shall take other voices for it
      if split == 'train' or not data.audio:           # the sample corpus is learnt from, and cannot take its own place
        raise
      print(f'no held-out split ({problem}): the sample corpus takes its place')
      prepare.prepare(prepare.Data(split='eval', workers=data.workers, **full), workdir / 'segments' / split)
    tokenize.tokenize(workdir / 'segments' / split, workdir / 'tokens' / split, trained, encoder)
    if config.text.vocabulary:
      texts.with_words(config, workdir, split)
  return folders(config, workdir)


def line(values):
  """The stage's part of the screen's line: the loss of each codebook in nats."""
  levels = ' '.join(f'{values[name]:.2f}' for name in sorted(values) if name[0] == 'a' and name[1:].isdigit())
  return f'loss {values["loss"]:.3f} | codes {values["codes"]:.3f} = {levels} | prosody {values["prosody"]:.2f}' + (
      f' | text {values["text"]:.2f}' if 'text' in values else '')


def evaluated(score, params, tests, mesh):
  """Mean parts over held-out batches, weighted by their frames."""
  rows = jax.NamedSharding(mesh, axes.BATCH)
  total, frames_seen = {}, 0.0
  for batch in tests:
    mine = jax.tree.map(hosts.share, batch)
    with jax.set_mesh(mesh):       # as in the loop: outside, it would be another program, whose arrays lie anywhere
      parts = jax.device_get(score(params, jax.tree.map(lambda x: jax.make_array_from_process_local_data(rows, x), mine))[1])
    share = float(batch['weight'].sum())
    frames_seen += share
    for name, value in parts.items():
      total[name] = total.get(name, 0.0) + share * float(value)
  return {name: value / frames_seen for name, value in total.items()}


def finish(params, model, trained, config, clips, held_out, scores, workdir):
  """Prints the table of losses and writes three continuations of held-out clips; returns the summary."""
  # Counts of thousands of hours would fill the memory.
  known = read.spread(len(clips), max(1, round(COUNTED_H * 3600 / max(clips.seconds / len(clips), 0.01))))
  every = [[source[index].codes for index in chosen] for source, chosen in ((clips, known), (held_out, range(len(held_out))))]
  every[1] = [codes[:config.frames] for codes in every[1]]         # what the model is measured on
  counted = baselines.nats(*every, trained.config.codes)
  share = losses.code_weights(model.codebooks)
  levels = [f'a{level}' for level in range(model.codebooks)]
  table = counted | {'model': np.array([scores[name] for name in levels])}
  print(f'held-out cross-entropy, nats a code ({sum(map(len, every[1]))} frames of {len(every[1])} clips' + (
      f'; counts are of {len(known)} of {len(clips)} training clips):' if len(known) < len(clips) else '):'))
  print('          ' + ' '.join(f'{name:>6}' for name in levels) + '  weighted')
  for name, values in table.items():
    print(f'{name:>8}  ' + ' '.join(f'{value:6.3f}' for value in values) + f'  {share @ values:8.3f}')
  spoken = continuations(params, model, trained, config, held_out, workdir)
  return {'steps': config.steps, 'parameters': sum(x.size for x in jax.tree.leaves(params)),
          'codec': trained.name, 'train_s': clips.seconds, 'held_out_s': held_out.seconds,
          'nats': {name: [*map(float, values)] for name, values in table.items()},
          'weighted_nats': {name: float(share @ values) for name, values in table.items()},
          'held_out': scores, 'samples': spoken}


def continuations(params, model, trained, config, held_out, workdir, count=3):
  """Writes what the model says after the first seconds of held-out clips; returns the files' names."""
  if not config.continue_frames:
    return []
  how = sampling.Sampling(config.temperature, config.top_k, int(held_out.silence[0]), config.silence_bias)
  prompt, more = config.prompt_frames, config.continue_frames
  long = [index for index in range(len(held_out)) if len(held_out[index].codes) >= prompt] or [0]
  chosen = [long[number * len(long) // count] for number in range(count)]
  clips = [held_out[index] for index in chosen]
  prompt = min([prompt] + [len(clip.codes) for clip in clips])
  codes = jnp.stack([clip.codes[:prompt].astype(np.int32) for clip in clips])
  moves = np.stack([prosody.spaced(clip.prosody, prompt) for clip in clips])
  silence = jnp.broadcast_to(held_out.silence, (count, prompt + more, model.codebooks))
  spoken = continued(model, params, codes, jnp.asarray(moves), silence, jax.random.key(config.seed), how)
  names = []
  for row, audio in enumerate(encoding.decoded(trained, spoken)):
    name = f'continuation-{row}'
    files.write_wav(workdir / 'samples' / f'{name}.wav', audio, comment=mark.SYNTHETIC)
    cut = prompt * trained.config.hop
    pictures.spectrogram(workdir / 'samples' / f'{name}.png',
                         {f'prompt: {clips[row].labels["id"]}': audio[:cut], 'prompt and continuation': audio})
    names.append(f'samples/{name}.wav')
  return names


@functools.partial(jax.jit, static_argnames=('model', 'how'))
def continued(model, params, codes, prosody, user, key, how, given=None):
  """Prompts i32[b t q] with what the model says after them: i32[b t+m q], m the frames of `user` beyond t.

  given: conditions, see lm/conditions.py, or None. Streams are guided where `how` has a coefficient other than 1.

  Levels 1.. of the prompt's last `delay` frames are drawn anew: they come after its end.
  """
  t, model = codes.shape[1], model.within(user.shape[1])
  slots = targets(model, codes[:, None], prosody)
  state = sampling.empty_state(model, codes.shape[0], how.guidance != 1)
  if given:
    state = sampling.conditioned(model, params, state, given)
  state = sampling.prefill(model, params, state, slots, user[:, :t])
  _, more = sampling.generate(model, params, state, user[:, t:], key, how)
  whole = jnp.concatenate([slots, more], 1)[..., -model.codebooks:]
  return frames.undelayed(whole, model.delay)
