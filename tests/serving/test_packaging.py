"""A packed model is the run that it was made of, and what is damaged, hostile or foreign is refused in one line."""
import dataclasses
import hashlib
import json
import os
import pathlib
import pickle
import runpy
import shutil
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from telugu_s2s import usage
from telugu_s2s.audio import files
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.lm.model import AudioLM, Config
from telugu_s2s.serving import card, packaging
from telugu_s2s.tokens import labels
from telugu_s2s.training import checkpoints, loop, packed, runs, stage2, stage3

from tests.corpora.excerpt import excerpt

SIZES = dict(width=16, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=8, depth_layers=1, depth_heads=2, depth_ffn=12,
             window=64)
SPEAKERS = ('slr66/te_f1', 'slr66/te_m2', 'own/x|y')
ROWS = [{'source': 'slr66', 'licence': 'CC-BY-SA-4.0', 'attribution': 'Google; He et al. 2020', 'seconds': 5400.0, 'speakers': 47},
        {'source': 'own', 'licence': 'LicenseRef-own', 'attribution': '', 'seconds': 360.0, 'speakers': 0}]
MEASURED = {'held_out': {'codes': 5.25, 'user': 0.5}, 'wall_s': {'all': 9.0}, 'nats': [1, 2], 'clips': 46}
FACTS = {'stage': 'stage4', 'step': 7, 'revision': 'abc', 'codec': 'c', 'codec_released': False, 'precision': 'float32', 'licence': '',
         'name': 'toy', 'data': ROWS, 'measured': MEASURED, 'codec_too': True}


def filled(make):
  """What `make` would make, of small random numbers: nothing is compiled for it."""
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: (0.02 * rng.normal(size=x.shape)).astype(x.dtype), jax.eval_shape(make))


@pytest.fixture(scope='module')
def made(codec_file):
  """(Config, params, codec, table) of a model whose sizes differ from axis to axis."""
  codec = weights.load(codec_file)
  config = Config(**SIZES, codebooks=3, codes=11, speakers=3, emotions=9)
  inputs = jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32)
  params = filled(lambda: AudioLM(config).init(jax.random.key(1), *inputs)['params'])
  table = labels.Table(SPEAKERS, (210.5, None, 98.0), {'rate': [3.0, 4.5]})
  return config, params, codec, table


def test_the_card_names_what_can_be_asked_for_between_words(made):
  config, _, codec, table = made
  told = dataclasses.replace(table, between={'breath': [3, 2], 'filler': [5, 0]})
  lines = lambda nonverbal: [line for line in card.card(dict(FACTS, parameters=1), dataclasses.replace(config, knob_bins=3, nonverbal=nonverbal), codec.config,
                                                        told).splitlines() if line.startswith('| prosody knobs')]
  assert lines(True) == ['| prosody knobs | rate, breath |'] and lines(False) == ['| prosody knobs | rate |']


@pytest.fixture
def folder(made, codec_file, tmp_path):
  config, params, codec, table = made
  packaging.pack(tmp_path / 'model', config, packaging.narrowed(params, 'float32'), codec, codec_file, table, dict(FACTS))
  return tmp_path / 'model'


def test_a_model_without_its_codec_takes_the_packages_or_is_refused(made, folder):
  config, params, codec, table = made
  packaging.pack(folder, config, packaging.narrowed(params, 'float32'), codec, None, table, dict(FACTS, codec_too=False))
  assert not (folder / 'codec.safetensors').exists() and 'in every installed package' in (folder / 'README.md').read_text()
  with pytest.raises(InputError, match='the codec of this package: codec .*, the model speaks with'):
    packaging.load(folder)


