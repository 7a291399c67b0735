"""The plan's checklist answered by prepared segments, with the numbers behind each answer and what is missing.

What a wish asks for in speakers, emotions and styles is said once, in `corpora/catalogue.py`; here are the two wishes that
only measuring can answer.
"""
import statistics
from collections.abc import Mapping
from typing import NamedTuple

from telugu_s2s.corpora import catalogue

# What a clean segment keeps to, of the measures that it has.
CLEAN = {
    'snr_db': (20, None),          # what LibriTTS lets into its clean part (Zen et al., 2019)
    'ovr': (3.0, None),            # DNSMOS P.835; what Emilia keeps (He et al., 2024)
    'bandwidth_hz': (7000, None),  # of 8000: neither a telephone nor a coarse codec
    'clipped': (None, 0.001),
}
# Syllables a second, pauses left out. Speakers of 17 languages say 4.3 to 9.1 (Coupé et al., 2019); short clips spread wider.
NATURAL_RATE = (3.5, 9.5)
MOST, SOME = 0.9, 0.5              # shares of the hours that make 'yes' and 'partly'
LEAST_H = 1.0                      # of emotional speech or conversation; less is 'partly'
STYLES = {'conversational': 'conversation', 'conv': 'conversation', 'dialogue': 'conversation', 'spontaneous': 'extempore'}


class Answer(NamedTuple):
  wish: str          # one of catalogue.WISHES
  word: str          # yes, partly, no or unknown
  numbers: str       # what the answer rests on
  missing: str       # '' where nothing is


def clean(quality: Mapping) -> bool | None:
  """Whether a segment keeps to CLEAN; None where its speech over background was not measured."""
  if quality.get('snr_db') is None:
    return None
  return all(within(quality.get(name), limits) for name, limits in CLEAN.items())


def natural(quality: Mapping) -> bool | None:
  """Whether a segment is spoken at NATURAL_RATE; None where that was not measured."""
  rate = quality.get('syllables_per_s')
  return None if rate is None else within(rate, NATURAL_RATE)


def within(value, limits) -> bool:
  """Whether a value lies within (lowest, highest); None is no limit, and no value breaks none."""
  low, high = limits
  return value is None or (low is None or value >= low) and (high is None or value <= high)


def answers(counts) -> list[Answer]:
  """The checklist for a `tally.Tally`, in the order of catalogue.WISHES."""
  hours = {name: labelled.by for name, labelled in counts.labels.items()}
  styles = {}
  for style, (_, seconds) in hours['style'].items():
    style = STYLES.get(style.casefold(), style.casefold())
    styles[style] = styles.get(style, 0) + seconds / 3600
  emotions = {name: seconds / 3600 for name, (_, seconds) in hours['emotion'].items() if name.casefold() not in ('', 'neutral')}
  corpus = {'speakers': {'value': counts.labels['speaker'].known} if counts.labels['speaker'].known else {}, 'styles': styles,
            'emotions': sorted(emotions), 'dialogue': counts.dialogue_s > 0}
  words = {wish: text.split(':')[0] for wish, text in catalogue.wishes(corpus).items()}
  result = [_speakers(words['50 speakers'], hours['speaker']), _emotions(words['emotions'], emotions, hours['emotion'], counts),
            _conversation(words['conversation'], styles, counts),
            Answer('clean', *_share(counts.clean_s, counts.judged_s, counts.seconds, _limits(CLEAN, counts)))]
  word, numbers, missing = _share(counts.natural_s, counts.paced_s, counts.seconds, _limits({'syllables_per_s': NATURAL_RATE}, counts))
  read = styles.get('read', 0) * 3600
  if word == 'yes' and read > MOST * counts.seconds:
    word, missing = 'partly', f'{_percent(read, counts.seconds)} is read from prompts'
  return [*result, Answer('natural rate', word, numbers, missing)]


def _speakers(word, by):
  known = sorted(seconds for name, (_, seconds) in by.items() if name)
  nobody = by.get('', [0, 0.0])[1]
  numbers = 'no speaker is labelled'
  if known:
    numbers = f'{len(known):,} speakers, the middle one with {statistics.median(known) / 60:.1f} min'
  missing = [f'{catalogue.SPEAKERS - len(known)} more speakers'] if word != 'yes' and known else []
  missing += [f'labels for {_hours(nobody)}'] if nobody else []
  return Answer('50 speakers', word, numbers, ', '.join(missing))


def _emotions(word, emotions, by, counts):
  total = sum(emotions.values())
  if word == 'yes' and total < LEAST_H:
    word = 'partly'
  neutral = sum(seconds for name, (_, seconds) in by.items() if name.casefold() == 'neutral')
  numbers = f'{len(emotions)} emotions with {total:.2f} h; neutral {_hours(neutral)}'
  missing = [f'{LEAST_H - total:.2f} h of emotional speech'] if total < LEAST_H else []
  missing += [f'labels for {_hours(by[""][1])}'] if '' in by else []
  return Answer('emotions', word, numbers, ', '.join(missing))


def _conversation(word, styles, counts):
  talk = {name: styles.get(name, 0) for name in ('conversation', 'extempore')}
  held = max(counts.dialogue_s / 3600, talk['conversation'])
  if word == 'yes' and held < LEAST_H:
    word = 'partly'
  numbers = f'{_hours(counts.dialogue_s)} in dialogues; by style, conversation {talk["conversation"]:.2f} h, ' \
            f'extempore {talk["extempore"]:.2f} h'
  return Answer('conversation', word, numbers, f'{LEAST_H - held:.2f} h of conversation' if held < LEAST_H else '')


def _share(good, judged, seconds, limits):
  """(word, numbers, missing) for a wish that a share of what was measured meets."""
  if not judged:
    return 'unknown', 'not measured', f'the measures {limits}'
  share = good / judged
  word = 'yes' if share >= MOST else 'partly' if share >= SOME else 'no'
  missing = [] if word == 'yes' else [f'{_hours(judged * MOST - good)} more within the limits, or fewer outside']
  missing += [f'measures of {_hours(seconds - judged)}'] if judged < seconds * 0.999 else []
  return word, f'{_percent(good, judged)} of {_hours(judged)} within {limits}', ', '.join(missing)


def _limits(limits, counts):
  """Those limits as text whose measures some segment has; all where no segment has any."""
  measured = {name: ends for name, ends in limits.items() if name in counts.histograms} or limits
  return ', '.join(f'{name} {low:g} to {high:g}' if None not in (low, high) else
                   f'{name} ≥ {low:g}' if high is None else f'{name} ≤ {high:g}' for name, (low, high) in measured.items())


def _hours(seconds):
  return f'{seconds / 3600:,.2f} h'


def _percent(part, whole):
  return f'{100 * part / whole:.0f} %' if whole else '0 %'
