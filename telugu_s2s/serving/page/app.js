// The page: what is pressed becomes events of the session, what the session sends becomes sound, pictures and numbers.
import * as choices from './choices.js';
import { Picture } from './pictures.js';
import { Session, samples } from './session.js';
import * as sound from './sound.js';
import { Turns } from './turns.js';

const $ = (id) => document.getElementById(id);
const FRAME_MS = 33;                     // between two steps of the pictures
const FAULTS = { NotFoundError: 'no-microphone', OverconstrainedError: 'no-microphone', NotAllowedError: 'blocked',
  SecurityError: 'insecure', NotReadableError: 'busy', AbortError: 'busy' };

// What happened, for whoever looks from outside: the numbers on the screen, and what a test asks for.
const counts = globalThis.counts = { state: 'idle', sent: 0, dropped: 0, replies: 0, interrupted: 0, connections: 0, lost: 0, first_ms: [],
  errors: [], speaker: {}, drawn: { mine: 0, theirs: 0 } };

const session = new Session(onEvent);
let devices, microphone, pictures, lock;         // of the conversation that is open
let visit = 0;                                   // counts what was begun and ended: who waited for the browser finds whether it still is wanted
let muted = false, held = false;
let reply = null;                                // {id, item, blocks, since, status}: what is coming in or being heard
let heard = null, since = null;                  // where the user's turn began, in ms of the session; when it ended

const { say } = choices;
const aside = () => (turns.context ??= new AudioContext());      // for turns that are played while nobody talks
const turns = new Turns($('turns'), { say, sounding: (turn, end) => sound.replay(devices?.context ?? aside(), turn, end) });

function show(state) {
  counts.state = state;
  say($('state'), state);
  $('stop').disabled = state !== 'speaking';
}

function warn(key, detail = '') {
  $('banner').hidden = !key;
  delete $('banner').dataset.text;
  if (!key) return;
  say($('banner'), key);
  if (detail) {
    delete $('banner').dataset.text;
    $('banner').textContent += ` ${detail}`;
  }
}

// ---- the conversation

const resting = () => (microphone ? 'listening' : 'ready');

async function open(withMicrophone) {
  const mine = ++visit;
  warn('');
  say($('talk'), 'hang-up');
  $('talk').setAttribute('aria-pressed', 'true');
  const made = devices ?? await sound.opened(onSpeaker);
  if (mine !== visit) return void made.context.close();
  devices = made;
  pictures = [new Picture($('heard'), devices.heard), new Picture($('said'), devices.said)];
  requestAnimationFrame(animate);
  if (withMicrophone) {
    show('asking');
    await listen();                                      // before the connection: a place at the server would wait for a click
    if (mine === visit) await choices.listDevices();
    if (mine !== visit) return;
  }
  show('connecting');
  navigator.wakeLock?.request('screen').then((taken) => { lock = taken; }, () => {});      // not on battery, not everywhere
  session.connect($('key').value);
  $('mute').disabled = !withMicrophone;
}

async function listen() {
  microphone?.stop();
  const mine = devices, found = await sound.microphone(mine, $('device').value);
  if (devices !== mine) return found.stop();             // it was ended meanwhile
  microphone = found;
  microphone.track.onended = () => { warn('no-microphone'); leave('failed'); };
}

function leave(state = 'idle') {
  visit++;
  session.close();
  microphone?.stop();
  devices?.context.close();
  lock?.release();
  devices = microphone = lock = reply = heard = since = null;
  held = false;
  say($('talk'), 'talk');
  $('talk').setAttribute('aria-pressed', 'false');
  $('mute').disabled = true;
  $('level').value = -60;
  show(state);
}

async function begin(withMicrophone) {
  const mine = visit + 1;
  try {
    await open(withMicrophone);
  } catch (problem) {
    if (mine === visit) fail(problem);
  }
}

function fail(problem) {
  counts.errors.push(String(problem));
  warn(FAULTS[problem.name] ?? 'answerless', FAULTS[problem.name] ? '' : String(problem.message ?? problem));
  leave('failed');
}

function onBlock({ pcm, rms }) {
  const closed = muted || (session.choice.detection === 'push' && !held);
  $('level').value = closed ? -60 : Math.max(-60, 20 * Math.log10(rms + 1e-6));
  // Silence is sent where the microphone is muted: the server's clock goes on, and a turn that was begun ends.
  if (muted) pcm.fill(0);
  if (session.choice.detection === 'push' && !held) return;
  if (session.append(pcm)) counts.sent += pcm.length;
  counts.dropped = session.dropped;
}

// ---- what the server says

