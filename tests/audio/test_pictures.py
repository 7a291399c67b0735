"""Spectrogram pictures."""
import os
import struct

import numpy as np
import pytest

from telugu_s2s.audio import files, pictures
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
