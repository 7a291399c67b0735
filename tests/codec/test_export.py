"""Exported programs are the codec: the same codes and the same sound, for any number of streams."""
import json

import jax
import ml_collections
import numpy as np
import pytest

from telugu_s2s.codec import export, model, streaming, weights
from telugu_s2s.errors import InputError

FRAMES = 2


@pytest.fixture(scope='module')
def codec(codec_file):
  return weights.load(codec_file)


@pytest.fixture(scope='module')
def data(codec):
  return export.to_bytes(codec, FRAMES)


@pytest.fixture(scope='module')
def programs(data):
  return {name: export.from_bytes(one) for name, one in data.items()}


@pytest.mark.parametrize('streams', [1, 3])
def test_exported_steps_are_the_live_ones(codec, programs, speech, streams):
  hears, speaks = programs['begin'](np.zeros(streams, np.float32))
  live_hears, live_speaks = model.empty_states(codec.config, streams)
  jax.tree.map(np.testing.assert_array_equal, (hears, speaks), (live_hears, live_speaks))
  size = FRAMES * codec.config.hop
  for at in range(8000, 8000 + 9 * size, size):          # longer than the window of 8
    audio = np.stack([clip[at:at + size] for clip in speech[:streams]])
    codes, hears = programs['encode'](audio, hears)
    live, live_hears = streaming.step(codec.config, 'encode')(codec.params, audio, live_hears)
    np.testing.assert_array_equal(codes, live)
    said, speaks = programs['decode'](codes, speaks)
    live, live_speaks = streaming.step(codec.config, 'decode')(codec.params, codes, live_speaks)
    # Float32: with the weights as constants XLA folds some sums in another order.
    np.testing.assert_allclose(said, live, rtol=0, atol=1e-6)
  assert len(np.unique(codes)) > 1 and np.abs(said).max() > 1e-3


def test_programs_say_where_they_run_and_take_no_weights(codec, data):
  for name, one in data.items():
    exported = jax.export.deserialize(bytearray(one))
    assert exported.platforms == ('cpu', 'cuda', 'tpu')
    shapes = [x.shape for x in exported.in_avals]
    assert all(str(shape[0]) == 'b' or shape[1:2] and str(shape[1]) == 'b' for shape in shapes), f'{name}: {shapes}'
    assert 'stablehlo' in exported.mlir_module()


def test_the_job_writes_a_folder_that_explains_itself(codec, codec_file, tmp_path, speech):
  config = ml_collections.ConfigDict({'codec': str(codec_file), 'out': 'exported', 'frames': 1, 'levels': 2})
  export.run(config, tmp_path)
  out = tmp_path / 'exported'
  assert sorted(path.name for path in out.iterdir()) == [
      'README.md', 'begin.stablehlo', 'codec.safetensors', 'config.json', 'decode.stablehlo', 'encode.stablehlo']
  facts = json.loads((out / 'config.json').read_text())
  assert (facts['name'], facts['hop'], facts['levels'], facts['frames']) == (codec.name, 320, 2, 1)
  assert model.Config(**facts['config']) == codec.config
  assert weights.load(out / 'codec.safetensors').name == codec.name
  page = (out / 'README.md').read_text()
  # What the page shows runs as it stands there, in that folder.
  block = '\n'.join(line[4:] for line in page.splitlines() if line.startswith('    '))
  seen = {}
  exec(compile(block.replace("f'{name}.stablehlo'", f"{str(out)!r} + f'/{{name}}.stablehlo'"), 'README.md', 'exec'), seen)
  assert seen['codes'].shape == (1, 1, 3) and seen['audio'].shape == (1, 320)


@pytest.mark.parametrize('field, value', [('levels', 4), ('levels', 0), ('frames', 0)])
def test_a_setting_that_does_not_fit_is_one_line(codec_file, tmp_path, field, value):
  config = ml_collections.ConfigDict({'codec': str(codec_file), 'out': 'x', 'frames': 1, 'levels': 2, field: value})
  with pytest.raises(InputError, match=f'config.{field}: {value}'):
    export.run(config, tmp_path)
  assert not (tmp_path / 'x').exists()
