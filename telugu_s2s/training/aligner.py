"""Trains the aligner on transcribed segments: first where each grapheme peaks, then where it begins and ends."""
import json

import grain
import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s import axes
from telugu_s2s.audio import files
from telugu_s2s.codec import aligner, content
from telugu_s2s.errors import InputError, check_number
from telugu_s2s.preparation import prepare, read
from telugu_s2s.tokens import alignment, graphemes
from telugu_s2s.tokens.batches import of_process
from telugu_s2s.training import hosts, loop, optimiser

HELD_OUT = 64                    # clips that are aligned at the end, with their own transcripts and with others


def run(config, workdir):
  """The job: prepares what is missing, trains or resumes, and writes `aligner.safetensors` and a summary."""
  for name, value in (('seed', config.seed), ('steps.peaks', config.steps.peaks), ('steps.edges', config.steps.edges)):
    check_number(f'config.{name}', value)
  workdir = loop.begin(config, workdir)
  mesh = axes.mesh(**config.mesh)
  axes.check_batch(config.batch, mesh)
  data = prepare.Data(**config.data)
  hosts.first(lambda: prepare.prepare(data, workdir / 'segments' / 'train'), None)
  segments = read.Segments(workdir / 'segments' / 'train')
  spoken, manifest = Transcribed(segments, config.longest_s), segments.manifest
  network = aligner.Aligner(aligner.Config(**config.model), len(spoken.table) + 1)
  steps = config.steps.peaks + config.steps.edges
  tx = optimiser.adamw(optimiser.warmup_stable_decay(config.lr, config.warmup, steps, config.decay), weight_decay=0.01)
  clips, split = hosts.first(lambda: held_out(data, workdir), ([], ''))       # measured by the first process alone
  source = grain.MapDataset.source(spoken).seed(config.seed).shuffle().repeat()
  stage = loop.Stage(
      init=lambda key: init(network, tx, key),
      phases=((0, lambda state, batch, key: step(network, tx, False, state, batch)),
              (config.steps.peaks, lambda state, batch, key: step(network, tx, True, state, batch))),
      batches=of_process(source, config.batch, jax.process_index(), jax.process_count()),
      audio_s=config.batch * spoken.seconds / len(spoken),
      facts={'stage': 'aligner', 'data': manifest['content'], 'seed': config.seed, 'batch': config.batch},
      line=lambda values: f'{values["loss"]:.3f} nats a grapheme')
  schedule = loop.Schedule(steps, config.log_every, config.save_every)
  state, done = loop.fit(stage, schedule, mesh, config.seed, workdir)
  if done:
    params = hosts.whole(state['params'])
    if jax.process_index() == 0:
      finish(jax.device_get(params), network, spoken, config, clips, split, manifest, workdir)


class Transcribed:
  """The segments that have a transcript, are not too long, and have a frame for each grapheme; as rows of a batch.

  Args:
    segments: of preparation, such as `read.Segments`.
    longest_s: of a segment.

  Raises:
    InputError: there is none.
  """

  def __init__(self, segments, longest_s):
    self._segments = segments
    texts = {index: (labels['text'], samples) for index, (labels, samples) in enumerate(segments.outlines())
             if labels['text'] and samples <= longest_s * files.SAMPLE_RATE}
    self.table = graphemes.table(text for text, _ in texts.values())
    self._rows, self.seconds, lengths = [], 0.0, [0]
    for index, (text, samples) in texts.items():
      way, frames = alignment.path(text, self.table), alignment.frames(samples)
      labels = single(way.labels)
      if (way.word >= 0).any() and len(labels) <= frames:
        self._rows.append((index, labels))
        self.seconds += samples / files.SAMPLE_RATE
        lengths.append(frames)
    if not self._rows:
      raise InputError(f'config.data.audio: of {len(segments)} segments none has a transcript that could be learnt from')
    self._frames, self._longest = max(lengths), max(len(labels) for _, labels in self._rows)
    print(f'transcripts: {len(self._rows)} of {len(segments)} segments, {self.seconds / 3600:.2f} h, '
          f'{len(self.table)} graphemes; {len(texts) - len(self._rows)} have more text than audio', flush=True)

  def __len__(self):
    return len(self._rows)

  def __getitem__(self, row):
    """x f32[t i], frames i32[], graphemes i32[s]; both filled up with zeros."""
    index, labels = self._rows[row]
    x = alignment.features(self._segments[index].audio)
    return {'x': np.pad(x, ((0, self._frames - len(x)), (0, 0))), 'frames': np.int32(len(x)),
            'graphemes': np.pad(labels, (0, self._longest - len(labels)))}

  def __repr__(self):
    return f'Transcribed({self._segments!r})'


