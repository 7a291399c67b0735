"""Report: one HTML page of prepared segments: hours, distributions, what was left out and why, pictures and sound.

    python -m telugu_s2s.main --config=configs/report.py --config.segments=runs/prepared/segments

Gives report.html beside the segments, a page of at most 3 MB that needs nothing else. Preparation makes it too.
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'report'
  config.segments = ''          # a folder of prepared segments; '' = segments/ below the workdir
  return config
