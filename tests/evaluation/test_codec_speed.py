"""Speed, of our codecs and of others: numbers that can be true, from codecs that are named."""
import ml_collections
import pytest

from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import benchmark, codec_speed, codec_streams, peers, recipes

TINY = dict(strides=(16, 10), channels=(10, 12), heads=2, encoder_layers=1, decoder_layers=2, ffn=20, window=8,
            codebooks=3, codes=11)


def test_sizes_with_random_weights_are_codecs_of_these_sizes():
  assert 'small' in recipes.sizes('stage1')
  toy, given = codec_speed.trained('toy'), codec_speed.trained(TINY)
  weights.fit({name: x.shape for name, x in flat(toy.params).items()}, toy.config)
  assert toy.name == 'toy, random weights' and given.config.codes == 11


def flat(params, prefix=''):
  found = {}
  for name, value in params.items():
    found |= flat(value, f'{prefix}{name}.') if isinstance(value, dict) else {prefix + name: value}
  return found


def test_a_file_is_loaded_and_what_is_neither_file_nor_size_is_named(codec_file):
  assert codec_speed.trained(str(codec_file)).config.codebooks == 3
  assert codec_speed.trained('').config == weights.load().config
  with pytest.raises(InputError, match='enormous'):
    codec_speed.trained('enormous')


def test_a_codec_is_timed_whole_and_frame_by_frame(monkeypatch):
  monkeypatch.setattr(codec_speed, 'SECONDS', 1.0)
  monkeypatch.setattr(codec_speed, 'FRAMES', 5)
  trained = codec_speed.trained(TINY)
  found = codec_speed.measure(trained)
  assert all(found[name] > 0 for name in ('encode', 'decode', 'encode_frames', 'decode_frames'))
  assert found['frame_ms'] == pytest.approx(1000 * trained.config.hop / 16000)
  assert found['encode_frames'] == pytest.approx(found['frame_ms'] / found['encode_ms'])


def test_streams_side_by_side_are_timed_on_the_device(codec_file, capsys):
  config = ml_collections.ConfigDict(dict(codec=str(codec_file), streams=(1, 3), frames=4))
  found = codec_streams.measure(config)
  assert set(found['streams']) == {'1', '3'} and found['frame_ms'] > 0
  assert all(0 < value < 1000 for one in found['streams'].values() for value in one.values())
  assert capsys.readouterr().out.count('stream(s)') == 2


def test_a_released_codec_is_timed_with_its_own_weights():
  assert codec_speed.trained('small').name == weights.load('small').name


def test_ratios_are_ours_over_theirs(capsys):
  ours = dict(name='ours', parameters=1e6, encode=100.0, decode=50.0, encode_ms=1.0, decode_ms=2.0, frame_ms=40.0)
  benchmark.show_speed(ours, {'another': dict(parameters=8e7, encode=10.0, decode=20.0)})
  lines = capsys.readouterr().out.splitlines()
  assert '1.00 + 2.00 ms of a frame\'s 40' in lines[-2] and '(ours 10.0 and 2.5 times)' in lines[-1]


@pytest.mark.slow
def test_other_codecs_are_timed_where_they_are_installed(monkeypatch):
  pytest.importorskip('torch')
  pytest.importorskip('transformers')
  monkeypatch.setattr(peers, 'SECONDS', 0.5)
  monkeypatch.setattr(peers, 'FRAMES', 2)
  found = peers.measure()
  assert len(found) == 3 and all(one['encode'] > 0 and one['decode'] > 0 for one in found.values())
  assert {round(one['parameters'] / 1e6) for one in found.values()} >= {15, 79}
  assert found['Mimi 24 kHz, 8 levels']['frame_ms'] == 80
