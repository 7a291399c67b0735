// One conversation over the OpenAI Realtime protocol: a websocket that comes back by itself, and what was sent over it.

const RATES = [16000, 24000];            // the model's own; servers that know the protocol alone take the second
const WAITS_S = [0.5, 1, 2, 4, 8];
const FULL_BYTES = 256 * 1024;           // waiting in the socket: what is said now is dropped, rather than heard seconds late
const KEPT_S = 120;                      // of what was sent
const PIECE_S = 1;                       // of a recording that is sent at once
const DETECTION = {
  server: { type: 'server_vad', create_response: true, interrupt_response: true },
  duplex: { type: 'full_duplex' },
  push: null,
};

const NOTHING = { voice: '', emotion: '', speed: 1, shift: 0, detection: 'server' };      // as the server has it

/** on(event) gets the server's events and four of its own: page.ready, page.lost {opened}, page.ended {reason},
 * page.refused {error, choice}, with what was chosen before. */
export class Session {
  constructor(on) {
    this.on = on;
    this.choice = { ...NOTHING };
    this.tries = 0;
    this.restored = '';                // a way of taking turns that waits for the answer to a recording
    this.number = 0;
    this.dropped = 0;
  }

  get live() { return this.socket?.readyState === WebSocket.OPEN && this.ready; }

