"""Benchmarks: each prints its table and writes it, with the command and the machine, to the workdir.

codec     quality on held-out recordings, beside other codecs' tables; speed on one CPU thread, whole and frame by
          frame, beside other codecs. The sample corpus stands in for a folder; its numbers say little of real speech.
streaming what a frame of the codec takes on this machine's device, for 1 to 64 streams at once.
training  how fast stage 1 trains in each phase, and what its discriminators cost.
content   what small readers, trained on the codes of transcribed speech, get wrong: from level 0, the rest, all.
precision what the codec loses in bfloat16 and in int8.
playback  what another tempo or pitch does to speech, beside WORLD and a phase vocoder where these are installed.
lm        training and decoding speed of the language model, beside one of the same size in PyTorch; of a GPU also its MFU.
ablations what is lost where a mechanism of stage 2 is changed, and what guidance adds to knobs; trains each.
feeding   batches of the audio LM made a second, beside what a GPU takes.
preparation hours of recordings prepared an hour of one core, step by step and together, beside Lhotse where it is
          installed; memory by the number of files; what 5000 hours take.
serving   how soon a server answers 1 to 64 clients at once, at the server and through the websocket; late ticks; memory; a soak.

    python -m telugu_s2s.main --config=configs/benchmark.py:codec --config.data.audio=DIR --config.peers=FILE.tsv
    python -m telugu_s2s.main --config=configs/benchmark.py:streaming --config.codec=base
    python -m telugu_s2s.main --config=configs/benchmark.py:serving --config.run=runs/stage3
"""
import ml_collections

SIZES = ('codec', 'streaming', 'training', 'content', 'precision', 'playback', 'lm', 'ablations', 'feeding', 'preparation', 'serving')


def get_config(size='codec'):
  config = ml_collections.ConfigDict()
  config.job = 'benchmark_serving' if size == 'serving' else 'benchmark'
  config.name = SIZES[SIZES.index(size)]
  config.seed = 0
  config.codec = 'small'                     # tiny or small, the released ones, or a codec's file; of stage1.py's other sizes the speed alone
  if size == 'codec':                        # a size of configs/stage1.py: speed alone, with random weights
    config.levels, config.perceptual = 8, True           # codebooks that are decoded; the measures that are networks too, where these are installed
    config.by_level = False                  # PESQ of 1 to 8 levels, and their wavs: as many times the work
    config.peers = ''                        # tables of other codecs on the same clips: FILE.tsv,FILE.tsv
    config.peer_models = True                # the speed of EnCodec, DAC and Mimi, where transformers is installed
  if size == 'streaming':
    config.streams, config.frames = (1, 8, 64), 200  # side by side; frames that are timed
  if size == 'training':
    config.size, config.repeats, config.dtype = 'small', 5, 'float32'      # of stage1.py; timed steps of each phase; the discriminators'
    config.batch, config.crop_s = 0, 0.0             # crops of a step, 0 = the size's own; their length, 0 = the same
  if size == 'content':
    config.steps, config.batch, config.lr, config.longest_s = 1500, 16, 2e-3, 8.0        # of each reader; utterances a step; its peak; longer ones are left out
  if size in ('precision', 'playback'):
    config.clips = 20                        # spread over the data
  if size == 'lm':
    config.sizes = ('toy', '150m')           # of configs/stage2.py
    config.threads = (1, 2)                  # of a CPU; 1 is measured in CPU time, which other programs do not lengthen
    config.streams = (1, 8, 32)              # decoded together
    config.batch, config.frames = 16, 80     # rows of a training step of toy, an eighth of it of the others; frames of each
    config.context = 750                     # frames in memory while decoding: 30 s
    config.seconds, config.dtype = 3.0, 'float32'        # that each thing is timed, three times at least; of activations
    config.run = ''                          # a stage 2 run: what its held-out loss is in fewer bits
    config.peer_python = ''                  # the interpreter that has torch and transformers; '' = this one
  if size == 'ablations':
    config.size, config.audio = 'toy', ''    # of configs/stage2.py; a folder of speech, '' = the sample corpus
    config.steps, config.seeds = 360, (0, 1)             # of each training; trained once with each
    config.changes = ('no prosody slot', 'no user prediction', 'the other delay', 'half of the frames')        # see evaluation/ablations.py
    config.guidance, config.draws = (1.0, 1.5), 24       # coefficients; utterances of each bin of a knob
  if size == 'feeding':
    config.sizes = ('toy', '150m', '500m')   # of configs/stage2.py
    config.clips, config.steps = 4000, 10    # clips of random codes; timed batches
  if size == 'preparation':
    config.minutes, config.form = 60, 'flac'         # of recordings, put together from the data's; wav, flac, mp3 or opus, at 48 kHz
    config.step_files, config.shard_mb = 10, 16.0    # files of a minute on which steps are timed; of a shard, see configs/prepare.py
    config.workers = (1, 2, 4)
    config.files = (10, 1000, 100_000)       # how many short files memory is measured over
    config.data = dict(audio='', split='', profile='research', exclude='', licence='LicenseRef-own')
  if size == 'serving':
    config.run = ''                          # the folder of the run that is served
    config.streams = (1, 4, 8, 32, 64)       # sessions at once
    config.turns, config.reply_s = 8, 2.0    # of each; that a reply lasts
    config.context_s = 30.0                  # that the model sees back
    config.question = ''                     # an audio file; '' = a question of the sample corpus
    config.soak_s = 0.0                      # then a soak that long, 0 = none, with
    config.soak_sessions, config.knocks_a_minute = 3, 1000       # places whose clients come and go; others who want to come in
  if size in ('codec', 'content', 'precision', 'playback'):
    config.data = dict(
        audio='', split='eval', profile='research', exclude='', licence='LicenseRef-own', shortest_s=1.0, longest_s=20.0, workers=-1)
  return config
