"""The aligner: which grapheme is said when, learnt from recordings with transcripts. Its file goes to configs/align.py.

In two phases: CTC finds the graphemes, then, without its blank, their edges. toy: 0.4 M parameters on the sample
corpus, 2 minutes on 2 CPU cores.

    python -m telugu_s2s.main --config=configs/aligner.py
    python -m telugu_s2s.main --config=configs/aligner.py:full --config.data.audio=DIR --workdir=runs/aligner
"""
import ml_collections

SIZES = ('toy', 'full')


def get_config(size='toy'):
  toy = {'toy': True, 'full': False}[size]
  config = ml_collections.ConfigDict()
  config.job = 'aligner'
  config.seed = 0
  config.steps = dict(peaks=200, edges=160) if toy else dict(peaks=10_000, edges=10_000)
  config.batch = 16 if toy else 64           # utterances a step
  config.longest_s = 6.0 if toy else 15.0    # of an utterance
  config.lr = 3e-3 if toy else 1e-3          # peak
  config.warmup = 20 if toy else 500         # steps
  config.decay = 0.4                         # share of the steps at the end over which lr falls
  config.log_every = 20 if toy else 100
  config.save_every = 120 if toy else 1000
  config.mesh = dict(data=-1, fsdp=1, tensor=1)        # devices; -1 takes what is left
  config.model = dict(features=160, width=128 if toy else 320, layers=4 if toy else 6)
  config.data = dict(                        # more on each in configs/prepare.py
      audio='',                              # a folder of recordings with transcripts; '' = the sample corpus
      split='train', profile='commercial_attribution', exclude='', licence='LicenseRef-own',
      shortest_s=0.5, longest_s=20.0, clipped=0.01, workers=-1)
  return config
