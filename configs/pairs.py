"""Conversation pairs: dialogues that are spoken from text, found in recordings, matched, or played by a model. 100 a minute on a CPU.

Gives workdir/pairs, a folder with a manifest row a turn (who, what, when it begins, whose licence), which every job takes as
data.audio; workdir/negatives, what self-play rejected; workdir/report.tsv, what was set aside. Given again, it goes on.

    pip install -e .[sample] -c constraints.txt
    python -m telugu_s2s.main --config=configs/pairs.py --config.count=500 --workdir=runs/pairs
    python -m telugu_s2s.main --config=configs/pairs.py:recordings --config.folder=DIR --workdir=runs/found
    python -m telugu_s2s.main --config=configs/pairs.py:selfplay --config.run=runs/stage3 --workdir=runs/played

The sizes are the sources; timing measures the gaps of a folder's dialogues, measure how well turns are told apart.
"""
import ml_collections

SIZES = ('grammar', 'text', 'recordings', 'retrieval', 'selfplay', 'timing', 'measure')


def get_config(source='grammar'):
  if source not in SIZES:
    raise ValueError(source)
  config = ml_collections.ConfigDict()
  config.job = 'pairs'
  config.source = source
  config.seed = 0
  # Dialogues at most; mixes; conversations of recordings, of each split in its share, and 0 = all.
  config.count = {'measure': 40, 'selfplay': 40, 'recordings': 0}.get(source, 500)
  config.workers = 0                         # threads; 0 = one a core
  config.licence = 'LicenseRef-own'          # of what names none: recordings, sentences, what a command or Festival says
  config.timing = ''                         # a timing.json, from :timing; '' = assumed, see dialogue/timing.py
  config.folder = ''                         # recordings: conversations, questions and answers, people who are looked up, prompts
  # Spoken: grammar and text.
  config.grammar = ''                        # a TOML file; '' = the package's
  config.sentences = ''                      # a sentences.tsv; '' = the sample corpus's
  config.eval_share = 0.05                   # of a grammar's dialogues that are held out
  config.engine = 'espeak'                   # espeak, festival, command, recorded (in folder) or model (of run)
  config.command = ''                        # PROGRAM {text} {out}, also {text_file} {voice} {emotion} {rate} {seed}
  config.voice_names = ''                    # of other engines than espeak, parted by commas
  config.held_out_names = ''                 # those of them that speak in split eval only
  config.rates = (0.85, 1.2)                 # of speaking, drawn evenly, of each side by itself
  config.pitches = (-6, 6)                   # steps of espeak's pitch around a voice's own, drawn evenly; 15 are 2.5 semitones
  config.ranges = (0, 0)                     # and of how far it moves within a sentence
  config.emotions = ('neutral',)             # asked for, where the engine can; espeak acts them by pitch, its range and rate
  config.takes = 1                           # of each dialogue, in other voices
  config.answerers = ()                      # voices of espeak that answer, and nobody else does; () = any
  config.answer_once = False                 # a voice says an answer the same way in all takes of one emotion
  config.extras = True                       # backchannels, fillers and breaths
  config.breaths = ''                        # a folder of breaths, or made, of noise; '' = none
  config.breathed = -1.0                     # share of turns that begin with a breath; -1 = as the timing says
  config.filled = -1.0                       # and of those that begin with a filled pause
  config.variants = 0                        # further voices of espeak, at most 32
  config.voices = dict(                      # of espeak; those of the sample corpus, with its held-out one and another
      deep=dict(voice='te+m4', pitch=35, gender='m', held_out=False),
      buzz=dict(voice='te+klatt6', pitch=50, gender='m', held_out=False),
      tenor=dict(voice='te+m3', pitch=65, gender='m', held_out=False),
      mezzo=dict(voice='te+f2', pitch=45, gender='f', held_out=False),
      bright=dict(voice='te+f5', pitch=65, gender='f', held_out=False),
      alto=dict(voice='te+f4', pitch=35, gender='f', held_out=True),
      bass=dict(voice='te+m7', pitch=40, gender='m', held_out=True))
  # Found: recordings, and what timing is measured on.
  config.layout = ''                         # indicvoices_raw, diarised, two_channel; '' = by a manifest, channels or diarisation
  config.voiceprint = 'plain'                # ge2e = Resemblyzer's network, extra perceptual
  config.vad = 'energy'                      # or silero
  config.longest_s = 60.0                    # of a dialogue
  # Matched: retrieval.
  config.by = ''                             # text, codes; '' = text where there is some
  config.reuse = 2                           # questions that one recording answers at most
  config.codec = 'tiny'                      # tiny or small, the released ones, or a codec's file
  # Played: selfplay, and engine=model.
  config.run = 'runs/stage3'
  config.run_licence = ''                    # of what it says; '' = the strictest of all that it learnt from
  config.seconds = 8.0                       # after the question
  config.batch = 8                           # dialogues at once
  config.temperature = 0.8
  config.top_k = 100
  config.silence_bias = 0.0
  config.limits = dict(least_s=0.6, share=(0.05, 0.9), repeated=0.5, drift=0.6)      # see dialogue/selfplay.py
  return config
