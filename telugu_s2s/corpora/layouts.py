"""How published corpora lie on disk, once unpacked: each reader yields the rows of a manifest that `folder.py` takes.

A row is {column: value} with `path` below the folder. What a corpus marks in its own way (gender, split, times) comes
out in ours; what has no column of ours is kept under its own name. A row that cannot be used is a Skip with its reason.
"""
import re
from collections.abc import Iterator
from pathlib import Path

from telugu_s2s.audio.files import EXTENSIONS
from telugu_s2s.corpora import conversation, labels, splits, tables
from telugu_s2s.corpora.folder import Skip
from telugu_s2s.errors import InputError

ULCA_LICENCES = {'cc-by-4.0': 'CC-BY-4.0', 'cc-by-sa-4.0': 'CC-BY-SA-4.0', 'cc0': 'CC0-1.0', 'mit': 'MIT',
                 'cc-by-nc-4.0': 'CC-BY-NC-4.0', 'cc-by-nc-sa-4.0': 'CC-BY-NC-SA-4.0', 'cc-by-nd-4.0': 'CC-BY-ND-4.0',
                 'private-commercial': 'LicenseRef-paid'}
RESPIN_OTHERS = {'bh', 'bn', 'ch', 'hi', 'kn', 'mg', 'mr', 'mt'}       # its languages beside Telugu
PERSON = ('speaker_id', 'gender', 'age_group')       # what RESPIN says of whoever registered, and as `.._reassigned` of whoever speaks


def rows(layout: str, folder) -> Iterator[dict | Skip]:
  """The rows of the corpus in `folder`, read as one of LAYOUTS.

  Raises:
    InputError: there is no such layout, or the folder does not hold what the layout begins with.
  """
  if layout not in LAYOUTS:
    raise InputError(f'config.layout: {layout!r} is none of {", ".join(LAYOUTS)}')
  folder = Path(folder)
  if not folder.is_dir():
    raise InputError(f'config.folder: {folder} is no folder; give the one in which the corpus was unpacked')
  return LAYOUTS[layout](folder)


def openslr(folder) -> Iterator[dict | Skip]:
  """OpenSLR's crowd-sourced sets: line_index.tsv (id, text, no header) beside te[fm]_SPEAKER_UTTERANCE.wav."""
  for index in tables.found(folder, 'line_index*.tsv'):
    for line, fields in tables.tsv(index):
      fields = [field for field in fields if field]         # some releases have an empty column between the two
      name = re.fullmatch(r'(te([fm])_\w+)_\w+', fields[0]) if fields else None
      if len(fields) != 2 or not name:
        yield tables.bad(folder, index, line, 'not an id such as tef_01033_00166722817 and a text')
        continue
      yield {'path': tables.below(folder, index.parent / f'{fields[0]}.wav'), 'text': fields[1], 'speaker': name[1],
             'gender': name[2], 'style': 'read'}


def common_voice(folder) -> Iterator[dict | Skip]:
  """Common Voice: train, dev, test, then what else was validated; invalidated clips are left out.

  So is, of the other clips, what a speaker of dev and test says, or what is said there: `validated` is mostly repeats of these.
  """
  held = [row for table in labels.HELD_OUT for path in sorted(folder.rglob(f'{table}.tsv'))
          for _, row in tables.named(path, ('path', 'sentence', 'client_id')) if row]
  speakers, sentences = {row['client_id'] for row in held} - {''}, {splits.plain(row['sentence']) for row in held} - {''}
  seen = set()
  for table in ('dev', 'test', 'train', 'validated', 'other'):
    for path in sorted(folder.rglob(f'{table}.tsv')):
      for line, row in tables.named(path, ('path', 'sentence', 'client_id')):
        if row is None:
          yield tables.bad(folder, path, line, 'fewer fields than the header has')
        elif (row.get('locale') or 'te') != 'te':
          yield Skip(row['path'], 'language', row['locale'])
        elif row['path'] not in seen:
          seen.add(row['path'])
          if table not in labels.HELD_OUT and (row['client_id'] in speakers or splits.plain(row['sentence']) in sentences):
            which = 'speaker' if row['client_id'] in speakers else 'sentence'
            yield Skip(row['path'], 'held out', f'{path.name} line {line}: its {which} is in dev or test')
            continue
          name = row['path'] if Path(row['path']).suffix else row['path'] + '.mp3'
          yield {'path': tables.below(folder, path.parent / 'clips' / name), 'text': row['sentence'], 'speaker': row['client_id'],
                 'gender': labels.gender(row.get('gender', '')), 'split': 'eval' if table in labels.HELD_OUT else 'train', 'style': 'read',
                 'age_band': row.get('age', ''), 'validated': 'no' if table == 'other' else 'yes'}
  if not seen:
    raise InputError(f'config.folder: {folder} holds no train.tsv, validated.tsv or other.tsv of Common Voice with a row in it')
  for path in sorted(folder.rglob('invalidated.tsv')):
    for line, row in tables.named(path, ('path',)):
      yield Skip(row['path'] if row else tables.below(folder, path), 'invalidated', f'{path.name} line {line}')


