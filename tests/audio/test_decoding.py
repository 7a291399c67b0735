"""What the container formats become, and how a file that was cut off is found out."""
import importlib.util
import io
import struct

import numpy as np
import pytest
import soundfile
import soxr

from telugu_s2s.audio import decoding, files

pytest.importorskip('av')
from tests.audio import encoders


@pytest.fixture(scope='module')
def voice(speech):
  return speech[0]


def kept(path, data):
  path.write_bytes(data)
  return path


def sound(path, data, channel=None):
  return files.read(kept(path, data), channel)[0]


def lag(one, other):
  """By how many samples `other` comes later, by cross-correlation; and how alike they are then, at most 1."""
  size = 2 * max(len(one), len(other))
  spectra = np.fft.rfft(one, size).conj() * np.fft.rfft(other, size)
  correlation = np.fft.irfft(spectra, size) / np.linalg.norm(one) / np.linalg.norm(other)
  best = int(np.argmax(correlation))
  return best - size * (best > size // 2), correlation[best]


@pytest.mark.parametrize('rate', [16000, 44100, 48000])
@pytest.mark.parametrize('form', ['m4a', 'mp4', 'aac', 'webm'])
def test_a_container_gives_the_speech_in_time_and_at_its_length(tmp_path, voice, form, rate):
  if (form, rate) == ('webm', 44100):
    pytest.skip('Opus has no 44.1 kHz')
  path = kept(tmp_path / f'a.{form}', encoders.encoded(soxr.resample(voice, 16000, rate), rate, form))
  samples, native = files.read(path)
  late, likeness = lag(voice, samples)
  assert native == (48000 if form == 'webm' else rate) and likeness > 0.97
  if form == 'aac':      # it tells neither the encoder's delay of one frame nor the padding of the last
    assert late == round(1024 / rate * 16000) and late <= len(samples) - len(voice) <= late + 1025 / rate * 16000
  else:
    assert late == 0 and abs(len(samples) - len(voice)) <= 16


@pytest.mark.parametrize('codec', ['flac', 'alac'])
def test_what_is_stored_without_loss_comes_back_bit_for_bit(tmp_path, voice, codec):
  pcm = files.pcm16(voice) / np.float32(32768)
  data = encoders.contained(pcm, 16000, 'mp4', codec)
  np.testing.assert_array_equal(files.pcm16(sound(tmp_path / 'a.mp4', data)), files.pcm16(pcm))


# Vorbis is decoded in floats by both; libsndfile decodes Opus at 16 kHz, FFmpeg at 48 kHz, which is then resampled.
@pytest.mark.parametrize('form, bound', [('ogg', 1e-5), ('opus', 0.02)])
def test_webm_gives_the_samples_that_libsndfile_gives_of_the_same_packets(tmp_path, voice, form, bound):
  data = encoders.encoded(voice, 16000, form)
  expected, got = sound(tmp_path / f'a.{form}', data), sound(tmp_path / 'a.webm', encoders.wrapped(data, 'webm'))
  assert len(got) == len(expected)
  np.testing.assert_allclose(got, expected, atol=bound)


@pytest.mark.parametrize('form', encoders.FORMS)
def test_a_channel_can_be_chosen_in_every_format(tmp_path, voice, form):
  data = encoders.encoded(np.stack([voice, 0.5 * voice[::-1]], 1), 16000, form)
  path = kept(tmp_path / f'a.{form}', data)
  first, second, both = files.read(path, 0)[0], files.read(path, 1)[0], files.read(path)[0]
  np.testing.assert_allclose(both, (first + second) / 2, atol=1e-5)
  assert lag(voice, first)[1] > 0.9 and lag(voice[::-1], second)[1] > 0.9


def test_each_of_twelve_channels_is_read(tmp_path):
  tones = np.sin(np.arange(48000)[:, None] * 2 * np.pi / 48000 * np.arange(200, 800, 50)) / 4
  data = encoders.contained(tones, 48000, 'webm', 'libopus', {'mapping_family': '255'})
  path = kept(tmp_path / 'a.webm', data)
  assert [int(np.argmax(np.abs(np.fft.rfft(files.read(path, channel)[0])))) for channel in range(12)] == list(range(200, 800, 50))


def test_blocks_of_a_container_are_short_and_add_up(tmp_path, voice):
  path = kept(tmp_path / 'long.m4a', encoders.encoded(np.tile(voice, 15), 16000, 'm4a'))
  pieces = [piece for piece, _ in files.blocks(path)]
  assert len(pieces) > 3 and max(map(len, pieces)) <= 11 * 16000
  assert abs(sum(map(len, pieces)) - 15 * len(voice)) <= 16


@pytest.mark.parametrize('form, name', [('m4a', 'a.mp3'), ('webm', 'a.ogg'), ('wav', 'a.m4a'), ('flac', 'a.webm'), ('mp3', 'a.aac')])
def test_the_bytes_decide_and_not_the_name(tmp_path, voice, form, name):
  assert lag(voice, sound(tmp_path / name, encoders.encoded(voice, 16000, form)))[1] > 0.9


def test_aac_behind_a_tag_is_read(tmp_path, voice):
  data = encoders.encoded(voice, 16000, 'aac')
  tag = b'ID3\4\0\0' + bytes([0, 0, 1, 2]) + b'x' * 130
  np.testing.assert_array_equal(sound(tmp_path / 'a.aac', tag + data), sound(tmp_path / 'b.aac', data))


def without_end(data):
  """The first 60 % of the bytes, as of a copy that was interrupted."""
  return data[:len(data) * 3 // 5]


@pytest.mark.parametrize('form', encoders.FORMS)
def test_a_file_that_was_cut_off_is_corrupt_whatever_its_format(tmp_path, voice, form):
  data = encoders.encoded(np.tile(voice, 3), 16000, form)
  files.read(kept(tmp_path / f'whole.{form}', data))
  with pytest.raises(files.Unreadable) as caught:
    files.read(kept(tmp_path / f'a.{form}', without_end(data)))
  assert caught.value.reason == 'corrupt'


@pytest.mark.parametrize('options', [{'movflags': 'faststart'}, {'movflags': 'frag_keyframe+empty_moov', 'frag_duration': '500000'}])
def test_an_m4a_whose_index_comes_first_is_found_cut_too(tmp_path, voice, options):
  data = encoders.contained(voice, 16000, 'ipod', 'aac', **options)
  assert lag(voice, sound(tmp_path / 'a.m4a', data))[1] > 0.97
  with pytest.raises(files.Unreadable, match='corrupt'):
    files.read(kept(tmp_path / 'b.m4a', without_end(data)))


def test_a_cut_wav_names_both_lengths(tmp_path):
  data = encoders.encoded(np.zeros(32000), 16000, 'wav')
  with pytest.raises(files.Unreadable, match='1.5 s decode of the 2.0 s declared'):
    files.read(kept(tmp_path / 'a.wav', data[:-16000]))


@pytest.mark.parametrize('length', [0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_from_a_writer_that_could_not_go_back_is_whole(tmp_path, length):
  data = bytearray(encoders.encoded(np.ones(16000) / 4, 16000, 'wav'))
  data[40:44] = struct.pack('<I', length)
  assert len(sound(tmp_path / 'a.wav', bytes(data))) == 16000


def test_a_large_wav_that_was_cut_is_found_by_its_64_bit_length(tmp_path):
  file = io.BytesIO()
  soundfile.write(file, np.ones(16000) / 4, 16000, format='RF64', subtype='PCM_16')
  assert len(sound(tmp_path / 'a.wav', file.getvalue())) == 16000
  with pytest.raises(files.Unreadable, match='0.5 s decode of the 1.0 s declared'):
    files.read(kept(tmp_path / 'b.wav', file.getvalue()[:-16000]))


def mp3(samples, mode):
  """The bytes of an MP3 whose first frame is a table of the others, and where the next begins."""
  file = io.BytesIO()
  soundfile.write(file, samples, 16_000, format='MP3', subtype='MPEG_LAYER_III', bitrate_mode=mode, compression_level=0.5)
  data = file.getvalue()
  return data, data.index(data[:2], 4)


@pytest.mark.parametrize('tagged', [False, True])
@pytest.mark.parametrize('mode', ['VARIABLE', 'CONSTANT'])
def test_an_mp3_without_a_table_of_its_frames_is_heard_to_its_end(tmp_path, voice, mode, tagged):
  audio = np.concatenate([voice, np.zeros(80_000, np.float32)])          # its beginning takes more bits a second than the rest
  data, second = mp3(audio, mode)
  tag = b'ID3\x04\0\0\0\0\0\x0a' + bytes(10) if tagged else b''
  heard = sound(tmp_path / 'a.mp3', tag + data[second:])
  late, likeness = lag(audio, heard)
  assert likeness > 0.95 and len(audio) <= len(heard) - late + 1200 and len(heard) < len(audio) + 3600


def test_of_what_was_joined_more_than_the_first_is_heard(tmp_path, voice):
  for form in ('ogg', 'opus'):
    data = encoders.encoded(voice, 16_000, form)
    once, twice = sound(tmp_path / f'a.{form}', data), sound(tmp_path / f'b.{form}', data + data)
    assert 0 <= len(twice) - 2 * len(once) < 640
    np.testing.assert_allclose(twice[:len(once)], once, atol=0.02)
    with pytest.raises(decoding.Unreadable, match='breaks off'):
      sound(tmp_path / f'c.{form}', data + data[:len(data) // 2])
  data, _ = mp3(voice, 'VARIABLE')
  assert 2 * len(voice) <= len(sound(tmp_path / 'b.mp3', data + data)) < 2 * len(voice) + 3600
  assert len(sound(tmp_path / 'c.mp3', data + b'TAG' + bytes(125))) == len(voice)


def test_flac_that_does_not_tell_its_length_is_whole(tmp_path, voice):
  whole = bytearray(files.encoded(voice, form='flac'))
  whole[21] &= 0xF0
  whole[22:26] = bytes(4)
  np.testing.assert_array_equal(files.pcm16(sound(tmp_path / 'a.flac', whole)), files.pcm16(voice))


def test_bytes_behind_the_last_page_of_an_ogg_do_no_harm(tmp_path, voice):
  data = encoders.encoded(voice, 16000, 'opus')
  assert len(sound(tmp_path / 'a.opus', data + bytes(200))) == len(sound(tmp_path / 'b.opus', data))


@pytest.mark.parametrize('rate', [1, 999, 800_000, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_a_damaged_header(tmp_path, rate):
  data = bytearray(encoders.encoded(np.ones(16000) / 4, 16000, 'wav'))
  data[24:28] = struct.pack('<I', rate)
  with pytest.raises(files.Unreadable, match=f'corrupt .a rate of {rate} Hz'):
    files.read(kept(tmp_path / 'a.wav', bytes(data)))


def test_without_its_decoder_a_container_names_the_command_that_brings_it(tmp_path, voice, monkeypatch):
  found = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'av' else found(name))
  with pytest.raises(files.Unreadable, match=r'pip install -e \.\[preparation\]') as caught:
    files.read(kept(tmp_path / 'a.m4a', encoders.encoded(voice, 16000, 'm4a')))
  assert caught.value.reason == decoding.NO_DECODER
  assert len(sound(tmp_path / 'a.ogg', encoders.encoded(voice, 16000, 'ogg'))) == len(voice)      # this one needs nothing
