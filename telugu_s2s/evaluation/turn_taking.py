"""Who takes the floor, and when: scripted users with a pause, an end of turn, or an interruption, and what a model does then.

Beside interruptions stands the same assistant left alone: one that falls silent anyway has not given way to anybody.

After Full-Duplex-Bench (Lin et al., 2025), with recordings as users. The model speaks as it likes all the time; what it says
is decoded, and where it speaks is heard in the sound.
"""
import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from telugu_s2s.audio import activity, files, level
from telugu_s2s.errors import InputError
from telugu_s2s.lm import frames, sampling
from telugu_s2s.lm.model import targets
from telugu_s2s.tokens import encoding, prosody
from telugu_s2s.tokens.record import ABSENT
from telugu_s2s.training import intervals

KINDS = ('pause', 'end', 'interruption', 'alone')
HOP_S = level.HOP / files.SAMPLE_RATE
PAUSE_S = 1.5                    # inside a turn
LISTEN_S = 4.0                   # after the user's end
BEFORE_S = 2.0                   # that the assistant has spoken when it is interrupted
STOPS_S = 1.0                    # within which an interrupted one is silent
TAKEN_S = 1.0                    # of speech take the floor; less is a backchannel
BRIDGED_S = 0.3                  # of silence belong to what is said around them
VOICE_DBFS = -45.0               # nothing softer is the assistant's voice: a codec's silence is no digital one


@dataclasses.dataclass(frozen=True)
class Stimulus:
  """What a user says, and when something is to be done, or not, in seconds."""
  kind: str
  user: np.ndarray                 # f32[samples]
  start: float                     # of the pause, of the user's end, of the interruption
  end: float                       # of the pause; of the user's speech otherwise
  assistant: np.ndarray            # f32[samples], what the assistant says first whatever it likes
  speaker: str


def stimuli(kind, segments, count, rng) -> list[Stimulus]:
  """At most `count` stimuli of a kind, drawn from recordings with speech."""
  made, quiet = [], lambda seconds: np.zeros(round(seconds * files.SAMPLE_RATE), np.float32)
  second = lambda samples: len(samples) / files.SAMPLE_RATE
  for number in rng.permutation(len(segments)):
    one = segments[number]
    runs = [(start * level.HOP, end * level.HOP) for start, end in activity.runs(activity.speech(one.audio))]
    if len(made) == count or not runs:
      continue
    turn = one.audio[runs[0][0]:runs[-1][1]]
    if kind == 'pause':
      if len(runs) < 2:
        continue
      cut = int(np.argmax([b[0] - a[1] for a, b in zip(runs, runs[1:])]))
      first, rest = one.audio[runs[0][0]:runs[cut][1]], one.audio[runs[cut + 1][0]:runs[-1][1]]
      user = np.concatenate([first, quiet(PAUSE_S), rest, quiet(LISTEN_S)])
      made.append(Stimulus(kind, user, second(first), second(first) + PAUSE_S, quiet(0), one.speaker))
    elif kind == 'end':
      made.append(Stimulus(kind, np.concatenate([turn, quiet(LISTEN_S)]), second(turn), second(turn), quiet(0), one.speaker))
    else:
      others = [two for two in segments if two.speaker != one.speaker and two.seconds > BEFORE_S + 0.5]
      if others:
        said = others[rng.integers(len(others))].audio
        begin = activity.runs(activity.speech(said))[0][0] * level.HOP
        said = said[begin:begin + round(BEFORE_S * files.SAMPLE_RATE)]
        user = np.concatenate([quiet(second(said)), turn if kind == 'interruption' else 0 * turn, quiet(LISTEN_S)])
        made.append(Stimulus(kind, user, second(said), second(said) + second(turn), said, one.speaker))
  return made


