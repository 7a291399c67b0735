"""What a trained model says after a recording: wavs and pictures."""
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import activity, files, mark, pictures, silero
from telugu_s2s.corpora import sample
from telugu_s2s.errors import InputError
from telugu_s2s.lm import conditions, sampling
from telugu_s2s.tokens import encoding, labels, prosody
from telugu_s2s.training import runs, stage2

LEAST_S = 0.1                    # that are said: below it there may be no frame, and so no sound to write or to show


def run(config, workdir):
  """The job: `config.count` more continuations of one prompt, below workdir/generated."""
  check_sizes(config)
  if not 0 < config.prompt_s < math.inf:
    raise InputError(f'config.prompt_s {config.prompt_s}: give more than 0 s')
  voice = runs.voice(config.run)
  model, params, trained = voice.model, voice.params, voice.codec
  hop = trained.config.hop
  path = Path(config.prompt or min((sample.folder() / 'audio').iterdir()))
  audio = files.read(path)[0][:round(config.prompt_s * files.SAMPLE_RATE)]
  if len(audio) < 2 * hop:
    raise InputError(f'config.prompt: {path} has {len(audio) / files.SAMPLE_RATE:.2f} s, less than two frames')
  encoder = encoding.Encoder(trained, batch=1)
  given, guidance = guided(config, voice, conditions_of(config, voice, encoder))
  codes = encoder([audio])[0].astype(np.int32)
  moves = prosody.spaced(prosody.codes(audio, 2 * hop, (len(codes) + 1) // 2), len(codes))
  frames = len(codes) + round(config.seconds * trained.config.frame_rate)
  repeated = lambda x: jnp.broadcast_to(x, (config.count, *x.shape))
  silence = encoder.silence().astype(np.int32)
  user = jnp.broadcast_to(silence, (config.count, frames, model.codebooks))
  how = sampling.Sampling(config.temperature, config.top_k, int(silence[0]), config.silence_bias, guidance=guidance)
  spoken = stage2.continued(model, params, repeated(codes), repeated(moves), user, jax.random.key(config.seed), how,
                            {name: repeated(value) for name, value in given.items()})
  folder = Path(workdir) / 'generated'
  for number, one in enumerate(encoding.decoded(trained, spoken), first_free(folder, path.stem)):
    name = folder / f'{path.stem}-{number}'
    files.write_wav(f'{name}.wav', one, comment=mark.SYNTHETIC)
    pictures.spectrogram(f'{name}.png', {'prompt': audio, 'prompt and continuation': one})
    print(f'{name}.wav: {len(one) / files.SAMPLE_RATE:.2f} s, the first {len(codes) * hop / files.SAMPLE_RATE:.2f} heard')


def first_free(folder, stem: str) -> int:
  """The first number n such that no file of a folder is called stem-n or more: what was said before, otherwise asked for, stays there."""
  numbered = re.compile(re.escape(stem) + r'-(\d+)\D.*')
  taken = [int(found[1]) for path in folder.glob('*') if (found := numbered.fullmatch(path.name))]
  return 1 + max(taken, default=-1)


def check_sizes(config) -> None:
  """Raises InputError where nothing is to be said."""
  if config.count < 1 or not LEAST_S <= config.seconds < math.inf:
    raise InputError(f'config.count {config.count}, config.seconds {config.seconds}: give 1 or more, and {LEAST_S:g} s or more')


def guided(config, voice, given):
  """(the conditions, the coefficient of guidance): of a distilled voice it is one of the conditions, and the other 1, one pass."""
  if config.guidance == 1 or voice.stage != 'distil':
    return given, config.guidance
  number = conditions.guidance(config.guidance, voice.model.guidances)
  print(f'guidance {conditions.COEFFICIENTS[number]}, the nearest that was learnt')
  return given | {'guidance': np.int32(number)}, 1.0


def check_speech(audio, field: str, path) -> None:
  """Raises InputError where nobody speaks in a recording: by Silero VAD where it is installed, by its level elsewhere."""
  by = 'silero' if silero.available() else 'energy'
  if not activity.speech(audio, by).any():
    raise InputError(f'config.{field}: nobody speaks in {path}' + (
        ' (by Silero VAD)' if by == 'silero' else ', it is silent or one steady sound') + '; give a recording of speech')


def conditions_of(config, voice, encoder) -> dict:
  """What a config asks a voice of `runs.voice` for, {name: i32 array of one stream}.

  Raises:
    InputError: it has no such condition, or knows no such speaker, emotion or bin.
  """
  bins, between, given = dict(config.knobs), dict(config.nonverbal), {}
  model, table = voice.model, voice.labels
  wanted = {'speaker': (config.speaker, model.speakers), 'reference': (config.reference, model.reference),
            'emotion': (config.emotion, model.emotions), 'knobs': (max(bins.values()) >= 0, model.knob_bins),
            'nonverbal': (max(between.values()) >= 0, model.nonverbal),
            'guidance': (config.guidance != 1, model.conditions.any)}
  for name, (asked, has) in wanted.items():
    if asked and not has:
      raise InputError(f'config.{name}: {voice.folder} was trained without ' + (
          'conditions' if name == 'guidance' else f'the condition {name}'))
  if not 0 <= config.guidance < float('inf'):
    raise InputError(f'config.guidance {config.guidance}: give a number from 0, 1 = none')
  if config.speaker and config.reference:
    raise InputError('config.speaker and config.reference: give one of them')
  if config.speaker:
    given['speaker'] = np.int32(table.named(config.speaker, model.speakers))
  if config.reference:
    if not 0 < config.reference_s < math.inf:
      raise InputError(f'config.reference_s {config.reference_s}: give the seconds of the recording that are listened to')
    heard = files.read(Path(config.reference))[0][:round(config.reference_s * files.SAMPLE_RATE)]
    if len(heard) < 2 * encoder.codec.config.hop:
      raise InputError(f'config.reference: {config.reference} has less than two frames')
    check_speech(heard, 'reference', config.reference)
    given['reference'] = encoder([heard])[0].astype(np.int32)
  if config.emotion:
    given['emotion'] = np.int32(table.feeling(config.emotion))
  if max(bins.values()) >= model.knob_bins > 0 or min(bins.values()) < -1:
    raise InputError(f'config.knobs {bins}: give bins from 0 to {model.knob_bins - 1}, or -1')
  if strange := {knob for knob, value in bins.items() if value >= 0} - set(table.edges):
    raise InputError(f'config.knobs: {voice.folder} learnt from no clips whose {", ".join(sorted(strange))} was measured')
  if max(bins.values()) >= 0:
    given['knobs'] = np.array([bins[knob] for knob in labels.KNOBS], np.int32)
  if not set(between.values()) <= {-1, 0, 1}:
    raise InputError(f'config.nonverbal {between}: give 0 for none, 1 for some, or -1')
  asked = {name: value for name, value in between.items() if value >= 0}
  if asked and (strange := asked.keys() - {*table.told_apart}):
    raise InputError(f'config.nonverbal: {voice.folder} learnt from no clips with and without a {", a ".join(sorted(strange))}')
  given |= {name: np.int32(value) for name, value in asked.items()}
  if config.guidance != 1 and not given:
    raise InputError(f'config.guidance {config.guidance}: there is nothing to guide by; ask for a speaker, emotion, knob or breath')
  return given
