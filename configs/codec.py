"""The codec as a tool: recordings become small code files with their decoded wavs beside them, code files wavs.

Takes a file or a folder, sub-folders are kept; what is there already is kept too. report.tsv in the output lists
every file, with its size and bitrate or why it was refused; where one was, the job ends with exit status 2.

    python -m telugu_s2s.main --config=configs/codec.py --config.input=DIR --config.output=runs/decoded
    python -m telugu_s2s.main --config=configs/codec.py --config.input=talk.codes --config.output=DIR --config.levels=4
"""
import ml_collections
from ml_collections import config_dict


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'codec'
  config.input = ''                          # a wav, flac, mp3, ogg, opus or .codes file, or a folder of them
  config.output = ''                         # a folder; '' = decoded below the workdir
  config.levels = config_dict.placeholder(int)         # codebooks stored and decoded, from 1; None = all
  config.decode = True                       # writes a recording's decoded wav beside its code file
  config.codec = 'small'                     # tiny or small, the released ones, or a codec's file
  config.precision = 'float32'               # of the weights: bfloat16 or int8 take less memory; configs/benchmark.py:precision says what they lose
  config.workers = -1                        # processes on the CPU; -1 = one a core (none with a GPU), 0 = this one
  return config
