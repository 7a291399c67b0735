"""Whether a voice does what it is asked: pitch, range, rate and energy bin by bin, breaths, fillers, emotions, speed and shift, as they are heard.

A voice that converses is heard in answers to questions, another one in what it says of itself.
"""
import collections

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import activity, delivery, level, nonverbal, pitch, quality, shift, tempo
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.codec import streaming
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import reply
from telugu_s2s.lm import drawing, frames, sampling
from telugu_s2s.tokens import encoding, labels
from telugu_s2s.training import intervals

HEARD = tuple(labels.KNOBS)      # what is heard of an utterance, by the names of the knobs
ASKED = (*HEARD, 'speed', 'shift')         # what has an `agreement`
SPEAKERS = 8                     # at most, who say each of them
FEWEST = 4                       # recordings of an emotion that it is known by
# What is said is played faster and slower, and higher and lower, as configs/reply.py and a session of the server may ask.
SPEEDS = 0.6, 0.75, 1.0, 1.2, 1.5
SHIFTS = -6.0, -3.0, 0.0, 3.0, 6.0         # semitones
LEAST_ASKED = 24                 # utterances of emotions together: a share of fewer tells little


def check(config, model, converses: bool) -> None:
  """Raises InputError where a run has nothing that could be asked for, or would say the same in each draw."""
  if not (config.temperature or converses):
    raise InputError('config.temperature 0: a voice that answers nobody says the same in each draw of a speaker then; give more than 0')
  if not (model.knob_bins or model.emotions or model.nonverbal):
    raise InputError(f'config.tests control: {config.run} was trained without knobs and emotions; train one with config.model.knob_bins = 5, '
                     'emotions = 9 or nonverbal = True, or leave control out')


def heard(audio) -> dict[str, float]:
  """{pitch: median F0 in Hz, range: its 5th to 95th percentile in semitones, rate: the geometric mean of syllables a second of speech
  and of how fast its spectrum moves, energy: the range of the level of voiced frames in dB}, nan where there is no voice. Breaths and
  fillers are left out.

  Pitch is WORLD's where pyworld is installed, which no label was made with, and else that of audio/pitch.py. Labels know of the rate
  by the syllables alone, of the text or else of the sound.
  """
  spoken = activity.speech(audio)
  package = quality.optional('pyworld')
  f0 = quality.world_f0(package, audio) if package else pitch.track(audio)
  fitted = lambda x: np.pad(x, (0, max(0, len(spoken) - len(x))))[:len(spoken)]
  f0, own = fitted(f0), fitted(pitch.track(audio) if package else f0)
  out = nonverbal.no_words(own, nonverbal.found(audio, own))
  spoken &= ~out
  voiced = (f0 > 0) & spoken
  if voiced.sum() < 20:
    return dict.fromkeys(HEARD, float('nan'))
  low, middle, high = np.percentile(f0[voiced], [5, 50, 95])
  soft, loud = np.percentile(level.frame_dbfs(audio)[:len(voiced)][voiced], [5, 95])
  seconds = spoken.sum() * level.HOP / SAMPLE_RATE
  return {'pitch': float(middle), 'range': float(12 * np.log2(high / low)), 'energy': float(loud - soft),
          'rate': (delivery.nuclei(audio, out) / delivery.HEARD / seconds * delivery.change(audio, spoken)) ** 0.5}


def ear() -> str:
  """What hears pitch here. What one of the two hears does not compare with what the other does: WORLD loses low voices."""
  return 'WORLD' if quality.optional('pyworld') else 'audio/pitch.py'


def spearman(x, y) -> float:
  """The correlation of ranks, ties sharing theirs; nan where one of the two is constant."""
  def ranks(values):
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
  x, y = ranks(np.asarray(x)), ranks(np.asarray(y))
  return float(np.corrcoef(x, y)[0, 1]) if np.std(x) and np.std(y) else float('nan')


def agreement(asked, values, rng, draw=None, groups=None) -> dict:
  """How what is heard goes with what was asked for.

  Args:
    asked: i64[n], bins. values: f64[n], nan where nothing was heard.
    draw: i64[n], which utterances differ in what was asked for alone; None = none do.
    groups: [n], names, as of speakers: utterances of one are no independent ones; None = all are.

  Returns:
    {n, groups: how many, bins: the mean of each bin, spearman: over utterances, interval: see `sure`, of_means: over the means of
    bins, monotone: these rise from each bin to the next, and with draws within: spearman of what is above the mean of its draw}.
  """
  there = np.isfinite(values)
  asked, values = np.asarray(asked)[there], np.asarray(values)[there]
  groups = np.arange(len(asked)) if groups is None else np.asarray(groups)[there]
  told = {'n': len(asked), 'groups': len(np.unique(groups))}
  if len(np.unique(asked)) < 2:
    return told | {'bins': [], 'spearman': float('nan'), 'interval': [float('nan')] * 2, 'of_means': float('nan'), 'monotone': False}
  means = np.array([values[asked == one].mean() for one in np.unique(asked)])
  result = told | {'bins': means.round(3).tolist(), 'spearman': spearman(asked, values), 'interval': sure(asked, values, groups, rng),
                   'of_means': spearman(np.arange(len(means)), means), 'monotone': bool((np.diff(means) > 0).all())}
  if draw is not None:
    same = np.unique(draw[there], return_inverse=True)[1]
    middle = np.bincount(same, values) / np.bincount(same)
    result['within'] = spearman(asked, values - middle[same])
  return result


