"""Who takes the floor, and when: scripted users with a pause, an end of turn, or an interruption, and what a model does then.

Who interrupts asks one thing and soon afterwards another, into what the model answers. Beside that stands the same user who asks
nothing more: an assistant that falls silent anyway has not given way to anybody. And one who says a syllable or two, which is none to give way to.

After Full-Duplex-Bench (Lin et al., 2025), with recordings as users. The model may speak all the time; what it says is decoded,
and where it speaks is heard in the sound.
"""
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import activity, files, level
from telugu_s2s.errors import InputError
from telugu_s2s.lm import drawing, frames, sampling
from telugu_s2s.tokens import encoding, labels
from telugu_s2s.training import intervals

KINDS = ('pause', 'end', 'interruption', 'alone', 'backchannel')
RATES = ('spoken', 'taken', 'early', 'speaking', 'stopped')
HOP_S = level.HOP / files.SAMPLE_RATE
PAUSE_S = 1.5                    # inside a turn
LISTEN_S = 4.0                   # after the user's end
BEFORE_S = 0.8                   # from the user's end to the interruption, in which the assistant is to have begun
BACKCHANNEL_S = 0.4              # of a turn: who says no more does not want the floor
STOPS_S = 1.0                    # within which an interrupted one is silent
TAKEN_S = 1.0                    # of speech take the floor; less is a backchannel, or a short answer
EARLY_S = 0.1                    # before the user's end is not early yet: two frames of the codec
BRIDGED_S = 0.3                  # of silence belong to what is said around them
FADE = files.SAMPLE_RATE // 50   # samples in which a cut turn fades
BACK_S, ON_S = 0.05, 0.15        # that activity.speech reaches beyond sounds: voices are timed without them
QUIET_DB = 35.0                  # below a recording's loudest frame nothing is a sound of its end
VOICE_DBFS = -45.0               # nothing softer is the assistant's voice: a codec's silence is no digital one


@dataclasses.dataclass(frozen=True)
class Stimulus:
  """What a user says, and when something is to be done, or not, in seconds."""
  kind: str
  user: np.ndarray                 # f32[samples]
  start: float                     # of the pause, of the user's end, of the interruption
  end: float                       # of the pause; of the user's speech otherwise
  speaker: str


def stimuli(kind, segments, count, rng) -> list[Stimulus]:
  """At most `count` stimuli of a kind, drawn from recordings with speech. Their times are those of sounds, not of where they are cut."""
  made, quiet = [], lambda seconds: np.zeros(round(seconds * files.SAMPLE_RATE), np.float32)
  spoken = [[(start * level.HOP, end * level.HOP) for start, end in activity.runs(activity.speech(one.audio))] for one in segments]
  turn_of = lambda number: segments[number].audio[spoken[number][0][0]:spoken[number][-1][1]]
  second = lambda samples: len(samples) / files.SAMPLE_RATE
  for number in rng.permutation(len(segments)):
    one, runs = segments[number], spoken[number]
    if len(made) == count or not runs:
      continue
    turn, tail = turn_of(number), behind(one.audio, runs[-1][1])
    if kind == 'pause':
      if len(runs) < 2:
        continue
      cut = int(np.argmax([b[0] - a[1] for a, b in zip(runs, runs[1:])]))
      said = [one.audio[runs[0][0]:runs[cut][1]], quiet(PAUSE_S - ON_S - BACK_S), one.audio[runs[cut + 1][0]:runs[-1][1]]]
      start = second(said[0]) - ON_S
      end = start + PAUSE_S
    elif kind == 'end':
      said, start, end = [turn], second(turn) - tail, second(turn) - tail
    else:
      others = [other for other, two in enumerate(segments) if two is not one and labels.spoken_by(two) == labels.spoken_by(one) and spoken[other]]
      if not others:
        continue
      other = others[rng.integers(len(others))]
      more, lead, rest = turn_of(other), before(spoken[other][0][0]), behind(segments[other].audio, spoken[other][-1][1])
      if kind == 'backchannel':
        rest = ON_S
        more = np.concatenate([faded(more[:round((lead + BACKCHANNEL_S) * files.SAMPLE_RATE)]), quiet(ON_S)])
      said = [turn, quiet(BEFORE_S - tail - lead), 0 * more if kind == 'alone' else more]
      start = second(turn) - tail + BEFORE_S
      end = second(np.concatenate(said)) - rest
    made.append(Stimulus(kind, np.concatenate([*said, quiet(LISTEN_S)]), start, end, labels.spoken_by(one)))
  return made


def before(start) -> float:
  """Seconds from the start of a run of activity.speech, in frames or samples, to its sound: at a recording's start there is nothing before it."""
  return BACK_S if start else 0.0


