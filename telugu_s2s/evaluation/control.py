"""Whether a voice does what it is asked: pitch, range, rate and energy bin by bin, and emotions, as they are heard afterwards."""
import functools

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import activity, delivery, level, pitch, quality
from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.errors import InputError
from telugu_s2s.lm import drawing, frames, sampling
from telugu_s2s.tokens import encoding, labels
from telugu_s2s.training import intervals

HEARD = tuple(labels.KNOBS)      # what is heard of an utterance, by the names of the knobs
SPEAKERS = 8                     # at most, who say each of them
FEWEST = 4                       # recordings of an emotion that it is known by


def check(model, folder) -> None:
  """Raises InputError where a run has nothing that could be asked for."""
  if not (model.knob_bins or model.emotions):
    raise InputError(f'config.tests control: {folder} was trained without knobs and emotions; train one with config.model.knob_bins = 5 '
                     'or config.model.emotions = 9, or leave control out')


def heard(audio) -> dict[str, float]:
  """{pitch: median F0 in Hz, range: its 5th to 95th percentile in semitones, rate: syllables a second of speech, energy: the
  range of the level of voiced frames in dB}, nan where there is no voice.

  Pitch is WORLD's where pyworld is installed, which no label was made with, and else that of audio/pitch.py. Syllables are peaks of
  the vowels' level, as labels have them where there is no text.
  """
  spoken = activity.speech(audio)
  package = quality.optional('pyworld')
  f0 = quality.world_f0(package, audio) if package else pitch.track(audio)
  f0 = np.pad(f0, (0, max(0, len(spoken) - len(f0))))[:len(spoken)]
  voiced = (f0 > 0) & spoken
  if voiced.sum() < 20:
    return dict.fromkeys(HEARD, float('nan'))
  low, middle, high = np.percentile(f0[voiced], [5, 50, 95])
  soft, loud = np.percentile(level.frame_dbfs(audio)[:len(voiced)][voiced], [5, 95])
  seconds = spoken.sum() * level.HOP / SAMPLE_RATE
  return {'pitch': float(middle), 'range': float(12 * np.log2(high / low)), 'energy': float(loud - soft),
          'rate': delivery.nuclei(audio, f0) / delivery.HEARD / seconds}


def spearman(x, y) -> float:
  """The correlation of ranks, ties sharing theirs; nan where one of the two is constant."""
  def ranks(values):
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
  x, y = ranks(np.asarray(x)), ranks(np.asarray(y))
  return float(np.corrcoef(x, y)[0, 1]) if np.std(x) and np.std(y) else float('nan')


def agreement(asked, values, rng) -> dict:
  """How what is heard goes with what was asked for.

  Args:
    asked: i64[n], bins. values: f64[n], nan where nothing was heard.

  Returns:
    {n, bins: the mean of each bin, spearman: over utterances, interval: its 95 % bootstrap interval, of_means: over the means of
    bins, monotone: these rise from each bin to the next}.
  """
  there = np.isfinite(values)
  asked, values = np.asarray(asked)[there], np.asarray(values)[there]
  if len(np.unique(asked)) < 2:
    return {'n': int(there.sum()), 'bins': [], 'spearman': float('nan'), 'interval': [float('nan')] * 2, 'of_means': float('nan'),
            'monotone': False}
  means = np.array([values[asked == one].mean() for one in np.unique(asked)])
  drawn = [spearman(asked[rows], values[rows]) for rows in rng.integers(len(asked), size=(500, len(asked)))]
  return {'n': len(asked), 'bins': means.round(3).tolist(), 'spearman': spearman(asked, values),
          'interval': np.nanpercentile(drawn, [2.5, 97.5]).tolist(), 'of_means': spearman(np.arange(len(means)), means),
          'monotone': bool((np.diff(means) > 0).all())}


def utterances(model, params, codec, given: dict, seconds: float, silence, key, how) -> np.ndarray:
  """f32[b samples], what is said from nothing with conditions {name: i32[b ..]}, the user being silent."""
  b, count = len(next(iter(given.values()))), round(seconds * codec.config.frame_rate)
  given = {name: jnp.asarray(x) for name, x in given.items()}
  state = sampling.conditioned(model, params, sampling.empty_state(model, b, how.guidance != 1), given)
  user = jnp.broadcast_to(jnp.asarray(silence), (b, count + model.delay, model.codebooks))
  slots = sampling.burst(model, params, state, user, key, drawing.settings(model, [how] * b))[1]
  return encoding.decoded(codec, frames.undelayed(slots[..., -model.codebooks:], model.delay))


