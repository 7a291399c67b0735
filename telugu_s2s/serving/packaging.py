"""A trained voice as one folder: sizes, weights and facts that belong together, with a card that says what they are.

training/packed.py says what is in it, and reads it. config.json is written last: a folder without it is none.
"""
import dataclasses
import hashlib
import json
from pathlib import Path

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

import telugu_s2s
from telugu_s2s import axes
from telugu_s2s.audio import files
from telugu_s2s.codec import precision as precisions
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.serving import card
from telugu_s2s.tokens import batches, labels
from telugu_s2s.training import checkpoints, lm_step, loop, runs, stage2, texts, voices
from telugu_s2s.training.packed import CARD, CODEC, CONFIG, FORMAT, MODEL, NAMES, NOTICE, VOCABULARY, is_packed, load, restored

PRECISIONS = {'float32': np.float32, 'float16': np.float16, 'bfloat16': jnp.bfloat16}


def run(config, workdir) -> None:
  """The job 'package': the newest checkpoint of `config.run` as a folder `config.out` below workdir.

  Raises:
    InputError: the run, its data or a setting cannot be used.
  """
  if config.precision not in PRECISIONS:
    raise InputError(f'config.precision: {config.precision!r}; give one of {", ".join(PRECISIONS)}')
  folder, out = Path(config.run).absolute(), Path(workdir) / config.out
  if (out / CONFIG).exists() and not is_packed(out):
    raise InputError(f'config.out: {out} holds something else, which its config.json would take the place of; give another folder')
  model, params, trained = runs.loaded(folder)
  facts = facts_of(folder, config, trained)
  if not config.codec_too and not facts['codec_released']:
    raise InputError(f'config.codec_too False: {trained.name} is no codec that the package ships; pack it too')
  narrow = narrowed(params, config.precision)
  if config.precision != 'float32':
    facts['loss_of_precision'] = lost(folder, model, params, restored(narrow), trained)
  codec_file = weights.file(runs.config_of(folder).codec) if config.codec_too else None
  pack(out, model, narrow, trained, codec_file, labels_of(folder), facts, folder / VOCABULARY)
  again = load(out)                              # what cannot be read again is found here, not by whoever gets it
  same = jax.tree.map(lambda x, y: np.array_equal(x, y), again.params, restored(narrow))
  if not all(jax.tree.leaves(same)):
    raise InputError(f'{out / MODEL}: the parameters that were written are not those that are read; look at the disk and pack again')
  for name in NAMES:
    if (out / name).exists():
      print(f'{out / name}: {(out / name).stat().st_size / 1e6:.2f} MB')
  print(f'{out}: {facts["stage"]}, step {facts["step"]}, {facts["parameters"]:,} parameters, {config.precision}, codec {trained.name}')


def facts_of(folder, config, trained) -> dict:
  """What is known of a run: stage, step, revision, precision, licence, data [{source, licence, seconds, ..}], what was measured."""
  summary, revision = folder / 'summary.json', folder / 'revision.txt'
  measured = json.loads(summary.read_bytes()) if summary.exists() else {}
  return {'stage': runs.config_of(folder).job, 'step': newest(folder),
          'revision': revision.read_text().strip() if revision.exists() else '', 'codec': trained.name,
          'codec_released': weights.is_released(trained), 'codec_too': config.codec_too, 'precision': config.precision,
          'licence': config.licence, 'name': config.name or Path(config.out).name,
          'data': runs.sources(runs.tokens_of(folder, config.tokens), trained.name), 'measured': measured}


def newest(folder) -> int:
  """The step of the run's newest whole checkpoint, which `runs.loaded` gives the weights of."""
  saved = checkpoints.Checkpoints(folder / 'checkpoints', reads_only=True)
  try:
    return saved.latest()
  finally:
    saved.close()


def labels_of(folder) -> labels.Table:
  """The table of the run, without its clips: numbers of people remain, who spoke when does not."""
  return dataclasses.replace(labels.kept(folder), clips=(), content='', strange={})


