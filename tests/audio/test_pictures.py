"""Spectrogram pictures."""
import io
import os
import struct

import matplotlib.image
import numpy as np
import pytest

from telugu_s2s.audio import files, pictures
from telugu_s2s.audio.mel import mel
from telugu_s2s.preparation.prepare import SAMPLE


def size(path):
  data = path.read_bytes()
  assert data[:8] == b'\x89PNG\r\n\x1a\n' and data[-8:-4] == b'IEND'
  return struct.unpack('>II', data[16:24])


def test_a_picture_has_a_panel_a_signal(tmp_path):
  voice = files.read(SAMPLE / 'audio' / 'q001-mezzo.opus')[0]
  pictures.spectrogram(tmp_path / 'one.png', {'voice': voice})
  pictures.spectrogram(tmp_path / 'two.png', {'voice': voice, 'first second': voice[:16000]})
  (width, one), (same, two) = size(tmp_path / 'one.png'), size(tmp_path / 'two.png')
  assert width == same >= 600 and two - one == 200


def test_silence_can_be_drawn(tmp_path):
  pictures.spectrogram(tmp_path / 'silence.png', {'silence': np.zeros(16000, np.float32)})
  size(tmp_path / 'silence.png')


def test_what_cannot_be_drawn_leaves_no_file(tmp_path):
  with pytest.raises(ValueError):
    pictures.spectrogram(tmp_path / 'x.png', {'nothing': np.zeros(0, np.float32)})
  assert os.listdir(tmp_path) == []


def test_a_picture_without_axes_shows_where_the_sound_is_and_is_the_same_each_time():
  tone = np.sin(2 * np.pi * 1000 * np.arange(32000) / 16000).astype(np.float32)
  tone[:16000] = 0
  data = pictures.heat(tone)
  assert data == pictures.heat(tone) and b'matplotlib' not in data
  image = matplotlib.image.imread(io.BytesIO(data))
  assert image.shape[0] == 80 and 150 < image.shape[1] <= pictures.COLUMNS
  bright = image[..., :3].sum(-1)
  loudest = np.unravel_index(bright[:, image.shape[1] * 3 // 4].argmax(), 80)[0]
  assert mel(1000) / mel(8000) == pytest.approx((79.5 - loudest) / 80, abs=0.02)      # row 0 is at the top
  assert bright[:, :image.shape[1] // 3].max() < bright.max() / 4


def test_a_long_signal_has_no_wider_picture():
  assert matplotlib.image.imread(io.BytesIO(pictures.heat(np.ones(960_000, np.float32)))).shape[1] <= pictures.COLUMNS
