"""What stands in the user's stream: clips as a microphone hears them, the assistant's voice in it, and noise alone.

A microphone hears a speaker in a room, over noise, near or far, perhaps through a telephone, and a loudspeaker beside it. Codes
of that are made once, as views of the run's segments, by the job that makes all tokens.
"""
import os
import shutil
from pathlib import Path

import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import segment, shards
from telugu_s2s.tokens import batches, encoding, tokenize, turns, views
from telugu_s2s.training import hosts

NOISE_S = 8.0                    # of each piece of noise
NOISE_DBFS = -70.0, -35.0


def check(wanted) -> None:
  """Raises InputError where a share or a number of `config.heard` is none."""
  if not (0 <= wanted.share <= 1 and 0 <= wanted.frayed <= 1):
    raise InputError(f'config.heard.share {wanted.share}, frayed {wanted.frayed}: give shares from 0 to 1')
  if min(wanted.views, wanted.echoes, wanted.noises) < 0:
    raise InputError(f'config.heard.views {wanted.views}, echoes {wanted.echoes}, noises {wanted.noises}: give numbers from 0')


def of(config, run, workdir, trained, clips, tokens) -> turns.Heard:
  """The user's side of a run's training clips; its tokens are made where they are missing.

  Args:
    config: with `heard`, see configs/stage3.py and `check`, and `data.segments`.
    run: the folder of the run that is gone on from.
    clips: the batches.Clips in the folder `tokens`.

  Raises:
    InputError: there are no segments to make views of, or they are not those of the clips.
  """
  wanted = config.heard
  if not (wanted.views or wanted.echoes):
    return turns.Heard(noises=noises(wanted.noises, trained, config.seed), share=wanted.share, frayed=wanted.frayed)
  segments = Path(config.data.segments)
  if not (config.data.segments and (segments / shards.MANIFEST).is_file()):
    raise InputError(f'config.data.segments {config.data.segments!r} holds no segments, of which the user is heard in rooms and over noise; give the '
                     'folder of the segments of these tokens, or config.heard.views=0 and config.heard.echoes=0')
  made_of = clips.manifest['made_from'].get('segments')
  # Others may be as many: pairs of two voices, say, whose answers would come after what somebody else asks.
  if made_of not in (None, shards.read_manifest(segments, segment.KIND)['content']):
    raise InputError(f'config.data.segments {segments} are not the segments that the tokens in {tokens} were made of; give those')
  found = {}
  for name, count, ranges in (('heard', wanted.views, microphone(wanted)), ('echoes', wanted.echoes, loudspeaker(wanted))):
    if count:
      folder = Path(workdir) / name / 'train'
      hosts.first(lambda: made(segments, folder, trained, (tokens, Path(run) / name / 'train'), ranges, count, config), None)
      found[name] = batches.Clips(folder, trained.name)
      if len(found[name]) != len(clips):
        raise InputError(f'{folder}: {len(found[name])} clips, {tokens} has {len(clips)}, since records of {segments} were damaged when one of '
                         'them was made; delete both and tokenise again')
  return turns.Heard(found.get('heard'), found.get('echoes'), noises(wanted.noises, trained, config.seed), wanted.share, wanted.frayed)


def microphone(wanted) -> views.Ranges:
  """How the user is heard. Faster and slower also means higher and lower: other voices, which is what the model is to hear past."""
  return views.Ranges(speed=tuple(wanted.speed), gain_db=tuple(wanted.gain_db), noise_snr_db=tuple(wanted.noise_snr_db),
                      room_s=tuple(wanted.room_s), telephone=wanted.telephone)


def loudspeaker(wanted) -> views.Ranges:
  """How the assistant is heard by the user's microphone."""
  return views.Ranges(speed=(), gain_db=tuple(wanted.echo_db), noise_snr_db=(), room_s=tuple(wanted.room_s))


def made(segments, folder, trained, before, ranges, count, config) -> None:
  """Makes `count` views of the segments beside the clips as they are. Shards that are in the folders `before` are taken from there."""
  folder.mkdir(parents=True, exist_ok=True)
  for path in (path for other in before for path in Path(other).glob('tokens-*')):
    if not (folder / path.name).exists():
      beside = files.beside(folder / path.name)
      try:
        os.link(path, beside)
      except OSError:                              # another disk
        shutil.copyfile(path, beside)
      os.replace(beside, folder / path.name)
  options = tokenize.Options(ranges=ranges, views=count + 1, seed=config.seed)
  tokenize.tokenize(segments, folder, trained, options=options, codec=config.codec)


def noises(count: int, trained, seed: int) -> np.ndarray | None:
  """i32[count t q], codes of noise of different colours and levels; None for none."""
  if not count:
    return None
  rng = np.random.default_rng([seed, count])
  colours, levels = rng.random(count), rng.uniform(*NOISE_DBFS, count)
  samples = int(NOISE_S * files.SAMPLE_RATE)
  made = [np.clip(views.noise(samples, colour, rng) * 10 ** (level / 20), -1, 1) for colour, level in zip(colours, levels)]
  return np.stack(encoding.Encoder(trained)(made)).astype(np.int32)
