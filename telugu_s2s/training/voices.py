"""What a stage that trains the audio LM tells it of its voice: labels of clips, and recordings of the same voice."""
from pathlib import Path

from telugu_s2s.errors import InputError
from telugu_s2s.lm.conditions import COEFFICIENTS
from telugu_s2s.tokens import labels
from telugu_s2s.training import checkpoints, hosts, loop

TASKS = 3                        # of the text slot, see tokens/slots.py


def check(model) -> None:
  """Raises InputError where a model's conditions are not those that labels give."""
  for field, size in (('emotions', len(labels.EMOTIONS)), ('tasks', TASKS)):
    if getattr(model, field) not in (0, size):
      raise InputError(f'config.model.{field} {getattr(model, field)}: give {size}, or 0 for no such condition')
  if model.knob_bins == 1 or min(model.speakers, model.knob_bins) < 0:
    raise InputError(f'config.model.speakers {model.speakers}, knob_bins {model.knob_bins}: give numbers from 0, at least 2 bins')
  if not 0 <= model.guidances <= len(COEFFICIENTS):
    raise InputError(f'config.model.guidances {model.guidances}: give 0 to {len(COEFFICIENTS)}, the coefficients that there are')


def of_data(model) -> bool:
  """Whether the model has conditions that come from labels."""
  return bool(model.speakers or model.reference or model.emotions or model.knob_bins or model.nonverbal)


def asked(config, model, workdir, clips, held_out, folders, rate, knobs=True):
  """(what training rows, what held-out rows say of their voice); None and None where the model has no such conditions.

  Numbers are those of the training tokens, for both; they are kept in workdir/labels.json, and a run that is resumed goes by that. One that has
  saved nothing yet has learnt no number: what it left there may be of other data.

  Args:
    clips, held_out: of the two folders, which is where their tables of labels are kept too.
    rate: frames a second.
    knobs: whether rows say with what prosody they are spoken.
  """
  if not of_data(model):
    return None, None
  bins = model.knob_bins or 5
  own = Path(workdir) / labels.FILE
  before = str(own) if own.exists() and checkpoints.begun(workdir) else config.labels

  def tables():
    found = [labels.of(folders[0], clips, before, bins), labels.of(folders[1], held_out, '', bins)]
    loop.beside(workdir, {labels.FILE: labels.to_bytes(found[0])})
    return found
  hosts.first(tables, None)
  mine = labels.load(folders[0] / labels.FILE)
  training = labels.Asked(mine, clips, mine, **wanted(config, model, rate, knobs))
  print(training.said(), flush=True)
  return training, of_held_out(config, model, mine, held_out, folders[1], rate, knobs)


def of_held_out(config, model, mine, held_out, folder, rate, knobs=True):
  """What held-out rows say, in the numbers of the table `mine`; None where the model has no such conditions."""
  if not of_data(model):
    return None
  return labels.Asked(mine, held_out, labels.load(Path(folder) / labels.FILE), **wanted(config, model, rate, knobs))


def wanted(config, model, rate, knobs=True) -> dict:
  """What `labels.Asked` is to tell a model."""
  return dict(speakers=model.speakers, emotions=bool(model.emotions), knobs=bool(model.knob_bins), moves=knobs, nonverbal=model.nonverbal,
              frames=max(1, round(config.reference_s * rate)) if model.reference else 0)
