"""Dialogues from a grammar: Telugu questions with answers and small stories, as text. Thousands in a second.

Gives workdir/sentences.tsv: what configs/sample.py speaks.

    python -m telugu_s2s.main --config=configs/dialogues.py --config.count=500 --workdir=runs/dialogues
    python -m telugu_s2s.main --config=configs/sample.py --config.sentences=runs/dialogues/sentences.tsv --workdir=runs/dialogues
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'dialogues'
  config.seed = 0
  config.count = 2000             # dialogues and stories
  config.eval_share = 0.05        # of them that are held out
  config.grammar = ''             # a TOML file of slots and templates; '' = the one in the package, grammar.toml
  return config