def replies(many: list[Stimulus], model, params, encoder, key, how) -> list[np.ndarray]:
  """What the model says to each, f32[samples], as long as the user's side is."""
  codec, hop = encoder.codec, encoder.codec.config.hop
  silence = encoder.silence().astype(np.int32)
  heard, said = encoder([one.user for one in many]), encoder([one.assistant for one in many])
  longest = 50 * -(-max(map(len, heard)) // 50)              # few lengths, few programs
  user = np.tile(silence, (len(many), longest + model.delay, 1))
  given, moves = (np.full((len(many), longest + model.delay, *of), ABSENT, np.int32) for of in ((model.codebooks,), ()))
  for row, one in enumerate(many):
    user[row, :len(heard[row])], given[row, :len(said[row])] = heard[row], said[row]
    if len(said[row]):
      moves[row, :len(said[row]):2] = prosody.codes(one.assistant, 2 * hop, (len(said[row]) + 1) // 2)
  forced = targets(model, jnp.asarray(given)[:, None], jnp.asarray(moves))
  slots = _lived(model, params, jnp.asarray(user), forced, key, how)
  codes = frames.undelayed(slots[..., -model.codebooks:], model.delay)
  return [audio[:len(one.user)] for audio, one in zip(encoding.decoded(codec, codes), many)]


@functools.partial(jax.jit, static_argnames=('model', 'how'))
def _lived(model, params, user, forced, key, how):
  """All slots i32[b t slots] of streams that hear `user` i32[b t q] and say `forced` i32[b t slots] where it is not ABSENT."""
  keys = sampling.each(key, len(user))
  body = lambda state, now: sampling.step(model, params, state, now[0], keys, how, now[1])
  _, said = jax.lax.scan(body, sampling.empty_state(model, len(user)), (user.swapaxes(0, 1), forced.swapaxes(0, 1)))
  return said.swapaxes(0, 1)


def speaks(audio) -> list[tuple[float, float]]:
  """[(start, end)] in seconds, where there is a voice; short silences are bridged."""
  # activity.speech reaches 50 ms back and 150 ms on.
  loud = activity.speech(audio) & (np.convolve(level.frame_dbfs(audio) > VOICE_DBFS, np.ones(31), 'same') > 0)
  found = []
  for start, end in activity.runs(loud):
    start, end = (start + (5 if start else 0)) * HOP_S, max(start + 5, end - 15) * HOP_S
    if found and start - found[-1][1] < BRIDGED_S:
      start = found.pop()[0]
    found.append((start, end))
  return found


def outcome(one: Stimulus, audio) -> dict:
  """What a reply is worth.

  Returns:
    taken: the floor is taken, in the pause, or else after the user's end, by a voice of 1 s and more that began there; latency: from
    the start of that window to the voice, in s, or nan; early: it began before while the user spoke. Of an assistant that was
    speaking also stopped: it is silent within a second, and stop: after how long, or nan; of one left alone these only.
  """
  runs = speaks(audio)
  opens, closes = (one.start, one.end) if one.kind == 'pause' else (one.end, len(one.user) / files.SAMPLE_RATE)
  begun = one.start if one.kind == 'interruption' else 0.0
  long = [(start, end) for start, end in runs if end - start >= TAKEN_S]
  taken = [start for start, _ in long if opens <= start < closes]
  found = {'taken': bool(taken), 'latency': taken[0] - opens if taken else float('nan'),
           'early': any(begun < start < opens for start, _ in long)}
  if one.kind in ('interruption', 'alone'):
    over = [end for start, end in runs if start <= one.start < end]
    stop = max(over) - one.start if over else 0.0
    stopped = {'stopped': stop <= STOPS_S, 'stop': stop if stop <= STOPS_S else float('nan')}
    found = stopped if one.kind == 'alone' else found | stopped
  return found


def measure(config, segments, model, params, codec) -> dict:
  """{pause, end, interruption, alone: rates with intervals and latencies; offsets: how far they are from those of real dialogues}."""
  encoder, rng = encoding.Encoder(codec), np.random.default_rng(config.seed)
  how = sampling.Sampling(config.temperature, config.top_k)
  result, offsets = {}, []
  for kind in KINDS:
    made = stimuli(kind, segments, config.stimuli, rng)
    if not made:
      result[kind] = {'skipped': 'no recording with a pause inside' if kind == 'pause' else 'no recordings of two speakers with speech'}
      continue
    found = []
    for at in range(0, len(made), 16):
      rows = made[at:at + 16]
      full = rows + rows[:1] * (16 - len(rows))
      audio = replies(full, model, params, encoder, jax.random.fold_in(jax.random.key(config.seed), KINDS.index(kind) * 10_000 + at), how)
      found += [outcome(one, reply) for one, reply in zip(rows, audio)]
      if kind == 'end':
        offsets += [offset for one, reply in zip(rows, audio) for offset in first_offset(one, reply)]
    result[kind] = summary(found)
  return result | {'offsets': beside(offsets, config.dialogues, rng)}


def first_offset(one: Stimulus, audio) -> list[float]:
  """[s from the user's end to the first voice that goes on behind it], negative where they overlap; [] where there is none."""
  return [start - one.end for start, end in speaks(audio) if end > one.end][:1]


def summary(found: list[dict]) -> dict:
  """Rates as intervals.share has them, and quartiles of the latencies in s."""
  rates = {name: intervals.share(np.array([float(one[name]) for one in found]))
           for name in ('taken', 'early', 'stopped') if name in found[0]}
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


def beside(offsets, dialogues, rng) -> dict:
  """The histogram of offsets in steps of 0.2 s from -2 to 4, and with dialogues its distance from theirs, beside that of their halves."""
  edges = np.arange(-2, 4.01, 0.2).round(1)
  bins = lambda x: np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0].tolist()
  result = {'n': len(offsets), 'edges_s': edges.tolist(), 'counts': bins(offsets)}
  if not dialogues:
    return result | {'skipped': 'config.dialogues names no real dialogues'}
  real = np.array(real_offsets(dialogues))
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
    rate = lambda name: f'{name} {one[name]["share"]:.0%} ({one[name]["interval"][0]:.0%} to {one[name]["interval"][1]:.0%})'
    times = [f'{name} {one[name]["quartiles"][1]:.2f} s (quartiles {one[name]["quartiles"][0]:.2f}, {one[name]["quartiles"][2]:.2f})'
             for name in ('latency', 'stop') if name in one]
    rates = [rate(name) for name in ('taken', 'early', 'stopped') if name in one]
    print(f'{kind:>13} of {one["taken" if "taken" in one else "stopped"]["n"]}: ' + ', '.join(rates + times))
  offsets = result['offsets']
  if 'skipped' in offsets:
    print(f'gaps and overlaps beside real ones: {offsets["skipped"]}')
  else:
    print(f'gaps and overlaps: {offsets["wasserstein_s"]:.2f} s from those of {offsets["real"]} real changes, whose halves are '
          f'{offsets["halves_s"]:.2f} s apart')
