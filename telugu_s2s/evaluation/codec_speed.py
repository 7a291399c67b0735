"""How fast a codec runs on one CPU thread: `python -m telugu_s2s.evaluation.codec_speed [CODEC]` prints JSON.

CPU time is measured, not wall time, so that other programs on the machine do not count.
"""
import functools
import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp

from telugu_s2s.codec import model, streaming, weights
from telugu_s2s.evaluation import recipes
from telugu_s2s.preparation import pool

SECONDS = 10.0                   # of audio, whole
FRAMES = 100                     # one by one
# XLA's and torch's threads are set before their start, so what is timed runs in a process of its own.
ONE_THREAD = {'XLA_FLAGS': pool.ONE_THREAD, 'JAX_PLATFORMS': 'cpu', **pool.SINGLE_THREAD}


def one_thread(module: str, *arguments: str) -> dict:
  """What a module of this package prints as JSON when it is run in a process of one thread."""
  return printed(sys.executable, module, *arguments, variables=ONE_THREAD)


def printed(python: str, module: str, *arguments: str, variables) -> dict:
  """What a module prints last, as JSON, when an interpreter runs it with these variables in its environment."""
  found = subprocess.run([python, '-m', module, *arguments], env={**os.environ, **variables}, check=True,
                         stdout=subprocess.PIPE, text=True)
  return json.loads(found.stdout.splitlines()[-1])


def untrained(codec) -> bool:
  """Whether it is a size of configs/stage1.py of which no weights are released."""
  return codec in recipes.sizes('stage1') and codec not in weights.RELEASED


def trained(codec) -> weights.Trained:
  """A released codec or that of a file; or with random weights, of another size of configs/stage1.py or a model dict.

  Raises:
    InputError: there is no such file, or it is no codec's.
  """
  if isinstance(codec, str) and not untrained(codec):
    return weights.load(codec)
  name = codec if isinstance(codec, str) else 'of the sizes given'
  fields = recipes.of('stage1', codec).model if isinstance(codec, str) else codec
  config = model.Config(**fields)
  params = jax.jit(model.Codec(config).init)(jax.random.key(0), jnp.zeros((1, 2 * config.hop)))['params']
  return weights.Trained(config, params, f'{name}, random weights')


def measure(trained: weights.Trained) -> dict:
  """Seconds of audio per CPU second of encoding and decoding, whole and frame by frame, and ms per frame."""
  c, net = trained.config, model.Codec(trained.config)
  variables = {'params': trained.params}
  encode = jax.jit(lambda audio, state: net.apply(variables, audio, state, method='encode'))
  decode = jax.jit(lambda codes, state: net.apply(variables, codes, state, method='decode'))
  audio = 0.05 * jax.random.normal(jax.random.key(0), (1, round(SECONDS * c.frame_rate) * c.hop))
  codes = encode(audio, None)[0]
  result = {'name': trained.name, 'encode': SECONDS / cpu_seconds(lambda: encode(audio, None)),
            'decode': SECONDS / cpu_seconds(lambda: decode(codes, None))}
  hears, speaks = model.empty_states(c, 1)
  params, frame_s = streaming.taken_apart(trained.params), c.hop / c.rate
  for name, state, piece in (('encode', hears, audio[:, :c.hop]), ('decode', speaks, codes[:, :1])):
    step = functools.partial(streaming.step(c, name), params)
    seconds = cpu_seconds(lambda: _stream(step, state, piece)) / FRAMES
    result |= {f'{name}_frames': frame_s / seconds, f'{name}_ms': 1000 * seconds}
  return {**result, 'frame_ms': 1000 * frame_s, 'parameters': sum(x.size for x in jax.tree.leaves(trained.params))}


def _stream(step, state, piece):
  for _ in range(FRAMES):
    out, state = step(piece, state)
    out.block_until_ready()
  return out


def cpu_seconds(call, repeats=5) -> float:
  """CPU seconds of a call, the least of several after one that compiles."""
  jax.block_until_ready(call())
  found = []
  for _ in range(repeats):
    start = time.process_time()
    jax.block_until_ready(call())
    found.append(time.process_time() - start)
  return min(found)


if __name__ == '__main__':
  print(json.dumps(measure(trained(sys.argv[1] if len(sys.argv) > 1 else ''))))
