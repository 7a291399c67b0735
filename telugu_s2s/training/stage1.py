"""Stage 1, reconstruction: trains the codec on prepared segments and writes it as one file with its picture."""
import functools
import json

import jax
import numpy as np

from telugu_s2s import axes
from telugu_s2s.audio import files, pictures, quality
from telugu_s2s.codec import discriminator, losses, streaming, weights
from telugu_s2s.codec.content import Content
from telugu_s2s.codec.model import Codec, Config
from telugu_s2s.errors import InputError, check_number
from telugu_s2s.preparation import prepare, read, teacher, units
from telugu_s2s.training import codec_step, crops, hosts, loop, spoken

HELD_OUT = 12                    # clips that are decoded and measured
KEPT = 3                         # of these are written as wav and picture


def run(config, workdir):
  """The job: prepares what is missing, trains or resumes, and writes `codec.safetensors`, samples and a summary."""
  workdir = loop.begin(config, workdir)
  mesh = axes.mesh(**config.mesh)
  sizes = Config(**config.model)
  if sizes.rate != files.SAMPLE_RATE or min(config.steps.values()) < 0:
    raise InputError(f'config.model.rate {sizes.rate}, config.steps {config.steps.to_dict()}: recordings are read at {files.SAMPLE_RATE} Hz, '
                     'and phases have 0 steps or more')
  check(config)
  schedule = loop.Schedule(sum(config.steps.values()), config.log_every, config.save_every, config.evaluate_every)
  axes.check_batch(config.batch, mesh)
  if config.spoken.batch:
    axes.check_batch(config.spoken.batch, mesh, 'config.spoken.batch (0 = no utterances with transcripts)')
  judges = judges_of(config)
  samples = crop(config, sizes, judges)
  txs, codec = codec_step.optimisers(config), Codec(sizes)
  started = start(config.start, sizes)
  if config.teacher.name:
    teacher.features(config.teacher.name, sizes.hop)             # what it lacks is said before a corpus is prepared
  data = prepare.Data(**config.data)
  hosts.first(lambda: prepare.prepare(data, workdir / 'segments' / 'train'), None)
  prepared = read.Segments(workdir / 'segments' / 'train')
  segments, manifest = read.Kept(prepared), prepared.manifest
  batches, heads = taught(config, sizes, segments, samples, workdir)
  clips, split = hosts.first(lambda: held_out(data, workdir), ([], ''))       # measured by the first process alone
  stage = loop.Stage(
      init=lambda key: codec_step.init(codec, heads, judges, txs, key, started and started.params),
      phases=tuple((first, functools.partial(codec_step.step, codec, heads, judges, txs, config, phase))
                   for first, phase in codec_step.boundaries(config.steps)),
      batches=batches, audio_s=config.batch * samples / sizes.rate,
      facts={'stage': 1, 'data': manifest['content'], 'seed': config.seed, 'batch': config.batch,
             'teacher': config.teacher.name, 'start': started.identity if started else ''},
      line=line, evaluate=lambda state, now: evaluated(trained_of(state, sizes), clips, split, workdir / 'samples' / f'{now:07}'))
  state, done = loop.fit(stage, schedule, mesh, config.seed, workdir)
  if done:
    mean = hosts.whole(state['mean'])
    if jax.process_index() == 0:
      finish(mean, sizes, config, clips, split, manifest, workdir)


def check(config):
  """Raises InputError where a setting of `codec_step` is out of its range: most would be taken, and teach something else."""
  for name in ('level_dropout', 'unquantised', 'mean_decay'):
    check_number(f'config.{name}', config[name], 1)
  for name, value in config.augment.items():
    check_number(f'config.augment.{name}', value, 1)
  for name in ('seed', 'discriminator_lr', 'exact_steps', 'decoder_mel'):
    check_number(f'config.{name}', config[name])
  for name, value in config.weights.items():
    check_number(f'config.weights.{name}', value)
  if config.restart_every < 1:
    raise InputError(f'config.restart_every {config.restart_every}: give steps from 1')
  steps = config.steps.reconstruction + config.steps.adversarial
  if not config.start and 0 < steps <= config.exact_steps:
    raise InputError(f'config.exact_steps {config.exact_steps}: in none of the {steps} steps that teach codes would a row be rounded to them; '
                     'give fewer')


def judges_of(config):
  """The discriminators, or None where no phase has them, or where nothing is made of what they say."""
  if not config.steps.adversarial + config.steps.decoder or not any(config.weights[name] for name in codec_step.JUDGED):
    return None
  return discriminator.Discriminators(discriminator.Config(**config.discriminators))


def crop(config, sizes, judges) -> int:
  """Samples of a training crop, whole frames.

  Raises:
    InputError: it is shorter than what a loss or a discriminator looks at.
  """
  samples = round(config.crop_s * sizes.rate / sizes.hop) * sizes.hop
  least = max(max(window for window, _ in losses.MEL_SCALES), judges.config.shortest if judges else 0)
  if samples < least:
    raise InputError(f'config.crop_s: {config.crop_s} s is shorter than the {least} samples that the losses look at; '
                     'take 0.2 or more')
  return samples


