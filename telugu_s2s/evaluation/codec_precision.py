"""What a codec loses in fewer bits: how many codes change, what each half adds of its own, and quality against the original."""
import dataclasses

import numpy as np

from telugu_s2s.audio import quality
from telugu_s2s.codec import precision, streaming, weights
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import prepare, read

MEASURES = ('pesq_wb', 'estoi', 'si_sdr', 'ms_mel')


def measure(config, workdir) -> dict:
  """Prints and returns `compare` of the codec on `config.clips` segments spread over `config.data`."""
  if config.clips < 1:
    raise InputError(f'config.clips {config.clips}: give 1 or more')
  trained = weights.load(config.codec)
  prepare.prepare(prepare.Data(**config.data), workdir / 'segments')
  segments = read.Segments(workdir / 'segments')
  chosen = read.spread(len(segments), config.clips)
  found = compare(trained, [segments[index].audio for index in chosen])
  print(f'codec {trained.name}, {len(chosen)} clips')
  show(found)
  return {'codec': trained.name, 'clips': len(chosen), **found}


def compare(trained: weights.Trained, clips) -> dict[str, dict]:
  """The loss of each precision on clips f32[samples] at 16 kHz; `trained` is float32.

  Returns:
    {precision: {megabytes: of parameters;
                 codes_equal: share of codes that float32 gives too, a list by level (a level after a changed code
                   has another remainder to code, so agreement falls from level to level);
                 decoder_snr_db: of float32's codes, decoded, against what float32 decodes of them (inf for itself);
                 and MEASURES of the whole way against the original, means over the clips}}.
  """
  found, exact = {}, []
  for name in precision.PRECISIONS:
    codec = dataclasses.replace(trained, params=precision.converted(trained.params, name))
    equal, snr, rows = [], [], []
    for number, clip in enumerate(clips):
      codes = streaming.codes_of(codec, clip)
      if name == 'float32':
        exact.append((codes, streaming.audio_of(codec, codes, len(clip))))
      wanted, said = exact[number]
      equal.append(codes == wanted)
      snr.append(_snr(said, streaming.audio_of(codec, wanted, len(clip))))
      rows.append(quality.measures(clip, streaming.audio_of(codec, codes, len(clip))))
    found[name] = {'megabytes': precision.megabytes(codec.params),
                   'codes_equal': np.concatenate(equal).mean(0).tolist(), 'decoder_snr_db': float(np.mean(snr)),
                   **{measure: float(np.nanmean([row[measure] for row in rows])) for measure in MEASURES}}
  return found


def show(found) -> None:
  """Prints a table of `compare`."""
  print(f'{"precision":10} {"MB":>6} {"codes equal":>11} {"level 0":>8} {"decoder SNR":>12} '
        + ' '.join(f'{name:>8}' for name in MEASURES))
  for name, row in found.items():
    print(f'{name:10} {row["megabytes"]:6.1f} {np.mean(row["codes_equal"]):11.2%} {row["codes_equal"][0]:8.2%} '
          f'{row["decoder_snr_db"]:9.1f} dB ' + ' '.join(f'{row[measure]:8.3f}' for measure in MEASURES))


def _snr(wanted, found) -> float:
  """Signal to noise in dB, level and sign included; inf where there is no noise."""
  noise = float(np.sum((np.float64(found) - wanted) ** 2))
  return float('inf') if noise == 0 else 10 * np.log10(float(np.sum(np.float64(wanted) ** 2)) / noise)
