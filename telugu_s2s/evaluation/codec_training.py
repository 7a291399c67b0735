"""How fast the codec trains on this machine, in each phase: what the discriminators cost."""
import functools
import time

import jax
import jax.numpy as jnp
import tqdm

from telugu_s2s.codec.content import Content
from telugu_s2s.codec.model import Codec, Config
from telugu_s2s.evaluation import recipes
from telugu_s2s.training import codec_step, stage1


def measure(config) -> dict:
  """Prints and returns {phase: seconds a step, seconds of audio a second} of the size `config.size`, on noise."""
  recipe = recipes.of('stage1', config.size)
  recipe.steps = dict.fromkeys(codec_step.PHASES, 1000)
  recipe.batch, recipe.crop_s, recipe.discriminators.dtype = config.batch or recipe.batch, config.crop_s or recipe.crop_s, config.dtype
  sizes = Config(**recipe.model)
  judges, codec = stage1.judges_of(recipe), Codec(sizes)
  samples = stage1.crop(recipe, sizes, judges)
  txs, heads = codec_step.optimisers(recipe), Content(0, 0)
  state = jax.jit(lambda key: codec_step.init(codec, heads, judges, txs, key))(jax.random.key(config.seed))
  batch = {'audio': 0.05 * jax.random.normal(jax.random.key(config.seed), (recipe.batch, samples))}
  audio_s = recipe.batch * samples / sizes.rate
  result = {'size': config.size, 'batch': recipe.batch, 'crop_s': samples / sizes.rate,
            'parameters': count(state['params']), 'discriminators': count(state['judges']['params'])}
  for phase in codec_step.PHASES:
    step = jax.jit(functools.partial(codec_step.step, codec, heads, judges, txs, recipe, phase), donate_argnums=0)

    def trained_on():                # as the loop does: each step takes the memory of the state before
      nonlocal state
      state, metrics = step(state, batch, jax.random.key(config.seed))
      return metrics
    seconds = timed(trained_on, config.repeats, phase)
    result[phase] = {'step_s': seconds, 'audio_s_per_s': audio_s / seconds}
    print(f'{config.size}, {phase}: {seconds:.3f} s a step of {audio_s:.1f} s of audio, {audio_s / seconds:.1f} audio s/s', flush=True)
  share = 1 - result['reconstruction']['step_s'] / result['adversarial']['step_s']
  result['discriminators_share'] = share
  print(f'discriminators ({result["discriminators"] / 1e6:.1f} M parameters) take {100 * share:.0f} % of a step that has them')
  return result


def count(params) -> int:
  return sum(x.size for x in jax.tree.leaves(params))


def timed(call, repeats, what) -> float:
  """Wall seconds of a call, the median of several after one that compiles."""
  jax.block_until_ready(call())
  found = []
  for _ in tqdm.trange(repeats, desc=what, unit='step', leave=False):
    start = time.perf_counter()
    jax.block_until_ready(call())
    found.append(time.perf_counter() - start)
  return float(jnp.median(jnp.array(found)))
