"""Eight CPU devices for every test, so that meshes are real; tests marked `gpu` run only where there is one.

No compilation cache between runs: XLA's CPU code is made for the machine at hand, and a cache that travels crashes.
"""
import os

import jax

# Tiny programs run in no time and are compiled for long: half the time of the tests. Set JAX_DISABLE_MOST_OPTIMIZATIONS=0 to test what ships.
LESS = os.environ.get('JAX_DISABLE_MOST_OPTIMIZATIONS', '1') != '0'
# On a busy machine eight simulated devices take longer to meet than the 40 s after which XLA ends the process.
FLAGS = ['--xla_cpu_collective_call_terminate_timeout_seconds=300']
if LESS and jax.__version_info__ < (0, 11):    # XLA ends the process at a flag that it does not know
  FLAGS += ['--xla_cpu_use_fusion_emitters=false', '--xla_cpu_parallel_codegen_split_count=1']
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), *FLAGS]).strip()     # read at the first use of jax
jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_disable_most_optimizations', LESS)

from absl import flags
import jax.numpy as jnp
import pytest

from telugu_s2s.audio import files
from telugu_s2s.codec import model, weights
from telugu_s2s.preparation.prepare import SAMPLE

flags.FLAGS.mark_as_parsed()                   # grain's readers ask for parsed flags


# Everything of the codec: its room, its training and teaching, its tool and its measures.
CODEC = ('tests/codec/', 'tests/evaluation/test_co', 'tests/evaluation/test_pa', 'tests/evaluation/test_pe', 'test_quality.py',
         'test_code_file.py', 'test_transcode.py', 'test_graphemes.py', 'test_units.py', 'test_augment.py', 'test_crops.py',
         'test_spoken.py', 'test_codec_step.py', 'test_stage1.py')


# Everything of the audio language model.
LM = ('tests/lm/', 'tests/planning/', 'test_lm_', 'test_stage2.py', 'test_packed.py', 'test_epochs.py', 'test_distilling.py',
      'test_stage3.py', 'test_turns.py', 'test_hosts.py', 'test_loop.py', 'test_optimiser.py',
      'test_checkpoints.py', 'test_stages_on_meshes.py', 'test_batches.py', 'test_directions.py')
# Of the slow tests those that train, compile or start the most: with them all the tests take more than 20 minutes of two cores.
LONG = ('tests/planning/', 'test_hosts.py', 'test_lm_step.py', 'test_lm_speed.py', 'test_aligner.py', 'test_voices.py', 'test_notebooks.py',
        'test_packed.py', 'test_stopping.py', 'test_distilling.py', 'test_stage3.py', 'test_curriculum.py', 'tests/evaluation/test_turn', 'tests/evaluation/test_drift',
        'tests/evaluation/test_control', 'test_packaging.py', 'test_own_play.py', 'test_heads.py', 'test_stages_on_meshes.py', 'test_stage1.py', 'test_stage2_text.py',
        'test_rows_of_several_clips', 'test_processes_make_the_same_bytes', 'test_a_hundred_thousand_rows', 'test_the_largest_page',
        'test_a_worker_that_is_killed_costs_its_shard', 'test_a_voice_with', 'test_until_a_new_manifest', 'test_a_narrowed_model', 'test_nats_of_a_clip',
        'test_a_reply_that_was_asked_for_begins')
SHARDING = ('test_axes.py', 'test_stages_on_meshes.py', 'test_loop.py')     # real meshes, of eight simulated devices


def pytest_collection_modifyitems(items):
  for item in items:
    if any(part in item.path.as_posix() for part in LM):
      item.add_marker('lm')
    if any(part in item.path.as_posix() for part in SHARDING):
      item.add_marker('sharding')
    if 'tests/serving/' in item.path.as_posix():
      item.add_marker('serving')
    if any(part in item.path.as_posix() for part in CODEC):
      item.add_marker('codec')
    if item.get_closest_marker('slow') and any(part in item.nodeid for part in LONG):
      item.add_marker('long')
  wanted = [item for item in items if item.get_closest_marker('gpu')]
  if wanted and jax.default_backend() != 'gpu':
    for item in wanted:
      item.add_marker(pytest.mark.skip(reason='needs a GPU'))


@pytest.fixture(scope='module', autouse=True)
def programs():
  """Lets go of compiled programs after each file: all together they have more memory maps than Linux lets a process have."""
  yield
  jax.clear_caches()


@pytest.fixture(scope='session')
def codec_file(tmp_path_factory):
  """The file of an untrained codec, whose sizes differ from axis to axis: 50 frames a second of 3 codes of 11."""
  config = model.Config(strides=(16, 10), channels=(10, 12), heads=2, encoder_layers=1, decoder_layers=2, ffn=20,
                        window=8, codebooks=3, codes=11)
  params = jax.jit(model.Codec(config).init)(jax.random.key(0), jnp.zeros((1, 2 * config.hop)))['params']
  path = tmp_path_factory.mktemp('codec') / 'codec.safetensors'
  path.write_bytes(weights.to_bytes(params, config, {}))
  return path


@pytest.fixture(scope='session')
def speech():
  """Three spoken sentences, f32 at 16 kHz."""
  return [files.read(SAMPLE / 'audio' / f'{name}.opus')[0] for name in ('q001-mezzo', 'a001-buzz', 'a002-deep')]
