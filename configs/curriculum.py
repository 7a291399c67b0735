"""The whole way as one job: dialogues are spoken, stages 2, 3 and 4 trained, a question is answered, all is measured and told.

toy: the sample corpus, a 2-core CPU, offline. Each step is the job of another config, in a folder of its own below the
workdir, and is skipped where its result is there for the same inputs. report.md has the bill and the numbers. 150m to 1b are
PLANNED: none has been trained.

    pip install -e .[sample] -c constraints.txt
    python -m telugu_s2s.main --config=configs/curriculum.py --workdir=runs/all
    python -m telugu_s2s.main --config=configs/curriculum.py:500m --config.data.audio=DIR --config.pairs.folder=DIR --workdir=runs/all
"""
import ml_collections

SIZES = ('toy', '150m', '500m', '1b')


def get_config(size='toy'):
  toy = size == 'toy'
  config = ml_collections.ConfigDict()
  config.job = 'curriculum'
  config.size = SIZES[SIZES.index(size)]     # of configs/stage2.py
  config.seed = 0
  config.codec = 'tiny' if toy else 'small'     # these are released; or a codec's file
  config.stage1 = dict(size='toy', steps=0)  # of configs/stage1.py; 0 steps = the codec above
  config.data = dict(audio='')               # a folder of speech for stage 2; '' = the sample corpus
  config.pairs = dict(                       # dialogues of stages 3 and 4
      folder='',                             # a folder with dialogues; '' = those of the sample corpus, spoken anew
      questions='',                          # its questions in other voices, to be answered; '' = of a folder none are, else the sample corpus's
      count=20, takes=24,                    # so many dialogues, each so many times, in other voices
      variants=24,                           # voices of espeak beside those of the sample corpus, at most 32
      answerers=('mezzo',),                  # who answers
      answer_once=True,                      # in one way each in an emotion, in all takes
      emotions=('neutral', 'happy'), rates=(0.8, 1.25), pitches=(-6, 6), ranges=(0, 0),
      nonverbal=0.0)                         # share of turns that begin with a breath, and with a filled pause: either can then be asked for
  # The text slot: what the voice says also stands there in words, told by the dialogues' transcripts; see configs/vocabulary.py, aligner.py.
  config.text = dict(pieces=0, peaks=200 if toy else 10_000, edges=160 if toy else 10_000)             # 0 pieces = no text slot
  often = 10_000 if toy else 0               # steps between evaluations; a toy's held-out loss is measured at the end of a stage alone
  # Of each stage; a 0 of stage2, stage3 or stage4 = as its own config says, which may be more than none.
  config.stage2 = dict(steps=30 if toy else 0)
  config.user_every = 8 if toy else 0        # see configs/stage2.py; 0 = as there. The user's frames are a third of a toy's steps else
  # Stage 3 by its heads alone, before it; 0 = none.
  config.listen = dict(steps=95 if toy else 0, batch=32, frames=160, optimiser='muon', lr=1e-2, warmup=30, anew=True, evaluate_every=often)
  config.stage3 = dict(steps=150 if toy else 0, batch=16 if toy else 64, frames=160 if toy else 3000,
                       optimiser='muon' if toy else 'adamw', lr=5e-3 if toy else 4e-5,
                       decay=0.2 if toy else 0.4, onset=8.0 if toy else 1.0, replay=0.02 if toy else 0.3,
                       swapped=0.02 if toy else 0.5, interrupted=0.2, followed=0.1, retold=0.0,
                       depth_frame_fraction=0.5 if toy else 0.0, evaluate_every=often)
  # By 40 steps after a stage 3 that had ended a toy said worse what it knew by heart. Each of the two ways in which it has an answer goes
  # with any take of the question: only the emotion that is asked for tells which.
  config.stage4 = dict(steps=136 if toy else 0, preference_steps=4 if toy else 0, batch=16 if toy else 0, frames=160 if toy else 3000,
                       optimiser='muon' if toy else 'adamw', lr=5e-3 if toy else 0.0, decay=0.6 if toy else 0.0,
                       onset=8.0 if toy else 0.0, replay=0.02 if toy else 0.0, swapped=0.02 if toy else 0.0,
                       interrupted=0.2 if toy else 0.0, followed=0.1 if toy else 0.0, retold=1.0 if toy else 0.0,
                       depth_frame_fraction=0.5 if toy else 0.0, evaluate_every=often)
  config.heard = dict(views=0 if toy else 2, echoes=0 if toy else 1)         # see configs/stage3.py
  config.question = ''                       # a recording; '' = a question of the sample corpus, in a voice that is never learnt
  config.emotion = ''                        # of the answer
  config.evaluate = dict(                    # see configs/evaluate.py; a toy that knows its answers by heart is heard as it answers
      tests=('control',) if toy else ('likelihood', 'voice', 'turns', 'control'), draws=8 if toy else 24,
      temperature=0.0 if toy else 0.8)
  return config
