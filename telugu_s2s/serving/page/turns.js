// What was said, newest first: to be played again, and taken along as wav.
import { wav } from './sound.js';

const MOST = 40;                         // turns that are kept

export class Turns {
  /** say(element, key) writes words; sounding(turn, end) plays one and returns what stops it. */
  constructor(list, { say, sounding }) {
    Object.assign(this, { list, say, sounding });
    this.count = 0;
  }

  /** turn: {who: 'you' or 'reply', pcm: Int16Array, rate, synthetic, status, text}. */
  add(turn) {
    const number = ++this.count;
    const name = document.createElement('span'), who = document.createElement('span'), row = document.createElement('span');
    this.say(who, turn.who);
    name.append(`${number}. `, who, ` ${(turn.pcm.length / turn.rate).toFixed(1)} s`);
    if (turn.status === 'cancelled') {
      const status = document.createElement('em');
      this.say(status, 'cancelled');
      name.append(' ', status);
    }
    row.className = 'row';
    row.append(this.player(turn), this.download(turn, `${String(number).padStart(2, '0')}-${turn.who}.wav`));
    const item = document.createElement('li');
    item.append(name, row);
    if (turn.text) {
      const text = document.createElement('q');
      text.lang = 'te';
      text.textContent = turn.text;
      name.after(text);
    }
    item.dataset.who = turn.who;
    this.list.prepend(item);
    while (this.list.children.length > MOST) this.remove(this.list.lastChild);
    document.getElementById('no-turns').hidden = true;
  }

  player(turn) {
    const button = document.createElement('button');
    let stop = null;
    button.type = 'button';
    this.say(button, 'replay');
    button.onclick = () => {
      if (stop) return stop();
      stop = this.sounding(turn, () => {
        stop = null;
        this.say(button, 'replay');
      });
      this.say(button, 'stop-replay');
    };
    return button;
  }

  download(turn, name) {
    const link = document.createElement('a');
    link.className = 'button';
    link.download = name;
    link.href = URL.createObjectURL(wav(turn));
    this.say(link, 'download');
    return link;
  }

  remove(item) {
    URL.revokeObjectURL(item.querySelector('a').href);
    item.remove();
  }
}
