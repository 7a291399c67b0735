"""Preparation: any folder of recordings becomes shards of 16 kHz segments. No GPU; 1 h takes about 20 s a core.

    python -m telugu_s2s.main --config=configs/prepare.py --config.data.audio=DIR --workdir=runs/prepared

Gives segments/ below the workdir: the shards, manifest.json, report.tsv (what was left out, and why) and
DATA_NOTICE.md (sources and licences). A rerun makes only what is missing.
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'prepare'
  config.out = 'segments'                 # below the workdir
  config.data = dict(
      audio='',                           # a folder of wav, flac, mp3, ogg, opus; '' = the sample corpus
      split='train',                      # '' = all
      profile='commercial_attribution',   # no_attribution, commercial_attribution, share_alike, research
      exclude='',                         # a glob on paths, such as 'radio/*'
      licence='LicenseRef-own',           # of files whose manifest names none
      shortest_s=1.0,
      longest_s=20.0,
      clipped=0.01,                       # greatest share of clipped samples
      workers=-1)                         # processes; -1 = one a core, 0 = this one
  return config
