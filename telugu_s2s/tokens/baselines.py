"""What counting alone predicts: unigram, bigram and 5-gram models of each codebook, to hold a language model against."""
import numpy as np

ORDER, BITS = 5, 12             # codes of a context and one more; bits of a code
LEAST = 0.1                     # discount
KEEP = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])    # weights of the bigram that are tried


def nats(train, held_out, codes: int) -> dict[str, np.ndarray]:
  """Cross-entropy of held-out codes under counts of the training codes, in nats a code.

  The unigram adds one to every count. The bigram, of a code after the same codebook's code one frame
  before, is mixed with the unigram by the weight that suits the held-out codes best: more than fair. The 5-gram is
  interpolated down to the unigram with absolute discounting (Ney, Essen & Kneser, 1994), and nothing of it is fitted on
  held-out codes.

  Args:
    train, held_out: lists of integer arrays [t q], one a clip.
    codes: entries of a codebook, at most 4095.

  Returns:
    {unigram, bigram, 5-gram}: f64[q].
  """
  result = {'unigram': [], 'bigram': [], f'{ORDER}-gram': []}
  for level in range(train[0].shape[1]):
    clips, tests = ([np.asarray(clip[:, level], np.int64) for clip in many] for many in (train, held_out))
    counts = np.bincount(np.concatenate(clips), minlength=codes) + 1.0
    unigram = counts / counts.sum()
    pairs = np.zeros((codes, codes))
    for clip in clips:
      np.add.at(pairs, (clip[:-1], clip[1:]), 1)
    conditional = pairs / np.maximum(pairs.sum(1, keepdims=True), 1)
    seen = pairs.sum(1) > 0
    target = np.concatenate(tests)
    context = np.concatenate([np.concatenate([[-1], clip[:-1]]) for clip in tests])
    alone = unigram[target]
    known = (context >= 0) & seen[context]
    after = np.where(known, conditional[context, target], alone)
    result['unigram'].append(-np.log(alone).mean())
    result['bigram'].append(min(-np.log(keep * after + (1 - keep) * alone).mean() for keep in KEEP))
    result[f'{ORDER}-gram'].append(-np.log(interpolated(clips, tests, alone)).mean())
  return {name: np.array(values) for name, values in result.items()}


class Bigram:
  """The bigram of `nats` for clips one at a time: counts of training codes, mixed with those of single codes.

  Args:
    train: list of integer arrays [t q].
    codes: entries of a codebook.
  """

  def __init__(self, train, codes: int):
    levels = train[0].shape[1]
    self._alone, self._after = np.zeros((levels, codes), np.float32), np.zeros((levels, codes, codes), np.float32)
    for clip in train:
      for level in range(levels):
        np.add.at(self._alone[level], clip[:, level], 1)
        np.add.at(self._after[level], (clip[:-1, level], clip[1:, level]), 1)
    self._alone = (self._alone + 1) / (self._alone + 1).sum(1, keepdims=True)
    self._seen = self._after.sum(2)

  def _probabilities(self, clips, level):
    """f32[n t] of each code after the one before it, and alone; the same where none is before it or what is was never seen."""
    target, before = clips[..., level], np.concatenate([np.zeros_like(clips[:, :1, level]), clips[:, :-1, level]], 1)
    alone, seen = self._alone[level][target], self._seen[level][before]
    known = (seen > 0) & (np.arange(target.shape[1]) > 0)
    return np.where(known, self._after[level][before, target] / np.maximum(seen, 1), alone), alone

  def keep(self, clips) -> np.ndarray:
    """f64[q], the weight of the bigram that suits clips i64[n t q] best, of those that are tried."""
    every = [self._probabilities(clips, level) for level in range(clips.shape[-1])]
    return KEEP[np.argmin([[-np.log(keep * after + (1 - keep) * alone).mean() for keep in KEEP] for after, alone in every], axis=1)]

  def nats(self, clips, keep) -> np.ndarray:
    """f64[n t q], what each code of clips i64[n t q] costs. keep: f64[q], the weight of the bigram."""
    every = [self._probabilities(clips, level) for level in range(clips.shape[-1])]
    return np.stack([-np.log(share * after + (1 - share) * alone) for share, (after, alone) in zip(keep, every)], -1)


def interpolated(clips, tests, alone):
  """f64[n], the probability of each code of the tests after the up to 4 codes before it, by the counts of the clips.

  Order by order p = (max(count - D, 0) + D kinds p') / total: of what came after the same codes, how often this one did,
  how many kinds came and how much; p' of one code less, at first `alone` f64[n], the unigram's. D = n1 / (n1 + 2 n2) for n1
  grams that came once and n2 that came twice, at least LEAST: where nothing is rare, what is new costs something still.
  """
  found = alone
  for order in range(2, ORDER + 1):
    seen, count = np.unique(np.concatenate([_grams(clip, order)[order - 1:] for clip in clips]), return_counts=True)
    context, first = np.unique(seen >> BITS, return_index=True)               # sorted, as are the grams that begin with them
    if not len(context):
      break
    total, kinds = np.add.reduceat(count, first), np.diff(np.append(first, len(seen)))
    grams = np.concatenate([_grams(clip, order) for clip in tests])
    at = np.minimum(np.searchsorted(context, grams >> BITS), len(context) - 1)
    known = (grams >= 0) & (context[at] == grams >> BITS)
    place = np.minimum(np.searchsorted(seen, grams), len(seen) - 1)
    times = np.where(seen[place] == grams, count[place], 0)
    once, twice = (count == 1).sum(), (count == 2).sum()
    less = max(LEAST, once / max(1, once + 2 * twice))
    found = np.where(known, (np.maximum(times - less, 0) + less * kinds[at] * found) / total[at], found)
  return found


def _grams(clip, order):
  """i64[t], each code with the order - 1 before it as one number, the code in the last bits; -1 where they are not all there."""
  number = np.zeros(max(0, len(clip) - order + 1), np.int64)
  for place in range(order):
    number = number << BITS | clip[place:place + len(number)]
  return np.concatenate([np.full(min(order - 1, len(clip)), -1), number])
