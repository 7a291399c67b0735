"""What fewer bits lose, as the benchmark tells it."""
import numpy as np
import pytest

from telugu_s2s.codec import precision, weights
from telugu_s2s.evaluation import codec_precision


@pytest.fixture(scope='module')
def found(codec_file, speech):
  return codec_precision.compare(weights.load(codec_file), [clip[8000:24_000] for clip in speech[:2]])


def test_float32_loses_nothing_against_itself(found):
  assert found['float32']['codes_equal'] == [1, 1, 1] and found['float32']['decoder_snr_db'] == np.inf


@pytest.mark.parametrize('name', ['bfloat16', 'int8'])
def test_fewer_bits_lose_a_little_and_take_less_room(found, name):
  row, exact = found[name], found['float32']
  assert 0.8 < np.mean(row['codes_equal']) < 1
  assert 30 < row['decoder_snr_db'] < 60                       # 8 bits: some 48 dB
  assert row['megabytes'] < 0.8 * exact['megabytes']
  assert abs(row['ms_mel'] - exact['ms_mel']) < 0.05


def test_the_table_has_a_line_for_each_precision(found, capsys):
  codec_precision.show(found)
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines[1:]] == list(precision.PRECISIONS)
  assert '100.00%' in lines[1] and 'inf dB' in lines[1]
