"""A model that talks to itself, and that reads text: tiny and untrained, so what is tested is the way of the codes."""
import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import weights
from telugu_s2s.dialogue import engines, own_voice, pairs, selfplay
from telugu_s2s.dialogue.pairs import Turn
from telugu_s2s.errors import InputError
from telugu_s2s.lm import model, sampling
from telugu_s2s.lm.frames import SILENT
from telugu_s2s.tokens import turns
from telugu_s2s.tokens.vocabulary import EPAD, PAD

C = model.Config(width=24, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=16, depth_layers=1, depth_heads=2, depth_ffn=12,
                 codebooks=3, codes=11, prosody_codes=7, text_codes=13, window=60, sinks=2, dtype='float32')
GREEDY = sampling.Sampling(temperature=0.0, top_k=0)
DRAWN = sampling.Sampling(temperature=1.0, top_k=0)
SILENCE = np.array([1, 2, 3], np.int32)


def params_of(c):
  shapes = jax.eval_shape(model.AudioLM(c).init, jax.random.key(0), jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32))['params']
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) / 2, jnp.float32), shapes)
  return {**params, 'stream_cd': jnp.sign(params['stream_cd'])}


@pytest.fixture(scope='module')
def params():
  return params_of(C)


class Letters:
  """A vocabulary of one number a letter."""
  name = 'letters'

  def encode(self, text):
    return [4 + ord(letter) % 9 for letter in text]


@pytest.mark.slow
def test_each_side_hears_the_other_late_by_the_delay_and_one():
  delay = 2                        # 1 would not tell the delay from the frame beside it
  c = dataclasses.replace(C, text_codes=0, delay=delay)
  params = params_of(c)
  b, t, more = 2, 6, 14
  prompt = np.random.default_rng(1).integers(0, 11, (b, t, 3)).astype(np.int32)
  codes = np.asarray(selfplay.played(c, params, prompt, SILENCE, jax.random.key(0), more, GREEDY))
  assert codes.shape == (2 * b, t + more - delay, 3) and np.array_equal(codes[:b, :t - delay], prompt[:, :t - delay])
  # The same codes come out where each side's user is the other one's finished stream, moved: what was still unsaid was not heard.
  heard = np.concatenate([np.tile(SILENCE, (2 * b, 1 + delay, 1)), np.concatenate([codes[b:], codes[:b]])], 1)[:, :t + more]
  late = np.concatenate([np.tile(SILENCE, (2 * b, 1 + delay, 1)), np.concatenate([np.tile(SILENCE, (b, t, 1)), prompt])], 1)
  heard[:, :t] = late[:, :t]
  said = np.concatenate([prompt, np.tile(SILENCE, (b, t, 1))])
  moves = np.where(np.arange(2 * b)[:, None] < b, -1, np.where(np.arange(t) % 2, -1, SILENT))      # who is silent says so
  slots = np.concatenate([moves[..., None], np.asarray(selfplay.frames.delayed(jnp.asarray(said), delay))], -1)
  state = sampling.prefill(c, params, sampling.empty_state(c, 2 * b), jnp.asarray(slots), jnp.asarray(heard[:, :t]))
  _, drawn = sampling.burst(c, params, state, jnp.asarray(heard[:, t:]), jax.random.split(jax.random.key(0), 2 * b), selfplay.drawing.settings(c, [GREEDY] * 2 * b))
  expected = selfplay.frames.undelayed(jnp.concatenate([jnp.asarray(slots), drawn], 1)[..., 1:], delay)
  assert np.array_equal(codes, np.asarray(expected))


def test_text_is_forced_into_its_slot_and_changes_what_is_said(params):
  def spoken(text, key=0):
    slot = own_voice.slots.laid(own_voice.laid(text, Letters(), 10.0, 1.0), 20)
    return np.asarray(own_voice.said(C, params, jnp.asarray(slot), jnp.asarray(SILENCE), {}, jax.random.key(key), DRAWN))
  one = spoken('ab cd')
  assert one.shape == (19, 3) and np.array_equal(one, spoken('ab cd'))
  assert not np.array_equal(one, spoken('ab xy')) and not np.array_equal(one, spoken('ab cd', 1))


def test_words_take_the_time_of_their_letters():
  laid = own_voice.laid('ab abcdef c', Letters(), 25.0, 1.0)
  starts = [start for start, _ in laid]
  assert starts[0] == 1 and [b - a for a, b in zip(starts, starts[1:])] == pytest.approx([25 * (2 / 14 + 0.08), 25 * (6 / 14 + 0.08)], abs=1)
  assert own_voice.laid('ab abcdef', Letters(), 25.0, 2.0)[1][0] == pytest.approx(1 + (starts[1] - 1) / 2, abs=1)
  slot = own_voice.slots.laid(laid, 40)
  assert slot[0] == EPAD and slot[1] == Letters().encode('a')[0] and slot[-1] == PAD


def test_a_model_without_text_cannot_read(params, codec_file):
  with pytest.raises(InputError, match='trained without text'):
    own_voice.engine(dataclasses.replace(C, text_codes=0), params, weights.load(codec_file), Letters(), 'r', '', {}, lambda *_: {}, DRAWN, 4)


