"""One update of the codec, in each of its three phases.

reconstruction   waveform, spectra and codes; level 0 is taught what is said
adversarial      discriminators judge as well
decoder          encoder and codes stand still; discriminators judge on

Where config.weights gives the discriminators no weight there are none.
"""
import jax
import jax.numpy as jnp

from telugu_s2s.codec import adversarial, content, losses, quantizer
from telugu_s2s.codec.content import Content
from telugu_s2s.codec.discriminator import Discriminators
from telugu_s2s.training import augment, optimiser

PHASES = ('reconstruction', 'adversarial', 'decoder')
CODEC = ('encoder', 'decoder', 'quantizer')          # the parameters that go into a codec's file
JUDGED = ('adversarial', 'feature')


def boundaries(steps) -> list[tuple[int, str]]:
  """(first step, phase) of each phase that has steps; steps: {phase: how many}."""
  found, start = [], 0
  for phase in PHASES:
    if steps[phase]:
      found.append((start, phase))
      start += steps[phase]
  return found


def optimisers(config):
  """The codec's and the discriminators', on schedules of one shape: each counts its own updates, the latter's begin with the second phase."""
  every, judged = sum(config.steps.values()), config.steps.adversarial + config.steps.decoder

  def made(peak, steps, clip, weight_decay):
    schedule = optimiser.warmup_stable_decay(peak, config.warmup * steps // max(every, 1), steps, config.decay)
    return optimiser.adamw(schedule, b1=0.8, b2=0.99, weight_decay=weight_decay, clip=clip)     # DAC's betas
  return made(config.lr, every, 1.0, 0.01), made(config.discriminator_lr, judged, 10.0, 0.0)


def init(codec, heads: Content, discriminators: Discriminators | None, txs, key, params=None):
  """A new state: parameters (fresh if None), their running mean, optimiser, step, running use of each code, judges."""
  c = codec.config
  if params is None:
    params = codec.init(key, jnp.zeros((1, 2 * c.hop)))['params']
  params = {**params, 'content': heads.init(jax.random.fold_in(key, 1), jnp.zeros((1, 1, 8)))['params']}
  state = {'params': params, 'mean': {name: params[name] for name in CODEC}, 'opt': txs[0].init(params),
           'step': jnp.zeros((), jnp.int32), 'usage_qv': jnp.full((c.codebooks, c.codes), 1.0 / c.codes)}
  if discriminators:
    audio = jnp.zeros((1, discriminators.config.shortest))
    judges = discriminators.init(jax.random.fold_in(key, 2), audio)['params']
    state['judges'] = {'params': judges, 'opt': txs[1].init(judges)}
  return state


def step(codec, heads, discriminators, txs, config, phase, state, batch, key):
  """One update. batch: see `training/crops.py` and `training/spoken.py`. Returns the state and {metric: f32[]}."""
  change, drop, level, exact, fresh = (jax.random.fold_in(key, number) for number in range(5))
  c, b = codec.config, batch['audio'].shape[0]
  audio, silenced = augment.augmented(batch['audio'], change, config.augment, c.rate)
  if 'units' in batch:                        # of speech that is no longer there
    batch = {**batch, 'units': jnp.where(silenced[:, None], -1, batch['units'])}
  levels = jnp.where(jax.random.bernoulli(drop, config.level_dropout, (b,)),
                     jax.random.randint(level, (b,), 1, c.codebooks + 1), c.codebooks)
  share = 0.0 if phase == 'decoder' else unquantised(config, state['step'])
  rows = (audio, levels, jax.random.bernoulli(exact, share, (b,)), batch)
  if phase == 'decoder':
    # What is kept is the mean: that encoder, and not where the last step had left it, is the one to decode from.
    first = config.steps['reconstruction'] + config.steps['adversarial']
    encoder = jax.tree.map(lambda now, mean: jnp.where(state['step'] == first, mean, now), state['params']['encoder'], state['mean']['encoder'])
    state = {**state, 'params': {**state['params'], 'encoder': encoder}}
  moving = ('decoder',) if phase == 'decoder' else tuple(state['params'])
  still = {name: params for name, params in state['params'].items() if name not in moving}

  (decoded, beside), back, (parts, info) = jax.vjp(
      lambda params: forward(codec, heads, config, {**still, **params}, *rows),
      {name: state['params'][name] for name in moving}, has_aux=True)
  # Phase is learnt before mel spectra count in full.
  mel = config.decoder_mel if phase == 'decoder' else config.weights['mel'] * jnp.clip(exact_parts(config, state['step']), 0.1, 1.0)
  weights = {name: weight for name, weight in config.weights.items() if weight} | {'mel': mel}
  (loss, found), pull = jax.value_and_grad(reconstruction, has_aux=True)(decoded, audio, c.rate, weights)
  metrics = {'loss': loss + beside, **found, **parts}
  new = dict(state)
  if phase != 'reconstruction' and discriminators:
    apply = lambda params, audio: discriminators.apply({'params': params}, audio)
    found, grads, judged = adversarial.both_sides(apply, state['judges']['params'], audio, decoded,
                                                  {name: config.weights[name] for name in JUDGED})
    new['judges'], guard = optimiser.apply(txs[1], state['judges'], grads)
    metrics |= {**found, **{f'discriminator_{name}': value for name, value in guard.items()}}
    metrics['loss'] += sum(config.weights[name] * found[name] for name in JUDGED)
    pull += judged
  grads = {**jax.tree.map(jnp.zeros_like, still), **back((pull, jnp.ones(())))[0]}
  updated, guard = optimiser.apply(txs[0], state, grads)
  updated['params'] |= still                         # weight decay and momentum would move them
  metrics |= guard
  good = guard['skipped'] == 0                # frames that are not finite are neither counted nor taken as codes
  updated['params'], new['usage_qv'], used = codes(c, config, phase, state, updated['params'], info, good, fresh)
  mean = optimiser.average(state['mean'], {name: updated['params'][name] for name in CODEC}, state['step'], config.mean_decay)
  # A mean of restarted codes is no code, and what stands still is its own mean, to the bit.
  mean |= {name: updated['params'][name] for name in ('quantizer', *still) if name in CODEC}
  return {**new, **updated, 'mean': mean, 'step': state['step'] + 1}, metrics | used


def forward(codec, heads, config, params, audio, levels, exact, batch):
  """((decoded audio f32[b t], the weighted sum of the losses that are not of the audio), (those losses, info))."""
  codec_params = {'params': {name: params[name] for name in CODEC}}
  decoded, info = codec.apply(codec_params, audio, levels, exact)
  parts = {'codebook': info['codebook'], 'commit': info['commit']}
  right = {}
  if 'units' in batch:
    logits, _ = heads.apply({'params': params['content']}, info['latent'][:, :, 0])
    parts['units'], right['units_right'] = content.unit_loss(logits, batch['units'])
  if 'spoken' in batch:
    latent = codec.apply(codec_params, batch['spoken'], method='first_latent')
    _, logits = heads.apply({'params': params['content']}, latent)
    parts['graphemes'] = content.grapheme_loss(logits, batch['spoken_frames'], batch['graphemes'])
  return (decoded, sum(config.weights[name] * value for name, value in parts.items())), (parts | right, info)


def reconstruction(decoded, audio, rate, weights):
  """The weighted sum of the distances between decoded and true audio, and each that has a weight: no other is computed."""
  parts = {name: value for name, value in losses.reconstruction(decoded, audio, rate).items() if name in weights}
  return sum(weights[name] * value for name, value in parts.items()), parts


def unquantised(config, step):
  """The share of rows that are not rounded to codes: all in the first steps, when phase is learnt, then fewer."""
  return jnp.clip(2.0 - exact_parts(config, step), config.unquantised, 1.0)


def exact_parts(config, step):
  """How many times `exact_steps` have gone by; of a codec that is trained on, which has learnt phase, more than are asked after."""
  return jnp.inf if config.start or not config.exact_steps else step / config.exact_steps


def codes(c, config, phase, state, params, info, good, key):
  """The running use of each code, codes out of use restarted where it is due, and what is shown of it."""
  counts = jnp.stack([jnp.bincount(info['codes'][..., q].ravel(), length=c.codes) for q in range(c.codebooks)])
  usage = jnp.where(good, 0.99 * state['usage_qv'] + 0.01 * counts / counts.sum(-1, keepdims=True), state['usage_qv'])
  if phase != 'decoder':
    # Every `restart_every` steps, until the codes have four fifths of their steps behind them.
    last = 0.8 * (config.steps['reconstruction'] + config.steps['adversarial'])
    due = good & (state['step'] % config.restart_every == config.restart_every - 1) & (state['step'] < last)
    table = params['quantizer']['table_qvz']
    table, usage = jax.lax.cond(due, lambda: quantizer.restart(table, usage, info['latent'], key, 0.1)[:2],
                                lambda: (table, usage))
    params = {**params, 'quantizer': {**params['quantizer'], 'table_qvz': table}}
  share = usage / usage.sum(-1, keepdims=True)        # a restart adds to the sum
  entropy = -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12)), -1) / jnp.log(c.codes)
  shown = {f'usage{q}': jnp.mean(usage[q] > 0.1 / c.codes) for q in range(c.codebooks)}
  return params, usage, shown | {f'entropy{q}': entropy[q] for q in range(c.codebooks)}