const EVENTS = {
  'page.ready': () => {
    counts.connections++;
    warn('');
    microphone?.send(session.rates[0], onBlock);
    show(resting());
  },
  'page.lost': ({ opened }) => {
    counts.lost++;
    held = false;                                        // what was pressed belonged to the connection that is gone
    quiet();
    show('reconnecting');
    warn('lost');
    if (!opened) why();
  },
  'page.refused': ({ error, choice }) => {
    counts.errors.push(error.message);
    choices.put(choice);
    warn('refused', error.message);
  },
  'page.ended': ({ reason }) => { warn('ended', reason); leave(); },
  'session.created': ({ session: { telugu } }) => { if (telugu?.voices) choices.offer(telugu); },
  'session.updated': ({ network_ms }) => { if (network_ms) $('network').textContent = `${network_ms.toFixed(0)} ms`; },
  'input_audio_buffer.speech_started': ({ audio_start_ms }) => {
    heard = audio_start_ms;
    if (session.choice.detection === 'duplex') return;   // there the model itself falls silent, or goes on
    if (reply) interrupt();
    show('hearing');
  },
  'input_audio_buffer.speech_stopped': ({ audio_end_ms }) => {
    since = performance.now();
    keepUser(audio_end_ms);
    if (session.choice.detection !== 'duplex') show('thinking');
  },
  'response.created': ({ response }) => {
    reply = { id: response.id, blocks: [], since, rate: session.rates[1], text: '' };
    since = null;
  },
  'response.output_item.added': ({ item }) => { if (reply) reply.item = item.id; },
  'response.output_audio_transcript.delta': ({ response_id, delta }) => { if (reply?.id === response_id) reply.text += delta; },
  'response.output_audio.delta': ({ response_id, item_id, delta }) => {
    if (reply?.id !== response_id) return;               // of one that was interrupted
    const pcm = samples(delta);
    reply.item = item_id;
    reply.blocks.push(pcm);
    devices.speaker.postMessage({ do: 'add', reply: reply.id, pcm, rate: reply.rate });
  },
  'response.done': ({ response }) => {
    if (response.status === 'failed') warn('answerless', response.status_details?.error?.message);
    if (reply?.id !== response.id) return;
    counts.replies++;
    reply.status = response.status;
    devices.speaker.postMessage({ do: 'end', reply: reply.id });
    keepReply();
    if (!reply.blocks.length) settle(reply.id);
  },
  'telugu.metrics': ({ first_sound_ms, late_ticks }) => {
    if (first_sound_ms !== undefined && first_sound_ms !== null) $('server').textContent = `${first_sound_ms.toFixed(0)} ms`;
    if (late_ticks !== undefined) $('late').textContent = late_ticks;
  },
  error: ({ error }) => {
    counts.errors.push(error.message);
    if (error.code !== 'response_cancel_not_active') warn('answerless', error.message);      // it ended meanwhile
  },
};

function onEvent(event) {
  try {
    EVENTS[event.type]?.(event);
  } catch (problem) {
    fail(problem);
  }
}

/** Tells why no connection comes about, which a websocket does not. */
async function why() {
  const [status, text] = await fetch('v1/realtime', { headers: authorised() })
    .then(async (answer) => [answer.status, await answer.text()]).catch(() => [0, '']);
  if (!session.wanted) return;
  if (status === 401 || status === 403) {
    warn(...(status === 401 ? ['key-missing'] : ['refused', text]));
    leave('failed');
  } else if (status === 503) warn('full');
}

const authorised = () => ($('key').value ? { Authorization: `Bearer ${$('key').value}` } : {});

function onSpeaker({ started, sounds, finished, cleared, heard_ms, counts: speaker, waiting }) {
  if (speaker) {
    counts.speaker = { ...counts.speaker, ...speaker, waiting: waiting ?? counts.speaker.waiting };
    $('gaps').textContent = speaker.gaps;
  }
  if (started && reply?.id === started) show('speaking');
  if (sounds && reply?.id === sounds && reply.since !== null) timed(performance.now() - reply.since);
  if (finished) settle(finished);
  if (cleared !== undefined && cut) {
    // The model shall remember what was heard, not what was made.
    const audio_end_ms = cleared === cut.id ? heard_ms : 0;
    session.send({ type: 'conversation.item.truncate', item_id: cut.item, content_index: 0, audio_end_ms });
    cut = null;
  }
}

function timed(first_ms) {
  counts.first_ms.push(first_ms);
  const sorted = [...counts.first_ms].sort((a, b) => a - b), middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  $('first').textContent = `${first_ms.toFixed(0)} ms`;
  $('median').textContent = `${median.toFixed(0)} ms`;
}

function settle(id) {
  if (reply?.id !== id || !reply.status) return;
  reply = null;
  if (session.live && counts.state !== 'hearing') show(resting());
}

let cut = null;                          // the reply that was interrupted, until it is known how much of it was heard

