"""Segments to tokens: the codec's codes and the prosody codes of prepared segments, in ArrayRecord shards.

100 hours take about an hour on 2 CPU cores. A rerun makes what is missing and says what it kept.

    python -m telugu_s2s.main --config=configs/prepare.py --workdir=runs/mine
    python -m telugu_s2s.main --config=configs/tokenize.py --config.segments=runs/mine/segments --workdir=runs/mine
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'tokenize'
  config.segments = ''                       # the folder that configs/prepare.py made
  config.codec = ''                          # a codec's file; '' = the released one
  config.out = 'tokens'                      # below the workdir
  return config
