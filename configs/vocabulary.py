"""A vocabulary for the text slot: unigram pieces of Telugu and Latin text. Same texts, same bytes.

From text files, from the transcripts of prepared segments, or from both; without either, from those of the sample
corpus. A sign that it lacks is spelt in bytes, so that any text comes back as it was. 19,000 sentences take half a minute.

    python -m telugu_s2s.main --config=configs/vocabulary.py
    python -m telugu_s2s.main --config=configs/vocabulary.py:full --config.texts=DIR --config.segments=runs/mine/segments
"""
import ml_collections

SIZES = ('toy', 'full')


def get_config(size='toy'):
  config = ml_collections.ConfigDict()
  config.job = 'vocabulary'
  config.texts = ''                          # files or folders of .txt, a sentence a line, commas between them
  config.segments = ''                       # the folder that configs/prepare.py made
  config.size = {'toy': 512, 'full': 8192}[size]             # pieces at most, 256 bytes and 5 specials among them
  config.most = 2_000_000                    # texts that are learnt from, of those that differ
  return config
