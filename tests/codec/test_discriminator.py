"""The discriminators and the losses that they and the codec learn from."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from telugu_s2s import axes
from telugu_s2s.codec import adversarial, discriminator
from telugu_s2s.errors import InputError

SMALL = discriminator.Config(periods=(2, 5), period_channels=(4, 6), windows=(256,), bands=(0, 0.25, 1), channels=3)
WEIGHTS = {'adversarial': 1.0, 'feature': 2.0}


@pytest.fixture(scope='module')
def audio(speech):
  """f32[b t]: eight stretches of 0.3 s."""
  return np.stack([clip[at:at + 4800] for clip in speech for at in (6000, 11000, 16000)][:8])


@pytest.fixture(scope='module')
def noisy(audio):
  noise = np.random.default_rng(0).normal(size=audio.shape).astype(np.float32)
  return (audio + 0.02 * noise).astype(np.float32)


@pytest.fixture(scope='module')
def judges(audio):
  """The small discriminators' forward pass and their parameters."""
  net = discriminator.Discriminators(SMALL)
  params = jax.jit(net.init)(jax.random.key(0), audio)['params']
  return (lambda params, audio: net.apply({'params': params}, audio)), params


@pytest.fixture(scope='module')
def judged(judges):
  """The same, compiled."""
  return jax.jit(judges[0])


@pytest.fixture(scope='module')
def both_sides(judges):
  return jax.jit(lambda *inputs: adversarial.both_sides(judges[0], *inputs, WEIGHTS))


@pytest.fixture(scope='module')
def sides(both_sides, judges, audio, noisy):
  """Losses and gradients from one pass over speech and its noisy copy."""
  return both_sides(judges[1], audio, noisy)


def test_every_discriminator_gives_its_layers_and_its_logits_last(judges, audio):
  shapes = [[x.shape for x in maps] for maps in jax.eval_shape(*judges, audio)]
  assert shapes == [
      [(8, 800, 2, 4), (8, 800, 2, 6), (8, 800, 2, 1)], [(8, 320, 5, 4), (8, 320, 5, 6), (8, 320, 5, 1)],
      # 4800 samples: 75 hops, 72 frames; 129 bins, the first 32 of them one band.
      [*((8, 72, bins, 3) for bins in (32, 16, 8, 4, 4)), *((8, 72, bins, 3) for bins in (97, 49, 25, 13, 13)), (8, 72, 17, 1)]]


@pytest.mark.parametrize('fields, kernels, filters', [
    # A period: 5 taps through five layers, 3 to the logit.
    ({'periods': (7,), 'windows': ()}, 5 * (32 + 32 * 128 + 128 * 512 + 512 * 1024 + 1024 ** 2) + 3 * 1024, 2720 + 1),
    # A window: five bands of five layers, 3 x 3 taps to the logit.
    ({'periods': (), 'windows': (256,)}, 5 * (27 * 2 * 32 + 3 * 27 * 32 ** 2 + 9 * 32 ** 2) + 9 * 32, 5 * 5 * 32 + 1),
    ({'periods': (), 'windows': (256,), 'channels': 8}, 5 * (27 * 2 * 8 + 3 * 27 * 8 ** 2 + 9 * 8 ** 2) + 9 * 8, 5 * 5 * 8 + 1)])
def test_sizes_are_the_published_ones(fields, kernels, filters):
  net = discriminator.Discriminators(discriminator.Config(**fields))
  params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 4800)))['params']
  assert sum(x.size for x in jax.tree.leaves(params)) == kernels + 2 * filters       # a length and a bias each


def test_a_layer_before_its_training_keeps_the_level_of_speech(judged, judges, audio):
  """So that no depth and no size makes a gradient vanish or explode."""
  for maps in judged(judges[1], audio)[:2]:
    levels = [float(jnp.std(x)) for x in maps[:-1]]
    assert max(levels) < 4 * min(levels)
    assert float(jnp.std(maps[-1])) < 0.5        # logits start small


def test_speech_shorter_than_a_window_is_refused_before_anything_runs(judges):
  with pytest.raises(ValueError, match='255 samples.*256'):
    jax.eval_shape(*judges, jnp.zeros((1, 255)))
  jax.eval_shape(*judges, jnp.zeros((1, 256)))


