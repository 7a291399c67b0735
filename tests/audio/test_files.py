"""Audio files: what any of them becomes, and what becomes of those that are none."""
import io
import os
import socket

from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
import numpy as np
import pytest
import soundfile
import soxr

from telugu_s2s.audio import files
from telugu_s2s.preparation.prepare import SAMPLE

FORMS = {'wav': ('WAV', 'PCM_16'), 'flac': ('FLAC', 'PCM_16'), 'mp3': ('MP3', None), 'ogg': ('OGG', 'VORBIS'),
         'opus': ('OGG', 'OPUS')}


@pytest.fixture(scope='module')
def voice():
  """A spoken sentence, f32 at 16 kHz."""
  return files.read(SAMPLE / 'audio' / 'q001-mezzo.opus')[0]


def write(path, samples, rate, form):
  soundfile.write(path, samples, rate, format=FORMS[form][0], subtype=FORMS[form][1])


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('rate', [8000, 16000, 44100, 48000])
def test_any_format_and_rate_becomes_16_khz(tmp_path, voice, form, rate):
  if form == 'opus' and rate == 44100:
    pytest.skip('Opus has no 44.1 kHz')
  path = tmp_path / f'a.{form}'
  write(path, soxr.resample(voice, 16000, rate), rate, form)
  samples, native = files.read(path)
  assert native == rate and samples.dtype == np.float32 and samples.ndim == 1
  assert abs(len(samples) - len(voice)) <= 0.06 * 16000     # MP3 and Opus pad their frames
  count = min(len(samples), len(voice))
  spectrum = np.fft.rfft(voice[:count]), np.fft.rfft(samples[:count])
  correlation = np.fft.irfft(spectrum[0] * spectrum[1].conj()).max() / np.linalg.norm(voice) / np.linalg.norm(samples)
  assert correlation > (0.95 if form in ('wav', 'flac') else 0.85)   # 8 kHz drops the upper half of the speech


def test_stereo_becomes_the_mean_of_its_channels_or_the_one_asked_for(tmp_path, voice):
  path = tmp_path / 'two.wav'
  soundfile.write(path, np.stack([voice, 0.5 * voice[::-1]], 1), 16000, subtype='FLOAT')
  np.testing.assert_allclose(files.read(path)[0], (voice + 0.5 * voice[::-1]) / 2, atol=1e-7)
  np.testing.assert_array_equal(files.read(path, 1)[0], 0.5 * voice[::-1])
  np.testing.assert_allclose(files.read(path, 2)[0], files.read(path)[0])     # there is no third channel


def test_blocks_are_short_and_add_up_to_one_resampling_of_the_whole(tmp_path, voice):
  long = np.tile(voice, 15)                                    # over 30 s, so four blocks
  path = tmp_path / 'long.flac'
  native = soxr.resample(long, 16000, 44100)
  soundfile.write(path, native, 44100, subtype='PCM_24')
  blocks = [block for block, _ in files.blocks(path)]
  assert len(blocks) > 3 and max(map(len, blocks)) <= 11 * 16000
  whole = soxr.resample(native, 44100, 16000, quality='VHQ')
  got = np.concatenate(blocks)
  assert abs(len(got) - len(whole)) <= 1
  count = min(len(got), len(whole))
  np.testing.assert_allclose(got[:count], np.clip(whole, -1, 1)[:count], atol=1e-5)


def half(form):
  file = io.BytesIO()
  noise = np.sin(np.arange(48000) ** 1.3).astype(np.float32) / 2
  soundfile.write(file, noise, 16000, format=FORMS[form][0], subtype=FORMS[form][1])
  return file.getvalue()[:len(file.getvalue()) // 2]


def wav(samples, subtype):
  file = io.BytesIO()
  soundfile.write(file, samples, 16000, format='WAV', subtype=subtype)
  return file.getvalue()


@pytest.mark.parametrize('name, data, reason', [
    ('gone.wav', None, 'missing'),
    ('empty.flac', b'', 'zero-second'),
    ('header.wav', wav(np.zeros(0, np.float32), 'PCM_16'), 'zero-second'),
    ('letter.wav', b'Dear reader, ' * 99, 'non-audio'),
    ('letter.mp3', b'Dear reader, ' * 99, 'non-audio'),
    ('letter.opus', b'Dear reader, ' * 99, 'non-audio'),
    ('half.flac', half('flac'), 'corrupt'),
    ('half.mp3', half('mp3'), 'corrupt'),
    ('nan.wav', wav(np.full(800, np.nan, np.float32), 'FLOAT'), 'corrupt'),
    ('overflow.wav', wav(np.full((800, 2), 3.3e38, np.float32), 'FLOAT'), 'corrupt'),
])
def test_what_is_no_audio_says_why_in_one_line(tmp_path, name, data, reason):
  path = tmp_path / name
  if data is not None:
    path.write_bytes(data)
  with pytest.raises(files.Unreadable) as caught:
    files.read(path)
  assert caught.value.reason == reason
  assert str(path) in str(caught.value) and '\n' not in str(caught.value)
  assert (caught.value.detail == 'the format is not recognised') == (reason == 'non-audio')


def test_a_sample_that_is_no_number_is_found_where_it_is(tmp_path):
  sound = np.zeros((16_000 * 25, 2), np.float32)
  sound[16_000 * 21 + 5, 1] = np.nan
  (tmp_path / 'a.wav').write_bytes(wav(sound, 'FLOAT'))
  with pytest.raises(files.Unreadable, match='not finite at 21.0 s'):
    files.read(tmp_path / 'a.wav')


def test_a_folder_is_not_taken_for_a_file(tmp_path):
  with pytest.raises(files.Unreadable):
    files.read(tmp_path)


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.int16, st.integers(1, 5000)), st.sampled_from(['wav', 'flac']))
def test_16_bit_samples_survive_floats_and_files_bit_for_bit(pcm, form):
  np.testing.assert_array_equal(files.pcm16(pcm.astype(np.float32) / 32768), pcm)
  back, rate = files.decoded(files.encoded(pcm, form=form))
  np.testing.assert_array_equal(back, pcm)
  assert rate == 16000


def test_what_is_louder_than_full_scale_is_clipped_not_wrapped():
  np.testing.assert_array_equal(files.pcm16([1.5, 1.0, -1.0, -2.0]), [32767, 32767, -32768, -32768])


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
  path = tmp_path / 'a.wav'
  files.write_wav(path, np.zeros(10))
  before = path.read_bytes()
  monkeypatch.setattr(os, 'replace', lambda *names: (_ for _ in ()).throw(OSError('disk')))
  with pytest.raises(OSError):
    files.write_wav(path, np.ones(10))
  assert path.read_bytes() == before and os.listdir(tmp_path) == ['a.wav']


@pytest.mark.parametrize('letters', [1, 60, 83])
def test_a_name_as_long_as_the_disk_takes_can_be_written(tmp_path, monkeypatch, letters):
  monkeypatch.setattr(socket, 'gethostname', lambda: 'h' * 63)
  path = tmp_path / ('త' * letters + '.wav')
  files.write_wav(path, np.zeros(10))
  assert os.listdir(tmp_path) == [path.name]
  one, other = files.beside(path), files.beside(path.with_suffix('.mp3'))
  assert one != other and max(len(os.fsencode(made.name)) for made in (one, other)) <= 255