def respin(folder) -> Iterator[dict | Skip]:
  """RESPIN: meta_PART.json, a dictionary by utterance; `train_te_small` repeats utterances of others.

  What a speaker of dev and test says in train, or what is said there, is left out: each of its 20,000 sentences is read some 35 times.
  """
  seen, speakers, sentences = set(), set(), set()
  parts = {meta: labels.held_out(meta.stem) for meta in tables.found(folder, 'meta_*.json')}
  for meta, held in sorted(parts.items(), key=lambda part: not part[1]):
    if other := set(meta.stem.split('_')) & RESPIN_OTHERS:
      yield Skip(tables.below(folder, meta), 'language', other.pop())
      continue
    for name, row in tables.read_json(meta, dict).items():
      if not isinstance(row, dict) or not isinstance(row.get('wav_path'), str):
        yield tables.bad(folder, meta, name, 'no wav_path')
        continue
      utterance = str(row.get('utterance_id') or name)
      if utterance in seen:
        continue
      seen.add(utterance)
      # Who speaks is not always who registered: 90050_2 is another person who spoke for 90050.
      known = {field: '' if row.get(field) in (None, 'NA') else str(row[field]) for field in (
          *PERSON, *(f'{field}_reassigned' for field in PERSON))}
      speaker, gender, age = (known[f'{field}_reassigned'] or known[field] for field in PERSON)
      path, verified = tables.below(folder, meta.parent / row['wav_path']), bool(known['speaker_id_reassigned'])
      sentence = splits.plain(str(row.get('text') or ''))
      if held:
        speakers |= {speaker, known['speaker_id']}       # of a row that was not looked at again only who registered is known
        sentences.add(sentence)
      elif which := 'speaker' if speaker and speaker in speakers else 'sentence' if sentence and sentence in sentences else '':
        yield Skip(path, 'held out', f'{meta.name} {name}: its {which} is in dev or test')
        continue
      yield {'path': path, 'text': row.get('text', ''), 'speaker': speaker, 'speaker_verified': 'yes' if verified else 'no',
             'gender': labels.gender(gender), 'split': 'eval' if held else 'train', 'style': 'read', 'dialect': row.get('dialect', ''),
             'domain': row.get('domain', ''), 'age_band': age, 'text_id': row.get('text_id', '')}


def syspin(folder) -> Iterator[dict | Skip]:
  """SYSPIN: SPEAKER/*_Transcripts.json beside wavs/; its domain EVAL is held out, as its makers advise. What they name NHC nobody has checked."""
  for path in tables.found(folder, '*_Transcripts.json'):
    validated = 'no' if 'NHC' in f'{path.parent.name}_{path.stem}'.split('_') else 'yes'
    transcripts = tables.read_json(path, dict).get('Transcripts')
    if not isinstance(transcripts, dict):
      raise InputError(f'{path}: holds no dictionary Transcripts; is it of another version?')
    for name, row in transcripts.items():
      letter = re.search(r'_te_([fm])_', name)
      if not isinstance(row, dict) or not letter:
        yield tables.bad(folder, path, name, 'not an utterance such as IISc_SYSPINProject_te_f_AGRI_00001')
        continue
      yield {'path': tables.below(folder, path.parent / 'wavs' / f'{name}.wav'), 'text': row.get('Transcript', ''),
             'speaker': f'syspin_{letter[1]}', 'gender': letter[1], 'domain': row.get('Domain', ''), 'style': 'read',
             'split': 'eval' if row.get('Domain') == 'EVAL' else 'train', 'validated': validated}


