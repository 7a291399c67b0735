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
  config.listen_steps = 0                    # of them, at the beginning, in which it learns by its heads alone, no code: several times as fast
  config.anew = False                        # the transformer over frames forgets stage 2, in whose habits a small one listens later
  config.batch = 8                           # rows a step
  config.frames = 200                        # of a row: 8 s; longer questions lose their beginning
  config.packed = 1                          # most exchanges and clips of a row
  config.replay = 0.3                        # how often each clip of these tokens comes alone while each exchange comes once
  config.swapped = 0.2                       # and each exchange with the assistant asking
  config.interrupted = 0.2                   # and each exchange with the user asking something else meanwhile
  config.followed = 0.2                      # or after the answer
  config.history_s = 20.0                    # of the dialogue before the question, where it fits in
  config.overlap_s = 0.2                     # before its question's end an answer begins at most: who is talked over is interrupted
  config.retold = 0.0                        # of answers that the speaker has said in other takes too, how many are said as there
  config.onset = 1.0                         # how much an answer's first 0.32 s count beside the rest: they tell which answer it is
  config.floor = True                        # a head tells who speaks in the 2 s that follow
  config.match = 64                          # width in which what was heard meets its answer among a batch's; 0 = it does not
  config.user_share = 0.3                    # of those clips, how many are heard
  config.depth_frame_fraction = 1.0          # of a row's frames, at how many its slots are learnt in a step; see lm/amortised.py
  config.accumulate = 0                      # parts that a batch is read in; 0 = of as many rows as the run's
  config.optimiser = 'adamw'                 # or 'muon', see configs/stage2.py
  config.lr = 1e-3                           # peak
  config.warmup = 20                         # steps
  config.decay = 0.4                         # share of the steps at the end over which lr falls
  config.log_every = 20
  config.save_every = 120
  config.evaluate_every = 120
  config.heard = dict(                       # how the user reaches the model; drawn evenly from (lowest, highest)
      views=2,                               # of each clip: in rooms, over noise, by telephone; 0 = clips as they are
      echoes=1,                              # of each clip as it comes out of a loudspeaker; 0 = the assistant is not heard
      noises=32,                             # pieces of noise that stand where nobody speaks; 0 = silence
      share=0.5,                             # of the rows, how many have such a view, an echo, noise
      frayed=0.1,                            # of a question's frames, how many are lost at most, and as many said twice
      speed=(0.85, 1.18), gain_db=(-12.0, 6.0), noise_snr_db=(5.0, 40.0), room_s=(0.1, 0.6), telephone=0.2, echo_db=(-40.0, -20.0))
  config.data = dict(
      tokens='',                             # a folder with tokens in train/ and eval/; '' = those of the run
      segments='')                           # the segments that training tokens were made of; '' = those of the run
  return config