def start(path, sizes):
  """The codec that a run begins with; None for a fresh one.

  Raises:
    InputError: the file's codec has other sizes than config.model.
  """
  if not path:
    return None
  trained = weights.load(path)
  if trained.config != sizes:
    raise InputError(f'config.start: {path} has sizes {trained.config}, config.model has {sizes}; make them alike')
  return trained


def taught(config, sizes, segments, samples, workdir):
  """The batches of a run and the heads that learn from what is known of them: units of a teacher, transcripts."""
  known, told = None, config.teacher
  if told.name:
    asked = units.Teacher(told.name, sizes.hop, told.units, config.seed, told.workers)
    hosts.first(lambda: units.label(asked, workdir / 'segments' / 'train', workdir / 'units'), None)
    known = units.Units(workdir / 'units')
  share = dict(seed=config.seed, process=jax.process_index(), processes=jax.process_count())
  sources = [crops.batches(segments, batch=config.batch, samples=samples, hop=sizes.hop, units=known, **share)]
  table = []
  if config.spoken.batch:
    texts = spoken.Spoken(segments, config.spoken.longest_s, sizes.hop, sizes.rate)
    print(f'transcripts: {len(texts)} of {len(segments)} segments, {len(texts.table)} graphemes')
    if len(texts):
      sources.append(spoken.batches(texts, batch=config.spoken.batch, **share))
      table = texts.table
  return crops.Together(*sources), Content(known.units if known else 0, len(table) + 1 if table else 0)


def line(values):
  """The stage's part of the screen's line."""
  each = lambda prefix: ' '.join(f'{100 * values[name]:.0f}' for name in sorted(values) if name.startswith(prefix))
  shown = [f'{name} {values[name]:.3f}' for name in ('loss', 'mel', 'stft', 'error', 'commit', 'units', 'graphemes',
                                                     'adversarial', 'feature', 'discriminator') if name in values]
  return ' | '.join([*shown, f'codes in use {each("usage")} %', f'entropy {each("entropy")} %'])


def trained_of(state, sizes) -> weights.Trained:
  """The codec of a run as it stands: the mean of its weights."""
  return weights.Trained(sizes, jax.device_get(hosts.whole(state['mean'])), 'training')


def evaluated(trained, clips, split, folder) -> dict[str, float]:
  """Mean measures of clips of a split, the first of which are written as wavs and pictures. Of none there is nothing."""
  if not clips:
    return {}
  rows = []
  for number, clip in enumerate(clips):
    decoded = streaming.roundtrip(trained, clip.audio)
    rows.append(quality.measures(clip.audio, decoded))
    if number < KEPT:
      files.write_wav(folder / f'{number}-original.wav', clip.audio)
      files.write_wav(folder / f'{number}-decoded.wav', decoded)
      pictures.spectrogram(folder / f'{number}.png', {'original': clip.audio, 'decoded': decoded})
  values = {name: [row[name] for row in rows if np.isfinite(row[name])] for name in rows[0]}
  table = {name: float(np.mean(found)) for name, found in values.items() if found}       # pesq may not be installed
  print(f'{len(rows)} clips of {split}: ' + ', '.join(f'{name} {value:.3f}' for name, value in table.items()), flush=True)
  return table


def finish(mean, sizes, config, clips, split, manifest, workdir):
  """Writes the codec's file, and what it makes of the clips of `held_out`: wavs, pictures and a summary."""
  facts = {'steps': json.dumps(config.steps.to_dict()), 'seed': str(config.seed),
           'hours': f'{manifest["seconds"] / 3600:.2f}', 'data': manifest['content'], 'revision': loop.revision()}
  facts |= weights.codes_kept(config.start, mean, sizes) if config.start else {}
  files.write(workdir / 'codec.safetensors', weights.to_bytes(mean, sizes, facts))
  trained = weights.load(workdir / 'codec.safetensors')
  table = evaluated(trained, clips, split, workdir / 'samples' / 'last')
  summary = {'codec': trained.name, 'identity': trained.identity, 'parameters': sum(x.size for x in jax.tree.leaves(trained.params)),
             'clips': len(clips), 'measured_on': split, 'measures': table, 'hours': manifest['seconds'] / 3600}
  files.write(workdir / 'summary.json', (json.dumps(summary, indent=1) + '\n').encode())
  kept = '' if trained.identity == trained.name else ' (its codes are those that it began with, decoded otherwise)'
  print(f'{workdir / "codec.safetensors"}: {trained.name}{kept}; samples and pictures: {workdir / "samples" / "last"}')


def held_out(data, workdir):
  """Clips spread over what a corpus holds out, and the split that they are of, see `read.held_out`."""
  segments, split = read.held_out(data, workdir / 'segments')
  return [segments[index] for index in read.spread(len(segments), HELD_OUT)], split