def fleurs(folder) -> Iterator[dict | Skip]:
  """FLEURS: SPLIT.tsv without header (id, file, raw text, text, letters, samples, gender) and audio/SPLIT/FILE."""
  for table in tables.found(folder, 'train.tsv', 'dev.tsv', 'test.tsv'):
    if re.fullmatch('[a-z]{2,3}(_[a-z]+)?_[a-z0-9]{2,3}', table.parent.name) and table.parent.name != 'te_in':
      yield Skip(tables.below(folder, table), 'language', table.parent.name)
      continue
    for line, fields in tables.tsv(table):
      if len(fields) < 7:
        yield tables.bad(folder, table, line, f'{len(fields)} fields of 7')
        continue
      yield {'path': tables.below(folder, table.parent / 'audio' / table.stem / fields[1]), 'text': fields[2], 'text_id': fields[0],
             'gender': labels.gender(fields[6]), 'split': 'eval' if table.stem in labels.HELD_OUT else 'train', 'style': 'read'}


def festvox(folder) -> Iterator[dict | Skip]:
  """Festvox voices: etc/txt.done.data, lines of ( id "text" ), and wav/ID.wav; a folder is a speaker."""
  for table in tables.found(folder, 'txt.done.data'):
    voice = table.parent.parent
    for line, content in enumerate(tables.text(table).splitlines(), 1):
      found = re.fullmatch(r'\(\s*([\w-]+)\s+"(.*)"\s*\)', content.strip())
      if content.strip() and not found:
        yield tables.bad(folder, table, line, 'not ( id "text" )')
      elif found:
        yield {'path': tables.below(folder, voice / 'wav' / f'{found[1]}.wav'), 'text': found[2], 'speaker': voice.name, 'style': 'read'}


def ulca(folder) -> Iterator[dict | Skip]:
  """ULCA, as Bhashini exports it: params.json and data.json. Text by a machine is no transcript; it is kept as `text_asr`."""
  for params in tables.found(folder, 'params.json'):
    about = tables.read_json(params, dict)
    licence = ULCA_LICENCES.get(str(about.get('license', '')).lower(), '')
    for number, row in enumerate(tables.read_json(params.with_name('data.json'), list)):
      if not isinstance(row, dict) or not isinstance(row.get('audioFilename'), str):
        yield tables.bad(folder, params.with_name('data.json'), number, 'no audioFilename')
        continue
      method = row.get('collectionMethod') or about.get('collectionMethod') or {}
      described = str(method.get('collectionDescription', '') if isinstance(method, dict) else method)
      text, machine = row.get('text') or '', 'machine-generated' in described
      yield {'path': tables.below(folder, params.parent / row['audioFilename']), 'text': '' if machine else text,
             'text_asr': text if machine else '', 'licence': licence,
             'text_provenance': 'none' if machine or not text else 'aligned' if 'aligned' in described else 'human',
             'speaker': '' if row.get('speaker') is None else str(row['speaker']),
             'gender': labels.gender(row.get('gender') or about.get('gender', '')),
             'domain': str(about.get('domain') or ''), 'district': row.get('district', '')}


def kathbath(folder) -> Iterator[dict | Skip]:
  """Kathbath's tars: telugu/SPLIT/transcription_n2w.txt (file, text), and in a tar of its own UTTERANCE-SPEAKER-GENDER.m4a."""
  def telugu(path):
    return 'telugu' in map(str.lower, path.relative_to(folder).parts)

  audio = {path.stem: path for path in sorted(folder.rglob('*')) if path.suffix.lower() in EXTENSIONS and telugu(path)}
  for table in filter(telugu, tables.found(folder, 'transcription*.txt')):
    held = labels.held_out(table.parent.name)
    for line, fields in tables.tsv(table):
      name = re.fullmatch(r'(\w+-(\w+)-([fm]))(?:\.\w+)?', fields[0])
      if len(fields) != 2 or not name:
        yield tables.bad(folder, table, line, 'not a file such as 844424931537866-594-f.m4a and a text')
      elif name[1] not in audio:
        yield Skip(fields[0], 'missing', f'{table.parent.name}: no such file was unpacked')
      else:
        yield {'path': tables.below(folder, audio[name[1]]), 'text': fields[1], 'speaker': name[2], 'gender': name[3],
               'split': 'eval' if held else 'train', 'style': 'read'}


LAYOUTS = {'openslr': openslr, 'common_voice': common_voice, 'respin': respin, 'syspin': syspin, 'fleurs': fleurs,
           'festvox': festvox, 'ulca': ulca, 'kathbath': kathbath, 'indicvoices_raw': conversation.indicvoices_raw,
           'diarised': conversation.diarised, 'two_channel': conversation.two_channel}
