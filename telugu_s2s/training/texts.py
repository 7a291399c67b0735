"""The text slot of a stage that trains the audio LM: its vocabulary, and tokens whose records have words."""
import copy
from pathlib import Path

from telugu_s2s.codec import aligner
from telugu_s2s.errors import InputError
from telugu_s2s.tokens import align, slots, vocabulary
from telugu_s2s.training import loop


def chosen(config):
  """(the config with the size of its vocabulary in `model.text_codes`, how the text slot is filled or None where it is off).

  Raises:
    InputError: the vocabulary or the aligner is missing, or is none.
  """
  given = config.text
  if not given.vocabulary:
    # A slot that nothing fills would be learnt all the same.
    if config.model.text_codes:
      config = copy.deepcopy(config)
      config.model.text_codes = 0
    return config, None
  if not config.data.tokens and not given.aligner:
    raise InputError('config.text.aligner is empty: give the file that configs/aligner.py made, or in config.data.tokens '
                     'tokens with words, from configs/align.py')
  text = slots.Text(vocabulary.load(given.vocabulary), tuple(given.shares), tuple(given.ahead), tuple(given.behind))
  config = copy.deepcopy(config)
  config.model.text_codes = len(text.vocabulary)
  return config, text


def continued(config, of, model):
  """As `chosen`, of a job that goes on from the run in the folder `of`: its model reads the words of that run's vocabulary, or none."""
  if not model.text_codes:
    return config, None
  config = copy.deepcopy(config)
  config.text.vocabulary = str(Path(of) / vocabulary.FILE)
  return chosen(config)


def keep(text: slots.Text | None, config, workdir) -> None:
  """Puts the vocabulary beside what is learnt, which would be numbers without it."""
  if text:
    loop.beside(workdir, {vocabulary.FILE: Path(config.text.vocabulary).read_bytes()})


def of_run(folder, model) -> vocabulary.Vocabulary | None:
  """The vocabulary of a run, None where its model has no text slot. Raises InputError where it is missing or damaged."""
  return vocabulary.load(Path(folder) / vocabulary.FILE) if model.text_codes else None


def with_words(config, workdir, split: str) -> Path:
  """The folder of a split's tokens with their words; made here of workdir/segments and workdir/tokens."""
  out = Path(workdir) / 'aligned' / split
  align.align(Path(workdir) / 'segments' / split, Path(workdir) / 'tokens' / split, out, aligner.load(config.text.aligner),
              config.text.least)
  return out


def check(text: slots.Text | None, clips, folder) -> None:
  """Raises InputError where a text slot is wanted and no clip in a folder of tokens has words."""
  if text and not clips.manifest.get('words', {}).get('aligned'):
    raise InputError(f'{folder}: no clip has words for the text slot; align the tokens with configs/align.py, or train '
                     'stage 2 without config.text.vocabulary')
