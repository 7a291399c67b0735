"""Formats, rates, turns and endings: what a session hears and says, piece by piece as if it were whole."""
import numpy as np
import pytest

from telugu_s2s.audio import mark, shift, tempo
from telugu_s2s.errors import InputError
from telugu_s2s.serving import formats, turn
from telugu_s2s.serving.resampling import Resampler

RATES = [(24_000, 16_000), (16_000, 24_000), (8_000, 16_000), (16_000, 8_000), (48_000, 16_000), (16_000, 48_000)]


def pieces(x, seed=0, most=1500):
  rng, at = np.random.default_rng(seed), 0
  while at < len(x):
    size = int(rng.integers(0, most))
    yield x[at:at + size]
    at += size


@pytest.mark.parametrize('source,target', RATES)
def test_a_stream_in_pieces_is_resampled_like_the_whole_and_right(source, target):
  x = np.sin(2 * np.pi * 1000 * np.arange(source // 2) / source).astype(np.float32)
  whole, parts = Resampler(source, target), Resampler(source, target)
  expected = np.concatenate([whole(x), whole.rest()])
  found = np.concatenate([*(parts(piece) for piece in pieces(x)), parts.rest()])
  assert np.array_equal(found, expected)
  right = np.sin(2 * np.pi * 1000 * np.arange(target // 2) / target)
  np.testing.assert_allclose(found[200:target // 2 - 200], right[200:-200], atol=1e-4)      # 80 dB


@pytest.mark.parametrize('source,target', [rates for rates in RATES if rates[0] > rates[1]])
def test_what_the_lower_rate_cannot_hold_is_left_out(source, target):
  x = np.sin(2 * np.pi * 0.62 * target * np.arange(source) / source).astype(np.float32)
  assert np.std(Resampler(source, target)(x)[500:]) < 1e-4 * np.std(x)


def test_a_resampler_holds_no_more_back_than_1_5_ms():
  assert 640 - len(Resampler(24_000, 16_000)(np.zeros(960, np.float32))) <= 24


@pytest.mark.parametrize('form', [formats.ULAW, formats.ALAW])
def test_g711_is_the_standards(form):
  # ITU-T G.711: codes of full scale and of the smallest steps.
  samples = {formats.ULAW: {0x00: -32124, 0x80: 32124, 0xFF: 0, 0x7F: 0, 0xFE: 8, 0x70: -120},
             formats.ALAW: {0xAA: 32256, 0x2A: -32256, 0xD5: 8, 0x55: -8, 0xD4: 24}}[form]
  for code, value in samples.items():
    assert formats.TABLES[form][code] == value
  found = np.frombuffer(formats._companded(formats.TABLES[form].astype(np.float32) / 32768, form), np.uint8)
  assert np.array_equal(formats.TABLES[form][found], formats.TABLES[form])


@pytest.mark.parametrize('form', [{'type': 'audio/pcm', 'rate': rate} for rate in formats.RATES] + [{'type': 'audio/pcmu'}, {'type': 'audio/pcma'}])
def test_what_is_sent_is_what_is_heard(form):
  x = (0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)
  out, into = formats.Outgoing(form), formats.Incoming(form)
  sent = [data for piece in pieces(x, 1) for data in out(piece)] + out.rest()
  found = np.concatenate([*(into(data) for data in sent), into.rest()])
  assert abs(len(found) - len(x)) <= 2
  np.testing.assert_allclose(found[300:15_700], x[300:15_700], atol=1e-3 if form['type'] == 'audio/pcm' else 0.02)


@pytest.mark.parametrize('form', [{'type': 'audio/pcm', 'rate': 16_000}, {'type': 'audio/pcm', 'rate': 24_000}, {'type': 'audio/pcmu'}])
def test_a_reply_carries_its_mark_and_nothing_of_it_is_lost(form):
  rng = np.random.default_rng(0)
  x = (0.1 * rng.normal(size=5 * 16_000)).astype(np.float32)
  out, into = formats.Outgoing(form, 'words'), formats.Incoming(form)
  sent = [data for start in range(0, len(x), 640) for data in out(x[start:start + 640])] + out.rest()
  found = np.concatenate([*(into(data) for data in sent), into.rest()])
  assert abs(len(found) - len(x) - mark.HOP) <= 2
  assert mark.score(found, 'words') > mark.MARKED > mark.score(found, 'other words')


@pytest.mark.parametrize('key', ['', 'words'])
@pytest.mark.parametrize('speed', [0.5, 0.8, 1.3])
def test_a_reply_at_another_speed_is_as_long_as_that_makes_it(speech, key, speed):
  x = speech[0][:2 * 16_000]
  out = formats.Outgoing({'type': 'audio/pcm', 'rate': 16_000}, key, speed)
  first = sum(map(len, out(x[:640])))
  sent = [data for start in range(640, len(x), 640) for data in out(x[start:start + 640])] + out.rest()
  late = mark.HOP if key else 0                              # and up to a hop of silence follows
  assert 0 < first and 0 <= first // 2 + sum(map(len, sent)) // 2 - round(len(x) / speed) - late < mark.HOP
  if key:
    assert mark.score(np.frombuffer(b''.join(sent), '<i2') / 32768, key) > mark.MARKED


@pytest.mark.parametrize('speed', [1.0, 0.5])
def test_a_reply_in_another_pitch_is_the_recording_in_that_pitch(speech, speed):
  x = speech[0][:2 * 16_000]
  out = formats.Outgoing({'type': 'audio/pcm', 'rate': 16_000}, speed=speed, semitones=4.0)
  sent = [data for start in range(0, len(x), 640) for data in out(x[start:start + 640])] + out.rest()
  found = np.frombuffer(b''.join(sent), '<i2') / 32768
  np.testing.assert_allclose(found, tempo.stretched(shift.shifted(x, 4.0), speed), atol=1e-4)


def test_opus_goes_there_and_back():
  pytest.importorskip('av')
  form = {'type': 'audio/opus'}
  x = (0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)
  out, into = formats.Outgoing(form), formats.Incoming(form)
  sent = [data for start in range(0, 16_000, 640) for data in out(x[start:start + 640])] + out.rest()
  found = np.concatenate([into(data) for data in sent])
  assert sum(map(len, sent)) < 8000 and 16_000 <= len(found) <= 16_700
  power = np.abs(np.fft.rfft(found[4000:12_000] * np.hanning(8000)))
  assert abs(power.argmax() * 2 - 440) <= 2 and np.std(found[4000:12_000]) == pytest.approx(0.3 / 2 ** 0.5, rel=0.1)
  with pytest.raises(InputError, match='Opus'):
    into(b'\xff' * 50)


def said(turns, *parts):
  """What is told of seconds of noise at levels in dB, in pieces."""
  rng = np.random.default_rng(3)
  x = np.concatenate([rng.normal(0, 10 ** (level / 20), round(seconds * 16_000)) for seconds, level in parts]).astype(np.float32)
  found = [event for piece in pieces(x, 2) for event in turns(piece)]
  return [(kind, value / 16_000) for kind, value in found if kind != 'audio'], np.concatenate(
      [value for kind, value in found if kind == 'audio'] + [np.zeros(0, np.float32)]), x


def test_a_turn_begins_and_ends_where_the_sound_does_and_takes_its_beginning_along():
  events, audio, x = said(turn.Turns(prefix_ms=300, silence_ms=500), (1, -70), (1, -20), (0.3, -70), (0.5, -20), (2, -70))
  (started, begin), (stopped, end) = events
  assert (started, stopped) == ('started', 'stopped')
  assert 0.6 <= begin <= 0.72 and 3.28 <= end <= 3.36               # a pause of 0.3 s ends nothing
  assert np.array_equal(audio, x[round(begin * 16_000):round(end * 16_000)])


@pytest.mark.parametrize('parts', [[(5, -70)], [(5, -48)], [(1, -70), (0.03, -10), (1, -70)]])
def test_a_quiet_room_a_noisy_one_and_a_click_are_nobody_speaking(parts):
  events, _, _ = said(turn.Turns(), *parts)
  assert events == [] or parts[0][1] == -48 and len(events) == 2      # a noise that sets in is taken for speech once, and then known


def test_speech_is_heard_over_noise_and_more_of_it_with_a_lower_threshold():
  assert len(said(turn.Turns(), (8, -50), (1, -25), (2, -50))[0]) in (2, 4)
  soft = [(1, -75), (1, -48), (2, -75)]
  assert [len(said(turn.Turns(threshold), *soft)[0]) for threshold in (0.2, 1.0)] == [2, 0]


@pytest.mark.parametrize('levels,frames,cut', [
    ([0.1] * 5 + [0.0] * 50, 5 + 20, False), ([0.0] * 99, 50, False), ([0.1] * 400, 250, True), ([0.1, *[0.0] * 19] * 99, 250, True)])
def test_a_reply_ends_after_its_last_sound_or_without_one_or_at_its_limit(levels, frames, cut):
  ending = turn.Ending(0.04, quiet_s=0.8, waits_s=2.0, longest_s=10.0)
  found = next(number for number, level in enumerate(levels, 1) if ending.over(level))
  assert (found, ending.cut) == (frames, cut)


def test_sound_that_was_cleared_begins_no_turn():
  turns, rng = turn.Turns(prefix_ms=300), np.random.default_rng(0)
  noise = lambda seconds, level: rng.normal(0, level, round(seconds * 16_000)).astype(np.float32)
  turns(noise(0.2, 1e-4))
  marked = np.full(1600, 1e-4, np.float32)
  turns(marked)
  turns.clear()
  heard = np.concatenate([value for kind, value in turns(noise(1.0, 0.1)) if kind == 'audio'])
  assert not np.isin(np.float32(1e-4), heard)


def test_the_clock_of_a_stream_goes_on_over_what_was_cleared():
  turns, silence = turn.Turns(prefix_ms=0), np.zeros(632, np.float32)          # 39.5 ms: two blocks are not full
  for _ in range(100):
    turns(silence)
    turns.clear()
  (kind, start), *_ = turns(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
  assert kind == 'started' and abs(start - 100 * 632) <= 4 * turn.BLOCK