def measure(config, segments, model, params, codec, table) -> dict:
  """{knob: `agreement`, emotion: how often an utterance is nearest to recordings of the emotion that was asked for}.

  table: the labels.Table of the run, or None.
  """
  encoder = encoding.Encoder(codec, batch=1)
  silence, rng = encoder.silence().astype(np.int32), np.random.default_rng(config.seed)
  how = sampling.Sampling(config.temperature, config.top_k, int(silence[0]), config.silence_bias, guidance=config.guidance)
  known = [number for number, hertz in enumerate(table.pitch_hz) if hertz and number < model.speakers][:SPEAKERS] if table else []
  say = functools.partial(utterances, model, params, codec, seconds=config.utterance_s, silence=silence, how=how)

  def who(count):
    return {'speaker': np.resize(np.array(known, np.int32), count)} if known else {}

  result = {'speakers': len(known), 'guidance': config.guidance}
  for number, knob in enumerate(HEARD if model.knob_bins else ()):
    bins = np.repeat(np.arange(model.knob_bins), config.draws)
    knobs = np.full((len(bins), len(HEARD)), -1, np.int32)
    knobs[:, number] = bins
    given = {'knobs': knobs} | who(len(bins))
    found = np.array([heard(one)[knob] for one in say(given, key=jax.random.key(config.seed + number))])
    if knob == 'pitch':
      middle = np.array(table.pitch_hz, float)[given['speaker']] if known else np.nanmedian(found)
      found = 12 * np.log2(found / middle)
    result[knob] = agreement(bins, found, rng)
  if model.emotions:
    result['emotion'] = _emotions(config, segments, who, say)
  return result


def _emotions(config, segments, who, say):
  profiles = {}
  for one in segments:
    if (number := labels.emotion(one.emotion or '')) >= 0:
      profiles.setdefault(number, []).append([*heard(one.audio).values()])
  profiles = {number: x[np.isfinite(x).all(1)] for number, many in profiles.items() for x in [np.array(many)]}
  profiles = {number: x for number, x in sorted(profiles.items()) if len(x) >= FEWEST}
  if len(profiles) < 2:
    return {'skipped': f'the data has not {FEWEST} recordings each of two labelled emotions'}
  names = list(profiles)
  asked = np.repeat(names, config.draws).astype(np.int32)
  said = say({'emotion': asked} | who(len(asked)), key=jax.random.key(config.seed + len(HEARD)))
  found = np.array([[*heard(one).values()] for one in said])
  guess = nearest(profiles, found)
  return {'emotions': [labels.EMOTIONS[number] for number in names], 'chance': 1 / len(names),
          **intervals.share((guess == asked).astype(float)),
          'confusion': [[int(np.sum((asked == a) & (guess == b))) for b in names] for a in names]}


def nearest(profiles: dict, x) -> np.ndarray:
  """i64[n], the emotion whose mean is nearest to each row of x f64[n 4], in units of the spread within emotions; -1 where x is nan."""
  names, logged = np.array(list(profiles)), lambda many: np.concatenate([np.log2(many[:, :1]) * 12, many[:, 1:]], 1)
  centres = np.array([logged(many).mean(0) for many in profiles.values()])
  spread = np.sqrt(np.mean([logged(many).var(0) for many in profiles.values()], 0)) + 1e-6
  away = np.sum(((logged(x)[:, None] - centres) / spread) ** 2, -1)
  return np.where(np.isfinite(x).all(1), names[np.argmin(np.where(np.isfinite(away), away, np.inf), 1)], -1)


def show(result):
  """Prints a line a knob."""
  for knob in HEARD:
    if knob in result:
      one = result[knob]
      print(f'{knob:>8}: Spearman {one["spearman"]:+.2f} ({one["interval"][0]:+.2f} to {one["interval"][1]:+.2f}) over {one["n"]} '
            f'utterances, {one["of_means"]:+.2f} of the bins\' means {", ".join(f"{value:.2f}" for value in one["bins"])}')
  if 'emotion' in result:
    one = result['emotion']
    print(' emotion: ' + (f'not measured: {one["skipped"]}' if 'skipped' in one else
                           f'{one["share"]:.0%} of {one["n"]} nearest to the emotion asked for (chance {one["chance"]:.0%})'))
