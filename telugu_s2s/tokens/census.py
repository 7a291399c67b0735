"""What a mixture asks of every clip of a folder, in arrays: its length, its corpus, its sentence. Kept beside the tokens."""
import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import tqdm

from telugu_s2s.audio import files
from telugu_s2s.corpora import splits

FILE, VERSION = 'census.npz', 2


@dataclasses.dataclass(frozen=True)
class Census:
  """Of the clips of a folder, in their order."""
  frames: np.ndarray             # i32[n]
  source: np.ndarray             # i32[n], places in `sources`
  text: np.ndarray               # u64[n], the same for the same sentence however it is written; 0 = no transcript
  sources: tuple[str, ...]


def of(folder, clips) -> Census:
  """The census of a batches.Clips, from the folder's file or, where the folder has changed, from its records."""
  path = Path(folder) / FILE
  try:
    with np.load(path) as kept:
      if str(kept['content']) == clips.manifest['content'] and int(kept['version']) == VERSION:
        return Census(kept['frames'], kept['source'], kept['text'], tuple(map(str, kept['sources'])))
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):        # none yet, or damaged: it is made from the records
    pass
  found = counted(clips)
  file = io.BytesIO()
  np.savez(file, version=VERSION, content=clips.manifest['content'], **{**vars(found), 'sources': np.array(found.sources, str)})
  files.write(path, file.getvalue())
  return found


def counted(clips) -> Census:
  """The census of clips, each of which is read."""
  frames, source, text, number = [], [], [], {}
  for index in tqdm.tqdm(range(len(clips)), desc='census of clips', unit='clip', delay=2):
    clip = clips[index]
    frames.append(len(clip.codes))
    source.append(number.setdefault(clip.labels.get('source') or '', len(number)))
    plain = splits.plain(clip.labels.get('text') or '')
    text.append(int.from_bytes(hashlib.sha256(plain.encode()).digest()[:8], 'little') if plain else 0)
  return Census(np.array(frames, np.int32), np.array(source, np.int32), np.array(text, np.uint64), tuple(number))
