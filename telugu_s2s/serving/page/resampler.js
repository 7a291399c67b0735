// Changes the rate of a stream by a windowed sinc. Blocks in give the samples that the whole would give.

const LOBES = 12;        // of the sinc on either side, counted at the lower rate
const PASS = 0.92;       // of the lower rate's half that is kept; the rest is the slope, so that nothing folds back
const FINE = 128;        // points of the table between two samples, with straight lines between them

export class Resampler {
  constructor(from, to) {
    const cut = Math.min(1, to / from) * PASS;
    this.same = from === to;
    this.step = from / to;
    this.half = Math.ceil(LOBES / cut);
    this.table = new Float32Array(this.half * FINE + 2);
    for (let i = 0; i < this.half * FINE; i++) {
      const t = i / FINE, w = Math.cos((Math.PI / 2) * (t / this.half)) ** 2;
      this.table[i] = w * cut * (i ? Math.sin(Math.PI * cut * t) / (Math.PI * cut * t) : 1);
    }
    this.held = new Float32Array(this.half);     // silence before the first sample
    this.at = this.half;                         // where the next output lies in what is held
  }

  /** The output that the samples so far determine, Float32Array. */
  push(samples) {
    if (this.same) return Float32Array.from(samples);
    const x = new Float32Array(this.held.length + samples.length);
    x.set(this.held);
    x.set(samples, this.held.length);
    const out = new Float32Array(Math.max(0, Math.ceil((x.length - this.half - this.at) / this.step)));
    for (let n = 0; n < out.length; n++, this.at += this.step) out[n] = this.sample(x);
    const spent = Math.min(x.length, Math.max(0, Math.floor(this.at) - this.half));
    this.held = x.slice(spent);
    this.at -= spent;
    return out;
  }

  /** What is still to come once the stream has ended. */
  flush() {
    return this.same ? new Float32Array(0) : this.push(new Float32Array(this.half));
  }

  sample(x) {
    const first = Math.max(0, Math.ceil(this.at - this.half)), last = Math.min(x.length - 1, Math.floor(this.at + this.half));
    let sum = 0;
    for (let i = first; i <= last; i++) {
      const place = Math.abs(i - this.at) * FINE, k = Math.floor(place);
      if (k < this.half * FINE) sum += x[i] * (this.table[k] + (this.table[k + 1] - this.table[k]) * (place - k));
    }
    return sum;
  }
}
