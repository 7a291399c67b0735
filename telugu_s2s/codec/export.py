"""A codec's streaming steps as StableHLO with the weights inside: files that run without this package.

Each is a `jax.export` artefact: JAX calls it as it is, and other runtimes take the StableHLO in it. One program
serves any number of streams. Three of them make a codec:

begin    x [b] -> (hears, speaks), the states of b streams that have heard nothing
encode   audio f32[b frames*hop], hears -> codes i32[b frames q], hears
decode   codes i32[b frames q], speaks -> audio f32[b frames*hop], speaks
"""
import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from telugu_s2s.audio import files
from telugu_s2s.codec import weights
from telugu_s2s.codec.model import Codec, empty_states
from telugu_s2s.codec.streaming import FEW
from telugu_s2s.errors import InputError

PLATFORMS = ('cpu', 'cuda', 'tpu')
SUFFIX = '.stablehlo'

README = """\
# Codec {name}

Speech at {rate} Hz, mono, to {codebooks} codes of {bits} bits {frame_rate:g} times a second, and back, as a stream: no look-ahead.
Made by `{package}`. The three programs hold the weights and run on {platforms}, each on any number of
streams, {frames} frame(s) of {hop} samples at a time, with `flatbuffers` and `jax` {jax} (one up to half a year newer reads it too):

    import jax, numpy as np

    def program(name):
      return jax.jit(jax.export.deserialize(bytearray(open(f'{{name}}.stablehlo', 'rb').read())).call)

    begin, encode, decode = map(program, ('begin', 'encode', 'decode'))
    hears, speaks = begin(np.zeros(1, np.float32))                # one value a stream
    audio = np.zeros((1, {samples}), np.float32)                     # the next samples, in [-1, 1]
    codes, hears = encode(audio, hears)                           # i32[1 {frames} {codebooks}]
    audio, speaks = decode(codes{some}, speaks)

| file | |
|---|---|
| `begin.stablehlo`, `encode.stablehlo`, `decode.stablehlo` | `jax.export` artefacts; `.mlir_module()` of one is its StableHLO |
| `codec.safetensors` | the weights, float16, with sizes and training facts as metadata |
| `config.json` | name, sizes, what the programs take |
"""


def run(config, workdir) -> None:
  """The job 'export': a codec as programs, weights, sizes and a page on them, in the folder `config.out` of workdir.

  Raises:
    InputError: the codec or a setting cannot be used.
  """
  trained = weights.load(config.codec)
  c, out = trained.config, Path(workdir) / config.out
  levels = c.codebooks if config.levels is None else config.levels
  if not 1 <= levels <= c.codebooks:
    raise InputError(f'config.levels: {levels}; codec {trained.name} has 1 to {c.codebooks}')
  if config.frames < 1:
    raise InputError(f'config.frames: {config.frames}; a program reads 1 frame or more at a time')
  for name, data in to_bytes(trained, config.frames, levels).items():
    files.write(out / (name + SUFFIX), data)
    print(f'{out / (name + SUFFIX)}: {len(data) / 2**20:.1f} MiB', flush=True)
  files.write(out / 'codec.safetensors', weights.file(config.codec).read_bytes())
  facts = {'name': trained.name, 'config': dataclasses.asdict(c), 'hop': c.hop, 'frame_rate': c.frame_rate,
           'frames': config.frames, 'levels': levels, 'platforms': PLATFORMS, 'jax': jax.__version__}
  files.write(out / 'config.json', (json.dumps(facts, indent=1) + '\n').encode())
  page = README.format(name=trained.name, rate=c.rate, codebooks=c.codebooks, bits=(c.codes - 1).bit_length(),
                       frame_rate=c.frame_rate, platforms=', '.join(PLATFORMS), frames=config.frames, hop=c.hop,
                       samples=config.frames * c.hop, jax=jax.__version__, package=__name__.partition('.')[0],
                       some='' if levels == c.codebooks else f'[..., :{levels}]')
  files.write(out / 'README.md', page.encode())
  print(f'{out}: codec {trained.name} for {", ".join(PLATFORMS)}, {config.frames} frame(s) a step, {levels} levels decoded')


def to_bytes(trained: weights.Trained, frames: int = 1, levels: int | None = None) -> dict[str, bytes]:
  """{'begin', 'encode', 'decode': the bytes of a program}.

  Args:
    trained: the codec; its weights go in as they are, float32.
    frames: code frames of one step.
    levels: codebooks that `decode` takes, None for all.
  """
  c, codec = trained.config, Codec(trained.config, unrolled=frames <= FEW)
  b, = export.symbolic_shape('b')
  array = lambda *shape, dtype=jnp.float32: jax.ShapeDtypeStruct(shape, dtype)
  states = lambda x: empty_states(c, x.shape[0])
  hears, speaks = jax.eval_shape(states, array(b))
  step = lambda method: lambda x, state: codec.apply({'params': trained.params}, x, state, method=method)
  made = {'begin': (states, array(b)),
          'encode': (step('encode'), array(b, frames * c.hop), hears),
          'decode': (step('decode'), array(b, frames, levels or c.codebooks, dtype=jnp.int32), speaks)}
  return {name: bytes(export.export(jax.jit(call), platforms=PLATFORMS)(*inputs).serialize())
          for name, (call, *inputs) in made.items()}


def from_bytes(data: bytes):
  """The program in the bytes of a file, compiled when it is first called."""
  return jax.jit(export.deserialize(bytearray(data)).call)
