"""Silero VAD: what it needs, how it is fed, and what it calls speech."""
import importlib.util
import pathlib
import re

import numpy as np
import pytest

from telugu_s2s.audio import activity, files, networks, silero
from telugu_s2s.errors import InputError
from telugu_s2s.preparation.prepare import SAMPLE

RATE = files.SAMPLE_RATE
ROOT = pathlib.Path(__file__).parents[2]
INSTALLED = all(importlib.util.find_spec(name) for name in ('silero_vad', 'onnxruntime'))
needed = pytest.mark.skipif(not INSTALLED, reason='silero-vad or onnxruntime not installed')


@pytest.fixture(scope='module')
def voices():
  return [files.read(path)[0] for path in sorted((SAMPLE / 'audio').glob('a00*.opus'))[:8]]


def music(seconds):
  """Chords of three notes that are struck twice a second."""
  t = np.arange(round(seconds * RATE)) / RATE
  notes = sum(np.sin(2 * np.pi * hz * (1 + 0.125 * (t // 2 % 3)) * t) for hz in (220.0, 277.2, 329.6))
  return (0.1 * notes * np.exp(-4 * (t % 0.5))).astype(np.float32)


def test_a_package_that_is_missing_or_another_version_is_named_with_what_installs_it():
  networks.session.cache_clear()
  with pytest.raises(InputError, match='no_such_package.*pip install it'):
    networks.session('no_such_package', 'model.onnx', '', 'pip install it')
  pytest.importorskip('onnxruntime')
  with pytest.raises(InputError, match='LICENSE|cannot be used'):
    networks.session('pytest', 'LICENSE', '', 'pip install it')
  with pytest.raises(InputError, match='is not the network.*pip install it'):
    networks.session('pytest', '__init__.py', '0' * 64, 'pip install it')


@needed
def test_probabilities_follow_speech_and_silence(voices):
  samples = np.concatenate([voices[0], np.zeros(2 * RATE, np.float32), voices[1]])
  found = silero.probabilities(samples)
  assert len(found) == -(-len(samples) // silero.CHUNK) and found.min() >= 0 and found.max() <= 1
  middle = (len(voices[0]) + RATE) // silero.CHUNK
  assert found[middle - 15:middle + 15].max() < 0.2 and np.median(found[10:len(voices[0]) // silero.CHUNK - 10]) > 0.8
  assert len(silero.probabilities(samples[:0])) == 0 and len(silero.probabilities(samples[:1])) == 1


@needed
def test_a_long_signal_is_heard_call_by_call_without_a_seam(voices, monkeypatch):
  samples = np.concatenate(voices)
  whole = silero.probabilities(samples)
  monkeypatch.setattr(silero, 'CALL', 7)
  np.testing.assert_allclose(silero.probabilities(samples), whole, atol=1e-5)      # float32


@needed
def test_noise_and_music_are_speech_by_energy_and_not_by_the_network(voices):
  rng = np.random.default_rng(0)
  bursts = rng.normal(size=20 * RATE).astype(np.float32) * 0.05 * (np.sin(np.arange(20 * RATE) * 2 * np.pi / RATE) > 0)
  for sound in (bursts, music(20)):
    assert activity.speech(sound).mean() > 0.2
    assert not activity.speech(sound, 'silero').any() and activity.spans(sound, by='silero') == []


@needed
def test_spans_are_cut_by_the_same_rules_and_leave_music_out(voices):
  parts, edges, at = [], [], 0
  for voice in voices:
    parts += [music(2.0), voice]
    edges.append((at + 2 * RATE, at + 2 * RATE + len(voice)))
    at = edges[-1][1]
  samples = np.concatenate(parts)
  found = activity.spans(samples, longest_s=6, by='silero')
  assert len(found) == len(voices)
  for (a, b), (start, end) in zip(found, edges):
    assert a < start + RATE and end - RATE < b and b - a <= end - start + RATE
  assert all(end <= start for (_, end), (start, _) in zip(found, found[1:]))


@needed
@pytest.mark.parametrize('longest_s', [2.0, 3.5, 10.0])
def test_no_span_is_longer_than_allowed_and_streams_are_cut_alike(voices, longest_s, monkeypatch):
  monkeypatch.setattr(activity, 'BUFFER_S', 15.0)
  samples = np.concatenate(voices)
  stream = [samples[at:at + 50_000] for at in range(0, len(samples), 50_000)]
  found = list(activity.cut(stream, longest_s=longest_s, by='silero'))
  assert found and max(len(part) for _, part in found) <= longest_s * RATE
  assert all(np.array_equal(part, samples[start:start + len(part)]) for start, part in found)
  assert sum(len(part) for _, part in found) > 0.8 * sum(activity.speech(samples, 'silero')) * 160
  again = list(activity.cut(stream, longest_s=longest_s, by='silero'))
  assert [start for start, _ in again] == [start for start, _ in found]


@needed
@pytest.mark.parametrize('samples', [np.zeros(5 * RATE), np.zeros(50 * RATE), np.zeros(3)])
def test_silence_gives_no_span(samples):
  assert activity.spans(samples.astype(np.float32), by='silero') == []


def test_the_command_that_installs_it_is_the_one_of_the_launcher_and_of_setup():
  pin = re.search(r'silero-vad==[\d.]*\d', silero.REMEDY)[0]
  for file in ('launch/environment', 'setup.py'):
    assert set(re.findall(r'silero-vad==[\d.]*\d', (ROOT / file).read_text())) == {pin}
