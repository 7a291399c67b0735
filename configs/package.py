"""Package: a run of the audio LM as a folder for use: weights, codec, model card and notice, all with their SHA-256.

    python -m telugu_s2s.main --config=configs/package.py --config.run=runs/stage3 --workdir=runs/package
    python -m telugu_s2s.main --config=configs/package.py --config.run=runs/stage3 --config.precision=bfloat16
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'package'
  config.run = 'runs/stage2'                 # of a stage that trains the audio LM; its newest whole checkpoint is taken
  config.out = 'model'                       # below the workdir
  config.name = ''                           # in the card; '' = that of the folder
  config.precision = 'float32'               # of matrices; 'bfloat16' or 'float16' takes half, and what it costs is measured
  config.codec_too = True                    # False = the codec that every installed package has, where it is that one
  config.licence = ''                        # of the weights, an SPDX id; '' = none is stated
  config.tokens = ''                         # folders of training tokens, 'A,B', where they are no longer where the run has them
  return config
