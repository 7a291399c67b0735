"""Tokens to tokens with words: where each word of a transcript is said, as frames in the record. The codes stay.

A clip without a transcript, with more text than audio, or whose transcript is probably not what is said keeps its
tokens, goes without words, and is counted. Views have the words of their clip, moved as its sound was.

    python -m telugu_s2s.main --config=configs/align.py --config.segments=runs/mine/segments --config.tokens=runs/mine/tokens \\
        --config.aligner=runs/aligner/aligner.safetensors --workdir=runs/mine
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'align'
  config.segments = ''                       # the folder that configs/prepare.py made
  config.tokens = ''                         # the folder that configs/tokenize.py made of them
  config.aligner = ''                        # the file that configs/aligner.py made
  config.out = 'aligned'                     # below the workdir
  config.least = 0.1                         # confidence, 0 to 1, below which a clip goes without words
  return config
