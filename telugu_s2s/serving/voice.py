"""The voice that is served: an audio LM, its codec, and who and what it may be asked to be."""
import dataclasses
from pathlib import Path
from types import MappingProxyType

import numpy as np

from telugu_s2s.codec import precision as precisions
from telugu_s2s.codec import weights
from telugu_s2s.errors import InputError
from telugu_s2s.lm import model
from telugu_s2s.tokens import encoding, labels
from telugu_s2s.tokens.vocabulary import Vocabulary
from telugu_s2s.training import runs, texts

DEFAULT = 'default'              # the voice of a model that was not told who speaks


@dataclasses.dataclass(frozen=True)
class Voice:
  """A model that can be talked to."""
  name: str                      # of the model
  model: model.Config
  params: dict
  codec: weights.Trained
  silence: tuple[int, ...]       # the codes that lasting silence settles on
  speakers: tuple[str, ...] = () # in the order of the model's table
  nonverbal: tuple[str, ...] = ()          # what may be asked for between words
  vocabulary: Vocabulary | None = None     # of what it says in words, None = it has no text slot
  emotions: tuple[str, ...] = ()           # how it may be asked to feel

  @property
  def names(self) -> tuple[str, ...]:
    """Who may be asked for."""
    return (DEFAULT, *self.speakers)

  def given(self, speaker: str = DEFAULT, emotion: str = '', between=MappingProxyType({})) -> dict:
    """What the model is told of its voice, {name: i32 array of one stream}, of every condition that it has.

    between: {breath, filler: whether there are to be some, or None}.
    """
    c, found = self.model, {}
    if c.speakers:
      found['speaker'] = np.int32(self.speakers.index(speaker) if speaker in self.speakers else -1)
    if c.emotions:
      found['emotion'] = np.int32(labels.EMOTIONS.index(emotion) if emotion else -1)
    if c.knob_bins:
      found['knobs'] = np.full(len(labels.KNOBS), -1, np.int32)
    if c.nonverbal:
      found |= {name: np.int32(-1 if between.get(name) is None else between[name]) for name in labels.NONVERBAL}
    return found


def load(path, context_s: float = 30.0, precision: str = 'float32') -> Voice:
  """The voice in a folder.

  Args:
    path: a packed model, a name of one on a hub, or a run of stages 2 to 4 or of a distillation; '' = the voice that the package ships.
    context_s: how far back the model sees; its memory of a session is made for that, at most for what it was trained with.
    precision: of its parameters, one of codec/precision.PRECISIONS.

  Raises:
    InputError: there is no such voice, or it cannot be served so.
  """
  found = runs.voice(path)
  config, trained, table = found.model, found.codec, found.labels
  if not context_s * trained.config.frame_rate >= 1:
    raise InputError(f'config.context_s {context_s}: give seconds, at least one frame')
  window = round(min(config.window, context_s * trained.config.frame_rate))
  precisions.check(precision)
  silence = tuple(int(code) for code in encoding.Encoder(trained, batch=1).silence())
  return Voice(Path(path or found.folder).absolute().name, dataclasses.replace(config, window=window, remat='none', depth_remat='none', attention='xla'),
               precisions.converted(found.params, precision), trained, silence, table.speakers[:config.speakers],
               table.told_apart if config.nonverbal else (), texts.of_run(found.folder, config),
               table.felt if config.emotions else ())
