"""The job that makes conversation pairs, from whatever config.source names; what takes a trained model loads it here."""
import dataclasses
from pathlib import Path

import numpy as np

from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import sample
from telugu_s2s.dialogue import engines, found, matched, own_voice, pairs, selfplay, spoken, timing, voiceprint
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import dialogues
from telugu_s2s.lm import sampling
from telugu_s2s.tokens import encoding, labels
from telugu_s2s.tokens.slots import SYNTHESIS
from telugu_s2s.training import runs, texts

SOURCES = ('grammar', 'text', 'recordings', 'retrieval', 'selfplay', 'timing', 'measure')


def run(config, workdir):
  """The job: dialogues in workdir/pairs and workdir/negatives; or the timing of a folder's dialogues; or how well this works."""
  all_of = config.source == 'recordings'
  if config.count < (0 if all_of else 1):
    raise InputError(f'config.count {config.count}: give 1 or more{", or 0 for all" if all_of else ""}')
  if config.source in ('grammar', 'text'):
    return from_text(config, workdir)
  if config.source == 'recordings':
    how = found.How(config.voiceprint, config.vad, config.longest_s)
    made_by = pairs.generator('recordings', how=how, layout=config.layout, licence=config.licence, folder=str(config.folder))
    units, skips = found.units(config, how, workdir)
    return pairs.write(units, workdir, made_by, 'flac', config.workers, skips)
  if config.source == 'retrieval':
    table = timing.load(config.timing)
    made_by = pairs.generator('retrieval', by=config.by, timing=table, seed=config.seed, reuse=config.reuse, licence=config.licence,
                              folder=str(config.folder))
    units, skips = matched.units(config, table, workdir)
    return pairs.write(units, workdir, made_by, 'flac', config.workers, skips)
  if config.source == 'selfplay':
    return from_selfplay(config, workdir)
  if config.source == 'timing':
    return timing_of(config, workdir)
  if config.source == 'measure':
    return dialogues.measured(config.folder or sample.folder(), config.count, config.seed, config.vad, config.codec, workdir)
  raise InputError(f'config.source {config.source!r}: choose one of {", ".join(SOURCES)}')


def timing_of(config, workdir) -> timing.Timing:
  """The timing of the dialogues of split train in a folder, written to workdir/timing.json.

  Raises:
    InputError: the folder cannot be used, or none of its rows says who speaks when.
  """
  if not config.folder:
    raise InputError('config.folder is empty: give a folder of dialogues whose turns have times')
  rows, skips = found.recordings(config, Path(config.folder))
  train = [one for one in rows if one.split == corpus.SPLIT]
  spans = timing.spans(config.folder, train, skips)
  if not spans:
    raise InputError(f'config.folder: none of {len(train)} rows of split train in {config.folder} says in which dialogue who speaks from when to '
                     'when; name its config.layout, indicvoices_raw or diarised, or give what configs/pairs.py:recordings makes of it')
  table = timing.measured(spans, str(Path(config.folder).name))
  timing.save(Path(workdir) / 'timing.json', table)
  print(f'{Path(workdir) / "timing.json"}: {sum(table.gap_s.counts)} gaps, {table.backchannels_per_s:.3f} backchannels a second; '
        'give it as config.timing')
  return table


def from_text(config, workdir):
  """Dialogues of a grammar or a file of sentences, spoken."""
  if len(config.rates) != 2 or not 0.3 <= config.rates[0] <= config.rates[1] <= 3:
    raise InputError(f'config.rates {config.rates}: give (slowest, fastest) between 0.3 and 3')
  if not config.emotions or config.engine == 'espeak' and {*config.emotions} - {*engines.ACTED}:
    raise InputError(f'config.emotions {tuple(config.emotions)}: give one or more; espeak acts {", ".join(engines.ACTED)}')
  for field in ('breathed', 'filled'):
    if not (config[field] == -1 or 0 <= config[field] <= 1):
      raise InputError(f'config.{field} {config[field]}: give a share from 0 to 1, or -1 for what config.timing says')
  if config.breathed > 0 and not config.breaths:
    raise InputError(f"config.breathed {config.breathed}: give config.breaths, a folder of them or 'made'")
  if not 0 <= config.eval_share < 1:
    raise InputError(f'config.eval_share {config.eval_share}: give a share from 0 to below 1')
  engine = engines.chosen(config, workdir, speaker_of(config) if config.engine == 'model' else None)
  if config.takes < 1 or {*config.answerers} - {''} and config.engine != 'espeak':
    raise InputError(f'config.takes {config.takes}, config.answerers {config.answerers}: give takes from 1, and voices of espeak or none')
  if strange := {*config.answerers} - {*config.voices}:
    raise InputError(f'config.answerers: there is no voice {", ".join(sorted(strange))}; there are {", ".join(config.voices)}')
  begun = {name: share for name, share in (('breaths', config.breathed), ('fillers', config.filled)) if share >= 0}
  none = {} if config.extras else dict(backchannels_per_s=0.0, breaths=0.0, fillers=0.0)
  table = dataclasses.replace(timing.load(config.timing), **none | begun)
  if config.filled > 0 and engine.real:
    raise InputError(f'config.filled {config.filled}: people who were recorded say no more than they said; give 0')
  how = spoken.How(engine, table, config.seed, tuple(config.rates), tuple(config.emotions), config.extras or any(begun.values()),
                   spoken.breaths(config.breaths, config.licence, config.seed), config.takes, tuple(config.answerers), config.answer_once)
  made_by = pairs.generator(config.source, engine=(engine.name, engine.version), voices=config.voices, variants=config.variants,
                            names=config.voice_names, held_out=config.held_out_names, timing=how.timing, seed=config.seed, rates=tuple(config.rates),
                            pitches=list(config.pitches), ranges=list(config.ranges), emotions=list(config.emotions), acted=engines.ACTED,
                            extras=config.extras, breaths=[(pairs.sound(one.samples), one.source, one.licence) for one in how.breaths],
                            takes=config.takes, answerers=list(config.answerers),
                            fillers=(spoken.FILLERS, spoken.FILLER_RATE, spoken.FILLER_EMOTION) if how.extras else '',
                            answer_once=config.answer_once and 'in an emotion', licence=config.licence)
  units = (spoken.from_grammar if config.source == 'grammar' else spoken.from_text)(config, how)
  workers = 1 if config.engine == 'model' else config.workers
  return pairs.write(units, workdir, made_by, 'flac' if engine.real else 'opus', workers, engine.skips)


