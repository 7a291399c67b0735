"""Mark: tells whether recordings carry the mark of generated speech, puts it into them, or measures how well it is found.

    python -m telugu_s2s.main --config=configs/mark.py --config.input=FILE --config.key=WORDS
    python -m telugu_s2s.main --config=configs/mark.py --config.action=mark --config.input=DIR --config.key=WORDS --workdir=runs/mark
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'mark'
  config.action = 'detect'                   # 'mark' writes marked copies, as wav, below workdir/marked; 'measure' prints a table
  config.input = ''                          # a recording, or a folder of them
  config.key = ''                            # the words that the mark is made of; who has them can find it
  config.strength_db = 1.5                   # of the gains, up and down
  config.seed = 0                            # of the noise in 'measure'
  return config
