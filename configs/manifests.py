"""Manifests: prepared segments as FLAC files with Lhotse and NeMo manifests, for other toolkits.

    python -m telugu_s2s.main --config=configs/manifests.py --config.segments=runs/prepared/segments --workdir=runs/manifests

Gives, in manifests/ below the workdir, audio/, recordings.jsonl.gz and supervisions.jsonl.gz (Lhotse), manifest.jsonl
(NeMo) and DATA_NOTICE.md. Paths are relative to that folder: NeMo reads them so, Lhotse after .with_path_prefix(FOLDER).
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'manifests'
  config.segments = ''                       # a folder of prepared segments; '' = made first, from data
  config.out = 'manifests'                   # below the workdir
  config.data = dict(                        # more on each in configs/prepare.py
      audio='', split='train', profile='commercial_attribution', exclude='', licence='LicenseRef-own',
      shortest_s=1.0, longest_s=20.0, clipped=0.01, workers=-1)
  return config
