"""Conversations: long recordings with a list of who speaks when, and recordings with one speaker a channel.

Each turn of the first is a row that names its part of the file. The rows of a recording share `dialogue`, and `turn`
counts in the order of time; `overlap_s` says how long somebody else speaks meanwhile.
"""
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from telugu_s2s.audio import decoding
from telugu_s2s.audio.files import EXTENSIONS
from telugu_s2s.corpora import labels, tables
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

OTHERS = set('assamese bengali bodo dogri gujarati hindi kannada kashmiri konkani maithili malayalam manipuri marathi nepali odia punjabi sanskrit '
             'santali sindhi tamil urdu'.split())            # languages of IndicVoices beside Telugu


def indicvoices_raw(folder) -> Iterator[dict | Skip]:
  """IndicVoices as it was recorded: ID.json beside ID.wav, both parties of a conversation.

  `verbatim` and `normalized` list the same turns. The party 0 is the one whom the file describes; of the other the file
  tells nothing but that it is another one.
  """
  for path, about, audio in _described(folder):
    if not isinstance(about.get('verbatim'), list):
      yield Skip(tables.below(folder, path), 'bad row', 'holds no list verbatim')
      continue
    places = (folder.name, *path.relative_to(folder).parts)
    if other := [name for name in places if name.lower() in OTHERS]:          # LANGUAGE/v1/train
      yield Skip(tables.below(folder, path), 'language', other[0])
      continue
    plain = about.get('normalized') if isinstance(about.get('normalized'), list) else []
    known = {'gender': labels.gender(about.get('gender', '')), 'age_band': about.get('age_group', ''), 'district': about.get('district', '')}
    shared = {'style': str(about.get('scenario') or '').lower(), 'task': about.get('task_name', ''),
              'split': 'eval' if set(places) & set(labels.HELD_OUT) else 'train'}
    turns = [dict(turn) if isinstance(turn, dict) else {} for turn in about['verbatim']]
    for number, turn in enumerate(turns):
      same = plain[number] if len(plain) == len(turns) and isinstance(plain[number], dict) else turn
      turn |= {'text_raw': turn.get('text', ''), 'text': same.get('text', ''), 'speaker': turn.get('speaker_id')}
    for row in _turns(folder, path, audio, turns, path.stem):
      if isinstance(row, dict):
        described = row['speaker'] == f'{path.stem}-0'
        row |= shared | (known | {'speaker': str(about.get('speaker_id') or row['speaker'])} if described else {})
      yield row


def diarised(folder) -> Iterator[dict | Skip]:
  """NAME.json beside NAME.wav or another audio file: `segments`, a list of start and end in s, speaker, text and perhaps channel."""
  for path, about, audio in _described(folder):
    if isinstance(about.get('segments'), list):
      yield from _turns(folder, path, audio, about['segments'], tables.below(folder, path).removesuffix('.json'))
    else:
      yield Skip(tables.below(folder, path), 'bad row', 'holds no list segments')


def two_channel(folder) -> Iterator[dict | Skip]:
  """Any folder of recordings with one speaker a channel: two rows a file."""
  paths = sorted(path for path in folder.rglob('*') if path.suffix.lower() in EXTENSIONS and not path.name.startswith('.'))
  if not paths:
    raise InputError(f'config.folder: {folder} holds no audio file, with which this layout begins')
  for path in paths:
    rows = list(sides(folder, {'path': tables.below(folder, path)}))
    yield from rows if len(rows) == 2 or isinstance(rows[0], Skip) else [Skip(rows[0]['path'], 'one channel', 'no conversation of two')]


def sides(folder, row: dict) -> Iterator[dict | Skip]:
  """The two channels of a recording as rows of one dialogue; the row itself where it has another number of channels.

  A text belongs to neither side alone, and is kept as `text_both`.
  """
  try:
    with decoding.opened(Path(folder) / row['path']) as file:
      channels = file.channels
  except decoding.Unreadable as problem:
    yield Skip(row['path'], problem.reason, problem.detail)
    return
  if channels != 2:
    yield row
    return
  name = row['path'].rpartition('.')[0]
  rest = {column: value for column, value in row.items() if column not in ('text', 'speaker', 'gender')}
  if row.get('text'):
    rest['text_both'] = row['text']
  for channel in (0, 1):
    yield rest | {'channel': channel, 'dialogue': name, 'speaker': f'{name}-{channel}'}


def _described(folder):
  """Yields (path of a JSON file, its dictionary, the audio file beside it); a dictionary that misses both is empty."""
  for path in tables.found(folder, '*.json'):
    beside = (path.with_suffix(ending) for low in EXTENSIONS for ending in (low, low.upper()))          # recorders write .WAV
    audio = next((one for one in beside if one.is_file()), None)
    try:
      about = tables.read_json(path, dict)
    except InputError:
      about = {}
    if audio or about.keys() & {'verbatim', 'segments'}:
      yield path, about, audio or path.with_suffix(EXTENSIONS[0])


def _turns(folder, path, audio, turns, called):
  """The turns of one recording as rows, in the order of time; `speaker` is unique to the recording, whose own name is `called`."""
  sound = []
  for number, turn in enumerate(turns):
    start_s, end_s = (seconds(turn.get(name)) if isinstance(turn, dict) else None for name in ('start', 'end'))
    if start_s is None or end_s is None or max(0.0, start_s) >= end_s:
      yield tables.bad(folder, path, number, 'no start and end in seconds, one after the other')
    else:
      sound.append((max(0.0, start_s), end_s, number, turn))
  sound.sort(key=lambda one: one[:3])
  named = [turn.get('speaker', turn.get('speaker_id')) for *_, turn in sound]
  names = ['' if name is None else str(name) for name in named]
  starts, ends, speakers = (np.array(column) for column in (*zip(*(one[:2] for one in sound)), names)) if sound else ((),) * 3
  for turn_number, ((start_s, end_s, _, turn), name) in enumerate(zip(sound, names)):
    overlap_s = float((np.clip(np.minimum(end_s, ends) - np.maximum(start_s, starts), 0, None) * (speakers != name)).sum())
    raw = str(turn.get('text_raw') or turn.get('text') or '')
    text = labels.spoken(str(turn.get('text') or ''))
    row = {'path': tables.below(folder, audio), 'start_s': start_s, 'end_s': end_s, 'text': text, 'text_raw': raw,
           'speaker': f'{called}-{name}' if name else '', 'overlap_s': round(overlap_s, 3)}
    if len(set(names)) > 1:
      row |= {'dialogue': tables.below(folder, path).removesuffix('.json'), 'turn': turn_number}
    if str(turn.get('channel', '')).isdecimal():
      row['channel'] = int(turn['channel'])
    yield row


def seconds(value) -> float | None:
  """A number of seconds, or None for what is none."""
  try:
    number = float(value)
  except (TypeError, ValueError):
    return None
  return number if math.isfinite(number) else None
