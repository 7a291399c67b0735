"""Asks a stage 3 or 4 model what it has learnt in a voice that it has not: does a question get its answer? Minutes.

Each answer is matched with all that were learnt, whoever's voice it is in; retrieval by codes and chance stand beside it.

    python -m telugu_s2s.main --config=configs/answers.py --config.run=runs/stage3 --config.dialogues=runs/pairs/pairs
    python -m telugu_s2s.main --config=configs/answers.py --config.run=runs/stage3 --config.dialogues=runs/pairs/pairs --config.voices=8
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'answers'
  config.seed = 0
  config.run = 'runs/stage3'                 # of stage 3 or 4, or a packed model
  config.dialogues = ''                      # a folder of the dialogues that were learnt; '' = the sample corpus
  config.questions = ''                      # and of its questions in other voices; '' = the sample corpus's, in the held-out one
  config.every = 1                           # 3 = every third question
  config.voices = 0                          # so many more voices ask the same, of espeak-ng, which the dialogues do not have
  config.seconds = 4.0                       # that are listened to after a question
  config.batch = 16
  config.silence_bias = 0.0                  # nats off the code of silence
  config.floor = 0.5                         # how likely its turn must be before it begins; 0 = it begins as it likes
  config.speaker = ''                        # what the answering voice is asked for, as in configs/reply.py
  config.reference = ''
  config.reference_s = 3.0
  config.emotion = ''
  config.knobs = dict(pitch=-1, range=-1, rate=-1, energy=-1)
  config.nonverbal = dict(breath=-1, filler=-1)        # audible breaths, filled pauses: 0 = none, 1 = some; -1 = as it comes
  config.guidance = 1.0
  return config