def single(labels) -> np.ndarray:
  """Labels in which no two neighbours are alike: CTC would need a blank between them."""
  return labels[np.concatenate([[True], labels[1:] != labels[:-1]])]


def init(network, tx, key):
  """A fresh state {params, opt, step}."""
  params = network.init(key, jnp.zeros((1, 1, network.config.features)), jnp.ones(1, jnp.int32))['params']
  return {'params': params, 'opt': tx.init(params), 'step': jnp.zeros((), jnp.int32)}


def step(network, tx, edges, state, batch):
  """One update. With `edges` there is no blank, so that graphemes share all frames between them.

  That alone does not find its way from random weights; CTC with its blank does, but peaks late: on clips whose words
  have known times it puts beginnings 50 ms too late, in the middle.
  """
  def loss_of(params):
    logits = network.apply({'params': params}, batch['x'], batch['frames'])
    return content.grapheme_loss(aligner.without_blank(logits) if edges else logits, batch['frames'], batch['graphemes'])
  loss, grads = jax.value_and_grad(loss_of)(state['params'])
  new, guard = optimiser.apply(tx, state, grads)
  return {**new, 'step': state['step'] + 1}, {'loss': loss, **guard}


def finish(params, network, spoken, config, clips, split, manifest, workdir):
  """Writes the aligner's file, and how sure it is of the clips of `held_out` with their own transcripts and with others."""
  facts = {'steps': json.dumps(config.steps.to_dict()), 'seed': str(config.seed), 'data': manifest['content'],
           'hours': f'{spoken.seconds / 3600:.2f}', 'revision': loop.revision()}
  path = workdir / 'aligner.safetensors'
  files.write(path, aligner.to_bytes(params, network.config, spoken.table, facts))
  forced = alignment.Forced(aligner.load(path))
  sure = confidences(forced, clips)
  summary = {'aligner': forced.trained.name, 'hours': spoken.seconds / 3600, 'graphemes': spoken.table, 'measured_on': split, 'confidence': sure}
  files.write(workdir / 'summary.json', (json.dumps(summary, indent=1, ensure_ascii=False) + '\n').encode())
  for name, row in sure.items():
    print(f'confidence with {name} transcripts, {row["clips"]} clips of {split}: ' +
          ', '.join(f'{100 * share:g} % below {value:.3f}' for share, value in row['quantiles']))
  print(f'{path}: {forced.trained.name}')


def held_out(data, workdir):
  """[(audio, transcript)] of clips spread over what a corpus holds out, and the split that they are of, see `read.held_out`."""
  segments, split = read.held_out(data, workdir / 'segments')
  told = [index for index, (labels, _) in enumerate(segments.outlines()) if labels['text']]
  found = [segments[told[number]] for number in read.spread(len(told), HELD_OUT)] if told else []
  return [(clip.audio, clip.text) for clip in found], split


def confidences(forced, clips) -> dict:
  """{'their own' and 'wrong': {clips, quantiles [[share, confidence]]}}; a wrong transcript is another clip's."""
  own, wrong = [], []
  for number, (audio, text) in enumerate(clips):
    own.append((audio, text))
    wrong += [(audio, other) for _, other in clips[number + 1:] + clips[:number] if other != text][:1]
  found = {}
  for name, given in (('their own', own), ('wrong', wrong)):
    rows = [one.confidence for one in forced(given) if not one.reason]
    found[name] = {'clips': len(rows), 'quantiles': [[share, round(float(np.quantile(rows, share)), 3)]
                                                     for share in (0.05, 0.5, 0.95) if rows]}
  return found
