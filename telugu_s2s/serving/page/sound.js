// Sound in and out of the page: the two worklets, recordings from files, and wav files of turns.

const INFO = 'synthetic speech, telugu_s2s';
export const LONGEST_S = 30;     // of a recording that is sent at once

/** An AudioContext at the device's own rate, with the speaker, and analysers of both sides. */
export async function opened(onSpeaker) {
  if (!globalThis.isSecureContext) throw new DOMException('', 'SecurityError');  // http:// and not this computer: neither worklets nor a microphone
  const context = new AudioContext({ latencyHint: 'interactive' });
  const resumed = context.resume();      // at once: a phone lets it begin only in answer to a touch
  await Promise.all([resumed, ...['microphone.js', 'speaker.js'].map((file) => context.audioWorklet.addModule(file))]);
  const speaker = new AudioWorkletNode(context, 'speaker', { numberOfInputs: 0, outputChannelCount: [2] });
  const [heard, said] = [0, 1].map(() => new AnalyserNode(context, { fftSize: 1024, smoothingTimeConstant: 0 }));
  speaker.connect(said).connect(context.destination);
  speaker.port.onmessage = ({ data }) => onSpeaker(data);
  return { context, speaker: speaker.port, heard, said };
}

/** The microphone: send(rate, onBlock) gives blocks {pcm, rms} at that rate from then on, stop() gives the device back. */
export async function microphone({ context, heard }, device) {
  // A full-duplex model would hear itself without echo cancellation.
  const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: device ? { ...wanted, deviceId: { exact: device } } : wanted });
  const source = context.createMediaStreamSource(stream);
  let node = null;
  source.connect(heard);
  const silent = () => {
    if (!node) return;
    node.port.onmessage = null;          // a last block may be on its way
    node.port.postMessage('stop');
    source.disconnect(node);
    node = null;
  };
  return {
    track: stream.getAudioTracks()[0],
    send(rate, onBlock) {
      silent();
      node = new AudioWorkletNode(context, 'microphone', { numberOfOutputs: 0, processorOptions: { rate } });
      node.port.onmessage = ({ data }) => onBlock(data);
      source.connect(node);
    },
    stop() {
      silent();
      source.disconnect();
      stream.getTracks().forEach((track) => track.stop());
    },
  };
}

/** A recording as Int16Array at `rate` Hz, mono. Throws RangeError where it is empty or too long, else as decoding does. */
export async function decoded(file, rate) {
  const context = new OfflineAudioContext(1, 1, rate);
  const buffer = await context.decodeAudioData(await file.arrayBuffer());
  if (buffer.duration < 0.1 || buffer.duration > LONGEST_S) throw new RangeError(buffer.duration.toFixed(1));
  const pcm = new Int16Array(buffer.length);
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
  for (let i = 0; i < pcm.length; i++) {
    const mean = channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length;
    pcm[i] = Math.max(-32768, Math.min(32767, Math.round(mean * 32768)));
  }
  return pcm;
}

/** Plays a turn again; `onEnd` is called when it is over or was stopped. Returns what stops it. */
export function replay(context, { pcm, rate }, onEnd) {
  const buffer = new AudioBuffer({ length: pcm.length, sampleRate: rate });
  buffer.copyToChannel(Float32Array.from(pcm, (value) => value / 32768), 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.onended = onEnd;
  source.start();
  return () => source.stop();
}

/** The bytes of a wav file; of a synthetic turn, LIST/INFO says so. */
export function wav({ pcm, rate, synthetic }) {
  const text = (words) => Array.from(words, (letter) => letter.charCodeAt(0));
  const u32 = (value) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);
  const comment = [...text(INFO), 0, ...(INFO.length % 2 ? [] : [0])];
  const list = synthetic ? [...text('LIST'), ...u32(12 + comment.length), ...text('INFOICMT'), ...u32(comment.length), ...comment] : [];
  const form = [1, 0, 1, 0, ...u32(rate), ...u32(2 * rate), 2, 0, 16, 0];
  const body = [...text('WAVEfmt '), ...u32(16), ...form, ...list, ...text('data'), ...u32(2 * pcm.length)];
  const sound = new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  return new Blob([Uint8Array.from([...text('RIFF'), ...u32(body.length + sound.length), ...body]), sound], { type: 'audio/wav' });
}

export const joined = (blocks) => {
  const all = new Int16Array(blocks.reduce((sum, block) => sum + block.length, 0));
  blocks.reduce((at, block) => (all.set(block, at), at + block.length), 0);
  return all;
};
