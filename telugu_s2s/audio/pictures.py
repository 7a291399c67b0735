"""Spectrograms as PNG pictures, one panel a signal."""
import io

import matplotlib.image
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from telugu_s2s.audio import files
from telugu_s2s.audio.mel import log_mel, mel

TICKS_HZ = (0, 250, 500, 1000, 2000, 4000, 8000)
RANGE_DB = 80
COLUMNS = 400          # of a picture without axes, at most
LEVELS_DB = 4          # its colours stand for steps of so much: a third of the bytes, and the eye hardly sees it


def spectrogram(path, signals, rate: int = files.SAMPLE_RATE) -> None:
  """Writes one PNG with a log-mel spectrogram of each signal, whole or not at all.

  The panels share their time axis and their colours, the loudest point of all being the top, so that they compare.

  Args:
    path: of the picture.
    signals: {title: f32[samples]}, in the order from top to bottom; each longer than 16 ms.
  """
  bands = 80
  spectra = {title: log_mel(samples, rate, bands) for title, samples in signals.items()}
  top = max(spectrum.max() for spectrum in spectra.values())
  seconds = max(len(samples) for samples in signals.values()) / rate
  # A figure of its own, not pyplot: no global state, and no window system is asked for.
  figure = Figure(figsize=(float(np.clip(2 * seconds, 6, 20)), 0.8 + 2.0 * len(spectra)), layout='constrained')
  panels = figure.subplots(len(spectra), 1, sharex=True, squeeze=False)[:, 0]
  for panel, (title, spectrum) in zip(panels, spectra.items()):
    image = panel.imshow(spectrum.T, origin='lower', aspect='auto', cmap='magma', vmin=top - RANGE_DB, vmax=top,
                         extent=(0, len(signals[title]) / rate, -0.5, bands - 0.5), interpolation='nearest')
    panel.set_title(title, fontsize=10)
    panel.set_ylabel('Hz')
    hertz = [hz for hz in TICKS_HZ if hz <= rate / 2]
    panel.set_yticks([mel(hz) / mel(rate / 2) * (bands + 1) - 1 for hz in hertz], [str(hz) for hz in hertz])
    panel.set_ylim(-0.5, bands - 0.5)
  panels[-1].set_xlim(0, seconds)
  panels[-1].set_xlabel('s')
  figure.colorbar(image, ax=panels, label='dB')
  picture = io.BytesIO()
  FigureCanvasAgg(figure).print_png(picture, metadata={'Software': None})
  files.write(path, picture.getvalue())


def heat(samples, rate: int = files.SAMPLE_RATE) -> bytes:
  """A PNG of a log-mel spectrogram alone, 80 bands high and at most 400 columns wide: the page around it draws the axes."""
  spectrum = log_mel(samples, rate, hop=max(160, -(-len(samples) // (COLUMNS - 1))))
  top = spectrum.max()
  picture = io.BytesIO()
  matplotlib.image.imsave(picture, np.round((spectrum - top).T / LEVELS_DB) * LEVELS_DB, vmin=-RANGE_DB, vmax=0, cmap='magma',
                          origin='lower', format='png', metadata={'Software': None})
  return picture.getvalue()
