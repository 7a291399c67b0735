"""A question as a recording, and what a stage 3 model answers: a wav of the answer, one of both, and a picture."""
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import files, mark, pictures, shift, tempo
from telugu_s2s.corpora import sample
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import generate
from telugu_s2s.lm import frames, sampling
from telugu_s2s.lm.model import targets
from telugu_s2s.tokens import encoding, prosody
from telugu_s2s.training import runs, texts

LEAST_S, MOST_S = 0.2, 60.0      # of a question


def run(config, workdir):
  """The job: `config.count` more answers below workdir/replies."""
  generate.check_sizes(config)
  tempo.check(config.speed, 'config.speed')
  shift.check(config.shift, 'config.shift')
  voice = runs.voice(config.run)
  model, params, trained = voice.model, voice.params, voice.codec
  if voice.stage == 'stage2':
    print(f'{voice.folder} is of stage 2, which has not learnt to answer; configs/stage3.py goes on from it', flush=True)
  vocabulary = texts.of_run(voice.folder, model)
  path = Path(config.question or min((sample.folder() / 'audio').glob('q*')))
  audio = question(path)
  encoder = encoding.Encoder(trained, batch=1)
  given, guidance = generate.guided(config, voice, generate.conditions_of(config, voice, encoder))
  silence, heard = encoder.silence().astype(np.int32), encoder([audio])[0].astype(np.int32)
  after = round(config.seconds * trained.config.frame_rate)
  [user] = lined_up([heard], silence, len(heard), after + model.delay)
  how = sampling.Sampling(config.temperature, config.top_k, int(silence[0]), config.silence_bias, guidance=guidance, floor=config.floor)
  repeated = lambda x: jnp.broadcast_to(x, (config.count, *np.shape(x)))
  said, words = answered(model, params, repeated(user), len(heard), silence, jax.random.key(config.seed), how,
                  {name: repeated(value) for name, value in given.items()})
  folder = Path(workdir) / 'replies'
  first = generate.first_free(folder, path.stem)
  for row, one in enumerate(encoding.decoded(trained, said)):
    one, name = tempo.stretched(shift.shifted(one, config.shift), config.speed), folder / f'{path.stem}-{first + row}'
    files.write_wav(f'{name}.wav', one, comment=mark.SYNTHETIC)
    files.write_wav(f'{name}-both.wav', np.concatenate([audio, one]), comment=mark.SYNTHETIC)
    pictures.spectrogram(f'{name}.png', {'question': audio, 'answer': one})
    print(f'{name}.wav: {len(one) / files.SAMPLE_RATE:.2f} s in answer to {len(audio) / files.SAMPLE_RATE:.2f} s of {path}' + (
        f', in words: {vocabulary.decode(np.asarray(words[row]))!r}' if vocabulary else ''))


def question(path) -> np.ndarray:
  """The recording f32[samples] of a question. Raises InputError where it is too short or long, or nobody speaks in it."""
  audio = files.read(path)[0]
  if not LEAST_S <= len(audio) / files.SAMPLE_RATE <= MOST_S:
    raise InputError(f'config.question: {path} has {len(audio) / files.SAMPLE_RATE:.2f} s; give {LEAST_S:g} to {MOST_S:g} s')
  generate.check_speech(audio, 'question', path)
  return audio


def lined_up(questions, silence, longest: int, after: int) -> np.ndarray:
  """i32[b longest+after q] of questions i[t q] in silence i32[q], which comes first, so that all end at frame `longest`."""
  quiet = lambda frames: np.tile(silence, (frames, 1))
  return np.stack([np.concatenate([quiet(longest - len(one)), one, quiet(after)]) for one in questions]).astype(np.int32)


@functools.partial(jax.jit, static_argnames=('model', 'asked', 'how'))
def answered(model, params, user, asked: int, silence, key, how, given=None):
  """What the assistant says after the first `asked` frames of `user` i32[b t q], through which it is silent.

  Returns:
    Codes i32[b t-asked-delay q], and of a model with a text slot its text i32[b t-asked], else None.
  """
  model = model.within(user.shape[1])
  state = sampling.empty_state(model, len(user), how.guidance != 1)
  if given:
    state = sampling.conditioned(model, params, state, given)
  quiet = jnp.broadcast_to(jnp.asarray(silence), (len(user), 1, asked, model.codebooks))
  slots = targets(model, quiet, jnp.broadcast_to(prosody.silent(asked), (len(user), asked)), jnp.full((len(user), asked), frames.PAD))
  state = sampling.prefill(model, params, state, slots, user[:, :asked])
  _, said = sampling.generate(model, params, state, user[:, asked:], key, how)
  return frames.undelayed(said[..., -model.codebooks:], model.delay), said[..., 0] if model.text_codes else None
