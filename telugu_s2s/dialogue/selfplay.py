"""A trained model that talks to itself: two streams, each the assistant of its own and the user of the other; and what is kept of it.

Each side hears the other one frame late, and one more for every frame of the acoustic delay, as a frame's codes are whole only
then. The first side begins with a recorded question; all that follows is drawn.
"""
import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.dialogue import found, matched, pairs, timing, voiceprint
from telugu_s2s.dialogue.pairs import Dialogue, Turn, Unit
from telugu_s2s.errors import InputError
from telugu_s2s.lm import drawing, frames, sampling
from telugu_s2s.lm.model import targets
from telugu_s2s.tokens import encoding, prosody

PROMPT_S = 0.6, 8.0              # of a question that begins a dialogue
GRAM = 4                         # codes of what is looked for twice


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a dialogue has to keep to."""
  least_s: float = 0.6           # of speech of the side that answers
  share: tuple = (0.05, 0.9)     # of the time, that this side speaks
  repeated: float = 0.5          # of its runs of four codes that it said before, at most
  drift: float = 0.6             # least cosine of its voice early and late, where the network is installed


@dataclasses.dataclass(frozen=True)
class Prompt:
  """A recorded question that begins a dialogue, with its labels."""
  name: str
  codes: np.ndarray              # i32[t q]
  turn: Turn                     # its recording, from 0 on
  split: str


@dataclasses.dataclass(frozen=True)
class Player:
  """A model that plays both sides."""
  model: object                  # lm.model.Config
  params: Mapping
  trained: object                # codec.weights.Trained
  how: sampling.Sampling
  silence: np.ndarray            # i32[q]
  name: str                      # of the run, which is a source of what it says
  licence: str                   # of what it says


@functools.partial(jax.jit, static_argnames=('c', 'more', 'how'))
def played(c, params, prompt, silence, key, more: int, how):
  """Both sides' codes i32[2 b t+more-delay q], first those who ask: prompts i32[b t q], and `more` steps that are drawn."""
  b, t, q = prompt.shape
  first, c = c.slots - q, c.within(t + more)
  quiet = jnp.broadcast_to(silence, (b, t, q))
  said = jnp.concatenate([prompt, quiet])                              # [2b t q]
  asks = jnp.arange(2 * b)[:, None] < b            # the prosody and the words of a prompt are not known
  moves, words = jnp.where(asks, frames.ABSENT, prosody.silent(t)), jnp.where(asks, frames.ABSENT, jnp.full(t, frames.PAD))
  slots = targets(c, said[:, None], moves, words)
  lag = 1 + c.delay
  other = lambda x: jnp.concatenate([x[b:], x[:b]])
  padded = jnp.concatenate([jnp.broadcast_to(silence, (2 * b, lag, q)), said], 1)
  state = sampling.prefill(c, params, sampling.empty_state(c, 2 * b), slots, other(padded)[:, :t])
  keys, how = sampling.each(key, 2 * b), drawing.settings(c, [how] * (2 * b))

  def body(carry, _):
    state, whole = carry                                               # [2b q], the newest frame of which all levels are known
    state, now = sampling.step(c, params, state, other(whole), keys, how)
    a0 = state['recent'][:, -1 - c.delay]                              # of the frame that has just become whole
    return (state, jnp.concatenate([a0[:, None], now[:, first + 1:]], -1)), now

  _, drawn = jax.lax.scan(body, (state, padded[:, t]), None, more)
  return frames.undelayed(jnp.concatenate([slots[..., first:], drawn.swapaxes(0, 1)[..., first:]], 1), c.delay)


def units(prompts: Sequence[Prompt], player: Player, limits: Limits, seconds: float, batch: int, seed: int) -> list[Unit]:
  """A unit for each `batch` prompts: that many dialogues, played together.

  Raises:
    InputError: there is no prompt, or a setting is out of its range.
  """
  if batch < 1 or not 0 < seconds < math.inf:
    raise InputError(f'config.batch {batch}, config.seconds {seconds}: give dialogues from 1, and more than 0 s')
  if not prompts:
    raise InputError(f'config.folder: no recording of {PROMPT_S[0]:g} to {PROMPT_S[1]:g} s begins a dialogue; name a folder of questions')
  groups = [prompts[first:first + batch] for first in range(0, len(prompts), batch)]
  def dialogues(number, group):
    return play(group, player, limits, seconds, jax.random.fold_in(jax.random.key(seed), number), batch)
  told = lambda group: pairs.hashed([(one.name, pairs.sound(one.turn.samples), dataclasses.replace(one.turn, samples=None)) for one in group])
  return [Unit(f'self-{number:05}', functools.partial(dialogues, number, group), told(group)) for number, group in enumerate(groups)]


