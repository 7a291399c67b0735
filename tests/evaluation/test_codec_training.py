"""The benchmark of the codec's training, on a step that does nothing: what it times is what the loop does."""
import types

import jax
import jax.numpy as jnp

from telugu_s2s.evaluation import codec_training
from telugu_s2s.training import codec_step


def test_each_timed_step_goes_on_from_the_one_before_and_takes_its_memory(monkeypatch):
  first, seen = [], []

  def init(*_):
    return {'params': {'bias_o': jnp.zeros(3)}, 'judges': {'params': {'bias_o': jnp.zeros(2)}}, 'step': jnp.zeros((), jnp.int32)}

  def step(codec, heads, judges, txs, config, phase, state, batch, key):
    return jax.tree.map(lambda x: x + 1, state), {'step': state['step']}

  def timed(call, repeats, phase):
    seen.extend(int(call()['step']) for _ in range(repeats))
    return 1.0

  def count(params):
    first.append(params['bias_o'])
    return len(params['bias_o'])

  for module, function in ((codec_step, init), (codec_step, step), (codec_training, timed), (codec_training, count)):
    monkeypatch.setattr(module, function.__name__, function)
  codec_training.measure(types.SimpleNamespace(size='tiny', batch=2, crop_s=0.4, dtype='float32', seed=0, repeats=2))
  assert seen == [0, 1, 2, 3, 4, 5]
  assert len(first) == 2 and all(array.is_deleted() for array in first)
