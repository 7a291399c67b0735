// What can be chosen: voice, emotion, rate, pitch, turns, device, language, theme. Choices are kept from visit to visit.
import { languages, word, write } from './words.js';

const $ = (id) => document.getElementById(id);
const THEMES = ['auto', 'dark', 'light'];
const SENT = ['voice', 'emotion', 'speed', 'shift', 'detection'];         // to the server
const NUMBERS = { speed: 1, shift: 0 };                          // digits that are shown of them

// A browser may forbid that anything is kept.
const get = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* then not */ } };

let language = languages.includes(get('language')) ? get('language') : navigator.language.startsWith('te') ? 'te' : 'en';
let choose = () => {};

/** Writes words into an element, now and when the language changes. */
export function say(element, key) {
  element.dataset.text = key;
  element.textContent = word(key, language);
}

const value = (id) => (id in NUMBERS ? Number($(id).value) : $(id).value);

/** Fills the page and follows what is chosen; onChoice({name: value}) hears of it. */
export function begin(onChoice) {
  choose = onChoice;
  for (const id of [...Object.keys(NUMBERS), 'detection', 'picture']) if (get(id)) $(id).value = get(id);
  if (!$('detection').value) $('detection').value = 'server';    // what was kept is no choice any more
  if (!$('picture').value) $('picture').value = 'wave';
  offer({});
  fill($('device'), [], '', 'any-device');
  for (const id of SENT) {
    $(id).onchange = () => {
      keep(id, $(id).value);
      choose({ [id]: value(id) });
      follow();
    };
    choose({ [id]: value(id) });
  }
  $('choices').onsubmit = (event) => event.preventDefault();     // Enter in the key's field is no reason to leave the page
  $('picture').onchange = () => keep('picture', $('picture').value);
  for (const id in NUMBERS) $(id).oninput = follow;
  follow();
  theme(THEMES.includes(get('theme')) ? get('theme') : 'auto');
  written();
}

/** Shows what is chosen after all: {name: value}. */
export function put(choice) {
  for (const [id, chosen] of Object.entries(choice)) {
    $(id).value = chosen;
    keep(id, chosen);
  }
  follow();
}

function follow() {
  for (const [id, digits] of Object.entries(NUMBERS)) $(`${id}-value`).textContent = value(id).toFixed(digits);
  $('hold').hidden = $('detection').value !== 'push';
}

/** Shows what the server has: {voices, emotions}, names. */
export function offer({ voices, emotions }) {
  for (const [id, names] of [['voice', voices], ['emotion', emotions]]) {
    fill($(id), (names ?? []).map((name) => [name, name]), get(id), 'any-voice');
    choose({ [id]: value(id) });
  }
}

export async function listDevices() {
  const found = await navigator.mediaDevices?.enumerateDevices() ?? [];
  const inputs = found.filter(({ kind, deviceId }) => kind === 'audioinput' && deviceId);
  fill($('device'), inputs.map(({ deviceId, label }) => [deviceId, label || deviceId.slice(0, 8)]), $('device').value, 'any-device');
}

/** Options of a select; the first one leaves the choice to the other side. */
function fill(select, options, chosen, none) {
  const first = new Option('', '');
  say(first, none);
  select.replaceChildren(first, ...options.map(([name, label]) => new Option(label, name)));
  if (options.some(([name]) => name === chosen)) select.value = chosen;
}

function theme(name) {
  if (name === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  say($('theme'), `theme-${name}`);
}

$('theme').onclick = () => {
  const next = THEMES[(THEMES.indexOf(get('theme') ?? 'auto') + 1) % THEMES.length];
  keep('theme', next);
  theme(next);
};

function written() {
  write(language);
  $('language').textContent = language === 'en' ? 'తెలుగు' : 'English';
  $('language').lang = language === 'en' ? 'te' : 'en';
}

$('language').onclick = () => {
  language = languages[1 - languages.indexOf(language)];
  keep('language', language);
  written();
};
