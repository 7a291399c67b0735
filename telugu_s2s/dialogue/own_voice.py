"""The model as a speech synthesiser: the text goes ahead of the voice, each word at the time that its letters take.

Training showed it text some frames ahead of the voice (tokens/slots.py). Here words are laid out at an even rate of letters,
the text slot is forced to them, and all other slots are drawn.
"""
import functools
import hashlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import activity
from telugu_s2s.audio.level import HOP
from telugu_s2s.dialogue.engines import Engine, Spoken, Unspoken, voices_of
from telugu_s2s.errors import InputError
from telugu_s2s.lm import drawing, sampling
from telugu_s2s.lm.frames import ABSENT, undelayed
from telugu_s2s.tokens import encoding, slots

LETTERS_PER_S = 16.0             # median of the sample corpus at its normal rate, spaces and the pause of WORD_S a word aside
WORD_S = 0.08                    # beside its letters
TAIL_S = 3.0                     # that is listened to from the last word's beginning on
BLOCK = 50                       # frames: lengths are rounded up to so many, so that few programs are compiled


@functools.partial(jax.jit, static_argnames=('c', 'how'))
def said(c, params, text, silence, given, key, how):
  """Codes i32[t-delay q] of one stream whose text slot is forced to text i32[t], while the user is silent."""
  c = c.within(len(text))
  forced = jnp.full((len(text), 1, c.slots), ABSENT).at[:, 0, 0].set(text)
  state = sampling.empty_state(c, 1)
  if given:
    state = sampling.conditioned(c, params, state, given)
  keys, how = sampling.each(key, 1), drawing.settings(c, [how])
  step = lambda state, now: sampling.step(c, params, state, silence[None], keys, how, now)
  _, found = jax.lax.scan(step, state, forced)
  return undelayed(found.swapaxes(0, 1)[..., -c.codebooks:], c.delay)[0]


def engine(model, params, trained, vocabulary, name: str, licence: str, voices: Mapping[str, bool], conditions: Callable, how, ahead: int) -> Engine:
  """This model as an engine.

  Args:
    model, params, trained, vocabulary: of a run that was trained with text.
    name: of the run.
    licence: SPDX identifier of what it says.
    voices: {speaker: whether it is held out}; '' = whoever it sounds like.
    conditions: (voice, emotion) -> {name: i32 array of one stream}.
    how: a sampling.Sampling.
    ahead: frames by which text comes before the voice.

  Raises:
    InputError: the model has no text slot.
  """
  if not model.text_codes:
    raise InputError(f'config.run: {name} was trained without text, so it cannot read; train one with config.text.vocabulary')
  rate = trained.config.frame_rate
  silence = encoding.Encoder(trained, batch=1).silence().astype(np.int32)

  def speak(text, voice, emotion, speed, seed):
    words = laid(text, vocabulary, rate, speed)
    frames = ahead + words[-1][0] + round(TAIL_S * rate) if words else 0
    if not words:
      raise Unspoken(f'{text!r} holds no word')
    slot = slots.laid(words, -(-frames // BLOCK) * BLOCK)
    given = {key: jnp.asarray(value)[None] for key, value in conditions(voice, emotion).items()}
    codes = said(model, params, jnp.asarray(slot), jnp.asarray(silence), given, jax.random.key(seed), how)
    samples = encoding.decoded(trained, np.asarray(codes)[None])[0]
    return Spoken(heard(samples, text), f'{name}-{voice}' if voice else name, 'u', emotion if 'emotion' in given else 'neutral', name, licence)

  return Engine('model', f'{digest(params)} {trained.identity} {vocabulary.name} {how} {licence}', False, speak, voices_of(voices))


def digest(params) -> str:
  """A hash of a model's parameters."""
  return hashlib.sha256(b''.join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params))).hexdigest()[:16]


def laid(text: str, vocabulary, rate: float, speed: float) -> list[tuple[int, list[int]]]:
  """[(first frame, numbers of the pieces)] of a text's words, one after the other as long as their letters take."""
  found, at = [], 1.0            # EPAD stands before the first
  for word in text.split():
    found.append((round(at), vocabulary.encode(word)))
    at += rate * (len(word) / LETTERS_PER_S + WORD_S) / speed
  return found


def heard(samples, text) -> np.ndarray:
  """Samples from the first speech in them to the last. Raises Unspoken where there is none."""
  runs = activity.runs(activity.speech(samples))
  if not runs:
    raise Unspoken(f'the model stays silent at {text!r}')
  return samples[runs[0][0] * HOP:min(runs[-1][1] * HOP, len(samples))]
