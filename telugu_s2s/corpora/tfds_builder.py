"""A folder of recordings as a TensorFlow Datasets data set in ArrayRecord, written and read without TensorFlow.

    builder = tfds_builder.build('runs/corpora/corpora/slr66', 'runs/tfds', profile='share_alike')
    source = builder.as_data_source(split='train')      # len(source), source[3]['audio']; Grain takes it as it is

Samples are a plain tensor: the feature `Audio` of TensorFlow Datasets imports TensorFlow. Recordings come whole, neither
cut nor measured; that is what `preparation` is for, whose shards hold more and need no such package.
"""
import dataclasses
import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import licences
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

LABELS = ('path', 'source', 'revision', 'licence', 'language', 'speaker', 'gender', 'style', 'emotion', 'text', 'text_provenance', 'dialogue')
MADE_OF = 'made_of.txt'
LONGEST_S = 600.0      # a recording is one record, and is held in memory


class TeluguSpeech(tfds.core.GeneratorBasedBuilder):
  """The recordings of one folder: i16[samples] at 16 kHz, and what its manifest says of them."""
  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, *, recordings, folder, skips, notice, **fields):
    self._recordings, self._folder, self._skips, self._notice = recordings, Path(folder), skips, notice
    super().__init__(**fields)

  def _info(self):
    features = {'audio': tfds.features.Tensor(shape=(None,), dtype=np.int16), **{name: tfds.features.Text() for name in LABELS}}
    return tfds.core.DatasetInfo(builder=self, description=f'Telugu speech, mono, {files.SAMPLE_RATE} Hz.', license=self._notice,
                                 features=tfds.features.FeaturesDict(features))

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(split) for split in sorted({one.split for one in self._recordings})}

  def _generate_examples(self, split):
    for one in self._recordings:
      if one.split == split:
        start_s = one.start_s or 0.0
        try:
          sound, _ = files.read(self._folder / one.path, one.channel, start_s, min(one.end_s or math.inf, start_s + LONGEST_S + 1))
        except files.Unreadable as problem:
          self._skips.append(Skip(one.path, problem.reason, problem.detail))
          continue
        if len(sound) > LONGEST_S * files.SAMPLE_RATE:
          self._skips.append(Skip(one.path, 'too long', f'more than {LONGEST_S:g} s; the job prepare cuts it'))
          continue
        yield (f'{one.path}:{one.channel}:{one.start_s}:{one.end_s}',
               {'audio': files.pcm16(sound), **{name: getattr(one, name) for name in LABELS}})


def build(folder, out, profile: str = 'commercial_attribution', licence: str = licences.OWN) -> TeluguSpeech:
  """The data set of a folder, made below `out` unless it is there; skipped.tsv beside it says what was left out.

  Args:
    profile: which licence classes get in.
    licence: of recordings whose manifest names none.

  Raises:
    InputError: the folder cannot be used, nothing in it is in the profile, a split has a name that a data set cannot have, or `out` holds
      the data set of other recordings or of another profile.
  """
  found, skips = corpus.recordings(folder, licence)
  inside, more = corpus.licensed(found, profile)
  skips += more
  if not inside:
    raise InputError(f'{folder}: no recording is in profile {profile}; left out: {corpus.counted(corpus.reasons(skips))}')
  if odd := sorted({one.split for one in inside if not re.fullmatch(r'\w+', one.split)}):
    raise InputError(f'{folder}: a split cannot be called {odd[0]!r}; use letters, digits and _')
  told = hashlib.sha256(json.dumps([profile, [dataclasses.astuple(one) for one in inside]], default=str).encode()).hexdigest()
  made_of = Path(out) / MADE_OF
  if (Path(out) / TeluguSpeech.name).exists() and not (made_of.exists() and made_of.read_text() == told):
    raise InputError(f'{out}: it holds the data set of other recordings or of another profile; give another folder')
  files.write(made_of, told.encode())
  notice = '; '.join(sorted({f'{one.custom.get("attribution") or one.source}: {one.licence}' for one in inside}))
  builder = TeluguSpeech(recordings=inside, folder=folder, skips=skips, notice=notice, data_dir=str(out), file_format='array_record')
  there, told_of = Path(builder.data_path).exists(), Path(out) / 'skipped.tsv'
  builder.download_and_prepare()
  if not (there and told_of.exists()):       # what cannot be read is found while it is made
    corpus.report(told_of, skips, ('path', 'reason', 'detail'))
  return builder
