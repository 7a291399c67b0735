"""The job that remakes the embedded sample corpus: sentences.tsv -> synthetic speech -> MANIFEST.tsv.

A `unit` is what is said in one go: a question with its answer, a statement, or a story. Every unit is spoken twice,
each sentence by two voices; within a take the question and the answer have different voices and a story keeps one.
The held-out voice speaks held-out sentences only, so neither a voice nor a sentence of split eval is in train.
Beside the corpus, in asked/, the held-out voice asks the questions of split train: whoever learnt their answers from other
voices can be asked them in one that it does not know. No other job reads that.
"""
import csv
import io
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import tqdm

from telugu_s2s.audio import opus
from telugu_s2s.audio.files import SAMPLE_RATE, write
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import sample
from telugu_s2s.dialogue.synthesis import speak
from telugu_s2s.errors import InputError

SOURCE = 'telugu_s2s-sample'
LICENCE = 'CC0-1.0'
SENTENCE = ('id', 'kind', 'topic', 'dialogue', 'turn', 'text', 'split')
COLUMNS = ('path', 'split', 'language', 'speaker', 'gender', 'style', 'emotion', 'rate', 'text', 'licence', 'source',
           'dialogue', 'turn', 'seconds', 'sentence', 'voice', 'words_per_minute', 'pitch')
KINDS = ('question', 'answer', 'statement', 'story')
END_S = 0.15          # silence left at either end
AUDIBLE_DB = -46      # below the peak this is silence
PEAK_DBFS = -3


def read_sentences(path) -> list[dict]:
  """The rows of a sentences.tsv.

  Raises:
    InputError: the file is missing or lacks a column, an id or a text repeats, or a kind or split is unknown.
  """
  try:
    with open(path, encoding='utf-8', newline='') as file:
      rows = list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))
  except (OSError, ValueError) as problem:
    raise InputError(f'{path} cannot be read ({problem}); config.sentences names a sentences.tsv in UTF-8') from None
  if not rows or not set(SENTENCE) <= set(rows[0]):
    raise InputError(f'{path}: expected sentences under the columns {", ".join(SENTENCE)}')
  seen = set()
  for row in rows:
    where = f'{path}: sentence {row["id"]}'
    if any(row[column] is None for column in SENTENCE):
      raise InputError(f'{where} has too few cells; expected {len(SENTENCE)}, separated by tabs')
    if not row['id'].replace('-', '').replace('_', '').isalnum():
      raise InputError(f'{where} needs an id of letters, digits, - and _: it becomes a file name')
    if row['id'] in seen or row['text'] in seen:
      raise InputError(f'{where} is there twice (its id or its text); keep one')
    if row['kind'] not in KINDS or row['split'] not in ('train', 'eval'):
      raise InputError(f'{where} has kind {row["kind"]!r} and split {row["split"]!r}; '
                       f'known are {", ".join(KINDS)} and train, eval')
    seen |= {row['id'], row['text']}
  return rows


def plan(sentences: list[dict], config) -> list[dict]:
  """What is to be spoken: one manifest row an utterance, all but its seconds, in the order of the sentences.

  Every draw is seeded with config.seed and the unit's name, so a sentence added or left out changes no other.

  Raises:
    InputError: a question stands without its answer, a unit is in both splits, or the config's voices or rates
      do not fit together.
  """
  _check_config(config)
  units = {}
  for sentence in sentences:
    units.setdefault(sentence['dialogue'] or sentence['id'], []).append(sentence)
  rows = []
  for name, unit in units.items():
    kinds, splits = [sentence['kind'] for sentence in unit], {sentence['split'] for sentence in unit}
    if len(splits) > 1 or {'question', 'answer'} & set(kinds) and kinds != ['question', 'answer']:
      raise InputError(f'{name}: {", ".join(kinds)} in split {", ".join(sorted(splits))}; '
                       'a question comes with one answer, and a pair or story is in one split')
    rng = np.random.default_rng([config.seed, zlib.crc32(name.encode())])
    for take, voices in enumerate(_casts(unit, config, rng), 1):
      for turn, sentence in enumerate(unit):
        rows.append(_drawn(sentence, take, voices[turn % len(voices)], config, rng))
  return rows


def _check_config(config):
  """Refuses voices and rates that do not fit together."""
  if len(config.voices) < 5 or config.held_out not in config.voices:
    raise InputError(f'config.voices has {len(config.voices)} voices and config.held_out is {config.held_out!r}; '
                     'it takes one of at least five: four speak each pair of the train split')
  shares = config.rate_shares
  if not set(shares) <= set(config.rates) or abs(sum(shares.values()) - 1) > 1e-9:
    raise InputError(f'config.rate_shares is {dict(shares)}; its labels must be in config.rates, its sum 1')
  for label, limits in config.rates.items():
    if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
      raise InputError(f'config.rates.{label} {tuple(limits)}: give the slowest, then the fastest, in words a minute')


def _casts(unit, config, rng):
  """The voices of both takes of a unit: one each, or two that take turns."""
  train = sorted(set(config.voices) - {config.held_out})
  drawn = [train[i] for i in rng.permutation(len(train))]
  pair = unit[0]['kind'] == 'question'
  if unit[0]['split'] == 'eval':
    return [(config.held_out, drawn[0]), (drawn[1], config.held_out)] if pair else [(config.held_out,), (drawn[0],)]
  return [(drawn[0], drawn[1]), (drawn[2], drawn[3])] if pair else [(drawn[0],), (drawn[1],)]