def test_without_any_discriminator_there_is_nothing_to_train():
  with pytest.raises(InputError, match='neither periods nor windows'):
    discriminator.Config(periods=[], windows=[])


@pytest.mark.parametrize('fields, words', [
    (dict(windows=(256, 510)), '510 is no multiple of 4'), (dict(windows=(0,)), 'windows: 0'), (dict(windows=(16,), bands=(0, 0.1, 1)), 'window 16'),
    (dict(bands=(0, 0.01, 0.012, 1)), 'bands'), (dict(bands=(0, 0.5, 0.25, 1)), 'bands'), (dict(bands=(0, 1.5)), 'bands'), (dict(bands=(0,)), 'bands'),
    (dict(bands=(0, float('nan'))), 'bands'), (dict(periods=(0,)), 'periods'), (dict(channels=0), 'channels 0')], ids=str)
def test_sizes_that_judge_nothing_are_named(fields, words):
  """A band without a frequency is a mean of nothing: nan."""
  with pytest.raises(InputError, match=f'config.discriminators.*{words}'):
    discriminator.Config(**fields)


def test_sizes_may_come_as_lists():
  assert hash(discriminator.Config(periods=[2, 5], windows=[])) == hash(discriminator.Config(periods=(2, 5), windows=()))


def test_a_period_is_the_convolution_of_each_phase_alone(judged, judges, audio):
  """Against plain numpy: the first layer of period 5."""
  params = jax.device_get(judges[1]['period5']['Convolution_0'])
  kernel = params['kernel_wwio'] / np.linalg.norm(params['kernel_wwio'].reshape(-1, 4), axis=0) * params['scale_o']
  phase = np.pad(audio[0, :4800].reshape(-1, 5)[:, 3] / 0.05, 2)
  want = np.stack([sum(phase[at + tap] * kernel[tap, 0, 0] for tap in range(5)) for at in range(0, 960, 3)])
  want = np.where(want > 0, want, 0.1 * want)
  found = judged(judges[1], audio)[1][0][0, :, 3]
  np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


def test_both_parts_of_a_spectrum_are_judged(judged, judges, audio):
  """Turning every phase by a quarter keeps magnitudes and swaps the parts: the maps must notice."""
  spectra = np.fft.rfft(audio)
  turned = np.fft.irfft(1j * spectra, audio.shape[1]).astype(np.float32)
  here, there = (judged(judges[1], x)[2][0] for x in (audio, turned))
  assert float(jnp.mean(jnp.abs(here - there))) > 0.3 * float(jnp.mean(jnp.abs(here)))


def maps(*logits):
  """What three discriminators would return: two feature maps of ones, twos, ..., then logits."""
  return [[jnp.full((2, 3), 1.0 + one), jnp.full((2, 4), 2.0), jnp.full((2, 5), float(x))] for one, x in enumerate(logits)]


def test_the_discriminators_loss_is_least_squares():
  assert adversarial.discriminator_loss(maps(1, 1, 1), maps(0, 0, 0)) == 0
  assert adversarial.discriminator_loss(maps(.5, .5), maps(.5, .5)) == pytest.approx(0.5)      # chance
  assert adversarial.discriminator_loss(maps(1, 3), maps(-1, 0)) == pytest.approx((1 + 4) / 2)


def test_the_codecs_losses_on_numbers_made_by_hand():
  real, fake = maps(0, 0), maps(1, -1)
  assert adversarial.generator_losses(real, fake) == {'adversarial': pytest.approx((0 + 4) / 2), 'feature': 0}
  off = jax.tree.map(lambda x: 1.5 * x, fake)
  assert adversarial.generator_losses(real, off)['feature'] == pytest.approx(0.5, rel=1e-3)    # half, whatever the scale


def test_no_loss_grows_with_the_number_of_discriminators():
  real, fake = maps(0.3)[:1], [[1.2 * x for x in maps(0.2)[0]]]
  once, often = ([adversarial.discriminator_loss(real * n, fake * n), *adversarial.generator_losses(real * n, fake * n).values()]
                 for n in (1, 4))
  np.testing.assert_allclose(once, often, rtol=1e-6)