def sure(asked, values, groups, rng) -> list[float]:
  """[low, high], the 95 % interval of `spearman`: that of the mean of its jackknife's values, a group each (Tukey, 1958), by `intervals.by_group`.

  One group tells nothing: [nan, nan].
  """
  names = np.unique(groups)
  if len(names) < 2:
    return [float('nan')] * 2
  without = np.array([spearman(asked[groups != one], values[groups != one]) for one in names])
  found = intervals.by_group(len(names) * spearman(asked, values) - (len(names) - 1) * without, names, rng)
  return np.clip(found, -1, 1).tolist()


def together(draw, speakers: int, questions: int) -> np.ndarray:
  """i32[n], groups of utterances, of each its draw: those of one speaker, where there are several, else those that answer one question.

  Where there is neither to tell them apart by, each draw is a group.
  """
  many = speakers if speakers > 1 else questions
  return draw % many if many > 1 else draw


def recorded(segments, again, table, rng) -> dict:
  """{knob: `agreement`} of recordings with the bins that they were labelled with, after the codec: a voice that obeys comes as far.

  again: the same recordings, from `after_codec`. Speakers whom the table does not have are known by the median of their recordings, and of
  what names nobody the pitch is left out.
  """
  every = [{'source': one.source, 'speaker': one.speaker, 'quality': one.quality} for one in segments]
  table = labels.met(table, every)
  bins = np.array([table.knobs(one) for one in every])
  measured = [table.measured(one | {'quality': {labels.KNOBS[knob]: value for knob, value in heard(audio).items()}})
              for one, audio in zip(every, again)]
  found = np.array([[one.get(knob, np.nan) for knob in HEARD] for one in measured])
  who = np.array([labels.spoken_by(one) for one in segments])
  return {knob: agreement(bins[there, number], found[there, number], rng, groups=who[there]) for number, knob in enumerate(HEARD)
          for there in [bins[:, number] >= 0] if there.any()}


def after_codec(segments, encoder) -> list[np.ndarray]:
  """f32[samples] of each segment, as the codec gives it back."""
  return [streaming.audio_of(encoder.codec, codes, len(one.audio)) for one, codes in zip(segments, encoder([one.audio for one in segments]))]


def utterances(model, params, codec, given: dict, seconds: float, questions, silence, key, how, longest=0) -> np.ndarray:
  """f32[b samples], what is said with conditions {name: i32[b ..]}.

  questions: [i[t q]], codes of what each row answers; of none it is said from nothing, the user being silent.
  longest: frames that there is room for before answers begin, at least those of the longest question.
  """
  b, count = len(next(iter(given.values()))), round(seconds * codec.config.frame_rate)
  given = {name: jnp.asarray(x) for name, x in given.items()}
  if questions:
    longest = max(longest, *map(len, questions))
    user = reply.lined_up(questions, silence, longest, count + model.delay)
    return encoding.decoded(codec, reply.answered(model, params, jnp.asarray(user), longest, silence, key, how, given)[0])
  model = model.within(count + model.delay)
  state = sampling.conditioned(model, params, sampling.empty_state(model, b, how.guidance != 1), given)
  user = jnp.broadcast_to(jnp.asarray(silence), (b, count + model.delay, model.codebooks))
  slots = sampling.burst(model, params, state, user, key, drawing.settings(model, [how] * b))[1]
  return encoding.decoded(codec, frames.undelayed(slots[..., -model.codebooks:], model.delay))


