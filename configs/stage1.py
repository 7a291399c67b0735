"""Stage 1, reconstruction: the codec learns to carry speech in 25 frames of 8 codes a second (2.0 kbit/s).

toy         the embedded sample corpus, about 5 minutes on 2 CPU cores: it shows the way, no more.
tiny        3 M parameters, for CPUs.
small       17 M, patches of 40 samples: what a CPU trains, and the one to begin with.
small_conv  19 M, strides of 2, 4, 5 and 8 before the transformers: several times the work of small in each step.
base        36 M, base_conv 42 M: for a GPU.
Cost and what each reaches: telugu_s2s/codec/released/MODEL_CARD.md. A step of a later phase has the discriminators too.

    python -m telugu_s2s.main --config=configs/stage1.py
    python -m telugu_s2s.main --config=configs/stage1.py:small --config.data.audio=DIR --workdir=runs/codec
"""
import ml_collections

SIZES = ('toy', 'tiny', 'small', 'small_conv', 'base', 'base_conv')


def get_config(size='toy'):
  toy, big = size == 'toy', size.startswith('base')
  config = ml_collections.ConfigDict()
  config.job = 'stage1'
  config.seed = 0
  config.start = ''                          # a codec's file to begin with; '' = fresh weights
  config.steps = dict(                       # of each phase; in the last encoder and codes stand still
      reconstruction=700 if toy else 20_000, adversarial=50 if toy else 0 if size == 'tiny' else 60_000,
      decoder=50 if toy else 0 if size == 'tiny' else 20_000)
  config.batch = 32 if big else 8            # crops a step
  config.crop_s = 2.0 if big else 1.28
  config.lr = 2e-3 if toy else 3e-4 if big else 1e-3            # peak
  config.discriminator_lr = 2e-4
  config.warmup = 100 if toy else 500        # steps; of the discriminators' fewer steps as large a share
  config.decay = 0.3                         # share of the steps at the end over which lr falls
  config.mean_decay = 0.99 if toy else 0.999           # running mean of the weights, which is what is kept
  config.level_dropout = 0.3                 # share of rows decoded from fewer than 8 levels
  config.unquantised = 0.1                   # share of rows that are not rounded to codes
  config.exact_steps = 50 if toy else 500    # steps in which no row is; then fewer, over as many steps; of fresh weights alone
  config.restart_every = 25                  # steps between restarts of dead codes
  config.augment = dict(silence=0.03, noise=0.05, band=0.05)             # shares of rows
  config.weights = dict(mel=15.0, stft=10.0, compressed=0.0, wave=1.0, error=10.0, codebook=1.0, commit=0.25, units=0.5,
                        graphemes=0.25, adversarial=10.0, feature=30.0)        # 0 and 0 = no discriminators
  config.decoder_mel = 5.0                   # weight of mel in the last phase, where discriminators count for more
  config.teacher = dict(name='mel' if toy else 'whisper', units=64 if toy else 256, workers=-1)   # '' = none; whisper: extra teacher
  config.spoken = dict(batch=0 if size == 'tiny' else 2, longest_s=4.0)  # utterances with transcripts a step; 0 = none
  config.log_every = 25 if toy else 100
  config.save_every = 200 if toy else 500
  config.evaluate_every = 400 if toy else 2000
  config.mesh = dict(data=-1, fsdp=1, tensor=1)        # devices; -1 takes what is left
  width, heads, ffn, encoder_layers, decoder_layers = {
      'toy': (96, 2, 192, 1, 2), 'tiny': (192, 3, 384, 2, 3), 'small': (384, 6, 1024, 2, 5),
      'small_conv': (384, 6, 1024, 2, 4), 'base': (512, 8, 1536, 3, 5), 'base_conv': (512, 8, 1536, 3, 5)}[size]
  front = {'toy': ((32,), (32,)), 'tiny': ((64,), (64,)), 'small': ((64,), (128,)), 'base': ((96,), (192,)),
           'small_conv': ((48, 96, 192), (64, 128, 256)), 'base_conv': ((64, 128, 256), (96, 192, 384))}[size]
  config.model = dict(
      strides=(2, 4, 5, 8) if size.endswith('conv') else (40, 8), channels=(*front[0], width),
      decoder_channels=(*front[1], width), latent_stride=2, heads=heads, encoder_layers=encoder_layers,
      decoder_layers=decoder_layers, ffn=ffn, window=64, codebooks=8, codes=1024, split=True, rate=16_000)
  config.discriminators = dict(
      periods=(3, 7) if toy else (2, 3, 5, 7, 11), period_channels=(8, 16, 32) if toy else (32, 128, 512, 1024, 1024),
      windows=(512,) if toy else (2048, 1024, 512, 256, 128), bands=(0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
      channels=4 if toy else 32, dtype='float32')
  config.data = dict(                        # more on each in configs/prepare.py
      audio='',                              # a folder of wav, flac, mp3, ogg, opus; '' = the sample corpus
      split='train', profile='commercial_attribution', exclude='', licence='LicenseRef-own',
      shortest_s=1.0, longest_s=20.0, clipped=0.01, workers=-1)
  return config
