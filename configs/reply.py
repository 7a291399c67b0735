"""Lets a voice that has learnt to converse answer a question: a wav in, wavs and pictures of the answers out.

    python -m telugu_s2s.main --config=configs/reply.py --config.question=question.wav --config.emotion=happy
    python -m telugu_s2s.main --config=configs/reply.py --config.run=runs/stage3 --config.question=question.wav
    python -m telugu_s2s.main --config=configs/reply.py --config.run=runs/stage3 --config.speaker=A --config.seed=3
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'reply'
  config.seed = 0
  config.run = ''                            # of stage 3 or 4, or a packed model; '' = the toy that the package ships
  config.question = ''                       # an audio file; '' = a question of the sample corpus
  config.seconds = 4.0                       # that are listened to after it
  config.count = 2                           # answers
  config.temperature = 0.8                   # 0 = always the likeliest
  config.top_k = 100
  config.silence_bias = 0.0                  # nats off the code of silence
  config.floor = 0.5                         # how likely its turn must be before it begins, by what stage 3 taught; 0 = it begins as it likes
  config.speed = 1.0                         # times as fast as it was said, 0.25 to 1.5, at its pitch
  config.shift = 0.0                         # semitones by which it is spoken higher, -6 to 6; its formants stay
  # What is said is asked for where the run has such conditions; nothing is asked for here.
  config.speaker = ''                        # of the training data: source/speaker, or speaker; a wrong one is answered with those there are
  config.reference = ''                      # an audio file with the voice, instead of a speaker
  config.reference_s = 3.0                   # of it that is heard
  config.emotion = ''                        # neutral, happy, sad, excited, angry, fear, surprise, calm, disgust
  config.knobs = dict(pitch=-1, range=-1, rate=-1, energy=-1)      # bins from 0, the least, on; -1 = as it comes
  config.nonverbal = dict(breath=-1, filler=-1)        # audible breaths, filled pauses: 0 = none, 1 = some; -1 = as it comes
  config.guidance = 1.0                      # above 1 the conditions count more, at twice the work
  return config
