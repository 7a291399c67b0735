"""Benchmarks: each prints its table and writes it, with the command and the machine, to the workdir.

codec  quality on held-out clips, and the real-time factor on one CPU thread, whole and frame by frame.
lm     training and decoding speed of the toy language model.

    python -m telugu_s2s.main --config=configs/benchmark.py:codec --config.data.audio=DIR
    python -m telugu_s2s.main --config=configs/benchmark.py:lm
"""
import ml_collections

SIZES = ('codec', 'lm')


def get_config(size='codec'):
  {'codec': 1, 'lm': 1}[size]
  config = ml_collections.ConfigDict()
  config.job = 'benchmark'
  config.name = size
  config.seed = 0
  config.codec = ''                          # a codec's file; '' = the released one
  config.levels = 8                          # codebooks that are decoded
  config.keep_wavs = False                   # writes the decoded clips too
  config.batch = 16                          # lm: rows of a training step
  config.frames = 80                         # lm: frames of a row
  config.repeats = 10                        # lm: timed steps
  config.data = dict(
      audio='', split='eval', profile='research', exclude='', licence='LicenseRef-own',
      shortest_s=1.0, longest_s=20.0, clipped=1.0, workers=-1)
  return config