/** Ends the reply that is heard: by the user's voice, who is answered next, or by the button. */
function interrupt() {
  counts.interrupted++;
  if (!reply.status) {
    reply.status = 'cancelled';
    keepReply();
  }
  cut = reply.item ? reply : null;
  quiet();
}

function quiet() {
  devices?.speaker.postMessage({ do: 'clear' });
  reply = null;
}

// ---- turns

function keepUser(end_ms) {
  if (heard === null) return;
  const pcm = session.between(heard, end_ms);
  heard = null;
  if (pcm.length) turns.add({ who: 'you', pcm, rate: session.rates[0] });
}

function keepReply() {
  const pcm = sound.joined(reply.blocks);
  if (pcm.length) turns.add({ who: 'reply', pcm, rate: reply.rate, synthetic: true, status: reply.status, text: reply.text });
}

// ---- controls

$('talk').onclick = () => (session.wanted || devices ? leave() : begin(true));
$('mute').onclick = () => {
  muted = !muted;
  $('mute').setAttribute('aria-pressed', muted);
  say($('mute'), muted ? 'unmute' : 'mute');
};
$('stop').onclick = () => {
  if (!reply) return;
  if (!reply.status) session.send({ type: 'response.cancel' });
  interrupt();
  show(resting());
};

function hold(on) {
  if (on === held || !session.live || !microphone || session.choice.detection !== 'push') return;
  held = on;
  if (on) {
    if (reply && !reply.status) session.send({ type: 'response.cancel' });
    if (reply) interrupt();
    session.send({ type: 'input_audio_buffer.clear' });
    heard = session.sent_ms;
    show('hearing');
  } else if (session.sent_ms - heard < 100) {
    show(resting());                                     // a touch, with nothing in it
  } else {
    since = performance.now();
    session.answer();
    keepUser(session.sent_ms);
    show('thinking');
  }
}
$('hold').onpointerdown = () => hold(true);
for (const name of ['pointerup', 'pointercancel', 'pointerleave']) $('hold').addEventListener(name, () => hold(false));
// The space bar speaks unless it is meant for what has the focus; Enter still presses the two buttons that are left out here.
const speaks = ({ code, target }) => code === 'Space' && session.live && session.choice.detection === 'push' &&
  !target.matches('input, select, a, button:not(#hold, #talk)');
onkeydown = (event) => { if (speaks(event)) { event.preventDefault(); hold(true); } };
onkeyup = (event) => { if (speaks(event)) event.preventDefault(); if (event.code === 'Space') hold(false); };
onblur = () => hold(false);

$('upload').onchange = async () => {
  const [file] = $('upload').files;
  $('upload').value = '';                                // the same file may be chosen again
  if (!file) return;
  try {
    if (!session.live) {
      await open(false);
      if (!await ready()) return;
    }
    const pcm = await sound.decoded(file, session.rates[0]);
    if (reply && !reply.status) session.send({ type: 'response.cancel' });
    if (reply) interrupt();
    heard = session.sent_ms;
    since = performance.now();
    session.ask(pcm);
    keepUser(session.sent_ms);
    show('thinking');
  } catch (problem) {
    counts.errors.push(String(problem));
    if (problem instanceof RangeError) warn('length');
    else if (problem.name === 'EncodingError') warn('not-sound');
    else fail(problem);
  }
};

/** True once the session takes sound, false where it was ended before, by the server or by hand. */
const ready = () => new Promise((done) => {
  const mine = devices;
  const look = () => (!session.wanted || devices !== mine ? done(false) : session.live ? done(true) : setTimeout(look, 20));
  look();
});

$('device').onchange = () => {
  if (session.live && microphone) listen().then(() => microphone.send(session.rates[0], onBlock)).catch(fail);
};
$('key').onchange = lists;

// ---- pictures, and what can be chosen

async function lists() {
  const answer = await fetch('v1/voices', { headers: authorised() }).catch(() => null);
  if (answer?.ok) choices.offer(await answer.json());     // else the session may tell
}

let drawn = 0;
function animate(now) {
  if (!devices) return;
  requestAnimationFrame(animate);                        // stands still by itself where the page is hidden
  if (now - drawn < FRAME_MS) return;
  drawn = now;
  const [mine, theirs] = pictures.map((picture) => picture.step($('picture').value));
  counts.drawn = { mine: Math.max(mine, counts.drawn.mine), theirs: Math.max(theirs, counts.drawn.theirs) };
}

document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') devices?.context.resume();       // a phone may have suspended it
});

function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;                                         // a key with % in it, written as it is
  }
}

function start() {
  if (location.hash.startsWith('#key=')) {               // all that follows: a key may have & and + in it
    $('key').value = plain(location.hash.slice('#key='.length));
    history.replaceState(null, '', location.pathname);   // it shall not stand in the address for others to see
  }
  choices.begin((choice) => session.choose(choice));
  lists();
}
start();
