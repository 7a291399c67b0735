"""Stage 4, speaker and emotion: continues a stage 3 run, which learns to hold one voice and to give the emotion it is asked for.

Voices, each a speaker with an emotion, come equally often. In the last steps answers stand beside worse ones: of another
question, in another voice, with another emotion. Prints how often held-out answers are preferred to such.

    python -m telugu_s2s.main --config=configs/stage4.py --config.run=runs/stage3 --workdir=runs/stage4
    python -m telugu_s2s.main --config=configs/stage4.py --config.run=runs/stage3 --config.data.tokens=DIR --workdir=runs/stage4
    python -m telugu_s2s.main --config=configs/reply.py --config.run=runs/stage4 --config.speaker=A --config.emotion=happy
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'stage4'
  config.run = 'runs/stage3'                 # of stage 3
  config.seed = 0
  config.steps = 120
  config.preference_steps = 40               # of them, at the end
  config.beta = 5.0                          # how far a nat a code away from where preferences began counts
  config.anchor = 0.2                        # weight of the loss of conversation beside that of preferences
  config.balance = 1.0                       # 1 = voices come equally often, 0 = as often as they are there
  config.batch = 8                           # rows a step
  config.frames = 200                        # of a row: 8 s
  config.packed = 1                          # most exchanges and clips of a row, before preferences
  config.replay = 0.2                        # how often each clip comes alone while each exchange comes once
  config.swapped = 0.1                       # and each exchange with the assistant asking
  config.interrupted = 0.2                   # and each exchange with the user asking something else meanwhile
  config.followed = 0.2                      # or after the answer
  config.history_s = 20.0                    # of the dialogue before the question, where it fits in
  config.overlap_s = 0.2                     # before its question's end an answer begins at most: who is talked over is interrupted
  config.retold = 0.0                        # of answers that the speaker has said in other takes too, how many are said as there
  config.onset = 1.0                         # how much an answer's first 0.32 s count beside the rest: they tell which answer it is
  config.user_share = 0.0                    # of single clips, how many are heard instead of said
  config.depth_frame_fraction = 1.0          # of a row's frames, at how many its slots are learnt in a step; see lm/amortised.py
  config.accumulate = 0                      # parts that a batch is read in; 0 = of as many rows as the run's
  config.optimiser = 'adamw'                 # or 'muon', see configs/stage2.py
  config.lr = 3e-4                           # peak
  config.warmup = 10                         # steps
  config.decay = 0.4                         # share of the steps at the end over which lr falls
  config.log_every = 20
  config.save_every = 60
  config.evaluate_every = 60
  config.heard = dict(                       # as in configs/stage3.py
      views=2, echoes=1, noises=32, share=0.5, frayed=0.1,
      speed=(0.85, 1.18), gain_db=(-12.0, 6.0), noise_snr_db=(5.0, 40.0), room_s=(0.1, 0.6), telephone=0.2, echo_db=(-40.0, -20.0))
  config.data = dict(
      tokens='',                             # a folder with tokens in train/ and eval/; '' = those of the run
      segments='')                           # the segments that training tokens were made of; '' = those of the run
  return config
