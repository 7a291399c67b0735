"""A part of a file is what a slice of the whole file is, at any rate, in any form, wherever it begins."""
import io

from hypothesis import given, settings, strategies
import numpy as np
import pytest
import soundfile

from telugu_s2s.audio import files, parts

SECONDS = 3.0


def made(rate, form, channels=1):
  """Noise below 3 kHz, so that no resampler's edge is in the way of comparing."""
  rng = np.random.default_rng(rate)
  spectrum = np.fft.rfft(rng.uniform(-0.5, 0.5, (int(SECONDS * rate), channels)), axis=0)
  spectrum[int(3000 * SECONDS):] = 0
  sound = np.fft.irfft(spectrum, int(SECONDS * rate), axis=0)
  file = io.BytesIO()
  soundfile.write(file, sound / np.abs(sound).max() / 2, rate, format='WAV' if form == 'wav' else 'FLAC' if form == 'flac' else form.upper())
  return file.getvalue()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('parts')
  for rate in (8_000, 16_000, 44_100, 48_000):
    (folder / f'{rate}.wav').write_bytes(made(rate, 'wav'))
  for form in ('flac', 'mp3', 'ogg'):
    (folder / f'44100.{form}').write_bytes(made(44_100, form))
  (folder / 'two.wav').write_bytes(made(44_100, 'wav', 2))
  return folder


@settings(max_examples=60, deadline=None)
@given(name=strategies.sampled_from(['8000.wav', '16000.wav', '44100.wav', '48000.wav', '44100.flac', '44100.mp3', '44100.ogg']),
       start_s=strategies.floats(0, SECONDS - 0.3), seconds=strategies.floats(0.01, 2.0))
def test_a_part_is_a_slice_of_the_whole(folder, name, start_s, seconds):
  whole, _ = files.read(folder / name)
  part, _ = files.read(folder / name, None, start_s, start_s + seconds)
  expected = whole[round(start_s * 16_000):round((start_s + seconds) * 16_000)]
  assert abs(len(part) - len(expected)) <= (0 if start_s + seconds < SECONDS - 0.2 else 2)
  # A resampler that began elsewhere, or the same program.
  limit = 1e-4 if name in ('8000.wav', '44100.wav', '48000.wav', '44100.flac') else 0
  size = min(len(part), len(expected))
  assert np.abs(part[:size] - expected[:size]).max(initial=0) <= limit


def test_a_part_of_one_channel_is_of_that_channel(folder):
  whole, _ = files.read(folder / 'two.wav', 1)
  part, rate = files.read(folder / 'two.wav', 1, 1.0, 1.5)
  assert rate == 44_100 and len(part) == 8_000
  np.testing.assert_allclose(part, whole[16_000:24_000], atol=1e-4)


def test_without_an_end_the_part_goes_to_the_end_of_the_file(folder):
  assert len(files.read(folder / '16000.wav', None, 1.25)[0]) == 28_000


@pytest.mark.parametrize('start_s', [SECONDS, 60.0])
def test_a_part_behind_the_end_is_no_sound(folder, start_s):
  with pytest.raises(files.Unreadable) as caught:
    files.read(folder / '44100.wav', None, start_s, start_s + 1)
  assert caught.value.reason == 'zero-second' and 'before its part' in caught.value.detail


def test_a_late_part_of_a_long_file_costs_what_it_is_long(tmp_path):
  file = io.BytesIO()
  soundfile.write(file, np.zeros(16_000 * 1800, np.int16), 16_000, format='WAV')
  (tmp_path / 'long.wav').write_bytes(file.getvalue())
  decoded = [len(block) for block, _ in files.blocks(tmp_path / 'long.wav', None, 1700.0, 1702.0)]
  assert sum(decoded) == 32_000 and len(decoded) == 1


@settings(max_examples=40, deadline=None)
@given(name=strategies.sampled_from(['44100.flac', '44100.mp3', '44100.ogg']), kept=strategies.sampled_from([0.0, 1.0, 120.0]),
       bounds=strategies.lists(strategies.tuples(strategies.floats(0, SECONDS - 0.2), strategies.floats(0.01, 3)), min_size=1, max_size=5))
def test_parts_are_the_same_in_any_order_and_whatever_was_asked_before(folder, name, kept, bounds):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(parts, 'KEPT_S', kept)
    patch.setattr(files, 'BLOCK_S', 0.3)
    for start_s, seconds in bounds:
      got = np.concatenate([block for block, _ in parts.blocks(folder / name, None, start_s, start_s + seconds)])
      np.testing.assert_array_equal(got, files.read(folder / name, None, start_s, start_s + seconds)[0])


def test_many_parts_of_a_lossy_file_in_order_decode_it_once(folder, monkeypatch):
  seen, read = [], files.blocks
  monkeypatch.setattr(files, 'BLOCK_S', 0.3)
  monkeypatch.setattr(files, 'blocks', lambda *arguments: (seen.append(1) or block for block in read(*arguments)))
  parts._reader.cache_clear()
  for start_s in np.arange(0, 2.5, 0.1):
    assert sum(len(block) for block, _ in parts.blocks(folder / '44100.ogg', None, start_s, start_s + 0.4)) == 6_400
  assert len(seen) <= SECONDS / 0.3


def test_a_file_is_looked_through_once_for_all_of_its_parts(folder, monkeypatch):
  looked, real = [], parts.decoding.opened
  monkeypatch.setattr(parts.decoding, 'opened', lambda path: looked.append(path) or real(path))
  parts._reader.cache_clear()
  parts._exact.cache_clear()
  for start_s in np.arange(0, 2.5, 0.1):
    list(parts.blocks(folder / '44100.ogg', None, start_s, start_s + 0.4))
  assert len(looked) <= 2              # to see whether it can be entered, and to decode it


def test_a_lossy_file_that_breaks_gives_the_parts_before_and_the_fault_for_each_after(folder, tmp_path):
  whole = (folder / '44100.ogg').read_bytes()
  (tmp_path / 'cut.ogg').write_bytes(whole[:len(whole) * 2 // 3])
  first = [block for block, _ in parts.blocks(tmp_path / 'cut.ogg', None, 0.0, 0.5)]
  assert sum(map(len, first)) == 8_000
  for start_s in (2.5, 2.6):
    with pytest.raises(files.Unreadable):
      list(parts.blocks(tmp_path / 'cut.ogg', None, start_s, start_s + 0.3))
