"""What the readers of codes learn from: no more of a corpus than they get to see."""
import types

import numpy as np

from telugu_s2s.evaluation import content_probe
from telugu_s2s.preparation.segment import Segment


class Corpus:
  """A thousand segments of 2 s, every other one with a transcript, the last ten longer; `decoded` are those whose audio was asked for."""

  def __init__(self, folder):
    self.decoded = []

  def __len__(self):
    return 1000

  def outlines(self):
    for index in range(len(self)):
      yield {'text': f'text {index}' if index % 2 else ''}, 160_000 if index >= 990 else 32_000

  def __getitem__(self, index):
    self.decoded.append(index)
    labels, samples = list(self.outlines())[index]
    return Segment(f'{index}', np.zeros(samples, np.float32), 's', 'r', 'p', 0.0, 'CC0-1.0', 'A', text=labels['text'])


def test_of_a_large_corpus_no_more_is_decoded_than_the_steps_can_read(monkeypatch, tmp_path):
  corpus = Corpus(tmp_path)
  monkeypatch.setattr(content_probe.prepare, 'prepare', lambda data, folder: None)
  monkeypatch.setattr(content_probe.read, 'Segments', lambda folder: corpus)
  config = types.SimpleNamespace(data={}, longest_s=8.0, steps=10, batch=4)
  found = content_probe.utterances(config, 'train', tmp_path)
  assert len(found) == len(corpus.decoded) == 40 and all(text and len(audio) == 32_000 for audio, text in found)
  assert min(corpus.decoded) == 1 and max(corpus.decoded) == 989               # spread over all of it
  corpus.decoded, config.steps = [], 1000
  assert len(content_probe.utterances(config, 'train', tmp_path)) == len(corpus.decoded) == 495
