"""Lhotse's way from files to FLAC at 16 kHz: the pipeline that preparation is timed beside."""
import importlib.util

REMEDY = 'pip install -e .[peers] -c constraints.txt'
# Run by a process of its own: Lhotse loads torch. It decodes, resamples to 16 kHz, cuts and writes FLAC in Shar archives
# with their cuts. Cut blindly into windows of 20 s that is less than ours does; cut at the pauses that the package
# silero_vad finds it is the same but for hashes, measures and transcripts.
CODE = """
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import lhotse

def cuts(recording, activity):
  cut = recording.resample(16000).to_cut()
  if not activity:
    yield from cut.cut_into_windows(20)
    return
  cut = cut.move_to_memory(audio_format='wav')         # decoded once
  speech = silero_vad.get_speech_timestamps(torch.from_numpy(cut.load_audio()[0]), network, max_speech_duration_s=20)
  start = end = None
  for part in speech:
    if start is None or part['end'] - start > 20 * 16000:
      if start is not None:
        yield cut.truncate(offset=start / 16000, duration=(end - start) / 16000)
      start = part['start']
    end = part['end']
  if start is not None:
    yield cut.truncate(offset=start / 16000, duration=(end - start) / 16000)

def shard(job):
  global silero_vad, torch, network
  paths, out, activity = job
  if activity:
    import silero_vad, torch
    torch.set_num_threads(1)
    network = silero_vad.load_silero_vad()
  Path(out).mkdir(parents=True)
  found = lhotse.CutSet.from_cuts(cut for path in paths for cut in cuts(lhotse.Recording.from_file(path), activity))
  found.to_shar(out, fields={'recording': 'flac'}, shard_size=None, num_jobs=1, verbose=False)

folder, out, workers, activity = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == 'silero'
paths = sorted(str(path) for path in Path(folder).iterdir())
jobs = [(paths[part::8], f'{out}/{part}', activity) for part in range(8) if paths[part::8]]
# Processes by fork, which know `shard` of a program that stands in no file.
import multiprocessing
with ProcessPoolExecutor(workers, multiprocessing.get_context('fork')) as pool:
  list(pool.map(shard, jobs))
print(len(paths))
"""


def installed() -> bool:
  return importlib.util.find_spec('lhotse') is not None
