"""Train or held out, decided by what a recording says of itself: more data never moves what is there already.

A hash of the speaker and a hash of the sentence decide, each alone, and then who talks with whom. Nothing else can keep speakers and sentences apart
without looking at the other recordings, and it has a price: what is held out in one respect only is left out of both.
"""
import dataclasses
import hashlib
import json
import unicodedata

from telugu_s2s.corpora.folder import Recording
from telugu_s2s.errors import InputError

TRAIN = 'train'             # neither the speaker nor the sentence is held out
EVAL = 'eval'               # both are; of a recording without text, the speaker
HELD_TEXT = 'held_text'     # a train speaker says an eval sentence: not for training
SEEN_TEXT = 'seen_text'     # an eval speaker says a sentence that training may hold: an unseen voice, no unseen words
HELD_TALK = 'held_talk'     # a train speaker talks with an eval speaker: either can be heard in the other's turns
SPLITS = (TRAIN, EVAL, HELD_TEXT, SEEN_TEXT, HELD_TALK)


def plain(text: str) -> str:
  """What two writings of one sentence share: composed (NFC), case folded, letters, marks and digits alone.

  Unlike `tokens.graphemes.plain` it keeps digits, which tell sentences apart, in one script, and drops spaces.
  """
  text = unicodedata.normalize('NFC', unicodedata.normalize('NFC', text).casefold())
  return unicodedata.normalize('NFC', ''.join(str(unicodedata.decimal(sign, sign)) for sign in text
                                               if unicodedata.category(sign)[0] in 'LMN'))


def voice(recording: Recording) -> tuple[str, str, str]:
  """(source, kind, name) of whoever speaks: the speaker, else the dialogue, else the file and its folder.

  Two sources may call different people alike, so a name counts within its source, or within the one that `speaker_source` names, whose
  recordings another source has in a form of its own. A source that names speakers in some rows only can hold one person under two keys;
  nothing here can know that.
  """
  for kind in ('speaker', 'dialogue', 'path'):
    if name := unicodedata.normalize('NFC', getattr(recording, kind)):
      break
  return kind == 'speaker' and recording.custom.get('speaker_source') or recording.source, kind, name


def split(recording: Recording, seed: int, eval_share: float) -> str:
  """One of the first four of SPLITS. A greater share holds out more and gives nothing back.

  Args:
    seed: another seed gives other speakers and sentences.
    eval_share: of the speakers and, on its own, of the sentences, from 0 to 1. So of many recordings with text about
      eval_share squared are 'eval', and eval_share in all are of eval speakers.

  Raises:
    InputError: eval_share is no share.
  """
  check_share(eval_share)
  text = plain(recording.text)
  speaker_held = _place(seed, *voice(recording)) < eval_share
  text_held = _place(seed, 'text', text) < eval_share if text else speaker_held
  if speaker_held:
    return EVAL if text_held else SEEN_TEXT
  return HELD_TEXT if text_held else TRAIN


def apart(found: list[Recording]) -> list[Recording]:
  """Recordings with their splits, but for train turns of a dialogue that an eval speaker takes part in: those are HELD_TALK.

  This alone looks at other recordings, of the same dialogue.
  """
  held = {(one.source, one.dialogue) for one in found if one.dialogue and one.split in (EVAL, SEEN_TEXT)}
  return [dataclasses.replace(one, split=HELD_TALK) if one.split == TRAIN and (one.source, one.dialogue) in held else one for one in found]


def check_share(eval_share: float) -> None:
  """Raises InputError for what is no share."""
  if not 0 <= eval_share <= 1:
    raise InputError(f'data.eval_share {eval_share}: a share is between 0 and 1')


def _place(seed, *names):
  """A number in [0, 1) that follows from the seed and the names alone, on every machine and in every version."""
  key = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
  return int.from_bytes(key[:6]) / 2**48
