"""Whole utterances with their transcripts, for the head that spells; a batch is a function of seed and step."""
import grain
import numpy as np

from telugu_s2s.tokens import graphemes
from telugu_s2s.tokens.batches import of_process


class Spoken:
  """The segments that have a transcript, are not too long, and leave CTC enough frames.

  Args:
    segments: of preparation, such as `read.Segments`.
    longest_s: of an utterance.
    hop: samples a frame.
    rate: samples a second.
  """

  def __init__(self, segments, longest_s, hop, rate):
    self._segments, self._hop = segments, hop
    self.frames = round(longest_s * rate / hop)
    texts, frames = {}, {}
    for index, (labels, samples) in enumerate(segments.outlines()):
      if labels['text'] and samples <= self.frames * hop:
        texts[index], frames[index] = labels['text'], samples // hop
    self.table = graphemes.table(texts.values())
    numbers = {index: graphemes.encoded(text, self.table) for index, text in texts.items()}
    self._rows = [(index, text) for index, text in numbers.items() if len(text) and needed(text) <= frames[index]]
    self.longest = max((len(text) for _, text in self._rows), default=0)

  def __len__(self):
    return len(self._rows)

  def __getitem__(self, row):
    index, found = self._rows[row]
    audio = self._segments[index].audio
    return {'spoken': np.pad(audio, (0, self.frames * self._hop - len(audio))),
            'spoken_frames': np.int32(-(-len(audio) // self._hop)),
            'graphemes': np.pad(found, (0, self.longest - len(found)))}


def needed(numbers) -> int:
  """The frames that CTC needs for a transcript: one a grapheme, and a blank between two that are alike."""
  return len(numbers) + int(np.sum(numbers[1:] == numbers[:-1]))


def batches(spoken, *, batch, seed, process=0, processes=1):
  """Endless batches for one process: spoken f32[b t], spoken_frames i32[b], graphemes i32[b s]."""
  source = grain.MapDataset.source(spoken).seed(seed).shuffle().repeat()
  return of_process(source, batch, process, processes)