def play(prompts: Sequence[Prompt], player: Player, limits: Limits, seconds: float, key, batch: int) -> list[Dialogue]:
  """A dialogue for each prompt, those that keep to the limits and, with the reason why, those that do not."""
  rate = player.trained.config.frame_rate
  length = round(PROMPT_S[1] * rate)               # one length of prompt, so one program: silence comes before a shorter one
  codes = np.tile(player.silence.astype(np.int32), (batch, length, 1))
  for row, one in enumerate(prompts):
    codes[row, length - len(one.codes):] = one.codes[-length:]
  found_codes = np.asarray(played(player.model, player.params, codes, player.silence.astype(np.int32), key, round(seconds * rate), player.how))
  sound = encoding.decoded(player.trained, found_codes)
  return [dialogue(one, found_codes[[row, batch + row]], sound[[row, batch + row]], length, player, limits) for row, one in enumerate(prompts)]


def dialogue(prompt: Prompt, codes, sound, length: int, player: Player, limits: Limits) -> Dialogue:
  """What two sides said, as turns: the recorded question as it is, and after it what activity finds in what was drawn.

  Who asked says on under the recording's name: under another one what follows the question would count as its answer.
  """
  hop = player.trained.config.hop
  begins = (length - len(prompt.codes)) * hop / files.SAMPLE_RATE
  asked_until = length * hop / files.SAMPLE_RATE
  turns = [prompt.turn]
  sides = (dataclasses.replace(prompt.turn, emotion='', **found.UNTOLD, mixed=((player.name, player.licence, ''),)),
           Turn(0.0, prompt.turn.samples, f'{player.name}-1', player.name, player.licence, style='answer'))
  for side in (0, 1):
    for start_s, end_s in found.spoken(sound[side], 'energy'):
      start_s = max(start_s, asked_until) if side == 0 else start_s
      if end_s - start_s < found.TURN_S[0]:
        continue
      cut = sound[side][round(start_s * files.SAMPLE_RATE):round(end_s * files.SAMPLE_RATE)]
      turns.append(dataclasses.replace(sides[side], at_s=start_s - begins, samples=cut))
  spans = [timing.Span(one.at_s, one.end_s, one.speaker) for one in turns]
  turns = [dataclasses.replace(one, act=timing.act(span, spans)) for one, span in zip(turns, spans)]
  answers = [one for one in turns if one.speaker == sides[1].speaker]
  return Dialogue(prompt.name, prompt.split, turns, reason(answers, codes[1, length:], sound[1], hop, limits, player.silence))


def reason(answers: Sequence[Turn], codes, sound, hop: int, limits: Limits, silence) -> str:
  """Why what one side said is no good, '' where it is. codes: i32[t q], what it said after the question."""
  spoken_s = sum(one.end_s - one.at_s for one in answers)
  seconds = len(codes) * hop / files.SAMPLE_RATE
  if spoken_s < limits.least_s or spoken_s < limits.share[0] * seconds:
    return 'silent'
  if spoken_s > limits.share[1] * seconds:
    return 'endless'
  if repeated(codes[:, 0], int(silence[0])) > limits.repeated:
    return 'repeats'
  if spoken_s > 2.0 and voiceprint.available():
    whole = np.concatenate([one.samples for one in answers])
    if voiceprint.similarity(*(voiceprint.ge2e(half) for half in np.array_split(whole, 2))) < limits.drift:
      return 'drifts'
  return ''


def repeated(codes, silence: int) -> float:
  """The share of runs of GRAM codes that were there before; runs of nothing but silence do not count."""
  grams = [tuple(int(code) for code in codes[start:start + GRAM]) for start in range(len(codes) - GRAM + 1)]
  grams = [one for one in grams if set(one) != {silence}]
  return 1 - len(set(grams)) / len(grams) if grams else 0.0


def prompts(recordings, folder, encoder, count: int, seed: int) -> tuple[list[Prompt], list[corpus.Skip]]:
  """`count` recordings of a fit length as the beginnings of dialogues, in an order drawn from the seed; questions alone, if there are any.

  None is of split eval: nobody is measured on what a model said to itself. Returns those that cannot be decoded too.
  """
  recordings = [one for one in recordings if one.split != 'eval']
  asking = [one for one in recordings if one.style == matched.QUESTION or matched.asks(one)] or list(recordings)
  result, skips = [], []
  for number in np.random.default_rng(seed).permutation(len(asking)):
    if len(result) == count:
      break
    one = asking[number]
    try:
      samples = corpus.samples(folder, one)
    except files.Unreadable as problem:
      skips.append(corpus.Skip(one.path, problem.reason, problem.detail))
      continue
    if not PROMPT_S[0] <= len(samples) / files.SAMPLE_RATE <= PROMPT_S[1]:
      continue
    turn = Turn(0.0, samples, one.speaker, **pairs.told(one, style='question'))
    [name] = pairs.named([f'self-{found.stem(one.path)}-{number:06}']).values()
    result.append(Prompt(name, encoder([samples])[0].astype(np.int32), turn, one.split))
  return result, skips
