"""How fast other codecs run, measured like ours: `python -m telugu_s2s.evaluation.peers` prints JSON.

EnCodec (Defossez et al., 2022), DAC for 16 kHz (Kumar et al., 2023) and Mimi (Defossez et al., 2024) as transformers
has them, with random weights, which are as fast as trained ones and need no download.
"""
import importlib.util
import json

import numpy as np

from telugu_s2s.evaluation.codec_speed import SECONDS, cpu_seconds

REMEDY = 'pip install -e .[peers] -c constraints.txt'
FRAMES = 25                      # of Mimi, one by one
REPEATS = 2                      # after one that warms up; the slow ones take seconds each


def installed() -> bool:
  return all(importlib.util.find_spec(name) for name in ('torch', 'transformers'))


def measure() -> dict:
  """{codec: {encode, decode, parameters}}, seconds of audio per CPU second; of Mimi also ms a frame, one by one."""
  import torch
  import transformers as peers
  torch.set_num_threads(1)
  torch.manual_seed(0)
  with torch.inference_mode():
    encodec = peers.EncodecModel(peers.EncodecConfig()).train(False)
    dac = peers.DacModel(peers.DacConfig(downsampling_ratios=[2, 4, 5, 8], n_codebooks=12)).train(False)
    mimi = peers.MimiModel(peers.MimiConfig()).train(False)
    return {
        'EnCodec 24 kHz, 8 levels': _whole(encodec, lambda x: encodec.encode(x, bandwidth=6.0),
                                           lambda found: encodec.decode(found.audio_codes, found.audio_scales)),
        'DAC 16 kHz, 12 levels': _whole(dac, dac.encode, lambda found: dac.decode(audio_codes=found.audio_codes)),
        'Mimi 24 kHz, 8 levels': _whole(mimi, lambda x: mimi.encode(x, num_quantizers=8),
                                        lambda found: mimi.decode(found.audio_codes)) | _streamed(mimi)}


def _noise(samples):
  import torch
  return torch.from_numpy(0.05 * np.random.default_rng(0).standard_normal((1, 1, samples), np.float32))


def _whole(model, encode, decode):
  audio = _noise(round(SECONDS * model.config.sampling_rate))
  codes = encode(audio)
  return {'encode': SECONDS / cpu_seconds(lambda: encode(audio), REPEATS),
          'decode': SECONDS / cpu_seconds(lambda: decode(codes), REPEATS),
          'parameters': sum(x.numel() for x in model.parameters())}


def _streamed(mimi):
  """ms of CPU time a frame when Mimi hears and speaks frame by frame."""
  frame = _noise(round(mimi.config.sampling_rate / mimi.config.frame_rate))
  codes = mimi.encode(frame, num_quantizers=8).audio_codes

  def hear():
    keys, tails = None, None
    for _ in range(FRAMES):
      found = mimi.encode(frame, num_quantizers=8, encoder_past_key_values=keys, padding_cache=tails, use_streaming=True)
      keys, tails = found.encoder_past_key_values, found.padding_cache

  def speak():
    keys = None
    for _ in range(FRAMES):
      keys = mimi.decode(codes, decoder_past_key_values=keys).decoder_past_key_values

  return {'encode_ms': 1000 * cpu_seconds(hear, REPEATS) / FRAMES, 'decode_ms': 1000 * cpu_seconds(speak, REPEATS) / FRAMES,
          'frame_ms': 1000 / mimi.config.frame_rate}


if __name__ == '__main__':
  print(json.dumps(measure()))
