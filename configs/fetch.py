"""Fetch: a source of the catalogue becomes a folder with a manifest, which every other job takes as config.data.audio.

Open sources are downloaded (resumed, checksums verified); gated ones take a token from the environment, and the message says
which; for those on request give the folder in which you unpacked them: the manifest is written there.

    python -m telugu_s2s.main --config=configs/fetch.py --config.source=slr66 --workdir=runs/corpora
    python -m telugu_s2s.main --config=configs/fetch.py --config.source=respin --config.folder=DIR
    python -m telugu_s2s.main --config=configs/fetch.py --config.source=internet_archive "--config.allow=('ITEM',)"
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'fetch'
  config.source = 'slr66'              # an id of configs/corpora.py
  config.folder = ''                   # where the unpacked corpus lies already; '' = download it
  config.layout = ''                   # how it lies there; '' = as the catalogue says
  config.urls = ()                     # other addresses of its files, such as a mirror's
  config.allow = ()                    # what to take instead of the catalogue's allow-list: items of the Internet Archive that you
                                       # have reviewed, Category:... or File:... of Commons, folders of a data set on a hub
  config.contact = ''                  # your mail or web address: goes into every request, Wikimedia asks for it
  config.services = dict(hub='', archive='', commons='', librivox='')      # addresses; '' = Hugging Face, archive.org and so on
  config.out = 'corpora'               # below the workdir
  config.most_gb = 100.0               # of a source in all; no more is downloaded, or unpacked from one archive
  return config
