"""Guidance at the cost of none: continues a stage 2 run with conditions, so that one pass says what two say guided.

The run is one of --config.model.guidances=8 and speakers, recordings, emotions or knobs. Its data, codec and model are
taken over. configs/generate.py then takes the nearest learnt coefficient (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4) as a condition.

    python -m telugu_s2s.main --config=configs/distil.py --config.run=runs/voices --workdir=runs/guided
    python -m telugu_s2s.main --config=configs/generate.py --config.run=runs/guided --config.speaker=A --config.guidance=2
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'distil'
  config.run = 'runs/stage2'                 # of stage 2
  config.seed = 0
  config.steps = 200
  config.lr = 5e-4                           # peak
  config.warmup = 20                         # steps
  config.decay = 0.4                         # share of the steps at the end over which lr falls
  config.log_every = 20
  config.save_every = 100
  config.evaluate_every = 100
  config.data = dict(tokens='')              # a folder with tokens in train/ and eval/; '' = those of the run
  return config