def test_one_pass_gives_what_each_side_computes_alone(judges, sides, audio, noisy):
  apply, params = judges
  of_judges = lambda params: adversarial.discriminator_loss(apply(params, audio), apply(params, noisy))

  def of_codec(fake):
    parts = adversarial.generator_losses(apply(params, audio), apply(params, fake))
    return sum(WEIGHTS[name] * value for name, value in parts.items()), parts

  (loss, grads), ((_, parts), pull) = jax.jit(lambda params, fake: (
      jax.value_and_grad(of_judges)(params), jax.value_and_grad(of_codec, has_aux=True)(fake)))(params, noisy)
  for name, value in {'discriminator': loss, **parts}.items():
    assert float(sides[0][name]) == pytest.approx(float(value), rel=1e-5), name
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())   # float32 sums in another order
  jax.tree.map(close, sides[1], grads)
  close(sides[2], pull)


def test_gradients_reach_every_parameter_and_every_sample(sides):
  for path, x in jax.tree.leaves_with_path(sides[1]):
    assert np.isfinite(x).all() and np.abs(x).max() > 1e-8, jax.tree_util.keystr(path)
  assert np.isfinite(sides[2]).all() and (sides[2][:, 8:-8] != 0).mean() > 0.99


def test_silence_is_judged_with_finite_gradients(both_sides, judges, audio):
  _, grads, pull = both_sides(judges[1], 0 * audio, 0 * audio)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((grads, pull)))


def test_bfloat16_judges_like_float32(judged, judges, audio):
  net = discriminator.Discriminators(dataclasses.replace(SMALL, dtype='bfloat16'))
  found, want = jax.jit(net.apply)({'params': judges[1]}, audio), judged(judges[1], audio)
  assert {x.dtype for maps in found for x in maps[:-1]} == {jnp.bfloat16.dtype} and found[0][-1].dtype == jnp.float32
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(want)):
    np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=0, atol=0.03 * float(jnp.abs(b).max()))      # 8 bits


@pytest.mark.parametrize('sizes', [{'periods': (2,), 'period_channels': (8, 16), 'windows': ()}, {'periods': ()}],
                         ids=['waveform', 'spectrum'])
def test_discriminators_learn_to_tell_speech_from_its_noisy_copy(audio, noisy, sizes):
  """Trained on six stretches, asked about two that they have not met."""
  net = discriminator.Discriminators(dataclasses.replace(SMALL, **sizes))
  apply = lambda params, audio: net.apply({'params': params}, audio)
  loss_of = lambda params, real, fake: adversarial.discriminator_loss(apply(params, real), apply(params, fake))
  tx = optax.adam(1e-2)

  @jax.jit
  def step(params, opt):
    loss, grads = jax.value_and_grad(loss_of)(params, audio[:6], noisy[:6])
    updates, opt = tx.update(grads, opt)
    return optax.apply_updates(params, updates), opt, loss

  params = jax.jit(net.init)(jax.random.key(1), audio)['params']
  opt = tx.init(params)
  for _ in range(80 if sizes['periods'] else 40):
    params, opt, loss = step(params, opt)
  asked = jax.jit(loss_of)
  assert asked(params, audio[6:], audio[6:]) > 0.49                      # the same on both sides: no better than chance
  assert loss < 0.4 and asked(params, audio[6:], noisy[6:]) < 0.4


def test_a_mesh_gives_the_losses_and_gradients_of_one_device(judges, sides, audio, noisy):
  over = axes.mesh(2, 2, 2)
  with jax.set_mesh(over):
    params = jax.device_put(judges[1], axes.shardings(judges[1], over))
    rows = jax.NamedSharding(over, axes.BATCH)
    found = jax.jit(lambda *inputs: adversarial.both_sides(judges[0], *inputs, WEIGHTS))(
        params, jax.device_put(audio, rows), jax.device_put(noisy, rows))
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(sides)):       # float32 sums in another order
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(np.abs(b).max(), 1e-3))
