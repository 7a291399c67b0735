"""The embedded sample corpus: everyday Telugu in synthetic voices, so that every job runs offline."""
import functools
from importlib import resources
from pathlib import Path

ASKED = 'asked'                  # the folder of questions that are learnt, in the voice that is held out


@functools.cache
def folder() -> Path:
  """The corpus on disk: MANIFEST.tsv, sentences.tsv, README.md and audio/*.opus. Read-only by intent."""
  return Path(str(resources.files(__name__)))
