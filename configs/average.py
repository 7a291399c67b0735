"""Averages codecs of one descent: the mean of the weights of a codec and of what was trained on from it. It is often better than each of them.

    python -m telugu_s2s.main --config=configs/average.py "--config.codecs=('small', 'runs/codec/codec.safetensors')" --workdir=runs/average
    python -m telugu_s2s.main --config=configs/average.py "--config.codecs=('A', 'B', 'C')" "--config.shares=(2.0, 1.0, 1.0)"
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'average'
  config.codecs = ('small', 'runs/codec/codec.safetensors')         # released ones or files, of the same sizes, two at least
  config.shares = ()                         # of each, in any unit; () = equal ones
  config.out = 'codec.safetensors'           # below the workdir
  return config
