"""Corpora: the catalogue of Telugu speech, and what a build profile gets from it by licence, style and speakers.

Nothing is downloaded. corpora.json in the workdir holds every fact with where it was read.

    python -m telugu_s2s.main --config=configs/corpora.py
    python -m telugu_s2s.main --config=configs/corpora.py --config.profile=no_attribution
    python -m telugu_s2s.main --config=configs/corpora.py --config.source=kathbath
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'corpora'
  config.profile = 'commercial_attribution'    # no_attribution, commercial_attribution, share_alike, research
  config.source = ''                           # an id: that source whole; '' = all as a table
  return config
