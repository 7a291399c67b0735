"""Evaluates a trained voice: controlled likelihood tests, its voice over minutes, turn-taking, control.

stage2  controlled likelihood tests (what belongs together: voices, rooms, backgrounds, manners, turns), bigram and voices as
        vectors beside them; how a voice stays itself over minutes.
stage3  the same with a second speaker heard, and takeovers at pauses, ends of turns and interruptions.
stage4  the same, and whether pitch, range, rate, energy and emotion are heard where they are asked for.

    python -m telugu_s2s.main --config=configs/evaluate.py --config.run=runs/stage2 --config.data.audio=DIR
    python -m telugu_s2s.main --config=configs/evaluate.py:stage4 --config.run=runs/stage4
"""
import ml_collections

SIZES = ('stage2', 'stage3', 'stage4')


def get_config(size='stage2'):
  stage = SIZES.index(size)
  config = ml_collections.ConfigDict()
  config.job = 'evaluate'
  config.run = f'runs/{size}'                # the folder of a run
  config.seed = 0
  config.tests = ('likelihood', 'voice', 'turns', 'control')[:stage + 2]
  config.clips = 400                         # of the recordings at most, spread over them
  # likelihood
  config.tasks = ('speaker', 'gender', 'room', 'background', 'rate', 'pitch', 'energy', 'emotion', 'adjacency')
  config.count = 1000                        # items of a task
  config.beginning_s = 2.0 if stage == 0 else 3.0       # before the switch
  config.ending_s = 1.2 if stage == 0 else 2.0          # after it
  config.local_s = (0.0, 1.0)                # of the ending, what the local scores read
  config.data = dict(                        # what is measured on; more on each in configs/prepare.py
      audio='', split='eval', profile='research', exclude='', licence='LicenseRef-own', shortest_s=1.0, longest_s=20.0, workers=-1)
  return config