  connect(key) {
    this.key = key;
    this.wanted = true;
    this.opened = this.ready = false;
    this.restored = '';
    this.rate = 0;
    this.sent = { blocks: [], first: 0, end: 0 };        // samples since the session began
    const names = ['realtime', ...(key ? [`openai-insecure-api-key.${key}`] : [])];
    const socket = this.socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/v1/realtime?metrics=1`, names);
    socket.onopen = () => { this.opened = true; };
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.receive(JSON.parse(data)); };
    socket.onclose = ({ code, reason }) => { if (socket === this.socket) this.closed(code, reason); };
  }

  close() {
    this.wanted = this.ready = false;
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = null;
  }

  closed(code, reason) {
    const began = this.opened && this.ready;
    this.ready = false;
    if (!this.wanted) return;
    // Asking again would not help, or would only keep a place that nobody uses.
    if (code === 1008 || code === 1000) return this.on({ type: 'page.ended', reason });
    if (began) this.tries = 0;
    const seconds = WAITS_S[Math.min(this.tries++, WAITS_S.length - 1)];
    this.on({ type: 'page.lost', opened: this.opened });
    this.timer = setTimeout(() => this.connect(this.key), 1000 * seconds);
  }

  send(event) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event));
  }

  /** Tells the server what was chosen; what is left out stays as it is. */
  choose(choice) {
    const changed = Object.entries(choice).filter(([name, value]) => this.choice[name] !== value);
    const before = Object.fromEntries(changed.map(([name]) => [name, this.choice[name]]));
    Object.assign(this.choice, choice);
    if (this.ready && changed.length) this.update(Object.fromEntries(changed), before);
  }

  update(choice, before = {}) {
    const session = { type: 'realtime', audio: { input: {}, output: {} } };
    if (!this.ready) {
      const format = { type: 'audio/pcm', rate: RATES[this.rate] };
      session.audio = { input: { format }, output: { format } };
    }
    if (choice.detection) session.audio.input.turn_detection = DETECTION[choice.detection];
    if (choice.voice || ('voice' in choice && this.ready)) session.audio.output.voice = choice.voice || this.own;
    if (choice.speed && (choice.speed !== 1 || this.ready)) session.audio.output.speed = choice.speed;
    if (choice.emotion || ('emotion' in choice && this.ready)) session.telugu = { emotion: choice.emotion };
    if (choice.shift || ('shift' in choice && this.ready)) session.telugu = { ...session.telugu, shift: choice.shift };
    this.asked = { id: `page_${++this.number}`, at: performance.now(), before };
    this.send({ type: 'session.update', event_id: this.asked.id, session });
  }

  receive(event) {
    if (event.type === 'session.created') {
      this.session = event.session;
      this.own = event.session.audio?.output?.voice;       // as the server has it
      this.on(event);                    // what the server offers decides what is asked for
      return this.update(this.choice);
    }
    if (event.type === 'session.updated') {
      this.session = event.session;
      if (this.asked?.at) event.network_ms = performance.now() - this.asked.at;
      this.asked = null;
      if (!this.ready) this.begin();
    } else if (event.type === 'error' && !this.ready && event.error.event_id === this.asked?.id) {
      return this.refused(event.error);
    } else if (event.type === 'error' && event.error.event_id && event.error.event_id === this.asked?.id) {
      Object.assign(this.choice, this.asked.before);
      return this.on({ type: 'page.refused', error: event.error, choice: this.asked.before });
    } else if (this.restored && (event.type === 'response.done' || event.type === 'error')) {
      this.update({ detection: this.restored });
      this.restored = '';
    }
    this.on(event);
  }

  /** The first update was not taken: another rate, then without what it names, then as the server has it. */
  refused({ param }) {
    const named = Object.keys(NOTHING).find((name) => this.choice[name] && param?.includes(name));
    if (named && !(named === 'detection' && this.choice.detection === 'server')) {
      this.choice[named] = NOTHING[named];
    } else if (++this.rate >= RATES.length) {
      return this.begin();
    }
    this.update(this.choice);
  }

  begin() {
    this.ready = true;
    this.tries = 0;
    this.rates = ['input', 'output'].map((side) => this.session.audio?.[side]?.format?.rate ?? 24000);
    this.on({ type: 'page.ready' });
  }

  /** Sends a block of the microphone; false where the network is too slow for it. */
  append(pcm) {
    if (!this.live) return false;
    if (this.socket.bufferedAmount > FULL_BYTES) {
      this.dropped++;
      return false;
    }
    this.send({ type: 'input_audio_buffer.append', audio: base64(pcm) });
    this.keep(pcm);
    return true;
  }

  keep(pcm) {
    const { sent } = this;
    sent.blocks.push(pcm);
    sent.end += pcm.length;
    while (sent.end - sent.first > KEPT_S * this.rates[0] + pcm.length) sent.first += sent.blocks.shift().length;
  }

  /** What was sent between two times since the session began, as far as it is kept. */
  between(start_ms, end_ms) {
    const at = (ms) => Math.round((ms * this.rates[0]) / 1000);
    const all = new Int16Array(this.sent.end - this.sent.first);
    this.sent.blocks.reduce((place, block) => (all.set(block, place), place + block.length), 0);
    return all.slice(Math.max(0, at(start_ms) - this.sent.first), Math.max(0, at(end_ms) - this.sent.first));
  }

  get sent_ms() { return (1000 * this.sent.end) / this.rates[0]; }

  /** Sends a whole recording and asks for its answer; no turn is looked for in it. */
  ask(pcm) {
    const { detection } = this.choice;
    if (detection !== 'push') this.update({ detection: 'push' });
    this.send({ type: 'input_audio_buffer.clear' });
    const piece = PIECE_S * this.rates[0];
    for (let at = 0; at < pcm.length; at += piece) {
      const part = pcm.slice(at, at + piece);
      this.send({ type: 'input_audio_buffer.append', audio: base64(part) });
      this.keep(part);
    }
    this.answer();
    if (detection === 'duplex') this.restored = detection;      // in full duplex no reply goes on that was asked for
    else if (detection !== 'push') this.update({ detection });
  }

  answer() {
    this.send({ type: 'input_audio_buffer.commit' });
    this.send({ type: 'response.create' });
  }
}

/** The bytes of Int16Array as base64, lowest byte first, as every browser's machine has them. */
function base64(pcm) {
  const bytes = new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  let text = '';
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

/** Int16Array of base64. */
export const samples = (text) => new Int16Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
