"""Stage 3, conversation: continues a stage 2 run, which learns to listen and to answer. Minutes for a toy.

Its data has dialogues: clips with the labels dialogue, turn and speaker, as of the sample corpus or of a manifest. Prints
how likely held-out answers are after their own question and after another one. configs/reply.py lets it answer.

    python -m telugu_s2s.main --config=configs/stage3.py --config.run=runs/stage2 --workdir=runs/stage3
    python -m telugu_s2s.main --config=configs/reply.py --config.run=runs/stage3 --config.question=question.wav
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'stage3'
  config.run = 'runs/stage2'                 # of stage 2
  config.seed = 0
  config.steps = 240
  config.batch = 8                           # rows a step
  config.frames = 200                        # of a row: 8 s; longer questions lose their beginning
  config.packed = 1                          # most exchanges and clips of a row
  config.replay = 0.3                        # how often each clip comes alone while each exchange comes once
  config.user_share = 0.3                    # of those clips, how many are heard
  config.accumulate = 1
  config.lr = 1e-3                           # peak
  config.warmup = 20                         # steps
  config.decay = 0.4                         # share of the steps at the end over which lr falls
  config.log_every = 20
  config.save_every = 120
  config.evaluate_every = 120
  config.data = dict(tokens='')              # a folder with tokens in train/ and eval/; '' = those of the run
  return config
