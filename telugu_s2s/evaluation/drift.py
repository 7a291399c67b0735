"""Whether a voice stays itself: minutes of speech after a few seconds of a recording, compared with that recording."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from telugu_s2s.audio import activity, files
from telugu_s2s.codec import streaming
from telugu_s2s.evaluation import embedding
from telugu_s2s.lm import drawing, frames, sampling
from telugu_s2s.lm.model import targets
from telugu_s2s.tokens import encoding, labels, prosody
from telugu_s2s.training import intervals

WINDOW_S = 10.0
ENDS = 3                         # windows at the beginning and at the end that drift is told from
LEAST_M = 2 * ENDS * WINDOW_S / 60               # minutes that have both ends
LEAST_S = 1.0                    # of speech in a window; a voice cannot be told from less


def prompts(segments, seconds: float, count: int) -> list[tuple]:
  """[(segment, one of another recording of the speaker, or None)]: at most `count` of `seconds` and more, of as many speakers as there are."""
  long = [one for one in segments if one.seconds >= seconds]
  seen, first, rest = set(), [], []
  for one in long:
    (rest if labels.spoken_by(one) in seen else first).append(one)
    seen.add(labels.spoken_by(one))
  chosen = (first + rest)[:count]
  other = lambda one: next((two for two in long if labels.spoken_by(two) == labels.spoken_by(one) != '' and two.path != one.path), None)
  return [(one, other(one)) for one in chosen]


def spoken_on(model, params, codes, moves, more: int, silence, key, how: dict, given=None) -> np.ndarray:
  """Prompts i32[b t q] with `more` frames that are said after them, i32[b t+more q], while the user is silent.

  Said ten seconds at a time, so that the memory of a stream turns over as it does in a long session. how: from drawing.settings.
  """
  model = model.within(codes.shape[1] + more + model.delay)
  state = sampling.empty_state(model, len(codes))
  if given:
    state = sampling.conditioned(model, params, state, given)
  slots = np.asarray(targets(model, jnp.asarray(codes)[:, None], jnp.asarray(moves)))
  quiet = lambda t: jnp.broadcast_to(jnp.asarray(silence), (len(codes), t, model.codebooks))
  state, parts = _read(model, params, state, slots, quiet(codes.shape[1])), [slots]
  step = min(250, more)
  for _ in tqdm.tqdm(range(-(-(more + model.delay) // step)), unit='10 s', desc='speaking'):
    state, said = sampling.burst(model, params, state, quiet(step), key, how)
    parts.append(np.asarray(said))
  whole = np.concatenate(parts, 1)[..., -model.codebooks:]
  return np.asarray(frames.undelayed(jnp.asarray(whole), model.delay))[:, :codes.shape[1] + more]


_read = jax.jit(sampling.prefill, static_argnums=0)


def measure(config, segments, model, params, codec) -> dict:
  """How like the recording a voice is, window by window, beside the codec's ceiling and other speakers.

  Returns:
    {voices, minutes, by: 'ge2e' or 'mel', windows: [mean cosine of each 10 s], first, last: of the first and the last three; drift:
    the first less the last, with its interval over voices; ceiling: of another recording of the speaker after the codec;
    others: of other speakers' recordings after the codec; original: of the speaker's other recording itself}.
  """
  c, rate = codec.config, codec.config.frame_rate
  size = 2 * round(config.prompt_s * rate / 2)
  chosen = prompts(segments, size / rate, config.voices)
  if not chosen:
    return {'skipped': f'no recording of {config.prompt_s:g} s and more'}
  audio = [one.audio[:size * c.hop] for one, _ in chosen]
  encoder = encoding.Encoder(codec, batch=len(chosen))
  codes = np.stack(encoder(audio)).astype(np.int32)
  moves = prosody.spaced(np.stack([prosody.codes(one, 2 * c.hop, size // 2) for one in audio]), size)
  silence = encoder.silence().astype(np.int32)
  how = drawing.settings(model, [sampling.Sampling(config.temperature, config.top_k, int(silence[0]), config.silence_bias)] * len(chosen))
  said = spoken_on(model, params, codes, moves, round(config.minutes * 60 * rate), silence, jax.random.key(config.seed), how,
                   {'reference': jnp.asarray(codes)} if model.reference else None)
  window = round(WINDOW_S * files.SAMPLE_RATE)
  spoken = [streaming.audio_of(codec, one, said.shape[1] * c.hop)[size * c.hop:] for one in said]
  count = min(len(one) for one in spoken) // window
  parts = [one[number * window:(number + 1) * window] for one in spoken for number in range(count)]
  others = [two.audio[:window] if two else None for _, two in chosen]
  voices = [labels.spoken_by(one) or one.id for one, _ in chosen]
  return compared(audio, parts, others, voices, functools.partial(_resynthesised, codec, encoder), np.random.default_rng(config.seed)) | {
      'voices': len(chosen), 'speakers': len({labels.spoken_by(one) for one, _ in chosen}), 'minutes': config.minutes}


def _resynthesised(codec, encoder, audio):
  return streaming.audio_of(codec, encoder([audio])[0], len(audio))


def compared(references, parts, others, speakers, resynthesised, rng) -> dict:
  """What `measure` says. references: n recordings; parts: n x windows, said in their voice; others: n more of the speakers, or None."""
  n, have = len(references), [number for number, one in enumerate(others) if one is not None]
  heard = [activity.speech(part).mean() * len(part) / files.SAMPLE_RATE >= LEAST_S for part in parts]
  decoded = [resynthesised(others[number]) for number in have]
  every = embedding.of([*references, *parts, *decoded, *(others[number] for number in have)])
  name = 'ge2e' if 'ge2e' in every else 'mel'
  mine, said, after, before = np.split(every[name], np.cumsum([n, len(parts), len(have)]))
  alike = np.einsum('nd,nwd->nw', mine, said.reshape(n, -1, said.shape[-1]))
  alike[~np.array(heard).reshape(n, -1)] = np.nan
  mean = lambda x: float(np.nanmean(x)) if np.isfinite(x).any() else float('nan')
  ends = [np.array([mean(row[part]) for row in alike]) for part in (slice(ENDS), slice(-ENDS, None))]
  there = np.isfinite(ends[0] - ends[1])
  falls = (ends[0] - ends[1])[there]
  cross = mine @ after.T
  own, same = (np.array(names)[have][None] == np.array(names)[:, None] for names in (range(n), speakers))
  return {'by': name, 'windows': [round(mean(column), 4) for column in alike.T], 'silent': float(1 - np.mean(heard)),
          'first': mean(ends[0]), 'last': mean(ends[1]), 'drift': float(falls.mean()) if len(falls) else float('nan'),
          'drift_interval': intervals.by_group(falls, np.array(speakers)[there], rng) if len(falls) else [float('nan')] * 2,
          'ceiling': mean(cross[own]), 'others': mean(cross[~same]), 'original': mean(np.einsum('nd,nd->n', mine[have], before))}


def show(result):
  """Prints the cosines to the recording."""
  if 'skipped' in result:
    print(f'not measured: {result["skipped"]}')
    return
  low, high = result['drift_interval']
  print(f'{result["voices"]} voices over {result["minutes"]:g} minutes, cosine ({result["by"]}) to the seconds before: first 30 s '
        f'{result["first"]:.3f}, last 30 s {result["last"]:.3f}, drift {result["drift"]:+.3f} ({low:+.3f} to {high:+.3f})')
  print(f'beside it, after the codec: another recording of the speaker {result["ceiling"]:.3f}, of other speakers {result["others"]:.3f}')
