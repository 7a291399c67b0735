"""Export: a codec as StableHLO programs that run without this package, with its weights, sizes and a page on their use.

    python -m telugu_s2s.main --config=configs/export.py --workdir=runs/export
    python -m telugu_s2s.main --config=configs/export.py --config.codec=FILE --config.frames=25
"""
import ml_collections
from ml_collections import config_dict


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'export'
  config.codec = 'small'                     # tiny or small, the released ones, or a codec's file
  config.out = 'exported'                    # below the workdir
  config.frames = 1                          # code frames of one step: 1 for the lowest latency, more for speed
  config.levels = config_dict.placeholder(int)         # codebooks that are decoded; None = all
  return config
