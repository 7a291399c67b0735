"""The mark is found where it was put, in what becomes of it on its way, and nowhere else."""
import io

import numpy as np
import pytest
import soundfile
import soxr

from telugu_s2s.audio import files, mark, opus


@pytest.fixture(scope='module')
def spoken(speech):
  """Six seconds of speech."""
  return np.concatenate(speech)[:6 * files.SAMPLE_RATE]


@pytest.fixture(scope='module')
def hidden(spoken):
  return mark.whole(spoken, 'a key')


def through_opus(samples):
  return (files.decoded(opus.encoded(samples, 24))[0] / 32768).astype(np.float32)


def narrow(samples):
  return soxr.resample(soxr.resample(samples, 16000, 8000), 8000, 16000).astype(np.float32)


WAYS = {'as it is': lambda x: x, 'opus': through_opus, '8 kHz': narrow, 'both': lambda x: through_opus(narrow(x)),
        'softer': lambda x: files.pcm16(x * 0.05) / 32768, 'a part': lambda x: x[23_457:23_457 + 3 * 16000],
        'other rate': lambda x: soxr.resample(soxr.resample(x, 16000, 44100), 44100, 16000), 'clipped': lambda x: np.clip(x, -0.2, 0.2)}


@pytest.mark.parametrize('way', WAYS)
def test_the_mark_is_found_after_what_happens_to_speech(hidden, spoken, way):
  assert mark.score(WAYS[way](hidden), 'a key') > mark.MARKED
  assert mark.score(WAYS[way](spoken), 'a key') < mark.MARKED


def test_other_keys_find_what_chance_finds(hidden):
  scores = [mark.score(hidden, f'other {number}') for number in range(60)]
  assert max(scores) < mark.MARKED and 2.4 < np.median(scores) < 3.4      # of the largest of 400 normal numbers: 2.9


def test_what_is_changed_is_small_and_grows_with_the_strength(hidden, spoken):
  def snr_db(changed):
    return 10 * np.log10(np.mean(spoken ** 2) / np.mean((changed - spoken) ** 2))
  assert len(hidden) == len(spoken) and snr_db(hidden) > 17
  assert snr_db(mark.whole(spoken, 'a key', 0.5)) > snr_db(hidden) + 8
  assert abs(10 * np.log10(np.mean(hidden ** 2) / np.mean(spoken ** 2))) < 0.5
  np.testing.assert_allclose(mark.whole(spoken, 'a key', 0.0), spoken, atol=1e-6)      # float32: the windows add up to one


def test_a_stream_in_pieces_is_the_whole_ten_ms_late(spoken):
  x, state, pieces = spoken[:16_000], None, []
  for at in range(0, len(x), 640):
    piece, state = mark.marked(x[at:at + 640], 'a key', state)
    assert len(piece) == 640
    pieces.append(piece)
  np.testing.assert_array_equal(np.concatenate(pieces)[mark.HOP:], mark.whole(x, 'a key')[:-mark.HOP])
  with pytest.raises(ValueError, match='multiple of 160'):
    mark.marked(x[:100], 'a key')


def test_silence_stays_silence_and_is_not_marked():
  quiet = np.zeros(32_000, np.float32)
  assert not mark.whole(quiet, 'a key').any()
  assert mark.score(quiet, 'a key') < mark.MARKED
  with pytest.raises(ValueError, match='fewer than'):
    mark.score(quiet[:100], 'a key')


@pytest.mark.parametrize('form', ['wav', 'flac'])
def test_a_file_says_that_it_is_synthetic(spoken, form):
  data = files.encoded(spoken, form=form, comment=mark.SYNTHETIC)
  assert soundfile.SoundFile(io.BytesIO(data)).comment == mark.SYNTHETIC
  assert form != 'wav' or b'ICMT' in data
  np.testing.assert_array_equal(files.decoded(data)[0], files.decoded(files.encoded(spoken, form=form))[0])
  assert mark.SYNTHETIC.encode() not in files.encoded(spoken, form=form)
