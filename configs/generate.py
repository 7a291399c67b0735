"""Lets a trained stage 2 model go on speaking after a recording, and draws both.

    python -m telugu_s2s.main --config=configs/generate.py --config.run=runs/stage2 --config.prompt=question.wav
    python -m telugu_s2s.main --config=configs/generate.py --config.run=runs/stage2 --config.seed=3
    python -m telugu_s2s.main --config=configs/generate.py --config.run=runs/mine --config.speaker=A --config.guidance=1.5
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'generate'
  config.seed = 0
  config.run = 'runs/stage2'                 # the folder of a stage 2 run, or a packed model
  config.prompt = ''                         # an audio file; '' = a clip of the sample corpus
  config.prompt_s = 1.5                      # of it that is heard, from its start
  config.seconds = 4.0                       # that are said
  config.count = 3                           # continuations
  config.temperature = 0.8                   # 0 = always the likeliest
  config.top_k = 100
  config.silence_bias = 10.0                 # nats off the code of silence, so that the voice goes on; the less, the more it pauses
  # What is said is asked for where the run has such conditions; nothing is asked for here.
  config.speaker = ''                        # of the training data: source/speaker, or speaker; see labels.json of the run
  config.reference = ''                      # an audio file with the voice, instead of a speaker
  config.reference_s = 3.0                   # of it that is heard
  config.emotion = ''                        # neutral, happy, sad, excited, angry, fear, surprise, calm, disgust
  config.knobs = dict(pitch=-1, range=-1, rate=-1, energy=-1)      # bins from 0, the least, on; -1 = as it comes
  config.nonverbal = dict(breath=-1, filler=-1)        # audible breaths, filled pauses: 0 = none, 1 = some; -1 = as it comes
  config.guidance = 1.0                      # above 1 the conditions count more, at twice the work
  return config
