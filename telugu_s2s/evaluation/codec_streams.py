"""What a frame takes on this machine's device where streams are encoded and decoded side by side: wall time, the copies included."""
import jax
import numpy as np

from telugu_s2s.codec import model, streaming
from telugu_s2s.evaluation import codec_speed, codec_training


def measure(config) -> dict:
  """Prints and returns {name, parameters, frame_ms, streams: {number: {encode_ms, decode_ms}}} of the codec `config.codec`."""
  trained = codec_speed.trained(config.codec)
  c = trained.config
  result = {'name': trained.name, 'parameters': codec_training.count(trained.params), 'frame_ms': 1000 * c.hop / c.rate,
            'streams': {}}
  print(f'{trained.name}, {result["parameters"] / 1e6:.1f} M parameters on {jax.devices()[0].device_kind}: median of {config.frames} frames')
  for streams in config.streams:
    found = result['streams'][str(streams)] = timed(trained, streams, config.frames)
    print(f'{streams:>3} stream(s): {found["encode_ms"]:.2f} + {found["decode_ms"]:.2f} ms of a frame\'s {result["frame_ms"]:.0f}', flush=True)
  return result


def timed(trained, streams: int, frames: int) -> dict:
  """{encode_ms, decode_ms}: a frame of so many streams, from audio on the host to codes on the host, and back."""
  c, params = trained.config, streaming.taken_apart(trained.params)
  audio = 0.05 * np.random.default_rng(0).standard_normal((streams, c.hop)).astype(np.float32)
  codes = np.zeros((streams, 1, c.codebooks), np.int32)
  states = model.empty_states(c, streams)
  result = {}
  for name, piece, state in (('encode', audio, states[0]), ('decode', codes, states[1])):
    step, box = streaming.step(c, name), [state]

    def frame():
      out, box[0] = step(params, piece, box[0])
      np.asarray(out)
    result[f'{name}_ms'] = 1000 * codec_training.timed(frame, frames, f'{name} {streams}')
  return result
