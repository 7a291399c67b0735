"""One update of the codec, on a codec of three matrices in its place, which is compiled in no time."""
import os
import runpy
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s import usage
from telugu_s2s.codec.content import Content
from telugu_s2s.training import codec_step

HEADS = Content(units=5, graphemes=0, hidden=6)
STEPS = dict(reconstruction=4, adversarial=0, decoder=6)


class Plain:
  """Frames of 128 samples, 8 numbers each, which are looked up in one table of 3 codes and not rounded."""
  config = types.SimpleNamespace(rate=16_000, hop=128, codebooks=1, codes=3)

  def init(self, key, audio):
    shapes = {'encoder': {'into_dz': (128, 8)}, 'quantizer': {'table_qvz': (1, 3, 8)}, 'decoder': {'out_zd': (8, 128)}}
    return {'params': {part: {name: jax.random.normal(jax.random.fold_in(key, number), shape) / 8 for name, shape in arrays.items()}
                       for number, (part, arrays) in enumerate(shapes.items())}}

  def apply(self, variables, audio, levels, exact):
    params = variables['params']
    latent = audio.reshape(len(audio), -1, 128) @ params['encoder']['into_dz']
    codes = jnp.argmax(latent @ params['quantizer']['table_qvz'][0].T, -1)[..., None]
    decoded = (latent @ params['decoder']['out_zd']).reshape(audio.shape)
    return decoded, {'codes': codes, 'latent': latent[:, :, None], 'codebook': 0.0, 'commit': 0.0}


@pytest.fixture(autouse=True)
def no_spectra(monkeypatch):
  """One distance of samples in the place of all, whose spectra take half a minute to compile."""
  monkeypatch.setattr(codec_step.losses, 'reconstruction', lambda decoded, audio, rate: {'mel': jnp.mean(jnp.abs(decoded - audio))})


def config_of(**fields):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/stage1.py'))['get_config']()
  config.update(dict(steps=STEPS, warmup=1, **fields))
  return config


class Steps:
  """Updates of a fresh codec on eight rows of noise with units, one after the other; a phase is compiled once."""

  def __init__(self, **fields):
    self.config = config_of(**fields)
    self._txs, self._compiled = codec_step.optimisers(self.config), {}
    self.state = codec_step.init(Plain(), HEADS, None, self._txs, jax.random.key(0))
    self.batch = {'audio': 0.1 * jax.random.normal(jax.random.key(1), (8, 512)), 'units': jax.random.randint(jax.random.key(2), (8, 4), 0, 5)}

  def __call__(self, phase):
    """The metrics of one update, after which `state` is the next one."""
    if phase not in self._compiled:
      self._compiled[phase] = jax.jit(lambda *given: codec_step.step(Plain(), HEADS, None, self._txs, self.config, phase, *given))
    self.state, metrics = self._compiled[phase](self.state, self.batch, jax.random.key(self.state['step']))
    return metrics


def test_the_decoders_phase_learns_with_the_mean_encoder_and_that_is_the_one_that_is_kept():
  """An encoder that the decoder has never met is of no use to it."""
  steps = Steps()
  for _ in range(4):
    steps('reconstruction')
  before = steps.state
  assert (before['mean']['encoder']['into_dz'] != before['params']['encoder']['into_dz']).all()
  for _ in range(3):
    steps('decoder')
    for name in ('params', 'mean'):
      np.testing.assert_array_equal(steps.state[name]['encoder']['into_dz'], before['mean']['encoder']['into_dz'])
  assert (steps.state['mean']['decoder']['out_zd'] != before['mean']['decoder']['out_zd']).all()


@pytest.mark.parametrize('steps', [STEPS, dict(reconstruction=40, adversarial=20, decoder=10)], ids=str)
def test_the_discriminators_rate_ends_as_low_as_the_codecs(steps):
  """Adam's updates by a gradient that is always the same are the learning rate."""
  config, params = config_of(), {'bias_o': jnp.zeros(1)}
  config.update(dict(steps=steps, warmup=7))
  for tx, count in zip(codec_step.optimisers(config), (sum(steps.values()), steps['adversarial'] + steps['decoder'])):
    opt, update, rates = tx.init(params), jax.jit(tx.update), []
    for _ in range(count + 1):
      updates, opt = update(params | {'bias_o': jnp.ones(1)}, opt, params)
      rates.append(-float(updates['bias_o'][0]))
    assert rates[-1] == pytest.approx(0.01 * max(rates), rel=1e-3)
    assert max(rates) == pytest.approx(config.lr if count == sum(steps.values()) else config.discriminator_lr, rel=1e-3)


def test_a_silenced_row_has_no_units():
  """Those of the speech that was there would be taught of silence."""
  assert Steps(augment=dict(silence=1.0))('reconstruction')['units'] == 0.0
  assert Steps(augment=dict(silence=0.0))('reconstruction')['units'] > 1.0


def test_a_codec_that_is_trained_on_rounds_its_rows_and_counts_mel_in_full_from_the_first_step():
  """The first steps of fresh weights, in which phase is learnt, would undo what it has."""
  shares = {start: [float(codec_step.unquantised(config_of(start=start, exact_steps=10), step)) for step in (0, 10, 15, 20)]
            for start in ('', 'small')}
  assert shares[''] == pytest.approx([1.0, 1.0, 0.5, 0.1]) and shares['small'] == pytest.approx([0.1] * 4)
  assert float(codec_step.unquantised(config_of(exact_steps=0), 0)) == pytest.approx(0.1)
  steps = Steps(start='small')
  metrics = {name: float(value) for name, value in steps('reconstruction').items()}
  weights = steps.config.weights
  assert metrics['loss'] == pytest.approx(weights.mel * metrics['mel'] + weights.units * metrics['units'], rel=1e-4)