def narrowed(params, precision: str) -> dict:
  """{'path/of/parameter': array}: matrices in another precision, vectors in float32, as codec/precision.py parts them."""
  flat = flax.traverse_util.flatten_dict(jax.device_get(params), sep='/')
  small = flax.traverse_util.flatten_dict(precisions.converted(params, 'bfloat16'), sep='/')
  kind = lambda name: PRECISIONS[precision] if small[name].dtype == jnp.bfloat16 else np.float32
  made = {name: np.asarray(x, kind(name)) for name, x in flat.items()}
  for name, x in made.items():
    if not np.isfinite(x.astype(np.float32)).all():
      raise InputError(f'{name} holds numbers that are not finite in {precision}; pack with config.precision=float32 or bfloat16, '
                       'and if they are not finite there, from an earlier checkpoint')
  return made


def lost(folder, model, params, narrow, trained) -> dict | None:
  """{float32, packed: nats a code of its held-out clips, as stage 2 measures}, printed; None where those are gone."""
  config = runs.config_of(folder)
  tokens = stage2.folders(config, Path(folder))[1]
  if not tokens.exists():
    return print(f'{tokens}: no held-out tokens, so what narrower weights cost was not measured')
  config, text = texts.continued(config, folder, model)
  clips = batches.Clips(tokens, trained.name)
  asked = None                                   # of older tokens nobody wrote down who speaks
  if (tokens / labels.FILE).exists():
    asked = voices.of_held_out(config, model, labels_of(folder), clips, tokens, trained.config.frame_rate)
  tests = batches.evaluation(clips, stage2.window_of(config, model), config.batch // config.accumulate, text, asked)
  score = jax.jit(lambda params, batch: lm_step.parts_of(model, params, batch))
  found = {name: stage2.evaluated(score, one, tests, axes.mesh())['codes'] for name, one in (('float32', params), ('packed', narrow))}
  print(f'held-out loss: {found["float32"]:.4f} nats a code, packed {found["packed"] - found["float32"]:+.5f}')
  return found


def pack(out, model, flat, trained, codec_file, table, facts, vocabulary=None) -> None:
  """Writes a folder that `load` reads.

  Args:
    out: the folder; a model in it is replaced.
    flat: {'path/of/parameter': array}, as `narrowed` makes them.
    codec_file: of `trained`; None = it is not copied.
    table: labels.Table.
    facts: as `facts_of` gives them.
    vocabulary: a file, copied where it exists.
  """
  out = Path(out)
  (out / CONFIG).unlink(missing_ok=True)         # until it is whole again it is no model
  facts['parameters'] = sum(x.size for x in flat.values())
  content = {MODEL: saved(flat), CARD: card.card(facts, model, trained.config, table).encode(), NOTICE: card.notice(facts).encode()}
  if codec_file:
    content[CODEC] = Path(codec_file).read_bytes()
  if vocabulary and Path(vocabulary).exists():
    content[VOCABULARY] = Path(vocabulary).read_bytes()
  for name, data in content.items():
    files.write(out / name, data)
  for name in {VOCABULARY, CODEC} - content.keys():
    (out / name).unlink(missing_ok=True)
  config = {'format': FORMAT, 'model': dataclasses.asdict(model), 'codec': {'name': trained.name, **dataclasses.asdict(trained.config)},
            'labels': dataclasses.asdict(table), 'emotions': table.felt if model.emotions else (), 'facts': facts,
            'versions': {'telugu_s2s': telugu_s2s.__version__, 'jax': jax.__version__, 'revision': loop.revision()},
            'files': {name: {'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest()} for name, data in content.items()}}
  files.write(out / CONFIG, (json.dumps(config, indent=1, ensure_ascii=False) + '\n').encode())


def saved(flat) -> bytes:
  """The bytes of a safetensors file; the same arrays give the same bytes."""
  return safetensors.numpy.save(dict(sorted(flat.items())), {'format': FORMAT})