def _drawn(sentence, take, speaker, config, rng):
  """The manifest row of one utterance, with its rate and pitch drawn."""
  label = str(rng.choice(list(config.rate_shares), p=list(config.rate_shares.values())))
  slowest, fastest = config.rates[label]
  words = int(rng.integers(slowest, fastest + 1))
  higher = int(rng.integers(-config.pitch_spread, config.pitch_spread + 1))
  dialogue = f'{sentence["dialogue"]}-{take}' if sentence['dialogue'] else ''
  return _row(sentence, sentence['split'], dialogue, speaker, config, label, words, higher)


def _row(sentence, split, dialogue, speaker, config, label, words: int, higher: int = 0):
  """The manifest row of one utterance. words: a minute; higher: than the voice's own pitch."""
  voice = config.voices[speaker]
  return dict(
      path=f'audio/{sentence["id"]}-{speaker}.opus', split=split, language='te',
      speaker=f'sample-{speaker}', gender=voice.gender, style=sentence['kind'], emotion='neutral', rate=label,
      text=sentence['text'], licence=LICENCE, source=SOURCE, dialogue=dialogue, turn=sentence['turn'],
      seconds='', sentence=sentence['id'], voice=voice.voice, words_per_minute=words, pitch=int(voice.pitch + higher))


def asked(sentences: list[dict], config) -> list[dict]:
  """Manifest rows of the questions of split train in the held-out voice, each at the middle of the normal rate."""
  middle = sum(config.rates['normal']) // 2
  return [_row(one, 'eval', one['dialogue'], config.held_out, config, 'normal', middle) for one in sentences
          if one['kind'] == 'question' and one['split'] == 'train']


def finished(samples) -> np.ndarray:
  """An utterance with 0.15 s of silence at either end and its peak at -3 dBFS. samples: f32[samples] at 16 kHz."""
  level = np.abs(samples)
  audible = np.flatnonzero(level > level.max() * 10 ** (AUDIBLE_DB / 20))
  end = int(END_S * SAMPLE_RATE)
  padded = np.pad(samples, end)     # audible[0] is then `end` samples after where the kept part starts
  kept = padded[audible[0]:audible[-1] + 1 + 2 * end]
  return (kept * (10 ** (PEAK_DBFS / 20) / level.max())).astype(np.float32)


def utterance(row: dict, kbps: float) -> tuple[bytes, float]:
  """The Opus file of a planned row, and its length in seconds as decoded."""
  samples = finished(speak(row['text'], row['voice'], row['words_per_minute'], row['pitch']))
  data = opus.encoded(samples, kbps)
  return data, soundfile.info(io.BytesIO(data)).frames / SAMPLE_RATE


def run(config, workdir) -> None:
  """Speaks every sentence and puts the corpus at config.out, or at workdir/sample.

  All audio is made beside its place, and takes it when the last file is done: a job that is stopped while it speaks
  leaves the corpus as it was. The same seed, espeak-ng and libopus give the same bytes.

  Raises:
    InputError: espeakng-loader is missing, a voice, a rate or the sentences cannot be used, or config.out holds
      audio that this job did not make.
  """
  sentences = Path(config.sentences or sample.folder() / 'sentences.tsv')
  out = Path(config.out or Path(workdir) / 'sample')
  spoken = read_sentences(sentences)
  rows, more = plan(spoken, config), asked(spoken, config)
  text = sentences.read_bytes()
  _check_ours(out)
  new, new_asked = out / 'audio.new', out / sample.ASKED / 'audio.new'
  pool = ThreadPoolExecutor(os.cpu_count())
  try:
    for place, some in ((new, rows), (new_asked, more)):
      shutil.rmtree(place, ignore_errors=True)
      made = pool.map(lambda row: utterance(row, config.kbps), some)
      for (data, seconds), row in zip(tqdm.tqdm(made, 'speaking', len(some), unit='file'), some):
        write(place / Path(row['path']).name, data)
        row['seconds'] = f'{seconds:.3f}'
    write(out / 'sentences.tsv', text)
    for place, folder, some in ((new, out, rows), (new_asked, out / sample.ASKED, more)):
      if some:
        write(folder / 'MANIFEST.tsv', corpus.table(COLUMNS, some))
        _replace(place, folder / 'audio')
  finally:
    pool.shutdown(cancel_futures=True)      # after an error, speak no more
    for place in (new, new_asked):
      shutil.rmtree(place, ignore_errors=True)
  size = sum(file.stat().st_size for file in out.rglob('*') if file.is_file())
  print(f'{out}: {len(rows)} utterances of {len({row["sentence"] for row in rows})} sentences in {len(config.voices)} '
        f'voices, {sum(float(row["seconds"]) for row in rows) / 60:.1f} minutes, {size / 1e6:.2f} MB')


def _check_ours(out):
  """Refuses a folder whose audio is not all listed as this job's."""
  listed = set()
  if (out / 'MANIFEST.tsv').is_file():
    with open(out / 'MANIFEST.tsv', encoding='utf-8', newline='') as file:
      listed = {row.get('path') for row in csv.DictReader(file, delimiter='\t') if row.get('source') == SOURCE}
  for file in sorted((out / 'audio').glob('*')):
    if f'audio/{file.name}' not in listed:
      raise InputError(f'{file} was not made by this job and would be lost; name another folder with --config.out')


def _replace(new, place):
  """Moves a folder to its place; what stood there goes once the new one stands."""
  old = place.with_name(f'{place.name}.old')
  shutil.rmtree(old, ignore_errors=True)
  if place.exists():
    os.rename(place, old)
  os.rename(new, place)
  shutil.rmtree(old, ignore_errors=True)