def measure(config, segments, model, params, codec, table, questions=()) -> dict:
  """{knob: `agreement`, recordings: `recorded`, speed: `agreement` of SPEEDS with the rate, shift: of SHIFTS with the pitch, breath, filler:
  `between`, emotion: how often an utterance is nearest to recordings of the emotion asked for}.

  Args:
    table: the labels.Table of the run, or None.
    questions: recordings f32[samples] that are answered; none for a voice that does not converse.

  Raises:
    InputError: config.speakers has one whom the run does not know.
  """
  encoder = encoding.Encoder(codec)
  silence, rng = encoder.silence().astype(np.int32), np.random.default_rng(config.seed)
  # An answer may end, and what is said of itself goes on.
  how = sampling.Sampling(config.temperature, config.top_k, int(silence[0]), 0.0 if questions else config.silence_bias, guidance=config.guidance,
                          floor=config.floor if questions else 0.0)
  known = speakers_of(config, model, table) if table else []
  codes = encoder(questions[:max(config.draws, LEAST_ASKED)])           # each draw answers one
  rows, longest = config.draws * max(model.knob_bins, 1), max(map(len, codes), default=0)

  def say(given, draw, number):
    """The conditions with those who speak, and what is said: in each draw an answer to one question, by one speaker."""
    given = given | ({'speaker': np.array(known, np.int32)[draw % len(known)]} if known else {})
    key, sounds = jax.random.key(config.seed + number), []
    for at in range(0, len(draw), rows):                # batches of one shape, one program
      some = np.arange(at, at + rows) % len(draw)
      asked = [codes[one % len(codes)] for one in draw[some]] if codes else ()
      sounds += [*utterances(model, params, codec, {name: x[some] for name, x in given.items()}, config.utterance_s, asked, silence,
                             jax.random.fold_in(key, at), how, longest)]
    return given, sounds[:len(draw)]

  def above(hertz, given):
    """f64[n], pitches in semitones from the asked speakers' own, or from the middle of all."""
    return 12 * np.log2(hertz / (np.array(table.pitch_hz, float)[given['speaker']] if known else np.nanmedian(hertz)))

  grouped = lambda draw: together(draw, len(known), len(codes))
  result = {'speakers': len(known), 'questions': len(questions), 'guidance': config.guidance, 'ear': ear(),
            'by': 'speakers' if len(known) > 1 else 'questions' if len(codes) > 1 else 'draws'}
  for number, knob in enumerate(HEARD if model.knob_bins else ()):
    draw, bins = laid(range(model.knob_bins), config.draws)
    knobs = np.full((len(bins), len(HEARD)), -1, np.int32)
    knobs[:, number] = bins
    given, sounds = say({'knobs': knobs}, draw, number)
    found = np.array([heard(one)[knob] for one in sounds])
    result[knob] = agreement(bins, above(found, given) if knob == 'pitch' else found, rng, draw if codes else None, grouped(draw))
  result |= _played(config, model, say, above, grouped, rng)
  knobs = bool(model.knob_bins and table and segments)
  again = after_codec(segments, encoder) if segments and (knobs or model.nonverbal) else []
  if knobs:
    result['recordings'] = recorded(segments, again, table, rng)
  if model.nonverbal:
    told = [labels.nonverbal({'text': one.text, 'quality': one.quality, 'custom': one.custom}) for one in segments]
    counts = [nonverbal.heard(one) for one in again]
    for number, name in enumerate(labels.NONVERBAL):
      draw, asked = laid((0, 1), config.draws)
      sounds = say({name: asked}, draw, len(HEARD) + 1 + number)[1]
      result[name] = between(name, asked, map(nonverbal.heard, sounds), grouped(draw), rng) | {
          'recordings': between(name, [one[name] for one in told], counts, [labels.spoken_by(one) for one in segments], rng)}
  if model.emotions:
    result['emotion'] = _emotions(config, segments, say, above, grouped, rng)
  return result


def between(name: str, asked, counts, groups, rng) -> dict:
  """{none, some: in how many of the sounds that were asked for without and with it a breath or a filler is heard}, `share_by_group` each.

  Args:
    asked: 0, 1, or another number where nothing is known. counts: of each sound, from `nonverbal.heard`. groups: of each, as of `agreement`.
  """
  found, asked, groups = np.array([one[labels.NONVERBAL[name]] > 0 for one in counts]), np.asarray(asked), np.array(list(groups))
  return {word: intervals.share_by_group(found[there], groups[there], rng)
          for value, word in enumerate(('none', 'some')) for there in [asked == value] if there.any()}


def laid(values, draws: int):
  """(draw, value), i32[n] each, of all utterances: in each draw every value is asked for."""
  values = np.array(values, np.int32)
  return np.repeat(np.arange(draws, dtype=np.int32), len(values)), np.tile(values, draws)


def speakers_of(config, model, table) -> list[int]:
  """The numbers of those who are asked for: of config.speakers, or the first that are known."""
  if config.speakers:
    return [table.named(name, model.speakers) for name in config.speakers]
  return [number for number, hertz in enumerate(table.pitch_hz) if hertz and number < model.speakers][:SPEAKERS]


