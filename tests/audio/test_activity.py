"""Where speech is found and where recordings are cut."""
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from telugu_s2s.audio import activity, files
from telugu_s2s.preparation.prepare import SAMPLE

RATE = files.SAMPLE_RATE
KEPT = round(0.3 * RATE)


def voices(count):
  return [trimmed(files.read(path)[0]) for path in sorted((SAMPLE / 'audio').glob('*.opus'))[:count]]


def trimmed(samples):
  """Samples without the silence of the recording itself."""
  loud = np.flatnonzero(np.abs(samples) > 0.01)
  return samples[loud[0]:loud[-1]]


@pytest.fixture(scope='module')
def spoken():
  return voices(12)


def joined(pieces, pause_s, noise=0.0):
  """A recording of pieces with a pause before, between and behind them, and the (start, end) of each piece."""
  parts, edges, at = [], [], 0
  for piece in pieces:
    silence = np.zeros(round(pause_s * RATE), np.float32)
    at += len(silence)
    edges.append((at, at + len(piece)))
    at += len(piece)
    parts += [silence, piece]
  samples = np.concatenate([*parts, np.zeros(round(pause_s * RATE), np.float32)])
  return samples + noise * np.random.default_rng(0).normal(size=len(samples)).astype(np.float32), edges


@pytest.mark.parametrize('noise', [0.0, 0.003])
def test_a_short_recording_stays_whole_and_loses_its_silence(spoken, noise):
  samples, [(start, end)] = joined(spoken[:1], 2.0, noise)
  [(a, b)] = activity.spans(samples)
  assert start - KEPT - RATE // 10 <= a <= start and end <= b <= end + KEPT + RATE // 5


@pytest.mark.parametrize('noise', [0.0, 0.003])
def test_a_long_recording_is_cut_at_its_long_pauses(spoken, noise):
  samples, edges = joined(spoken, 1.6, noise)
  found = activity.spans(samples)
  assert len(found) == len(edges)
  for (a, b), (start, end) in zip(found, edges):
    assert a <= start + RATE // 20 and end - RATE // 20 <= b and b - a < end - start + 2 * KEPT + RATE // 4


def test_short_pauses_cut_only_what_is_too_long(spoken):
  samples, _ = joined(spoken, 0.5)
  found = activity.spans(samples, longest_s=8)
  assert 3 <= len(found) < len(spoken)
  for (_, end), (start, _) in zip(found, found[1:]):     # each cut lies in a pause
    assert np.abs(samples[end:start]).max(initial=0) < 0.01
    assert np.abs(samples[end - RATE // 20:end]).max() < 0.01


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.floats(2, 30), st.floats(0.2, 1.5), st.floats(0.0, 2.0))
def test_spans_are_ascending_apart_and_never_too_long(seed, longest_s, pause_s, gap_s):
  rng = np.random.default_rng(seed)
  samples, edges = joined([voice for voice in voices(8) if rng.random() < 0.8] or voices(1), gap_s, 0.001)
  found = activity.spans(samples, 1.0, longest_s, pause_s)
  assert found
  assert all(0 <= a < b <= len(samples) and b - a <= longest_s * RATE for a, b in found)
  assert all(end <= start for (_, end), (start, _) in zip(found, found[1:]))
  covered = np.zeros(len(samples), bool)
  for a, b in found:
    covered[a:b] = True
  spoken_samples = np.concatenate([np.arange(*edge) for edge in edges])
  assert covered[spoken_samples].mean() > 0.97


def test_a_sound_without_any_pause_is_cut_all_the_same_and_kept_whole():
  tone = np.sin(np.arange(65 * RATE) * 0.1).astype(np.float32)
  found = activity.spans(tone, longest_s=10)
  assert found[0][0] == 0 and found[-1][1] == len(tone)
  assert all(a[1] == b[0] for a, b in zip(found, found[1:])) and max(b - a for a, b in found) <= 10 * RATE


@pytest.mark.parametrize('samples', [np.zeros(5 * RATE), np.zeros(50 * RATE), np.full(RATE, 1e-4), np.full(30 * RATE, 0.01), np.zeros(3)])
def test_silence_gives_no_span(samples):
  assert activity.spans(samples.astype(np.float32)) == []


@pytest.mark.parametrize('offset', [0.01, -0.2])
def test_an_offset_of_the_converter_changes_no_cut(spoken, offset):
  samples = joined(spoken, 1.6)[0]
  samples += np.random.default_rng(0).normal(size=len(samples)).astype(np.float32) * 1e-4
  assert activity.spans(samples + np.float32(offset), longest_s=5) == activity.spans(samples, longest_s=5)


def test_a_click_is_no_speech():
  samples = np.random.default_rng(0).normal(size=30 * RATE).astype(np.float32) * 0.001
  samples[10 * RATE:10 * RATE + 80] += 0.5
  assert not activity.speech(samples)[950:1050].any()


@pytest.mark.parametrize('block', [1000, 16000, 10**7])
def test_cutting_a_stream_does_not_depend_on_its_blocks_beyond_the_buffer(spoken, monkeypatch, block):
  monkeypatch.setattr(activity, 'BUFFER_S', 12.0)
  samples, edges = joined(spoken, 1.6)
  stream = [samples[at:at + block] for at in range(0, len(samples), block)]
  found = list(activity.cut(stream, longest_s=5))
  assert all(np.array_equal(part, samples[start:start + len(part)]) for start, part in found)
  assert len(found) == len(edges)
  for (start, part), (a, b) in zip(found, edges):
    assert start <= a + RATE // 20 and b - RATE // 20 <= start + len(part)


@pytest.mark.parametrize('break_s, tail_s', [(0.0, 9.0), (30.0, 0.0), (30.0, 9.0)])
def test_a_long_recording_is_cut_as_if_it_were_held_whole_whatever_stands_in_its_pauses(spoken, monkeypatch, break_s, tail_s):
  monkeypatch.setattr(activity, 'BUFFER_S', 12.0)
  room = lambda seconds: np.random.default_rng(0).normal(size=round(seconds * RATE)).astype(np.float32) * 0.003
  talk = joined(spoken, 1.6)[0]
  quiet = lambda seconds: np.zeros(round(seconds * RATE), np.float32)
  samples = np.concatenate([talk, quiet(break_s), talk, quiet(tail_s)])
  samples = samples + room(len(samples) / RATE)
  whole, found = activity.spans(samples, longest_s=10), list(activity.cut(np.split(samples, range(RATE, len(samples), RATE)), longest_s=10))
  assert len(found) == len(whole)
  assert all(abs(start - a) <= RATE // 10 and abs(start + len(part) - b) <= RATE // 10 for (start, part), (a, b) in zip(found, whole))


def test_hours_of_silence_are_not_held(monkeypatch):
  monkeypatch.setattr(activity, 'BUFFER_S', 5.0)
  seen, largest = activity.spans, 0

  def watched(samples, *limits):
    nonlocal largest
    largest = max(largest, len(samples))
    return seen(samples, *limits)

  monkeypatch.setattr(activity, 'spans', watched)
  speech = voices(1)[0]
  assert len(list(activity.cut([speech, *[np.zeros(RATE, np.float32)] * 60, speech]))) == 2
  assert largest < 12 * RATE


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 8))
def test_runs_that_lie_close_are_one(flags, gap):
  filled = np.array(flags, bool)
  for start, end in activity.runs(~filled):
    if 0 < start and end < len(flags) and end - start <= gap:
      filled[start:end] = True
  assert activity.closed(activity.runs(flags), gap) == activity.runs(filled)
