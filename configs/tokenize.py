"""Segments to tokens: the codec's codes and the prosody codes of prepared segments, in ArrayRecord shards.

100 hours take about 25 minutes on 2 CPU cores. A rerun makes what is missing and says what it kept; workers and engine
change no byte. On a machine or a cluster with GPUs every worker has one.

    python -m telugu_s2s.main --config=configs/prepare.py --workdir=runs/mine
    python -m telugu_s2s.main --config=configs/tokenize.py --config.segments=runs/mine/segments --workdir=runs/mine

Views are further codes of the same audio, for epochs that are not the last one once more. They are shards of their own,
so more of them can be made later. Each of the view's fields can be switched off: --config.view.speed='()'.

    python -m telugu_s2s.main --config=configs/tokenize.py --config.segments=runs/mine/segments --workdir=runs/mine \\
        --config.views=4
"""
import ml_collections

SIZES = ('machine', 'cluster')


def get_config(size='machine'):
  config = ml_collections.ConfigDict()
  config.job = 'tokenize'
  config.segments = ''                       # the folder that configs/prepare.py made
  config.codec = 'small'                     # that of the run that reads them: tiny or small, the released ones, or a codec's file
  config.out = 'tokens'                      # below the workdir
  config.workers = -1                        # processes; -1 = one a GPU or, where there is none, a core; 0 = this one
  config.engine = 'ray' if size == 'cluster' else 'local'     # see configs/prepare.py:cluster
  config.address = 'auto' if size == 'cluster' else ''        # of Ray: auto, host:port; '' = a Ray on this machine alone
  config.views = 1                           # of each clip; 1 = the audio as it is
  config.seed = 0                            # of the views
  config.view = dict(                        # drawn evenly from (lowest, highest); () = left as it is
      hop_phase=True,                        # begins elsewhere within a frame of the codec
      speed=(0.9, 1.1),
      gain_db=(-6.0, 6.0),
      noise_snr_db=(15.0, 40.0))
  return config
