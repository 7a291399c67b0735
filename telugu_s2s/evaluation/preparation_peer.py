"""Lhotse's way from files to FLAC at 16 kHz: the pipeline that preparation is timed beside."""
import importlib.util

REMEDY = 'pip install -e .[peers] -c constraints.txt'
# Run by a process of its own: Lhotse loads torch. It decodes, resamples to 16 kHz, cuts windows of 20 s and writes FLAC
# in Shar archives with their cuts, which is less than ours does: no hashes, no pauses, no measures.
CODE = """
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import lhotse

def shard(job):
  paths, out = job
  recordings = lhotse.RecordingSet.from_recordings(lhotse.Recording.from_file(path) for path in paths)
  cuts = lhotse.CutSet.from_manifests(recordings=recordings.resample(16000)).cut_into_windows(20)
  Path(out).mkdir(parents=True)
  cuts.to_shar(out, fields={'recording': 'flac'}, shard_size=None, num_jobs=1, verbose=False)

folder, out, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
paths = sorted(str(path) for path in Path(folder).iterdir())
jobs = [(paths[part::8], f'{out}/{part}') for part in range(8) if paths[part::8]]
# Processes by fork, which know `shard` of a program that stands in no file.
import multiprocessing
with ProcessPoolExecutor(workers, multiprocessing.get_context('fork')) as pool:
  list(pool.map(shard, jobs))
print(len(paths))
"""


def installed() -> bool:
  return importlib.util.find_spec('lhotse') is not None
