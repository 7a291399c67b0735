"""Preparation: any folder of recordings becomes shards of 16 kHz segments. No GPU; 1 h takes about 20 s a core.

    python -m telugu_s2s.main --config=configs/prepare.py --config.data.audio=DIR --workdir=runs/prepared
    python -m telugu_s2s.main --config=configs/prepare.py --config.sources=fleurs,DIR --workdir=runs/prepared

Gives segments/ below the workdir: the shards, manifest.json, report.html, report.tsv (what was left out, and why) and
DATA_NOTICE.md (sources and licences). A rerun makes only what is missing.

The size cluster spreads the shards over a Ray cluster and writes the same bytes; a machine that is lost costs the
shards it had in hand. Every machine has this code (pip install -e .[cluster] -c constraints.txt), the file
~/.ray/auth_token of the first one, and the recordings and the workdir under the same paths. On every machine:

    export RAY_AUTH_MODE=token
    ray start --head                      # on the first one; on the others: ray start --address=FIRST:6379
    python -m telugu_s2s.main --config=configs/prepare.py:cluster --config.data.audio=DIR --workdir=DIR   # on one
"""
import ml_collections

SIZES = ('machine', 'cluster')


def get_config(size='machine'):
  config = ml_collections.ConfigDict()
  config.job = 'prepare'
  config.out = 'segments'                 # below the workdir
  config.sources = ''                     # folders, and ids of configs/corpora.py that are fetched first, with commas
  config.fetch = dict(                    # how they are fetched; more on each in configs/fetch.py
      allow=(), urls=(), services=dict(hub='', archive='', commons='', librivox=''), contact='', most_gb=100.0)
  config.data = dict(
      audio='',                           # a folder of wav, flac, mp3, ogg, opus, m4a, aac, mp4, webm; '' = the sample corpus
      split='train',                      # '' = all
      profile='commercial_attribution',   # no_attribution, commercial_attribution, share_alike, research
      exclude='',                         # a glob on paths, such as 'radio/*'
      licence='LicenseRef-own',           # of files whose manifest names none
      shortest_s=1.0,
      longest_s=20.0,
      clipped=0.01,                       # greatest share of clipped samples
      activity='energy',                  # what tells speech from pauses; 'silero' leaves out music and noise
      mos='',                             # p808, p835: DNSMOS, what listeners would say
      measures='basic',                   # 'full': pitch, energy range and speaking rate too
      workers=-1,                         # processes; -1 = one a core, 0 = this one
      engine='ray' if size == 'cluster' else 'local',     # local = processes of this machine
      address='auto' if size == 'cluster' else '',    # of Ray: auto, host:port; '' = a Ray on this machine alone
      eval_share=0.0,                     # of speakers, and of sentences, held out of what no corpus holds out itself
      seed=0,                             # of that choice
      filters=dict(                       # lowest and highest; a segment beyond them is left out
          snr_db=(-1e9, 1e9), bandwidth_hz=(0.0, 1e9), rms_dbfs=(-1e9, 1e9), seconds=(0.0, 1e9),
          clipped=(), mos=(), sig=(), bak=(), ovr=(), f0_median_hz=(), f0_range_st=(), energy_range_db=(), voiced=(),
          syllables_per_s=(), breaths=(), fillers=()),       # where measured, see mos, measures; () = any
      near_duplicates=True,               # leaves out copies that sound alike, even from other sources
      text_cap=0,                         # most segments of one sentence; 0 = any number
      shard_mb=128.0,                     # of original files in a shard, at most; less spreads the work more evenly
      report=True)                        # report.html: what is in it, with pictures
  return config
