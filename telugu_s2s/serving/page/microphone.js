// AudioWorklet: the microphone at the device's rate -> 16-bit blocks of 40 ms at the session's rate.
import { Resampler } from './resampler.js';

const BLOCKS = 25;       // a second: the model's own frames

class Microphone extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate } }) {
    super();
    this.resampler = new Resampler(sampleRate, rate);
    this.block = new Int16Array(rate / BLOCKS);
    this.filled = 0;
    this.energy = 0;
    this.over = false;
    this.port.onmessage = () => { this.over = true; };
  }

  process([input]) {
    if (!input[0]) return !this.over;            // the device has been taken away
    for (const value of this.resampler.push(input[0])) {
      this.block[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
      this.energy += value * value;
      if (this.filled < this.block.length) continue;
      const pcm = this.block.slice();
      this.port.postMessage({ pcm, rms: Math.sqrt(this.energy / this.filled) }, [pcm.buffer]);
      this.filled = this.energy = 0;
    }
    return !this.over;
  }
}

registerProcessor('microphone', Microphone);