def _played(config, model, say, above, grouped, rng):
  """{speed: `agreement` of SPEEDS with the rate that is heard, shift: of SHIFTS with the pitch}, of utterances of which nothing else was asked."""
  name, shape = ('knobs', [len(HEARD)]) if model.knob_bins else ('emotion' if model.emotions else 'breath', [])
  given, said = say({name: np.full([config.draws, *shape], -1, np.int32)}, np.arange(config.draws), len(HEARD) + 1 + len(labels.NONVERBAL))
  draw, asked = laid(range(len(SPEEDS)), config.draws)
  rate = np.array([heard(tempo.stretched(said[one], SPEEDS[number]))['rate'] for one, number in zip(draw, asked)])
  result = {'speed': agreement(asked, rate, rng, draw, grouped(draw))}
  draw, asked = laid(range(len(SHIFTS)), config.draws)
  hertz = np.array([heard(shift.shifted(said[one], SHIFTS[number]))['pitch'] for one, number in zip(draw, asked)])
  high = above(hertz, {condition: value[draw] for condition, value in given.items()})
  return result | {'shift': agreement(asked, high, rng, draw, grouped(draw))}


def _emotions(config, segments, say, above, grouped, rng):
  profiles = profiled(segments)
  if len(profiles) < 2:
    return {'skipped': f'the data has not {FEWEST} recordings each of two labelled emotions'}
  names = list(profiles)
  draw, asked = laid(names, max(config.draws, -(-LEAST_ASKED // len(names))))
  given, sounds = say({'emotion': asked}, draw, len(HEARD))
  found = np.array([[*heard(one).values()] for one in sounds])
  found[:, 0] = above(found[:, 0], given)
  guess = nearest(profiles, found)
  return {'emotions': [labels.EMOTIONS[number] for number in names], 'chance': 1 / len(names),
          **intervals.share_by_group(guess == asked, grouped(draw), rng),
          'confusion': [[int(np.sum((asked == a) & (guess == b))) for b in names] for a in names]}


def profiled(segments) -> dict:
  """{emotion: f64[n 4], what is heard of its recordings, the pitch in semitones from the middle of their speaker's}, FEWEST at least."""
  labelled = [(number, labels.spoken_by(one), [*heard(one.audio).values()]) for one in segments if (number := labels.emotion(one.emotion or '')) >= 0]
  hertz, profiles = collections.defaultdict(list), collections.defaultdict(list)
  for _, speaker, (pitch_hz, *_) in labelled:
    hertz[speaker].append(pitch_hz)
  for number, speaker, (pitch_hz, *rest) in labelled:
    if np.isfinite([pitch_hz, *rest]).all():
      profiles[number].append([12 * np.log2(pitch_hz / np.nanmedian(hertz[speaker])), *rest])
  return {number: np.array(some) for number, some in sorted(profiles.items()) if len(some) >= FEWEST}


def nearest(profiles: dict, x) -> np.ndarray:
  """i64[n], the emotion whose mean is nearest to each row of x f64[n 4], in units of the spread within emotions; -1 where x is nan."""
  names = np.array(list(profiles))
  centres = np.array([some.mean(0) for some in profiles.values()])
  spread = np.sqrt(np.mean([some.var(0) for some in profiles.values()], 0)) + 1e-6
  away = np.sum(((x[:, None] - centres) / spread) ** 2, -1)
  return np.where(np.isfinite(x).all(1), names[np.argmin(np.where(np.isfinite(away), away, np.inf), 1)], -1)


def show(result):
  """Prints a line a knob, with what the same ear hears of recordings in the bins that they were labelled with."""
  print(f'heard by {result["ear"]}; groups, over which intervals are, are {result["by"]}, and of recordings speakers')
  for knob in ASKED:
    if knob in result:
      one, most = result[knob], result.get('recordings', {}).get(knob)
      print(f'{knob:>8}: Spearman {one["spearman"]:+.2f} ({one["interval"][0]:+.2f} to {one["interval"][1]:+.2f}) over {one["n"]} utterances, '
            f'{one["groups"]} groups' +
            (f', {one["within"]:+.2f} within answers to one question' if 'within' in one else '') +
            f', {one["of_means"]:+.2f} of the bins\' means {", ".join(f"{value:.2f}" for value in one["bins"])}' +
            (f'; recordings {most["spearman"]:+.2f} over {most["n"]}' if most else ''))
  for name in labels.NONVERBAL:
    if name in result:
      told = lambda one: ', '.join(f'{one[word]["share"]:.0%} of {one[word]["n"]} ({one[word]["groups"]} groups) with {word}'
                                   for word in ('none', 'some') if word in one)
      print(f'{name:>8}: heard where asked for in {told(result[name])}; in recordings {told(result[name]["recordings"])}')
  if 'emotion' in result:
    one = result['emotion']
    print(' emotion: ' + (f'not measured: {one["skipped"]}' if 'skipped' in one else
                           f'{one["share"]:.0%} of {one["n"]} ({one["groups"]} groups) nearest to the emotion asked for (chance '
                           f'{one["chance"]:.0%})'))
