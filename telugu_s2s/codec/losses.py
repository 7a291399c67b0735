"""How far decoded speech is from the original: waveform, complex spectra and mel spectra."""
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio.mel import mel_filters

MEL_SCALES = ((64, 10), (128, 20), (256, 40), (512, 80), (1024, 120), (2048, 160))
COMPLEX_WINDOWS = (256, 512, 1024)
FAINT = 1e-5                     # -50 dBFS, the power below which a row counts as silence
LOUDNESS = 0.3                   # power law of magnitudes, near the ear's


def spectrum(x, window):
  """The short-time spectrum, Hann window, hop a quarter of it: complex64[b frames window/2+1].

  x: f32[b t]. Frames that would pass the end are left out.
  """
  hop = window // 4
  t = x.shape[1] // hop
  parts = x[:, :t * hop].reshape(x.shape[0], t, hop)
  frames = jnp.concatenate([parts[:, part:t - 3 + part] for part in range(4)], -1)
  return jnp.fft.rfft(frames * np.hanning(window + 1)[:-1].astype(np.float32))


def reconstruction(decoded, audio, rate):
  """The distances, each a mean, in float32.

  mel: L1 of log10 mel magnitudes over six windows (DAC 3.5, with the widest banks thinned for
  16 kHz). stft: L1 of complex spectra over three windows, divided by the mean magnitude, which is
  what holds the phase (a net trained on mel alone matches no waveform). compressed: squared, of magnitudes to the
  power of 0.3 and in lesser part of complex spectra so compressed, over the same windows (Braun and Tashev, 2021):
  what is 26 dB fainter counts a sixth as much, and a twentieth in stft. wave: L1 of samples. error: the error's power as
  a share of the row's. It alone pulls at a decoder that does not match yet: an L1 is least where such a decoder is
  silent, and for thousands of steps no phase is learnt.

  Args:
    decoded, audio: f32[b t].
    rate: samples a second.
  """
  mel = stft = compressed = 0.0
  windows = dict(MEL_SCALES)
  for window in sorted(set(windows) | set(COMPLEX_WINDOWS)):
    ours, true = spectrum(decoded, window), spectrum(audio, window)
    if window in windows:
      bank = jnp.asarray(mel_filters(rate, window, windows[window]).T)
      mel += jnp.mean(jnp.abs(jnp.log10(_magnitude(ours) @ bank + 1e-5) - jnp.log10(_magnitude(true) @ bank + 1e-5)))
    if window in COMPLEX_WINDOWS:
      stft += jnp.mean(_magnitude(ours - true)) / (jnp.mean(_magnitude(true)) + 1e-3)
      compressed += _compressed(ours, true)
  power = lambda x: jnp.mean(x ** 2, -1)
  scales = len(COMPLEX_WINDOWS)
  return {'mel': mel / len(windows), 'stft': stft / scales, 'compressed': compressed / scales, 'wave': jnp.mean(jnp.abs(decoded - audio)),
          'error': jnp.mean(power(decoded - audio) / (power(audio) + FAINT))}


def _compressed(ours, true):
  """The mean square between spectra after the power law, rows brought to one level: 0.7 of magnitudes, 0.3 of complex values."""
  level = jnp.sqrt(jnp.mean(_power(true), (1, 2), keepdims=True) + 1e-6)
  a, b = ours / level, true / level
  loud = lambda x: _magnitude(x, 1e-6) ** LOUDNESS
  turned = lambda x: x * _magnitude(x, 1e-6) ** (LOUDNESS - 1)
  return 0.7 * jnp.mean((loud(a) - loud(b)) ** 2) + 0.3 * jnp.mean(_power(turned(a) - turned(b)))


def _magnitude(x, least=1e-12):
  """|x| whose gradient at 0 is 0; its square is `least` there."""
  return jnp.sqrt(_power(x) + least)


def _power(x):
  return jnp.real(x) ** 2 + jnp.imag(x) ** 2
