"""Evaluates a trained voice: controlled likelihood tests, its voice over minutes, turn-taking, control.

stage2  controlled likelihood tests (what belongs together: voices, rooms, backgrounds, manners, turns), bigram and voices as
        vectors beside them; how a voice stays itself over minutes.
stage3  the same with a second speaker heard, and takeovers at pauses, ends of turns and interruptions.
stage4  the same, and whether pitch, range, rate, energy, emotion, breaths and fillers are heard where they are asked for.

    python -m telugu_s2s.main --config=configs/evaluate.py --config.run=runs/stage2 --config.data.audio=DIR
    python -m telugu_s2s.main --config=configs/evaluate.py:stage4
    python -m telugu_s2s.main --config=configs/evaluate.py:stage4 --config.run=runs/all/stage4
"""
import ml_collections

SIZES = ('stage2', 'stage3', 'stage4')


def get_config(size='stage2'):
  stage = SIZES.index(size)
  config = ml_collections.ConfigDict()
  config.job = 'evaluate'
  config.run = ''                            # the folder of a run, or a packed model; '' = the toy that the package ships
  config.seed = 0
  config.tests = ('likelihood', 'voice', 'turns', 'control')[:stage + 2]
  config.clips = 400                         # of the recordings at most, spread over them
  # likelihood
  config.tasks = ('speaker', 'gender', 'room', 'background', 'rate', 'pitch', 'energy', 'emotion', 'adjacency')
  config.count = 1000                        # items of a task
  config.beginning_s = 2.0                   # before the switch; both together are what a toy was trained on
  config.ending_s = 1.2                      # after it
  config.local_s = (0.0, 1.0)                # of the ending, what the local scores read
  # voice
  config.voices = 8                          # recordings that are gone on from, of as many speakers as there are
  config.prompt_s = 3.0                      # of each
  config.minutes = 5.0                       # that are said after it
  # turns
  config.stimuli = 64                        # of each kind: a pause inside a turn, its end, an interruption
  config.dialogues = ''                      # a folder of real dialogues, wav or flac of two channels; '' = none
  # control
  config.draws = 24                          # utterances of each bin and emotion, of emotions at least 24 in all
  config.utterance_s = 4.0
  config.speakers = ()                       # in whose voices; () = the first that the run knows
  config.questions = ''                      # a folder of what is answered; '' = the sample corpus's, in a voice that is never learnt
  config.guidance = 1.0                      # above 1 the conditions count more
  # all that is said
  config.temperature = 0.8
  config.top_k = 100
  config.silence_bias = 5.0                  # nats off the code of silence, so that voices go on; not in turns
  config.floor = 0.5                         # how likely its turn must be before it begins, in turns and answers; 0 = it begins as it likes
  config.data = dict(                        # what is measured on; more on each in configs/prepare.py
      audio='', split='eval', profile='research', exclude='', licence='LicenseRef-own', shortest_s=1.0, longest_s=20.0, workers=-1)
  return config