def behind(audio, end: int) -> float:
  """Seconds from the last sound of a run of activity.speech to its end, in samples: where the recording ends first, as much as is left.

  What is a sound there is told by its level, since what the run reaches on was cut off with it.
  """
  if len(audio) - end > level.FRAME - level.HOP:
    return ON_S
  dbfs = level.frame_dbfs(audio)[:end // level.HOP]
  sounds = np.flatnonzero(dbfs > max(dbfs.max() - QUIET_DB, np.percentile(dbfs, 10) + 9))
  return min(ON_S, (len(dbfs) - 1 - sounds[-1]) * HOP_S) if len(sounds) else ON_S


def faded(audio):
  """Audio f32[samples] whose end fades."""
  return np.append(audio[:-FADE], audio[-FADE:] * np.linspace(1, 0, FADE, dtype=np.float32))


def replies(many: list[Stimulus], model, params, encoder, key, how) -> list[np.ndarray]:
  """What the model says to each, f32[samples], as long as the user's side is."""
  silence, heard = encoder.silence().astype(np.int32), encoder([one.user for one in many])
  longest = 50 * -(-max(map(len, heard)) // 50)              # few lengths, few programs
  user = np.tile(silence, (len(many), longest + model.delay, 1))
  for row, codes in enumerate(heard):
    user[row, :len(codes)] = codes
  model = model.within(user.shape[1])
  state = sampling.empty_state(model, len(many))
  slots = sampling.burst(model, params, state, jnp.asarray(user), key, drawing.settings(model, [how] * len(many)))[1]
  said = encoding.decoded(encoder.codec, frames.undelayed(slots[..., -model.codebooks:], model.delay))
  return [audio[:len(one.user)] for audio, one in zip(said, many)]


def speaks(audio) -> list[tuple[float, float]]:
  """[(start, end)] in seconds, where there is a voice; short silences are bridged."""
  loud = activity.speech(audio) & (np.convolve(level.frame_dbfs(audio) > VOICE_DBFS, np.ones(31))[15:-15] > 0)
  found = []
  for start, end in activity.runs(loud):
    start = start * HOP_S + before(start)
    end = max(start, end * HOP_S - ON_S)
    if found and start - found[-1][1] < BRIDGED_S:
      start = found.pop()[0]
    found.append((start, end))
  return found


def outcome(one: Stimulus, audio) -> dict:
  """What a reply is worth.

  Returns:
    spoken: a voice begins in the pause, or else after the user's end. taken: the floor is taken there, by a voice of 1 s and more;
    latency: from the start of that window to the first voice in it, in s, or nan; early: a voice of 1 s and more began before, while
    the user spoke. Of an assistant that was to be interrupted speaking: it was speaking then, and only if it was stopped: it is
    silent within a second, and stop: after how long, or nan; of one left alone, or told a backchannel, these only.
  """
  runs = speaks(audio)
  opens, closes = (one.start, one.end) if one.kind == 'pause' else (one.end, len(one.user) / files.SAMPLE_RATE)
  begun = one.start if one.kind == 'interruption' else 0.0
  spoken = [(start, end) for start, end in runs if opens - EARLY_S <= start < closes]
  found = {'spoken': bool(spoken), 'taken': any(end - start >= TAKEN_S for start, end in spoken),
           'latency': spoken[0][0] - opens if spoken else float('nan'),
           'early': any(begun < start < opens - EARLY_S and end - start >= TAKEN_S for start, end in runs)}
  if one.kind not in ('pause', 'end'):
    over = [end - one.start for start, end in runs if start <= one.start < end]
    stopped = {'speaking': bool(over)}
    if over:
      stopped |= {'stopped': over[0] <= STOPS_S, 'stop': over[0] if over[0] <= STOPS_S else float('nan')}
    found = found | stopped if one.kind == 'interruption' else stopped
  return found


def measure(config, segments, model, params, codec) -> dict:
  """{pause, end, interruption, alone, backchannel: rates with intervals and latencies; offsets: how far they are from those of real dialogues}."""
  encoder, rng = encoding.Encoder(codec), np.random.default_rng(config.seed)
  how = sampling.Sampling(config.temperature, config.top_k, int(encoder.silence()[0]), floor=config.floor)
  result, offsets = {}, []
  real = real_offsets(config.dialogues) if config.dialogues else None          # before it takes long: there may be none
  for kind in KINDS:
    made = stimuli(kind, segments, config.stimuli, rng)
    if not made:
      result[kind] = {'skipped': 'no recording with a pause inside' if kind == 'pause' else 'no two recordings of one speaker with speech'}
      continue
    found = []
    for at in range(0, len(made), 16):
      rows = made[at:at + 16]
      full = rows + rows[:1] * (16 - len(rows))
      audio = replies(full, model, params, encoder, jax.random.fold_in(jax.random.key(config.seed), KINDS.index(kind) * 10_000 + at), how)
      found += [outcome(one, reply) | {'speaker': one.speaker} for one, reply in zip(rows, audio)]
      if kind == 'end':
        offsets += [offset for one, reply in zip(rows, audio) for offset in first_offset(one, reply)]
    result[kind] = summary(found, np.random.default_rng(config.seed))            # stimuli do not depend on what was said to others
  return result | {'offsets': beside(offsets, real, rng)}


def first_offset(one: Stimulus, audio) -> list[float]:
  """[s from the user's end to the first voice that goes on behind it], negative where they overlap; [] where there is none."""
  return [start - one.end for start, end in speaks(audio) if end > one.end][:1]


def summary(found: list[dict], rng) -> dict:
  """Rates as intervals.share_by_group has them, over speakers, and quartiles of the latencies in s."""
  rates = {name: intervals.share_by_group([float(one[name]) for one in some], [one['speaker'] for one in some], rng)
           for name in RATES if (some := [one for one in found if name in one])}
  times = {name: np.array([one[name] for one in found if name in one and np.isfinite(one[name])]) for name in ('latency', 'stop')}
  return rates | {name: {'n': len(x), 'quartiles': np.percentile(x, [25, 50, 75]).round(3).tolist()} for name, x in times.items() if len(x)}


def real_offsets(folder) -> list[float]:
  """Gaps (above 0) and overlaps (below) in s where the floor changes, in two-channel recordings of dialogues below a folder.

  Raises:
    InputError: there is no recording of two channels with a change of speaker.
  """
  found = []
  for path in sorted(one for one in Path(folder).rglob('*') if one.suffix.lower() in ('.wav', '.flac')):
    try:
      sides = [speaks(files.read(path, channel)[0]) for channel in range(2)]
    except files.Unreadable:
      continue
    found += changes(*sides)
  if not found:
    raise InputError(f'config.dialogues: {folder} holds no wav or flac of two channels in which the speakers change')
  return found


def changes(first, second) -> list[float]:
  """Seconds from the end of what one says to the start of what the other says next. first, second: [(start, end)], of a channel."""
  every = sorted([(*run, 0) for run in first] + [(*run, 1) for run in second])
  found, holder = [], every[0] if every else None
  for run in every[1:]:
    if run[1] > holder[1]:                                   # one that lies inside the other's speech takes no floor
      found += [run[0] - holder[1]] if run[2] != holder[2] else []
      holder = run
  return found


def distance(a, b) -> float:
  """The Wasserstein distance of two samples, in their unit."""
  a, b = np.sort(a), np.sort(b)
  every = np.sort(np.concatenate([a, b]))
  share = lambda x: np.searchsorted(x, every[:-1], side='right') / len(x)
  return float(np.sum(np.abs(share(a) - share(b)) * np.diff(every)))


def beside(offsets, real, rng) -> dict:
  """The histogram of offsets in steps of 0.2 s from -2 to 4, and with those of real dialogues its distance from them, beside that of their halves."""
  edges = np.arange(-2, 4.01, 0.2).round(1)
  bins = lambda x: np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0].tolist()
  result = {'n': len(offsets), 'edges_s': edges.tolist(), 'counts': bins(offsets)}
  if real is None:
    return result | {'skipped': 'config.dialogues names no real dialogues'}
  real = np.array(real)
  half = rng.permutation(len(real))
  halves = distance(real[half[::2]], real[half[1::2]]) if len(real) > 1 else float('nan')
  return result | {'real': len(real), 'real_counts': bins(real), 'wasserstein_s': distance(offsets, real) if offsets else float('nan'),
                   'halves_s': halves}


def show(result):
  """Prints rates and latencies."""
  for kind in KINDS:
    one = result[kind]
    if 'skipped' in one:
      print(f'{kind:>13} not measured: {one["skipped"]}')
      continue
    rate = lambda name: f'{name} {one[name]["share"]:.0%} of {one[name]["n"]} ({one[name]["interval"][0]:.0%} to {one[name]["interval"][1]:.0%})'
    times = [f'{name} {one[name]["quartiles"][1]:.2f} s (quartiles {one[name]["quartiles"][0]:.2f}, {one[name]["quartiles"][2]:.2f})'
             for name in ('latency', 'stop') if name in one]
    rates = [rate(name) for name in RATES if name in one]
    print(f'{kind:>13}: ' + ', '.join(rates + times))
  offsets = result['offsets']
  if 'skipped' in offsets:
    print(f'gaps and overlaps beside real ones: {offsets["skipped"]}')
  else:
    print(f'gaps and overlaps: {offsets["wasserstein_s"]:.2f} s from those of {offsets["real"]} real changes, whose halves are '
          f'{offsets["halves_s"]:.2f} s apart')
