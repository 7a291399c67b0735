"""How much arithmetic, time and money a training takes, by formula."""
import dataclasses

from telugu_s2s.lm import conditions
from telugu_s2s.lm.model import Config, PARTS

MFU = (0.5, 0.33)                # what to aim at, and what open trainers of speech models reach (Slam, 2025: 0.33)


@dataclasses.dataclass(frozen=True)
class Device:
  """An accelerator: its peak of dense bfloat16 from the maker's data sheet, its rent a planning figure."""
  name: str
  peak: float                    # FLOP/s
  dollars_an_hour: float


DEVICES = (Device('A100', 312e12, 1.5), Device('H100', 989e12, 2.5), Device('L40', 181e12, 0.8))
# Unique hours of speech, the size for them, and epochs: 16 give 83 % of what can be gained, 30 give 92 %
# (Cuervo & Marxer, 2024, their law with constants as recalled: good for an order, not for a loss).
PLANS = ((150, '150m', 30), (1000, '150m', 30), (1000, '500m', 30), (5000, '500m', 16), (5000, '1b', 16))


def block_parameters(width, heads, kv_heads, head_width, ffn) -> int:
  """Of one block: queries and output, keys and values, three of SwiGLU, two norms and those of query and key."""
  return width * head_width * (2 * heads + 2 * kv_heads) + 3 * width * ffn + 2 * width + 2 * head_width


def parameters(c: Config) -> dict:
  """{part: parameters}, by closed formula."""
  d, e, t, s = c.width, c.depth_width, c.temporal, c.depth
  return {'temporal': t.layers * block_parameters(t.width, t.heads, t.kv_heads, t.head_width, t.ffn) + d,
          'depth': s.layers * block_parameters(s.width, s.heads, s.kv_heads, s.head_width, s.ffn) + e,
          'into depth': 2 * d * e + c.slots * e,
          'tables': (c.codebooks * c.codes + c.prosody_codes + c.text_codes + 2) * d,
          'tables of depth': sum(c.vocabularies) * e,
          'heads': sum(c.vocabularies) * e,
          'ear': c.ear * (c.codes + d),
          'heads beside': d * (8 if c.floor_frames else 0) + (c.match * (d + PARTS * c.codes) + 1 if c.match else 0),
          'conditions': of_conditions(c)}


def of_conditions(c: Config) -> int:
  """Parameters of the tables and, of a voice, the projection and the reference encoder. A row reads them once: no arithmetic."""
  d, z, of = c.width, c.voice_width, c.conditions
  voice = of.speakers * z + z * d if of.speakers or of.reference else 0
  if of.reference:
    voice += d * z + conditions.BLOCKS * (z + conditions.TAPS * z * z) + z + 2 * z * z
  return voice + (sum(of.tables.values()) + len(conditions.KNOBS) * of.knob_bins) * d


def multiplied(c: Config) -> dict:
  """{part: parameters that a frame is multiplied with}, how often is left out. Norms are not; a table is looked up."""
  d, e = c.width, c.depth_width
  count = parameters(c)
  return {'temporal': count['temporal'] - d - c.layers * (2 * d + 2 * c.head_width),
          'depth': count['depth'] - e - c.depth_layers * (2 * e + 2 * c.depth.head_width),
          'into depth': d * e, 'heads': count['heads']}


def by_rule(c: Config) -> float:
  """FLOP a frame of training, 6 (P_T + P_in + q (P_D + v e)): the assistant's codes alone, without attention's scores."""
  part = multiplied(c)
  return 6.0 * (part['temporal'] + c.codebooks * (part['into depth'] + part['depth'] + c.codes * c.depth_width))


def flops(c: Config, frames: int, fraction: float = 1.0) -> dict:
  """{part: FLOP a frame of training}, forward and backward, of rows of so many frames; nothing made again by remat.

  Causal attention is counted in full, as the plain path does it; a fused one does half. fraction: of frames, see lm/amortised.py.
  """
  part, again = multiplied(c), fraction + c.predicted_share      # the assistant's frames and the user's of the depth transformer
  return {'temporal': 6.0 * part['temporal'],
          'attention': 12.0 * c.layers * c.heads * c.head_width * frames,
          'depth': 6.0 * c.slots * part['depth'] * again,
          'attention of depth': 12.0 * c.depth_layers * c.depth_width * c.slots**2 * again,
          'into depth': 6.0 * part['into depth'] * again,
          'heads': 6.0 * part['heads'] * again}


def made_again(c: Config, frames: int, chunk: int, fraction: float = 1.0) -> float:
  """FLOP a frame that the backward pass makes again, for `flops` beside it: forward passes of what is not kept.

  chunk: 0 = the loss is not made in chunks. Of remat 'nothing_saveable' it is an upper bound.
  """
  def of(policy, layers, attention):
    return {'none': (), 'dots_with_no_batch_dims_saveable': (attention,)}.get(policy, (layers, attention))

  part, again = flops(c, frames, fraction), of(c.remat, 'temporal', 'attention')
  again += ('depth', 'attention of depth', 'heads') if chunk else of(c.depth_remat, 'depth', 'attention of depth')
  return sum(part[name] for name in again) / 3


def hours(flop: float, device: Device, mfu: float) -> float:
  """Hours on one device at a share of its peak."""
  return flop / (device.peak * mfu * 3600)


def dollars(flop: float, device: Device, mfu: float) -> float:
  return hours(flop, device, mfu) * device.dollars_an_hour
