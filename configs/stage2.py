"""Stage 2, next-token prediction: the audio LM learns how Telugu speech goes on, from audio alone.

From the released codec; prepares and tokenises what is missing first. toy: 3 M parameters, the embedded
sample corpus, under 5 minutes on 2 CPU cores; its held-out loss ends well below the unigram and bigram
baselines that it prints, and it writes three continuations to listen to.

    python -m telugu_s2s.main --config=configs/stage2.py
    python -m telugu_s2s.main --config=configs/stage2.py --config.data.audio=DIR --workdir=runs/mine
"""
import ml_collections

SIZES = ('toy',)


def get_config(size='toy'):
  {'toy': True}[size]
  config = ml_collections.ConfigDict()
  config.job = 'stage2'
  config.seed = 0
  config.codec = ''                          # a codec's file; '' = the released one
  config.steps = 360
  config.batch = 16                          # clips a step
  config.frames = 80                         # of a row: 3.2 s
  config.views = 'turns'                     # of tokens in several views: each epoch another one; 'all', 'first'
  config.user_share = 0.3                    # of the rows, how many hear their clip instead of saying it
  config.lr = 3e-3                           # peak
  config.warmup = 40                         # steps
  config.decay = 0.4                         # share of the steps at the end over which lr falls
  config.log_every = 20
  config.save_every = 90
  config.evaluate_every = 180
  config.temperature = 0.8                   # of the continuations
  config.top_k = 100
  config.silence_bias = 5.0                  # nats off the code of silence, so that the voice goes on
  config.prompt_frames = 38                  # 1.5 s
  config.continue_frames = 100               # 4 s
  config.mesh = dict(data=-1, fsdp=1, tensor=1)        # devices; -1 takes what is left
  config.model = dict(
      width=128, layers=4, heads=4, kv_heads=2, head_width=32, ffn=352, prosody_codes=64, text_codes=0,
      depth_width=64, depth_layers=2, depth_heads=2, depth_ffn=176, delay=1, user_every=4, window=3000, sinks=4,
      dtype='float32', remat='none')
  config.data = dict(                        # more on each in configs/prepare.py
      audio='',                              # a folder of wav, flac, mp3, ogg, opus; '' = the sample corpus
      tokens='',                             # a folder with tokens in train/ and eval/, instead of audio
      split='train', profile='commercial_attribution', exclude='', licence='LicenseRef-own',
      shortest_s=1.0, longest_s=20.0, clipped=0.01, workers=-1)
  return config
