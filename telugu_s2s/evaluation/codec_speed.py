"""How fast a codec runs on one CPU thread: `python -m telugu_s2s.evaluation.codec_speed [FILE]` prints JSON.

CPU time is measured, not wall time, so that other programs on the machine do not count.
"""
import json
import sys
import time

import jax

from telugu_s2s.codec import model, weights

SECONDS = 10.0                   # of audio, whole
FRAMES = 100                     # one by one


def measure(trained: weights.Trained) -> dict:
  """Seconds of audio per CPU second of encoding and decoding, whole and frame by frame, and ms per frame."""
  c, net = trained.config, model.Codec(trained.config)
  variables = {'params': trained.params}
  encode = jax.jit(lambda audio, state: net.apply(variables, audio, state, method='encode'))
  decode = jax.jit(lambda codes, state: net.apply(variables, codes, state, method='decode'))
  audio = 0.05 * jax.random.normal(jax.random.key(0), (1, round(SECONDS * c.frame_rate) * c.hop))
  codes = encode(audio, None)[0]
  result = {'encode': SECONDS / _seconds(lambda: encode(audio, None)),
            'decode': SECONDS / _seconds(lambda: decode(codes, None))}
  hears, speaks = model.empty_states(c, 1)
  frame_s = c.hop / c.rate
  for name, step, state, piece in (('encode', encode, hears, audio[:, :c.hop]), ('decode', decode, speaks, codes[:, :1])):
    seconds = _seconds(lambda: _stream(step, state, piece)) / FRAMES
    result |= {f'{name}_frames': frame_s / seconds, f'{name}_ms': 1000 * seconds}
  return {**result, 'frame_ms': 1000 * frame_s, 'parameters': sum(x.size for x in jax.tree.leaves(trained.params))}


def _stream(step, state, piece):
  for _ in range(FRAMES):
    out, state = step(piece, state)
    out.block_until_ready()
  return out


def _seconds(call, repeats=5):
  """CPU seconds of a call, the least of several after one that compiles."""
  jax.block_until_ready(call())
  found = []
  for _ in range(repeats):
    start = time.process_time()
    jax.block_until_ready(call())
    found.append(time.process_time() - start)
  return min(found)


if __name__ == '__main__':
  print(json.dumps(measure(weights.load(sys.argv[1] if len(sys.argv) > 1 else ''))))
