"""How fast batches of the audio LM are made from token shards, beside what a GPU takes."""
import shutil
import time
from pathlib import Path

import numpy as np
import tqdm

from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import recipes
from telugu_s2s.lm.model import Config
from telugu_s2s.planning import compute
from telugu_s2s.preparation import shards
from telugu_s2s.tokens import batches, census, record
from telugu_s2s.training import stage2

RATE, CODES, LEVELS, CODEC = 25.0, 1024, 8, 'random'
SHARD = 500                      # clips
DEVICE = max(compute.DEVICES, key=lambda one: one.peak)
MFU = compute.MFU[0]


def measure(config, workdir) -> dict:
  """Prints and returns frames a second of one thread, by size, and how many times as many as the fastest GPU takes."""
  folder, result = tokens(Path(workdir) / 'tokens', config), {}
  clips = batches.Clips(folder, CODEC)
  counted = census.of(folder, clips)
  for size in config.sizes:
    recipe = recipes.of('stage2', size)
    model = Config(codebooks=LEVELS, codes=CODES, **recipe.model)
    made = batches.make(clips, stage2.window_of(recipe, model), batch=recipe.batch, seed=config.seed, census=counted)
    made[0]
    start = time.perf_counter()
    for step in tqdm.trange(1, 1 + config.steps, desc=f'batches of {size}', unit='batch'):
      made[step]
    frames = config.steps * recipe.batch * recipe.frames / (time.perf_counter() - start)
    takes = MFU * DEVICE.peak / sum(compute.flops(model, recipe.frames).values())
    result[size] = {'frames_per_s': frames, 'taken_per_s': takes, 'times': frames / takes}
    print(f'{size}: {frames:,.0f} frames/s from one thread; {DEVICE.name} at {MFU:.0%} of its peak takes {takes:,.0f}: '
          f'{frames / takes:.1f} times as many')
  return {'device': DEVICE.name, 'sizes': result}


def tokens(folder, config) -> Path:
  """A folder of clips of random codes, of 3 to 15 s."""
  if config.clips < 1:
    raise InputError(f'config.clips {config.clips}: give 1 or more')
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  rng, rows = np.random.default_rng(config.seed), []

  def clip(number):
    frames = int(rng.integers(75, 375))
    return record.to_bytes(record.Tokens(
        rng.integers(0, CODES, (frames, LEVELS)).astype('u2'), rng.integers(0, 64, (frames + 1) // 2).astype('u1'), CODEC, CODES,
        RATE, {'id': f'{number}', 'source': 'random', 'speaker': f'{number % 100}', 'text': ''}))

  for first in tqdm.trange(0, config.clips, SHARD, desc='clips', unit='shard'):
    rows.append(shards.write(folder, f'tokens-{first:08d}', map(clip, range(first, min(config.clips, first + SHARD)))))
  shards.write_manifest(folder, record.KIND, record.VERSION, {}, rows, codec=CODEC, silence=[0] * LEVELS)
  return folder
