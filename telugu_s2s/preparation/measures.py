"""The quality record of a segment: how clean it is, what listeners would say, and how it is spoken."""
import numpy as np

from telugu_s2s.audio import activity, delivery, files, level, opinion, silero
from telugu_s2s.errors import InputError

MOS = ('', 'p808', 'p835')
MEASURES = ('basic', 'full')
# Where the signs of Telugu lie in Unicode.
VOWELS = {*range(0x0C05, 0x0C15), 0x0C60, 0x0C61}
CONSONANTS = {*range(0x0C15, 0x0C3A), *range(0x0C58, 0x0C5B)}
VIRAMA = '\u0c4d'


def check(by: str, mos: str, measures: str):
  """Refuses what is not there, by the name of the config's field, before any work is done."""
  for field, value, known in (('activity', by, activity.BY), ('mos', mos, MOS), ('measures', measures, MEASURES)):
    if value not in known:
      raise InputError(f'data.{field} {value!r}: give one of {", ".join(map(repr, known))}')
  for field, value, network in (('activity', by, silero.network), ('mos', mos, lambda: opinion.network(mos))):
    if value not in ('', 'energy'):
      try:
        network()
      except InputError as problem:
        raise InputError(f'data.{field} {value}: {problem}') from problem


def names(mos: str, measures: str) -> set[str]:
  """The measures that are numbers of a quality record made with these settings, and `seconds`."""
  nothing = np.zeros(files.SAMPLE_RATE, np.float32)
  taken = {'': (), 'p808': ('mos',), 'p835': ('sig', 'bak', 'ovr')}[mos]
  return {'seconds', *taken, *quality(nothing, files.SAMPLE_RATE, measures=measures)} - {'syllables_from'}


def quality(samples, rate: int, text: str = '', mos: str = '', measures: str = 'basic') -> dict:
  """The quality record of a segment.

  Args:
    samples: f32[samples] at 16 kHz.
    rate: of the original file.
    text: of the whole segment, '' if unknown.
    mos: 'p808' adds mos, 'p835' sig, bak and ovr, see audio/opinion.py; '' neither.
    measures: 'full' adds those of `delivery.measures`, with syllables_per_s in the place of the syllables: a second
      of speech, pauses left out (by energy, whatever cut the recording, so that rates can be compared).
      syllables_from says where they were counted, in the 'text' or the 'audio'.
  """
  result = {'snr_db': round(level.snr_db(samples), 2), 'clipped': round(level.clipped_ratio(samples), 6),
            'bandwidth_hz': round(level.bandwidth_hz(samples)), 'rms_dbfs': round(level.rms_dbfs(samples), 2),
            'native_rate': rate}
  if mos == 'p808':
    result['mos'] = round(opinion.p808(samples), 2)
  elif mos == 'p835':
    result |= {name: round(value, 2) for name, value in opinion.p835(samples).items()}
  if measures == 'full':
    spoken = activity.speech(samples)
    result |= delivery.measures(samples, spoken)
    heard, read = result.pop('syllables'), syllables(text)
    seconds = result.pop('spoken_s')
    result |= {'syllables_per_s': round(float((read or heard) / seconds), 2) if seconds else None,
               'syllables_from': 'text' if read else 'audio'}
  return result


def syllables(text: str) -> int | None:
  """How many syllables a Telugu text has: its vowels, written or inherent in a consonant; None where it cannot tell.

  That is where there is no letter, or one of another script, or a digit, since how they are read is not written.
  """
  count = 0
  for sign, after in zip(text, text[1:] + ' '):
    if ord(sign) in VOWELS or ord(sign) in CONSONANTS and after != VIRAMA:
      count += 1
    elif sign.isalnum() and ord(sign) not in CONSONANTS:
      return None
  return count or None
