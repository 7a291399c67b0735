// AudioWorklet: replies at the session's rate -> the device's rate, behind a jitter buffer that grows when it runs dry.
import { Resampler } from './resampler.js';

const START_S = 0.06, MORE_S = 0.02, MOST_S = 0.2;       // sound that is waited for before a reply begins
const FADE_S = 0.002;    // at each edge, against clicks
const QUIET = 0.0056;    // below this, -45 dBFS, nothing is heard
const REPORT = 32;       // blocks of 128 samples between two reports

class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = [];             // {reply, samples}; samples = null at its end
    this.waiting = 0;            // samples in the queue
    this.at = 0;                 // in the first of them
    this.wait_s = START_S;
    this.playing = false;
    this.reply = null;           // the one that is heard
    this.played = 0;             // samples of it that were
    this.gain = this.value = 0;
    this.blocks = 0;
    this.counts = { played: 0, energy: 0, gaps: 0, dropped: 0 };
    this.port.onmessage = ({ data }) => this[data.do](data);
  }

  add({ reply, pcm, rate }) {
    if (this.from !== reply) {
      this.from = reply;
      this.resampler = new Resampler(rate, sampleRate);
    }
    this.keep(reply, this.resampler.push(Float32Array.from(pcm, (value) => value / 32768)));
  }

  end({ reply }) {
    if (this.from === reply) this.keep(reply, this.resampler.flush());
    this.queue.push({ reply, samples: null });
  }

  clear() {
    this.counts.dropped += this.waiting;
    this.queue = [];
    this.waiting = this.at = 0;
    this.playing = false;
    this.port.postMessage({ cleared: this.reply, heard_ms: Math.floor((1000 * this.played) / sampleRate), counts: this.counts });
    this.reply = null;
  }

  keep(reply, samples) {
    if (!samples.length) return;
    this.queue.push({ reply, samples });
    this.waiting += samples.length;
  }

  /** The next sample, or null where there is none. */
  next() {
    while (this.queue.length) {
      const { reply, samples } = this.queue[0];
      if (samples && reply !== this.reply) {
        this.reply = reply;
        this.played = 0;
        this.sounds = false;
        this.port.postMessage({ started: reply });
      }
      if (samples && this.at < samples.length) {
        this.waiting--;
        this.played++;
        if (!this.sounds && Math.abs(samples[this.at]) > QUIET) {
          this.sounds = true;
          this.port.postMessage({ sounds: reply });
        }
        return samples[this.at++];
      }
      this.queue.shift();
      this.at = 0;
      if (!samples) {
        this.port.postMessage({ finished: reply, counts: this.counts });
        this.reply = null;
        this.playing = this.queue.length > 0;
        if (!this.playing) return null;
      }
    }
    this.counts.gaps++;                  // the reply has not ended, and nothing is there
    this.wait_s = Math.min(MOST_S, this.wait_s + MORE_S);
    this.playing = false;
    return null;
  }

  process(_, [output]) {
    const ended = this.queue.some(({ samples }) => !samples);
    this.playing ||= this.queue.length > 0 && (ended || this.waiting >= this.wait_s * sampleRate);
    for (let i = 0; i < output[0].length; i++) {
      const sample = this.playing ? this.next() : null;
      if (sample !== null) this.value = sample;          // after the last one its value fades
      this.gain += Math.max(-1, Math.min(1, ((sample !== null) - this.gain) * FADE_S * sampleRate)) / (FADE_S * sampleRate);
      const y = this.value * this.gain;
      for (const channel of output) channel[i] = y;
      if (sample === null) continue;
      this.counts.played++;
      this.counts.energy += y * y;
    }
    if (++this.blocks % REPORT === 0) this.port.postMessage({ counts: this.counts, waiting: this.waiting });
    return true;
  }
}

registerProcessor('speaker', Speaker);
