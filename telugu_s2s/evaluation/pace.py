"""How fast this machine is, from a moment's trial, and how long steps of the curriculum take by that."""
import dataclasses
import time

import jax
import jax.numpy as jnp

from telugu_s2s.codec import weights
from telugu_s2s.planning import compute
from telugu_s2s.tokens import encoding

SIZE = 768                       # of the matrices that are multiplied
TRIALS = 5
ENCODED_S = 16.0                 # of silence that is encoded


@dataclasses.dataclass(frozen=True)
class Pace:
  """What was measured here; the constants are of a whole run on two cores (results/curriculum.json)."""
  flops: float                   # a second, of a product of matrices
  encoded: float                 # seconds of audio a second
  COMPILED_S = 20.0              # to compile a program and load a run
  SHARE = 0.26                   # of `flops` that training does
  SPOKEN_S = 0.07                # of an utterance of espeak-ng on two cores
  ALIGNED_S = 0.02               # of an utterance in a step of the toy aligner on two cores
  UTTERANCE_S = 2.6              # its length
  BETWEEN_S = 1.4                # of a breath and a filled pause, with the silence around them

  @classmethod
  def here(cls) -> 'Pace':
    """Measures this machine for some seconds."""
    x = jnp.ones((SIZE, SIZE), jnp.float32)
    product = jax.jit(lambda x: x @ x)
    product(x).block_until_ready()
    encoder = encoding.Encoder(weights.load())
    clips = encoding.ROWS * [jnp.zeros(int(ENCODED_S * 16000))]
    encoder(clips)
    return cls(2 * SIZE**3 / best(lambda: product(x).block_until_ready()), encoding.ROWS * ENCODED_S / best(lambda: encoder(clips)))

  def trained(self, model, config) -> float:
    """Seconds of a stage that trains the audio LM."""
    flop, listening = compute.flops(model, config.frames, config.get('depth_frame_fraction', 1.0)), config.get('listen_steps', 0)
    flop = sum(flop.values()) * (config.steps - listening) + (flop['temporal'] + flop['attention']) * listening
    flop *= config.batch * config.frames
    return flop / (self.flops * self.SHARE) + 3 * self.COMPILED_S

  def tokenised(self, audio_s: float) -> float:
    """Seconds in which so much audio becomes segments and tokens."""
    return audio_s / self.encoded + self.COMPILED_S

  def speech_s(self, said) -> float:
    """Seconds of speech in the dialogues that are spoken, most of two turns."""
    return 2 * said.count * said.takes * (self.UTTERANCE_S + said.nonverbal * self.BETWEEN_S)

  def spoken(self, said) -> float:
    """Seconds in which they are; answers that are said alike in all takes are spoken once."""
    sides = 1 if said.answer_once and said.answerers else 2
    return sides * said.count * said.takes * self.SPOKEN_S

  def aligned(self, config) -> float:
    """Seconds in which an aligner is trained; a guess."""
    return sum(config.steps.values()) * config.batch * self.ALIGNED_S + 2 * self.COMPILED_S

  def codec(self, config) -> float:
    """Seconds of stage 1; a guess, as its arithmetic is not counted: 3 times what encoding takes."""
    return config.steps.reconstruction * config.batch * config.crop_s * 3 / self.encoded

  def evaluated(self, config) -> float:
    """Seconds of the tests of a voice, of which compiling is most in a small one."""
    return 3 * self.COMPILED_S * len(config.tests)


def best(call) -> float:
  """Seconds of the fastest of some calls."""
  spent = []
  for _ in range(TRIALS):
    began = time.perf_counter()
    call()
    spent.append(time.perf_counter() - began)
  return min(spent)
