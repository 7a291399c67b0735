"""What recordings go through before the codec hears them: gain, silence and hum, noise, a narrow band."""
import jax
import jax.numpy as jnp

QUIETEST, LOUDEST = -14.0, 4.0   # dB of gain
BEST, WORST = 40.0, 10.0         # dB of signal to noise
NARROWEST, WIDEST = 2500.0, 7000.0     # Hz of a band's upper end


def augmented(audio, key, shares, rate):
  """The rows of a batch f32[b t], each changed at random, in [-1, 1]: what is to be coded and decoded as it is; and bool[b], which were silenced.

  shares: {silence, noise, band}: of the rows that are silenced (half of them to a hum), get noise, lose what is
    above a random frequency.
  """
  b, t = audio.shape
  keys = iter(jax.random.split(key, 12))
  uniform = lambda low, high: jax.random.uniform(next(keys), (b, 1), minval=low, maxval=high)
  chosen = lambda share: jax.random.bernoulli(next(keys), share, (b, 1))
  hertz = jnp.fft.rfftfreq(t, 1 / rate)

  spectrum = jnp.fft.rfft(audio)
  edge = jnp.where(chosen(shares['band']), uniform(NARROWEST, WIDEST), rate)
  spectrum *= jax.nn.sigmoid((edge - hertz) / 50)                      # a slope of some 200 Hz rings less than a wall
  colour = jnp.maximum(hertz, 50.0) ** -uniform(0.0, 1.0)              # from white to falling 6 dB an octave
  noise = jnp.fft.irfft(jnp.fft.rfft(jax.random.normal(next(keys), (b, t))) * colour, t)
  level = lambda x: jnp.sqrt(jnp.mean(x**2, -1, keepdims=True))
  loud = chosen(shares['noise']) * level(audio) * 10 ** (-uniform(WORST, BEST) / 20)
  audio = jnp.fft.irfft(spectrum, t) + loud * noise / (level(noise) + 1e-9)

  audio *= 10 ** (uniform(QUIETEST, LOUDEST) / 20)
  hum = chosen(0.5) * 10 ** (-uniform(40.0, 70.0) / 20) * jnp.sin(2 * jnp.pi * 50 * jnp.arange(t) / rate)
  silenced = chosen(shares['silence'])
  return jnp.clip(jnp.where(silenced, hum, audio), -1.0, 1.0), silenced[:, 0]
