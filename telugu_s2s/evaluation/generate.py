"""What a trained model says after a recording: wavs and pictures."""
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from telugu_s2s import axes
from telugu_s2s.audio import files, pictures
from telugu_s2s.codec import weights
from telugu_s2s.codec.model import Codec
from telugu_s2s.corpora import sample
from telugu_s2s.errors import InputError
from telugu_s2s.lm import sampling
from telugu_s2s.lm.model import Config
from telugu_s2s.tokens import encoding, prosody
from telugu_s2s.training import checkpoints, loop, stage2


def run(config, workdir):
  """The job: `config.count` continuations of one prompt, below workdir/generated."""
  model, params, trained = loaded(config.run)
  hop = trained.config.hop
  path = Path(config.prompt or next(iter(sorted((sample.folder() / 'audio').iterdir()))))
  audio = files.read(path)[0][:round(config.prompt_s * files.SAMPLE_RATE)]
  if len(audio) < 2 * hop:
    raise InputError(f'config.prompt: {path} has {len(audio) / files.SAMPLE_RATE:.2f} s, less than two frames')
  encoder = encoding.Encoder(trained, batch=1)
  codes = encoder([audio])[0].astype(np.int32)
  moves = np.full(len(codes), -1, np.int32)
  moves[::2] = prosody.codes(audio, 2 * hop, (len(codes) + 1) // 2)
  frames = len(codes) + round(config.seconds * trained.config.frame_rate)
  repeated = lambda x: jnp.broadcast_to(x, (config.count, *x.shape))
  silence = encoder.silence().astype(np.int32)
  user = jnp.broadcast_to(silence, (config.count, frames, model.codebooks))
  spoken = stage2.continued(model, params, repeated(codes), repeated(moves), user, jax.random.key(config.seed),
                            sampling.Sampling(config.temperature, config.top_k, int(silence[0]), config.silence_bias))
  decoded = Codec(trained.config).apply({'params': trained.params}, spoken, method='decode')[0]
  for number, one in enumerate(np.clip(np.asarray(decoded), -1, 1)):
    name = Path(workdir) / 'generated' / f'{path.stem}-{number}'
    files.write_wav(f'{name}.wav', one)
    pictures.spectrogram(f'{name}.png', {'prompt': audio, 'prompt and continuation': one})
    print(f'{name}.wav: {len(one) / files.SAMPLE_RATE:.2f} s, the first {len(codes) * hop / files.SAMPLE_RATE:.2f} heard')


def loaded(folder):
  """(model's Config, params, codec) of a stage 2 run, from its newest whole checkpoint.

  Raises:
    InputError: the folder holds no stage 2 run, or none that was saved.
  """
  folder = Path(folder).absolute()
  try:
    config = ml_collections.ConfigDict(json.loads((folder / 'config.json').read_bytes()))
  except (OSError, ValueError):
    raise InputError(f'config.run: {folder} holds no run; train one with configs/stage2.py') from None
  if config.get('job') != 'stage2':
    raise InputError(f'config.run: {folder} is a run of {config.get("job")!r}, not of stage 2')
  trained = weights.load(config.codec)
  model = Config(codebooks=trained.config.codebooks, codes=trained.config.codes, **config.model)
  shapes = loop.abstract(lambda key: stage2.init(model, stage2.optimiser_of(config), key, config.get('ema', 0.0)),
                         axes.mesh(), config.seed)
  saved = checkpoints.Checkpoints(folder / 'checkpoints')
  try:
    step = saved.latest()
    if step is None:
      raise InputError(f'config.run: {folder} has no checkpoint yet; let configs/stage2.py save one')
    print(f'{folder}: step {step}, codec {trained.name}')
    return model, stage2.learnt(saved.restore(step, shapes)[0]), trained
  finally:
    saved.close()
