"""The audio language model: a temporal transformer over frames, a depth transformer over a frame's slots.

RQ-Transformer over two streams (Moshi, Defossez et al., 2024, 3.4). Each 40 ms step reads what the
assistant said last and what the user says now, and predicts the assistant's next slots:
text -> prosody -> a0 -> ... -> a7. In training a second pass predicts the user's next frame.
"""
import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import constant, normal, zeros

from telugu_s2s import axes
from telugu_s2s.codec.transformer import Sizes, Transformer, empty_cache, rms_norm
from telugu_s2s.errors import InputError
from telugu_s2s.lm import conditions
from telugu_s2s.lm.frames import ABSENT, before, delayed, looked_up, positions

STREAMS = 2
PARTS = 3                        # of an answer, by each of which it is known
SHARP = 2.0                      # log of what cosines are multiplied by at first, in `match`
# Frames before (below 0) and in an answer at which it is to be known which one it is. What is known before it alone is not known where its first
# sounds are chosen, so those are guessed; later ones tell it.
LISTENED = -1, 1, 3
SPANS = 4                        # of the seconds that follow, in which a stream speaks or not; see tokens/scenes.py


@dataclasses.dataclass(frozen=True)
class Config:
  """Sizes of the language model."""
  width: int = 128
  layers: int = 4
  heads: int = 4
  kv_heads: int = 2
  head_width: int = 32
  ffn: int = 352
  depth_width: int = 64
  depth_layers: int = 2
  depth_heads: int = 2
  depth_ffn: int = 176
  codebooks: int = 8
  codes: int = 1024
  prosody_codes: int = 64
  prosody: bool = True           # its slot is filled; False = nothing is ever said there
  text_codes: int = 0            # text slot's vocabulary; 0 = no text slot
  delay: int = 1                 # frames that a1.. come after a0
  user_every: int = 4            # the user's next frame is predicted at one frame in so many, in training; 0 = at none
  ear: int = 0                   # width of the codec's own vectors of level 0, by which alone the user is heard; 0 = by the
                                 # tables of all levels, which are learnt here
  floor_frames: int = 0          # frames of 0.2 s, of a head that tells who speaks next; 0 = there is none
  match: int = 0                 # width in which what was heard meets its answer, in training; 0 = it does not
  window: int = 3000             # frames seen back: 120 s
  sinks: int = 4                 # first frames, never forgotten
  dtype: str = 'bfloat16'        # of activations; parameters stay float32
  remat: str = 'none'            # 'none', or a name of jax.checkpoint_policies
  depth_remat: str = 'none'      # of the depth transformer, whose forward pass a loss in chunks makes again anyway
  attention: str = 'xla'         # of the temporal transformer in training; 'cudnn', 'auto': see codec/transformer.py
  speakers: int = 0              # conditions, see lm/conditions.py; 0 = there is no such condition
  reference: bool = False
  voice_width: int = 192
  emotions: int = 0
  knob_bins: int = 0
  tasks: int = 0
  guidances: int = 0
  nonverbal: bool = False

  def __post_init__(self):
    sizes = ('width', 'layers', 'heads', 'kv_heads', 'head_width', 'ffn', 'depth_width', 'depth_layers', 'depth_heads', 'depth_ffn', 'codebooks',
             'codes', 'prosody_codes', 'window')
    if low := [name for name in sizes if getattr(self, name) < 1]:
      raise InputError(f'config.model.{low[0]} {getattr(self, low[0])}: give 1 or more')
    if low := [name for name in ('delay', 'sinks', 'user_every', 'text_codes', 'ear', 'floor_frames', 'match') if getattr(self, name) < 0]:
      raise InputError(f'config.model.{low[0]} {getattr(self, low[0])}: give 0 or more')
    if self.heads % self.kv_heads:
      raise InputError(f'config.model.heads: {self.heads} do not divide over kv_heads = {self.kv_heads}')
    if self.head_width % 2 or self.depth_width % (2 * self.depth_heads):
      raise InputError(f'config.model: head_width {self.head_width} and depth_width / depth_heads {self.depth_width} / {self.depth_heads}: give '
                       'even numbers, since positions turn pairs')
    if self.dtype not in ('float32', 'bfloat16', 'float16'):
      raise InputError(f"config.model.dtype {self.dtype!r}: give 'float32' or 'bfloat16'")

  def within(self, frames: int) -> 'Config':
    """The same model for streams that end after so many frames, so that none remembers more: what is not there yet is read with the rest."""
    return dataclasses.replace(self, window=min(self.window, frames))

  @property
  def temporal(self) -> Sizes:
    return Sizes(self.width, self.layers, self.heads, self.kv_heads, self.head_width, self.ffn,
                 self.window, self.sinks, theta=1e5, remat=self.remat, attention=self.attention)

  @property
  def depth(self) -> Sizes:
    return Sizes(self.depth_width, self.depth_layers, self.depth_heads, self.depth_heads,
                 self.depth_width // self.depth_heads, self.depth_ffn, window=self.slots, remat=self.depth_remat)

  @property
  def vocabularies(self) -> tuple[int, ...]:
    """Entries of each slot, in the order of prediction."""
    text = (self.text_codes,) if self.text_codes else ()
    return text + (self.prosody_codes,) + (self.codes,) * self.codebooks

  @property
  def predicted(self) -> slice:
    """The user's frames of a row that are predicted, each from the frame before it."""
    return slice(1, None, self.user_every) if self.user_every else slice(0, 0)

  @property
  def predicted_share(self) -> float:
    return 1 / self.user_every if self.user_every else 0.0

  @property
  def slots(self) -> int:
    return len(self.vocabularies)

  @property
  def conditions(self) -> conditions.Sizes:
    return conditions.Sizes(self.width, self.speakers, self.reference, self.voice_width, self.emotions, self.knob_bins,
                            self.tasks, self.guidances, self.nonverbal)


class AudioLM(nn.Module):
  """Predicts the slots of a step from the steps before it."""
  config: Config

  def setup(self):
    c = self.config
    q, v, d, e = c.codebooks, c.codes, c.width, c.depth_width
    self.code_qvd = self.param('code_qvd', normal(0.5), (q, v, d))             # tied between the streams
    # A sum of tied embeddings cannot tell who said what, whatever vector is added: signs bind each to its stream.
    self.stream_cd = self.param('stream_cd', jax.random.rademacher, (STREAMS, d), jnp.float32)
    if c.ear:
      self.heard_vz = self.param('heard_vz', normal(1.0), (v, c.ear))          # given, and never trained: see lm_step.init
      self.ear_zd = self.param('ear_zd', normal(c.ear ** -0.5), (c.ear, d))
    self.prosody_vd = self.param('prosody_vd', normal(0.5), (c.prosody_codes, d))
    if c.text_codes:
      self.text_vd = self.param('text_vd', normal(0.5), (c.text_codes, d))
    if c.conditions.any:
      self.conditions = conditions.Conditions(c.conditions)
    if c.floor_frames:
      self.floor_dc = self.param('floor_dc', zeros, (d, STREAMS * SPANS))
    if c.match:
      self.asked_dz = self.param('asked_dz', normal(d ** -0.5), (d, c.match))
      self.answer_cvz = self.param('answer_cvz', normal(1.0), (PARTS, v, c.match))
      self.sharp = self.param('sharp', constant(SHARP), ())
    self.temporal = Transformer(c.temporal)
    self.norm_out_d = self.param('norm_out_d', zeros, (d,))
    self.depth = Transformer(c.depth)
    self.into_depth_cdf = self.param('into_depth_cdf', normal(d ** -0.5), (STREAMS, d, e))
    self.depth_norm_d = self.param('depth_norm_d', zeros, (e,))
    self.slot_cd = self.param('slot_cd', normal(0.5), (c.slots, e))            # which slot comes next
    self.said = [self.param(f'said{slot}_vd', normal(0.5), (size, e)) for slot, size in enumerate(c.vocabularies)]
    self.heads = [self.param(f'head{slot}_dv', normal(0.02), (e, size)) for slot, size in enumerate(c.vocabularies)]

  def condition(self, given, keep=None):
    """What conditions add to every step, f32[b d], and the squares f32[b] of the tie; see lm/conditions.py.

    given: any of the conditions, as in `conditions.filled`; keep: from `conditions.kept`, or None.
    """
    given, recorded = conditions.filled(self.config.conditions, given, self.config.codebooks), None
    if 'reference' in given:
      recorded = sum(looked_up(self.code_qvd[level], given['reference'][..., level]) for level in range(self.config.codebooks))
    return self.conditions(given, recorded, keep)

  def embed(self, slots, user, condition=None):
    """What a step reads: f[b t d].

    Args:
      slots: i32[b t slots], what the assistant said at the step before.
      user: i32[b t q], the user's frame that was just heard.
      condition: f[b d] from `condition`, f[b t d] where rows hold several clips, or None.
    """
    c = self.config
    streams = (slots[..., -c.codebooks:], user)
    x = sum(looked_up(self.code_qvd[level], codes[..., level]) * self.stream_cd[stream]
            for stream, codes in enumerate(streams[:1] if c.ear else streams) for level in range(c.codebooks))
    if c.ear:
      # What is said lies in level 0, and codes that sound alike lie together in the codec's space: a voice that was never heard
      # is understood by that, while tables that are learnt from little speech know the voices of that speech by heart.
      x += looked_up(jax.lax.stop_gradient(self.heard_vz), user[..., 0]) @ self.ear_zd
    x += looked_up(self.prosody_vd, slots[..., -c.codebooks - 1])
    if c.text_codes:
      x += looked_up(self.text_vd, slots[..., 0])
    if condition is not None:
      x += condition if condition.ndim == 3 else condition[:, None]
    return axes.constrain(x.astype(c.dtype), 'btd')

  def think(self, slots, user, position=None, cache=None, condition=None, segment=None):
    """The temporal transformer over a chunk: h f[b t d] and the cache. Arguments as in `embed` and Transformer."""
    x, cache = self.temporal(self.embed(slots, user, condition), position, cache, segment)
    return rms_norm(x, self.norm_out_d), cache

  def enter(self, h, stream=0):
    """What the depth transformer reads of steps h f[b t d]: f[b t e]. stream: 0 = what the assistant says there, 1 = the user."""
    return h @ self.into_depth_cdf[stream].astype(h.dtype)

  def tell(self, x, slots):
    """Logits of every slot, the slots before it being given.

    Args:
      x: f[b t e], from `enter`.
      slots: i32[b t slots], what is said at this step (the last one is not read).

    Returns:
      A list of f32[b t v], one a slot.
    """
    b, t, e = x.shape
    c = self.config
    said = [jnp.zeros((b, t, e))] + [looked_up(self.said[slot], slots[..., slot]) for slot in range(c.slots - 1)]
    x = x[:, :, None] + (jnp.stack(said, 2) + self.slot_cd).astype(x.dtype)    # [b t slots e]
    y, _ = self.depth(x.reshape(b * t, c.slots, e))
    y = rms_norm(y, self.depth_norm_d).reshape(b, t, c.slots, e)
    return [self.logits(y[:, :, slot], slot) for slot in range(c.slots)]

  def speak(self, h, slots):
    """`tell` of the assistant's steps. h: f[b t d]."""
    return self.tell(self.enter(h), slots)

  def logits(self, y, slot: int):
    """f32[... v] of a slot. y: f[... e], normalised output of the depth transformer."""
    return jnp.matmul(y, self.heads[slot].astype(y.dtype), preferred_element_type=jnp.float32)

  def slot_step(self, h, said, slot: int, position, cache):
    """Logits f32[b v] of one slot of the assistant in decoding, and the depth cache.

    h: f[b d]; said: i32[b], the slot before (ABSENT at the first); position: i32[b 1], the slot's number.
    """
    x = h @ self.into_depth_cdf[0].astype(h.dtype)
    extra = self.slot_cd[slot]
    if slot:
      extra = extra + looked_up(self.said[slot - 1], said)
    y, cache = self.depth((x + extra.astype(h.dtype))[:, None], position, cache)
    return self.logits(rms_norm(y, self.depth_norm_d)[:, 0], slot), cache

  def __call__(self, codes, prosody, text=None, condition=None, segment=None):
    """Scores a batch of dialogues (training).

    Args:
      codes: i32[b 2 t q], of assistant and user.
      prosody: i32[b t]; text: i32[b t] or None; ABSENT where there is none.
      condition: f[b d] from `condition`, f[b t d] where rows hold several clips, or None.
      segment: i32[b t], the number of the clip in its row, where a row holds several: none of them hears another. None =
        one a row.

    Returns:
      Logits of the assistant's slots at each step, a list of f32[b t v]; of the user's codes of the next frame
      at every `user_every`-th step but the last, a list of f32[b u v]; and the assistant's slots themselves,
      i32[b t slots], the targets.
    """
    h, slots = self.hear(codes, prosody, text, condition, segment)
    return self.speak(h, slots), self.speak_for_user(*user_part(self.config, h, codes[:, 1])), slots

  def hear(self, codes, prosody, text=None, condition=None, segment=None):
    """The temporal transformer over a batch: h f[b t d], and the slots i32[b t slots] that are to be said at each step."""
    slots, position = targets(self.config, codes, prosody, text, segment), None if segment is None else positions(segment)
    if self.config.conditions.any and self.is_initializing():
      self.condition({})           # its parameters are born here
    return self.think(before(slots, position), codes[:, 1], position, condition=condition, segment=segment)[0], slots

  def floor(self, h):
    """Logits f32[... 2 spans] that the assistant, then the user, speaks in each span that follows. h: f[... d].

    Voice activity projection with independent spans (Ekstedt and Skantze, 2022, 3.1).
    """
    return jnp.matmul(h, self.floor_dc.astype(h.dtype), preferred_element_type=jnp.float32)

  def match(self, h, a0, asked):
    """Where questions and answers meet: what was heard before each answer and the answer itself as unit vectors.

    Which answer a question has shows in its first frames alone, a few nats among thousands; told from the others of a batch,
    it is what a model that is asked learns first. After contrastive predictive coding (van den Oord et al., 2018).

    Args:
      h: f[b t d].
      a0: i32[b t], the assistant's.
      asked: i32[b s 3], the first frame of an answer and the one behind its last (the third is not read); ABSENT where there is none.

    Returns:
      The former f32[l b s z], at each of LISTENED, times how sharply they are compared; the latter f32[b s z].
    """
    first, end = asked[..., 0], asked[..., 1]
    places = [jnp.maximum(jnp.minimum(first + place, end - 1), 0)[..., None] for place in LISTENED]
    heard = jnp.stack([jnp.take_along_axis(h, place, 1) for place in places]).astype(jnp.float32) @ self.asked_dz
    at = jnp.arange(a0.shape[1])
    inside = (first[..., None] <= at) & (at < end[..., None])                  # [b s t]
    frames = jnp.maximum(end - first, 1)[..., None]
    part = jnp.clip(jnp.sum(inside * (PARTS * (at - first[..., None]) // frames), 1), 0, PARTS - 1)
    answer = jnp.einsum('bst,btz->bsz', inside / frames, self.answer_cvz[part, a0])
    unit = lambda x: x * jax.lax.rsqrt(jnp.sum(x ** 2, -1, keepdims=True) + 1e-12)   # of nothing too: an absent answer has no NaN gradient
    return jnp.exp(self.sharp) * unit(heard), unit(answer)

  def speak_for_user(self, h, heard):
    """Logits of the user's next frame, a list of f32[b u v]. h: f[b u d]; heard: i32[b u q], that frame."""
    return self.tell(self.enter(h, 1), as_slots(self.config, heard))[-self.config.codebooks:]


def whose_turn(floor):
  """How likely it is the assistant's turn, and how likely the user takes it, f32[...] each.

  It is the assistant's who speaks in most of 0.2 to 0.6 s from now while the user does not in the next 0.2 s. The user takes it by
  speaking in the next 0.2 s: who waits to see whether he goes on has talked over him for as long.

  floor: f32[... 2 spans], from AudioLM.floor. Its parts are independent by its making.
  """
  mine, theirs = floor[..., :SPANS], floor[..., SPANS:]
  return jax.nn.sigmoid(mine[..., 1]) * jax.nn.sigmoid(-theirs[..., 0]), jax.nn.sigmoid(theirs[..., 0])


def targets(c: Config, codes, prosody, text=None, segment=None):
  """What the assistant says at each step, i32[b t slots]. Arguments as in AudioLM's call."""
  if not c.prosody:
    prosody = jnp.full_like(prosody, ABSENT)
  said = [prosody[..., None], delayed(codes[:, 0], c.delay, None if segment is None else positions(segment))]
  if c.text_codes:
    said.insert(0, (jnp.full_like(prosody, -1) if text is None else text)[..., None])
  return jnp.concatenate(said, -1)


def as_slots(c: Config, codes):
  """Codes i32[b t q] as slots i32[b t slots], the others of which are ABSENT."""
  return jnp.pad(codes, ((0, 0), (0, 0), (c.slots - c.codebooks, 0)), constant_values=ABSENT)


def user_part(c: Config, x, user):
  """Of x[b t ...] the steps that predict the user, every `user_every`-th but the last; and the frames predicted i32[b u q]."""
  return x[:, :-1][:, slice(0, None, c.user_every) if c.user_every else c.predicted], user[:, c.predicted]


def empty_memory(c: Config, batch: int):
  """The temporal cache of streams that have not begun, and a depth cache for one step."""
  return empty_cache(c.temporal, batch, c.dtype), empty_cache(c.depth, batch, c.dtype)
