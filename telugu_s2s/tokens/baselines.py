"""What counting alone predicts: unigram and bigram models of each codebook, to hold a language model against."""
import numpy as np

KEEP = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])    # weights of the bigram that are tried


def nats(train, held_out, codes: int) -> dict[str, np.ndarray]:
  """Cross-entropy of held-out codes under counts of the training codes, in nats a code.

  The unigram adds one to every count. The bigram, of a code after the same codebook's code one frame
  before, is mixed with the unigram by the weight that suits the held-out codes best: more than fair.

  Args:
    train, held_out: lists of integer arrays [t q], one a clip.
    codes: entries of a codebook.

  Returns:
    {unigram, bigram}: f64[q].
  """
  result = {'unigram': [], 'bigram': []}
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
  return {name: np.array(values) for name, values in result.items()}