def relist(folder, name):
  """Lets config.json agree with a file that was changed, as somebody would who means harm."""
  config = json.loads((folder / 'config.json').read_text())
  data = (folder / name).read_bytes()
  config['files'][name] = {'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
  (folder / 'config.json').write_text(json.dumps(config))


def rewritten(folder, **fields):
  config = json.loads((folder / 'config.json').read_text())
  (folder / 'config.json').write_text(json.dumps({**config, **fields}))


def test_what_is_loaded_is_what_was_packed(made, folder):
  config, params, codec, table = made
  packed = packaging.load(folder)
  assert (packed.model, packed.codec.name, packed.labels) == (config, codec.name, table)
  jax.tree.map(np.testing.assert_array_equal, packed.params, params)
  assert packed.facts['data'] == ROWS and packed.facts['parameters'] == sum(x.size for x in jax.tree.leaves(params))
  names = safetensors.numpy.load_file(folder / 'model.safetensors')
  assert {'/'.join(key.key for key in path) for path, _ in jax.tree_util.tree_leaves_with_path(params)} == names.keys()


def test_the_same_model_gives_the_same_bytes(made, codec_file, folder, tmp_path):
  config, params, codec, table = made
  packaging.pack(tmp_path / 'again', config, packaging.narrowed(params, 'float32'), codec, codec_file, table, dict(FACTS))
  for name in packaging.NAMES:
    assert not (folder / name).exists() or (folder / name).read_bytes() == (tmp_path / 'again' / name).read_bytes()


@pytest.mark.parametrize('precision,bits', [('bfloat16', 8), ('float16', 11)])
def test_narrower_weights_are_off_by_half_a_bit_at_most(made, codec_file, tmp_path, precision, bits):
  config, params, codec, table = made
  packaging.pack(tmp_path, config, packaging.narrowed(params, precision), codec, codec_file, table, dict(FACTS))
  packed = packaging.load(tmp_path)
  def compare(x, y):
    assert np.asarray(y).dtype == np.float32
    np.testing.assert_allclose(y, x, rtol=2.0 ** -bits, atol=2.0 ** -24)
  jax.tree.map(compare, params, packed.params)
  small = (tmp_path / 'model.safetensors').stat().st_size
  assert small < 0.7 * 4 * packed.facts['parameters']


def test_the_card_tells_sources_classes_and_numbers_and_nothing_else(folder):
  text = (folder / 'README.md').read_text()
  for words in ('| slr66 | CC-BY-SA-4.0 | C | 1.50 | 47 |', '| own | LicenseRef-own | A | 0.10 | not labelled |', '`share_alike`',
                'held_out: codes | 5.25', 'clips | 46', 'stage4, step 7', '`slr66/te_f1`', 'synthetic speech', 'No licence for the weights'):
    assert words in text, words
  assert 'wall_s' not in text and 'license:' not in text
  notice = (folder / 'NOTICE').read_text()
  assert 'He et al. 2020' in notice and 'CC-BY-SA-4.0.html' in notice and 'synthetic' in notice


@pytest.mark.parametrize('name', ['model.safetensors', 'codec.safetensors', 'README.md', 'NOTICE'])
@pytest.mark.parametrize('harm', ['cut', 'flipped', 'gone', 'longer'])
def test_a_damaged_file_is_named(folder, name, harm):
  data = bytearray((folder / name).read_bytes())
  if harm == 'flipped':
    data[len(data) // 2] ^= 1
  (folder / name).write_bytes({'cut': data[:-9], 'flipped': data, 'gone': data, 'longer': data + b' '}[harm])
  if harm == 'gone':
    (folder / name).unlink()
  with pytest.raises(InputError, match=name):
    packaging.load(folder)


class Bomb:
  """Leaves a file behind where a pickle of it is loaded."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (str(self.path), 'w')


@pytest.mark.parametrize('name', ['model.safetensors', 'codec.safetensors'])
def test_a_pickle_under_another_name_is_not_run(folder, tmp_path, name):
  canary = tmp_path / 'canary'
  (folder / name).write_bytes(pickle.dumps(Bomb(canary)))
  relist(folder, name)
  with pytest.raises(InputError, match=name):
    packaging.load(folder)
  assert not canary.exists()


def test_weights_of_other_sizes_names_or_values_are_refused(made, folder):
  flat = packaging.narrowed(made[1], 'float32')
  one = sorted(flat)[0]
  broken = np.full_like(flat[one], np.nan)
  huge = (1 << 60).to_bytes(8, 'little') + b'{}'
  for change in ({one: flat[one][..., :-1]}, {'extra': flat[one]}, {one: flat[one].astype(np.int32)}, {one: broken}, huge):
    data = change if isinstance(change, bytes) else packaging.saved(flat | change)
    (folder / 'model.safetensors').write_bytes(data)
    relist(folder, 'model.safetensors')
    with pytest.raises(InputError, match='model.safetensors'):
      packaging.load(folder)


@pytest.mark.parametrize('change', [
    {'format': 'telugu_s2s model 99'}, {'files': {}}, {'files': {'../../etc/passwd': {}}}, {'model': {'width': 16, 'of_tomorrow': 1}},
    {'model': {'width': -1}}, {'model': {'depth_heads': 0}}, {'model': 3}, {'labels': {'people': []}}, {'labels': {}}, {'codec': {}}, {'facts': 5}], ids=str)
def test_a_config_that_describes_no_model_is_refused(folder, change):
  rewritten(folder, **change)
  with pytest.raises(InputError, match='config.json'):
    packaging.load(folder)


@pytest.mark.parametrize('text', ['', '[', '[]', 'null', '[' * 100_000, '\xff'])
def test_a_config_that_is_no_json_is_refused(folder, text):
  (folder / 'config.json').write_bytes(text.encode('latin1'))
  with pytest.raises(InputError, match='config.json'):
    packaging.load(folder)


def test_a_model_with_another_codec_is_refused(made, folder, tmp_path):
  codec = made[2]
  other = jax.tree.map(lambda x: x * 1.5, codec.params)
  (folder / 'codec.safetensors').write_bytes(weights.to_bytes(other, codec.config, {}))
  relist(folder, 'codec.safetensors')
  with pytest.raises(InputError, match='the model speaks with'):
    packaging.load(folder)


def test_a_packed_model_is_told_from_a_run(folder, trained_run, tmp_path, monkeypatch):
  assert packaging.is_packed(folder) and packaging.is_packed('me/voice')
  assert not packaging.is_packed(trained_run) and not packaging.is_packed(tmp_path / 'nowhere')
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'runs').mkdir()
  assert not packaging.is_packed('runs/answerz')                 # a name beside those that are here is no name of a hub
  with pytest.raises(InputError, match='is a packed model, which can be listened to'):
    runs.loaded(folder)


def test_packing_that_is_cut_off_leaves_no_model(made, codec_file, folder, monkeypatch):
  config, params, codec, table = made
  def full(path, data):
    raise OSError(28, 'No space left on device')
  monkeypatch.setattr(packaging.files, 'write', full)
  with pytest.raises(OSError):
    packaging.pack(folder, config, packaging.narrowed(params, 'float32'), codec, codec_file, table, dict(FACTS))
  with pytest.raises(InputError, match='no packed model'):
    packaging.load(folder)


def test_a_hub_is_asked_for_the_files_of_a_model_alone(folder, monkeypatch):
  asked = []
  class HTTPError(Exception):
    pass
  def snapshot_download(name, revision, cache_dir, allow_patterns):
    asked.append((name, revision, sorted(allow_patterns)))
    if name != 'me/voice':
      raise HTTPError('404\nNot found')
    return str(folder)
  errors = types.SimpleNamespace(HfHubHTTPError=HTTPError, LocalEntryNotFoundError=HTTPError, HFValidationError=HTTPError)
  module = types.ModuleType('huggingface_hub')
  module.snapshot_download, module.errors = snapshot_download, errors
  monkeypatch.setitem(sys.modules, 'huggingface_hub', module)
  monkeypatch.setitem(sys.modules, 'huggingface_hub.errors', errors)
  assert packaging.load('me/voice', 'v1').model == packaging.load(folder).model
  assert asked == [('me/voice', 'v1', sorted(packaging.NAMES))]
  with pytest.raises(InputError, match=r'me/none: cannot be fetched .*404'):
    packaging.load('me/none')


@pytest.mark.parametrize('name', ['nowhere', 'a/b/c', '../up', 'own er/x', '/absolute/x'])
def test_what_is_neither_a_folder_nor_a_name_of_a_hub_is_refused(name):
  with pytest.raises(InputError, match='no such folder'):
    packaging.load(name)


def test_a_hub_that_is_offline_gives_what_it_keeps_and_else_a_line(folder, tmp_path, monkeypatch):
  constants = pytest.importorskip('huggingface_hub.constants', reason='needs huggingface_hub: pip install -e .[hub]')
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)                 # as the variable of that name sets it
  with pytest.raises(InputError, match='me/voice: cannot be fetched'):
    packaging.load('me/voice', cache=tmp_path / 'cache')
  kept = tmp_path / 'cache/models--me--voice'
  shutil.copytree(folder, kept / 'snapshots' / ('0' * 40))
  (kept / 'refs').mkdir()
  (kept / 'refs/main').write_text('0' * 40)
  assert packaging.load('me/voice', cache=tmp_path / 'cache').model == packaging.load(folder).model


@pytest.fixture(scope='module')
def trained_run(codec_file, tmp_path_factory):
  """A run of stage 2 as if it had been saved before it learnt anything, with its tokens."""
  folder = tmp_path_factory.mktemp('run')
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/stage2.py'))['get_config']()
  config.update(dict(codec=str(codec_file), batch=8, frames=20, model=SIZES))
  config.data.update(dict(audio=str(excerpt(folder / 'audio', 5, 3)), workers=0))
  loop.begin(config, folder)
  codec = weights.load(codec_file)
  stage2.token_folders(config, folder, codec)
  saved = checkpoints.Checkpoints(folder / 'checkpoints')
  saved.save(3, filled(lambda: runs.state_of(config, stage2.sizes(config, codec), jax.random.key(0))),
             {'data': json.loads((folder / 'tokens/train/manifest.json').read_bytes())['content']})
  saved.close()
  (folder / 'summary.json').write_text(json.dumps({'held_out': {'codes': 2.5}, 'clips': 3}))
  return folder


@pytest.mark.slow
def test_a_run_is_packed_with_its_data_and_its_numbers(trained_run, tmp_path, capsys):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/package.py'))['get_config']()
  config.update(dict(run=str(trained_run), precision='bfloat16', licence='Apache-2.0'))
  packaging.run(config, tmp_path)
  assert 'held-out loss' in capsys.readouterr().out
  packed = packaging.load(tmp_path / 'model')
  assert packed.facts['measured'] == {'held_out': {'codes': 2.5}, 'clips': 3} and packed.facts['step'] == 3
  lost = packed.facts['loss_of_precision']
  assert lost['float32'] == pytest.approx(np.log(11), abs=0.5)           # 11 codes, nothing learnt
  assert 0 < abs(lost['packed'] - lost['float32']) < 0.01
  assert [row['licence'] for row in packed.facts['data']] == ['CC0-1.0']
  manifest = json.loads((trained_run / 'tokens/train/manifest.json').read_text())
  assert packed.facts['data'][0]['seconds'] == pytest.approx(manifest['seconds'], abs=0.1)
  text = (tmp_path / 'model/README.md').read_text()
  assert 'license: apache-2.0' in text and 'given under Apache-2.0' in text


@pytest.mark.slow
def test_a_run_and_what_was_packed_from_it_are_the_same_voice(trained_run, tmp_path, monkeypatch):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/package.py'))['get_config']()
  config.update(dict(run=str(trained_run)))
  packaging.run(config, tmp_path)
  monkeypatch.setattr(packed, 'SHIPPED', tmp_path / 'model')
  one, other = runs.voice(trained_run), runs.voice()
  assert (one.model, one.codec.name, one.stage, one.labels.speakers) == (other.model, other.codec.name, other.stage, other.labels.speakers)
  jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
  with pytest.raises(InputError, match='not trained on; give the run that it was packed from'):
    stage3.begun(tmp_path / 'model', False, 0, 0)


def test_a_run_whose_data_is_gone_is_not_packed(trained_run, tmp_path):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/package.py'))['get_config']()
  config.update(dict(run=str(trained_run), tokens=str(tmp_path / 'nowhere')))
  with pytest.raises(InputError, match='nowhere'):
    packaging.run(config, tmp_path)
  config.update(dict(tokens='', precision='int3'))
  with pytest.raises(InputError, match='int3'):
    packaging.run(config, tmp_path)
  assert not (tmp_path / 'model').exists()


def test_a_run_whose_tokens_are_others_now_is_not_packed_with_their_licence(trained_run, tmp_path):
  run = tmp_path / 'run'
  shutil.copytree(trained_run, run)
  manifest = run / 'tokens/train/manifest.json'
  manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {'content': 'other'}))
  with pytest.raises(InputError, match='not the tokens that .* has learnt from'):
    runs.tokens_of(run)
  assert runs.tokens_of(trained_run) == [trained_run / 'tokens/train']


def test_a_run_is_not_packed_over_itself(trained_run):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/package.py'))['get_config']()
  config.update(dict(run=str(trained_run), out='.'))
  before = (trained_run / 'config.json').read_bytes()
  with pytest.raises(InputError, match='config.out'):
    packaging.run(config, trained_run)
  assert (trained_run / 'config.json').read_bytes() == before


def test_the_data_of_earlier_stages_count_too(tmp_path):
  for name, fields in {'s2': {'job': 'stage2'}, 's3': {'job': 'stage3', 'run': str(tmp_path / 's2')}}.items():
    files.write(tmp_path / name / 'config.json', json.dumps({'text': {'vocabulary': ''}, 'data': {'tokens': str(tmp_path / f't-{name}')},
                                                             **fields}).encode())
  assert runs.tokens_of(tmp_path / 's3') == [tmp_path / 't-s2/train', tmp_path / 't-s3/train']
  assert runs.tokens_of(tmp_path / 's3', 'a, b/c') == [pathlib.Path('a'), pathlib.Path('b/c')]
  shutil.rmtree(tmp_path / 's2')
  with pytest.raises(InputError, match='config.tokens'):
    runs.tokens_of(tmp_path / 's3')