def speaker_of(config) -> engines.Engine:
  """The model of config.run as an engine."""
  model, params, trained = runs.loaded(config.run)
  words = texts.of_run(config.run, model)
  if words and not (shares := runs.config_of(config.run).text.shares)[SYNTHESIS]:
    raise InputError(f'config.run: {config.run} has learnt its words beside its voice alone (config.text.shares {tuple(shares)}), so it cannot read; '
                     'train one with some ahead of it')
  table = labels.kept(config.run)

  def conditions(voice, emotion):
    given = {'task': np.int32(SYNTHESIS)} if model.tasks else {}
    if voice and model.speakers:
      given['speaker'] = np.int32(table.named(voice, model.speakers))
    if emotion and model.emotions:
      given['emotion'] = np.int32(table.feeling(emotion))
    return given

  voices = dict.fromkeys(engines.names(config.voice_names) or (table.speakers if model.speakers else ('a', 'b')), False)
  if not model.speakers:
    print(f'{config.run} has no condition of speakers: its two voices are not told apart')
  voices |= dict.fromkeys(engines.names(config.held_out_names), True)
  how = sampling.Sampling(config.temperature, config.top_k, repetition=4)
  return own_voice.engine(model, params, trained, words, Path(config.run).name, licence_of(config, trained.name), voices, conditions, how,
                          2 * (round(trained.config.frame_rate * 1.5) // 2))


def licence_of(config, codec: str) -> str:
  """Under what licence stands what the model of config.run says: config.run_licence, or the strictest of all that it learnt from.

  Raises:
    InputError: none is given, and what it learnt from is not there, or holds licences that may not stand side by side.
  """
  if config.run_licence:
    return config.run_licence
  try:
    return pairs.one_licence(row['licence'] for row in runs.sources(runs.tokens_of(Path(config.run).absolute()), codec))
  except (InputError, pairs.Aside) as problem:
    raise InputError(f'config.run_licence: what {config.run} learnt from does not tell the licence of what it says ({problem.args[-1]}); '
                     'name that licence here') from None


def from_selfplay(config, workdir):
  """Dialogues of a model with itself, begun by recorded questions."""
  model, params, trained = runs.loaded(config.run)
  encoder = encoding.Encoder(trained, batch=1)
  silence = encoder.silence().astype(np.int32)
  how = sampling.Sampling(config.temperature, config.top_k, int(silence[0]), config.silence_bias)
  player = selfplay.Player(model, params, trained, how, silence, Path(config.run).resolve().name, licence_of(config, trained.name))
  folder = Path(config.folder or sample.folder())
  rows, skips = corpus.recordings(folder, config.licence, 'config.folder')
  prompts, unheard = selfplay.prompts(rows, folder, encoder, config.count, config.seed)
  limits = selfplay.Limits(**config.limits)
  made_by = pairs.generator('selfplay', run=own_voice.digest(params), codec=trained.identity, how=how, limits=limits, seconds=config.seconds,
                            batch=config.batch, seed=config.seed, drift=voiceprint.available(), licence=(config.licence, player.licence),
                            folder=config.folder)
  units = selfplay.units(prompts, player, limits, config.seconds, config.batch, config.seed)
  return pairs.write(units, workdir, made_by, 'opus', 1, skips + unheard)