def test_the_model_is_an_engine_and_silence_costs_one_text(params, codec_file, monkeypatch):
  sound = np.zeros(32000, np.float32)
  monkeypatch.setattr(own_voice, 'said', lambda c, params, text, *rest: np.zeros((len(text) - 1, 3), np.int32))
  monkeypatch.setattr(own_voice.encoding, 'decoded', lambda trained, codes: sound[None])
  trained = weights.load(codec_file)
  engine = own_voice.engine(C, params, trained, Letters(), 'run7', 'CC-BY-4.0', {'a': False, 'b': True}, lambda *_: {}, DRAWN, 4)
  assert engine.voices(['x'], 'eval') == ['b'] and not engine.real
  with pytest.raises(engines.Unspoken, match='holds no word'):
    engine.speak('  ', 'a', 'sad', 1.0, 0)
  with pytest.raises(engines.Unspoken, match="silent at 'ab'"):
    engine.speak('ab', 'a', 'sad', 1.0, 0)
  sound[8000:16000] = np.sin(np.arange(8000) / 8) / 2
  said = engine.speak('ab', 'a', 'sad', 1.0, 0)
  assert (said.speaker, said.emotion, said.licence) == ('run7-a', 'neutral', 'CC-BY-4.0') and 0.4 < len(said.samples) / 16000 < 0.9


def test_what_is_kept_of_self_play_speaks_enough_and_not_the_same_again(monkeypatch):
  monkeypatch.setattr(selfplay.voiceprint, 'network', lambda: None)
  limits, hop = selfplay.Limits(), 640
  turn = lambda seconds: Turn(0.0, np.zeros(round(seconds * 16000), np.float32), 'm-1', 'm', 'CC0-1.0')
  varied = np.random.default_rng(0).integers(0, 1024, (100, 3))
  same = np.tile(np.arange(5)[:, None], (20, 3))
  of = lambda turns, codes: selfplay.reason(turns, codes, None, hop, limits, SILENCE)
  assert of([], varied) == of([turn(0.1)], varied) == 'silent'
  assert of([turn(3.9)], varied) == 'endless'
  assert of([turn(1.5)], same) == 'repeats' and of([turn(1.5)], varied) == ''


def test_a_voice_that_changes_is_told_where_the_network_is_there(monkeypatch):
  monkeypatch.setattr(selfplay.voiceprint, 'network', lambda: 'there')
  monkeypatch.setattr(selfplay.voiceprint, 'ge2e', lambda samples: np.array([1.0, samples.mean()]))
  both = np.concatenate([np.zeros(24000), np.full(24000, 5.0)]).astype(np.float32)
  varied = np.random.default_rng(0).integers(0, 1024, (200, 3))
  of = lambda samples: selfplay.reason([Turn(0.0, samples, 'm-1', 'm', 'CC0-1.0')], varied, None, 640, selfplay.Limits(), SILENCE)
  assert of(both) == 'drifts' and of(np.zeros(48000, np.float32)) == ''


def test_silence_is_no_repetition():
  assert selfplay.repeated(np.ones(50, int), 1) == 0.0
  assert selfplay.repeated(np.tile([2, 3, 4, 5], 5), 1) == pytest.approx(1 - 4 / 17)


RATE = 16000


def played_by(codec_file, *spoken):
  """A dialogue of 8 s whose question ends at 4 s, and in which sides say something for a second: (side, from which second on)."""
  sound = np.zeros((2, 8 * RATE), np.float32)
  burst = np.sin(np.arange(RATE) / 8, dtype=np.float32) / 2 * np.hanning(RATE).astype(np.float32)
  for side, at_s in spoken:
    sound[side, round(at_s * RATE):round((at_s + 1) * RATE)] = burst
  trained = weights.load(codec_file)
  hop = trained.config.hop
  player = selfplay.Player(C, {}, trained, DRAWN, SILENCE, 'run', 'CC-BY-4.0')
  asked = Turn(0.0, np.ones(3 * RATE, np.float32), 'asker', 'recorded', 'CC0-1.0', text='ఏమిటి?', emotion='sad')
  prompt = selfplay.Prompt('p', np.zeros((3 * RATE // hop, 3), np.int32), asked, 'train')
  codes = np.random.default_rng(0).integers(0, 11, (2, 8 * RATE // hop, 3))
  return selfplay.dialogue(prompt, codes, sound, 4 * RATE // hop, player, selfplay.Limits(repeated=1.0))


def test_a_dialogue_begins_with_its_question_and_holds_what_both_sides_said(codec_file):
  found = played_by(codec_file, (1, 5.0), (0, 6.5))
  assert found.negative == '' and [one.speaker for one in found.turns] == ['asker', 'asker', 'run-1']
  asked, more, answered = found.turns
  assert asked.at_s == 0 and answered.at_s == pytest.approx(4.0, abs=0.3) and more.at_s == pytest.approx(5.5, abs=0.3)
  # The recording's words and feeling are not said again, and whose model spoke is told.
  assert (more.text, more.emotion, more.mixed) == ('', '', (('run', 'CC-BY-4.0', ''),)) and (asked.text, asked.mixed) == ('ఏమిటి?', ())


def test_what_the_one_who_asked_says_on_is_no_answer_to_their_question(codec_file, tmp_path):
  rows = pairs.rows_of(played_by(codec_file, (0, 4.1), (1, 5.5), (0, 6.8)), 'g', 'flac', tmp_path)
  assert [(row['speaker'], row['source']) for row in rows] == [('asker', 'recorded')] * 2 + [('run-1', 'run'), ('asker', 'recorded')]
  clips = [SimpleNamespace(labels=row | {'custom': {'at_s': row['at_s'], 'act': row['act']}}) for row in rows]
  assert [(one.asked, one.answered) for one in turns.exchanges(clips)] == [(1, 2), (2, 3)]
