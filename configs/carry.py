"""Carry: a folder of recordings as Opus files with their manifest, small enough for a machine behind a narrow door.

The folder it makes is taken by every job as config.data.audio.

    python -m telugu_s2s.main --config=configs/carry.py --config.data.audio=DIR --config.megabytes=45 --workdir=runs/carry
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'carry'
  config.out = 'carried'                     # below the workdir
  config.megabytes = 45.0                    # of all files together
  config.splits = ('train',)                 # ('train', 'eval'): what is held out travels too, for stages that measure on it
  config.data = dict(                        # more on each in configs/prepare.py
      audio='', profile='commercial_attribution', exclude='', licence='LicenseRef-own',
      shortest_s=1.0, longest_s=20.0, clipped=0.01, workers=-1)
  return config
