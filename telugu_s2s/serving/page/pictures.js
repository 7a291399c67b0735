// A canvas that scrolls: each call draws what was heard since the last one at its right edge.

const FLOOR_DB = -90, CEILING_DB = -20;      // of the spectrogram's shades
const TOP_HZ = 8000;                         // of speech at 16 kHz

export class Picture {
  constructor(canvas, analyser) {
    Object.assign(this, { canvas, analyser });
    this.draw = canvas.getContext('2d');
    this.wave = new Float32Array(analyser.fftSize);
    this.bins = new Float32Array(analyser.frequencyBinCount);
  }

  /** kind: 'wave' or 'spectrogram'; pixels: how far it scrolls. Returns the loudest sample. */
  step(kind, pixels = 2) {
    const { canvas, draw } = this, x = canvas.width - pixels;
    const { color, backgroundColor } = getComputedStyle(canvas);
    this.analyser.getFloatTimeDomainData(this.wave);
    const peak = this.wave.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    draw.drawImage(canvas, -pixels, 0);
    draw.fillStyle = backgroundColor;
    draw.fillRect(x, 0, pixels, canvas.height);
    draw.fillStyle = color;
    if (kind === 'spectrogram') this.spectrum(x, pixels);
    else {
      const height = Math.max(1, Math.min(1, peak) * canvas.height);
      draw.fillRect(x, (canvas.height - height) / 2, pixels, height);
    }
    draw.globalAlpha = 1;
    return peak;
  }

  spectrum(x, pixels) {
    const { canvas, draw } = this;
    this.analyser.getFloatFrequencyData(this.bins);
    const top = (TOP_HZ / (this.analyser.context.sampleRate / 2)) * this.bins.length;
    for (let y = 0; y < canvas.height; y += 2) {
      const [low, high] = [y + 2, y].map((place) => Math.floor((1 - place / canvas.height) * top));
      let most = FLOOR_DB;
      for (let bin = low; bin <= high; bin++) most = Math.max(most, this.bins[bin]);
      draw.globalAlpha = Math.min(1, Math.max(0, (most - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
      draw.fillRect(x, y, pixels, 2);
    }
  }
}
