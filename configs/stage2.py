"""Stage 2, next-token prediction: the audio LM learns how Telugu speech goes on, from audio alone.

From a released codec; prepares and tokenises what is missing first.
toy: 3 M parameters, the embedded sample corpus, under 5 minutes on 2 CPU cores; its held-out loss ends well below the
  unigram, bigram and 5-gram baselines that it prints, and it writes three continuations to listen to.
150m, 500m, 1b: windows of 120 s, a text slot, conditions, 2.1 hours of audio a step. PLANNED, none has been trained:
  up to 1000 hours, 30 epochs; 1000 to 5000, 16; 5000 and more with transcripts, 16. --config.job=describe prints cost.

    python -m telugu_s2s.main --config=configs/stage2.py
    python -m telugu_s2s.main --config=configs/stage2.py --config.data.audio=DIR --workdir=runs/mine
    python -m telugu_s2s.main --config=configs/stage2.py:500m --config.job=describe
"""
import ml_collections

SIZES = ('toy', '150m', '500m', '1b')


def get_config(size='toy'):
  of = lambda *values: dict(zip(SIZES, values))[size]
  toy = of(True, False, False, False)
  config = ml_collections.ConfigDict()
  config.job = 'stage2'
  config.seed = 0
  config.codec = 'tiny' if toy else 'small'     # these are released; or a codec's file
  config.steps = of(360, 14_000, 37_500, 37_500)
  config.batch = 16 if toy else 64           # clips a step
  config.accumulate = of(1, 2, 4, 4)         # parts that a batch is read in, one after the other
  config.frames = 80 if toy else 3000        # of a row: 3.2 s, 120 s
  config.packed = 1 if toy else 32           # most clips of a row, which do not hear each other
  config.mixture = ''                        # how often clips come in an epoch: 'slr66=2,fleurs=0.5'; others once
  config.text_cap = 0                        # most takes of a sentence in an epoch, each time others; 0 = any number
  config.depth_frame_fraction = 1.0          # of a row's frames, at how many its slots are learnt in a step; see lm/amortised.py
  config.loss_chunk = 0 if toy else 750      # frames whose logits exist at once; 0 = all
  config.views = 'turns'                     # of tokens in several views: each epoch another one; 'all', 'first'
  config.user_share = 0.3                    # of the rows, how many hear their clip instead of saying it
  config.prosody = True                      # its slot says how a voice moves, every second frame; False = it stays empty
  config.optimiser = 'adamw'                 # or 'muon', which learns the blocks' matrices in fewer steps
  config.lr = of(3e-3, 6e-4, 4e-4, 3e-4)     # peak
  config.warmup = 40 if toy else 1000        # steps
  config.decay = 0.4 if toy else 0.2         # share of the steps at the end over which lr falls
  config.ema = 0.0 if toy else 0.999         # decay of the running mean of the weights that is measured; 0 = none
  config.log_every = 20
  config.save_every = 90 if toy else 500
  config.evaluate_every = 180 if toy else 1000
  config.temperature = 0.8                   # of the continuations
  config.top_k = 100
  config.silence_bias = 10.0 if toy else 5.0 # nats off the code of silence, so that the voice goes on; short clips teach to end soon
  config.prompt_frames = 38                  # 1.5 s
  config.continue_frames = 100               # 4 s; 0 = no continuations
  # Devices; -1 takes what is left. Over fsdp parameters and moments are cut too: a 1b takes 21 GB of each device else.
  config.mesh = dict(data=of(-1, -1, 1, 1), fsdp=of(1, 1, -1, -1), tensor=1)
  config.model = dict(
      width=of(128, 768, 1280, 1792), layers=of(4, 16, 24, 26), heads=of(4, 12, 20, 14), kv_heads=of(2, 4, 4, 2),
      head_width=of(32, 64, 64, 128), ffn=of(352, 2048, 3456, 4864),
      depth_width=of(64, 512, 768, 1024), depth_layers=of(2, 6, 6, 6), depth_heads=of(2, 8, 12, 16),
      depth_ffn=of(176, 1408, 2048, 2816), prosody_codes=64, text_codes=0 if toy else 8192, user_every=4,
      delay=0 if toy else 1,                 # frames by which a1 to a7 follow a0; measured in toy alone, which learns better without
      ear=8 if toy else 0,                   # the user is heard by the codec's vectors of level 0 alone; see lm/model.py
      window=3000, sinks=4, dtype='float32' if toy else 'bfloat16', attention='xla' if toy else 'auto',
      remat='dots_with_no_batch_dims_saveable',                # on CPUs too it is the quicker way: less is written and read
      depth_remat='dots_with_no_batch_dims_saveable' if toy else 'none',
      # Conditions, see lm/conditions.py; 0 = there is no such one.
      speakers=64 if toy else 4096, reference=True, voice_width=32 if toy else 192, emotions=9, knob_bins=5,
      tasks=0 if toy else 3, guidances=8,
      nonverbal=not toy)                     # breaths and filled pauses; the sample corpus has none
  config.labels = ''                         # labels.json of an earlier run, whose numbers of speakers go on; '' = none
  config.reference_s = 3.0                   # of the recordings that a voice is told by
  config.text = dict(                        # the text slot; more in configs/align.py
      vocabulary='',                         # the file that configs/vocabulary.py made; '' = no text
      aligner='',                            # the file that configs/aligner.py made; data.tokens may have words already
      least=0.1,                             # confidence below which a clip goes without words
      shares=(0.5, 0.3, 0.2),                # of text with the voice, ahead of it (it speaks), behind it (it writes down)
      ahead=(25, 50), behind=(12, 50))       # frames
  config.data = dict(                        # more on each in configs/prepare.py
      audio='',                              # a folder of wav, flac, mp3, ogg, opus; '' = the sample corpus
      tokens='',                             # a folder with tokens in train/ and eval/, instead of audio
      split='train', profile='commercial_attribution', exclude='', licence='LicenseRef-own',
      shortest_s=1.0, longest_s=20.0 if toy else 120.0, clipped=0.01, workers=-1)
  return config
