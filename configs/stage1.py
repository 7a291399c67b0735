"""Stage 1, reconstruction: the codec learns to carry speech in 25 frames of 8 codes a second (2.0 kbit/s).

toy   the embedded sample corpus, about 2 minutes on 2 CPU cores: a working codec that buzzes; it shows the
      way, no more.
tiny  3.3 M parameters; the released codec was trained like this on 5.8 hours of real speech, see
      telugu_s2s/codec/released/MODEL_CARD.md for the cost and what it reaches.

    python -m telugu_s2s.main --config=configs/stage1.py
    python -m telugu_s2s.main --config=configs/stage1.py:tiny --config.data.audio=DIR --workdir=runs/codec
"""
import ml_collections

SIZES = ('toy', 'tiny')


def get_config(size='toy'):
  toy = {'toy': True, 'tiny': False}[size]
  config = ml_collections.ConfigDict()
  config.job = 'stage1'
  config.seed = 0
  config.start = ''                          # a codec's file to begin with; '' = fresh weights
  config.steps = 800 if toy else 13_000
  config.batch = 8                           # crops a step
  config.crop_s = 1.28
  config.lr = 2e-3 if toy else 1e-3          # peak
  config.warmup = 100 if toy else 500        # steps
  config.decay = 0.3                         # share of the steps at the end over which lr falls
  config.mean_decay = 0.99 if toy else 0.999           # running mean of the weights, which is what is kept
  config.level_dropout = 0.3                 # share of rows decoded from fewer than 8 levels
  config.unquantised = 0.1                   # share of rows that are not rounded to codes
  config.exact_steps = 50 if toy else 1000   # steps in which no row is; then fewer, over as many steps
  config.silence = 0.02                      # share of rows silenced, so that silence has steady codes
  config.restart_every = 25                  # steps between restarts of dead codes
  config.weights = dict(mel=15.0, stft=10.0, wave=1.0, codebook=1.0, commit=0.25)
  config.log_every = 25 if toy else 100
  config.save_every = 200 if toy else 500
  config.mesh = dict(data=-1, fsdp=1, tensor=1)        # devices; -1 takes what is left
  config.model = dict(
      strides=(40, 8), channels=(32, 96) if toy else (64, 192), latent_stride=2, heads=2 if toy else 3,
      encoder_layers=1 if toy else 2, decoder_layers=2 if toy else 3, ffn=192 if toy else 384, window=64,
      codebooks=8, codes=1024, rate=16_000)
  config.data = dict(                        # more on each in configs/prepare.py
      audio='',                              # a folder of wav, flac, mp3, ogg, opus; '' = the sample corpus
      split='train', profile='commercial_attribution', exclude='', licence='LicenseRef-own',
      shortest_s=1.0, longest_s=20.0, clipped=0.01, workers=-1)
  return config
