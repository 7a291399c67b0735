"""Sample corpus: speaks the package's Telugu sentences with espeak-ng. From sentences.tsv; 1 minute on 2 cores.

Gives Ogg Opus files and their MANIFEST.tsv in workdir/sample. SYNTHETIC speech: enough to try every job offline, no
target for natural speech. The folder shipped in the package was made by this job; it is written over only if named.

    pip install -e .[sample] -c constraints.txt
    python -m telugu_s2s.main --config=configs/sample.py --workdir=runs/sample
    python -m telugu_s2s.main --config=configs/sample.py --config.out=telugu_s2s/corpora/sample
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'sample'
  config.seed = 0
  config.out = ''                 # folder; empty means workdir/sample
  config.sentences = ''           # a sentences.tsv; empty means the one in the package
  config.kbps = 18.0              # Opus
  config.voices = dict(           # pitch 0 to 99 in the variant's own range; the F0 is what comes out
      deep=dict(voice='te+m4', pitch=35, gender='m'),       # 82 Hz
      buzz=dict(voice='te+klatt6', pitch=50, gender='m'),   # 101 Hz, Klatt's synthesizer; klatt2 clicks in its stops
      tenor=dict(voice='te+m3', pitch=65, gender='m'),      # 121 Hz
      alto=dict(voice='te+f4', pitch=35, gender='f'),       # 154 Hz
      mezzo=dict(voice='te+f2', pitch=45, gender='f'),      # 184 Hz
      bright=dict(voice='te+f5', pitch=65, gender='f'))     # 239 Hz
  config.held_out = 'alto'        # speaks in split eval only
  config.pitch_spread = 6         # drawn around the voice's pitch, per utterance
  # Words a minute as espeak-ng counts them; of Telugu's long words it speaks about 125 where this says 190.
  config.rates = dict(slow=(145, 160), normal=(180, 200), fast=(220, 245))
  config.rate_shares = dict(slow=0.25, normal=0.5, fast=0.25)
  return config
