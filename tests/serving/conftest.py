"""A voice of random weights and small, different sizes; a config of the server."""
import jax
import jax.numpy as jnp
import pytest

from telugu_s2s import main, usage
from telugu_s2s.codec import weights
from telugu_s2s.lm import drawing, model
from telugu_s2s.serving import engine as engines
from telugu_s2s.serving import voice
from telugu_s2s.tokens import encoding, labels


@pytest.fixture(scope='session')
def tiny(codec_file):
  """A voice with two speakers, three emotions, rates of speech, breaths and fillers; a frame is 20 ms."""
  trained = weights.load(codec_file)
  config = model.Config(width=16, layers=2, heads=2, kv_heads=1, head_width=8, ffn=20, depth_width=12, depth_layers=1, depth_heads=3,
                        depth_ffn=14, codebooks=3, codes=11, prosody_codes=5, window=40, sinks=2, dtype='float32', speakers=2,
                        voice_width=6, emotions=3, knob_bins=4, nonverbal=True)
  params = jax.jit(model.AudioLM(config).init)(jax.random.key(1), jnp.zeros((1, 2, 4, 3), jnp.int32), jnp.zeros((1, 4), jnp.int32))
  # Heads and attention that begin at almost nothing would say the same whatever was heard.
  params = jax.tree_util.tree_map_with_path(lambda path, x: 30 * x if path[-1].key.startswith(('head', 'wo_')) else x, params['params'])
  silence = tuple(int(code) for code in encoding.Encoder(trained, batch=1).silence())
  return voice.Voice('tiny', config, params, trained, silence, ('a/one', 'a/two'), ('breath', 'filler'),
                     emotions=labels.EMOTIONS[:3])


@pytest.fixture(scope='module', autouse=True)
def programs():
  """What this room compiles is kept from file to file: it is all one engine's."""


@pytest.fixture(scope='module')    # where tests of other rooms come between two files they let go of what the first one compiled
def engine(tiny):
  """An engine of three places that draws so hotly that all it heard, was told and was seeded with can be told from what it says."""
  made = engines.Engine(tiny, 3, drawing.Sampling(2.0, 0), seed=5).start()
  yield made
  made.stop()


@pytest.fixture
def config():
  """configs/serve.py, at a free port, with what a test changes."""
  found = main.load(usage.ROOT + '/configs/serve.py', [])
  found.update(port=0, sessions=3, drain_s=2.0, idle_s=60.0)
  return found
