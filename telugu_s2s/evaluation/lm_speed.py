"""How fast the toy language model trains and speaks."""
import time

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.codec import weights
from telugu_s2s.lm import sampling
from telugu_s2s.lm.model import Config
from telugu_s2s.training import optimiser, stage2


def measure(config) -> dict:
  """Prints and returns codes a second in training, and ms a frame in decoding one stream and eight."""
  trained = weights.load(config.codec)
  c = Config(codebooks=trained.config.codebooks, codes=trained.config.codes, dtype='float32')
  tx = optimiser.adamw(optimiser.warmup_stable_decay(1e-3, 10, 100))
  state = jax.jit(lambda: stage2.init(c, tx, jax.random.key(config.seed)))()
  rng = np.random.default_rng(config.seed)
  b, t, rate = config.batch, config.frames, trained.config.frame_rate
  batch = {'codes': rng.integers(0, c.codes, (b, 2, t, c.codebooks), np.int32),
           'prosody': rng.integers(0, c.prosody_codes, (b, t), np.int32), 'weight': np.ones((b, t), np.float32)}
  update = jax.jit(lambda state: stage2.step(c, tx, state, batch)[0])
  train_s = _seconds(lambda: update(state), config.repeats)
  result = {'train_step_s': train_s, 'train_codes_per_s': b * t * c.codebooks / train_s,
            'train_audio_s_per_s': b * t / rate / train_s}
  print(f'training, {b} rows of {t} frames: {train_s:.3f} s a step, {result["train_codes_per_s"]:.0f} codes/s, '
        f'{result["train_audio_s_per_s"]:.0f} s of audio/s')
  step = jax.jit(lambda state, user, key: sampling.step(c, trained_params, state, user, key, sampling.Sampling()))
  trained_params = state['params']
  for streams in (1, 8):
    memory = sampling.empty_state(c, streams)
    user = jnp.zeros((streams, c.codebooks), jnp.int32)
    seconds = _seconds(lambda: step(memory, user, jax.random.key(0)), 10 * config.repeats)
    result |= {f'decode_{streams}_ms': 1000 * seconds, f'decode_{streams}_codes_per_s': streams * c.codebooks / seconds}
    print(f'decoding {streams} stream(s): {1000 * seconds:.2f} ms a frame of {1000 / rate:.0f} ms, '
          f'{streams * c.codebooks / seconds:.0f} codes/s, {streams / rate / seconds:.1f} x real time')
  return result


def _seconds(call, repeats):
  """Median wall seconds of a call, after one that compiles."""
  jax.block_until_ready(call())
  found = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(call())
    found.append(time.perf_counter() - start)
  return float(np.median(found))
