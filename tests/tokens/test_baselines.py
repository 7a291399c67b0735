"""What counting alone predicts, against counting by hand."""
from collections import Counter

import numpy as np
import pytest

from telugu_s2s.tokens import baselines

CODES = 5


@pytest.fixture(scope='module')
def clips():
  rng = np.random.default_rng(0)
  return [rng.integers(0, CODES, (length, 2)) % [5, 3] for length in (9, 14, 6)]


def counted(train, held_out, level):
  """Nats a code by dictionaries: add-one unigram, and the bigram mixed with the best of the weights."""
  single = Counter(code for clip in train for code in clip[:, level])
  pair = Counter(two for clip in train for two in zip(clip[:-1, level], clip[1:, level]))
  before = Counter(code for clip in train for code in clip[:-1, level])
  alone = lambda code: (single[code] + 1) / (sum(single.values()) + CODES)
  def bigram(keep):
    total = []
    for clip in held_out:
      for now, code in enumerate(clip[:, level]):
        last = clip[now - 1, level] if now else None
        if last is None or not before[last]:
          total.append(-np.log(alone(code)))
        else:
          total.append(-np.log(keep * pair[last, code] / before[last] + (1 - keep) * alone(code)))
    return np.mean(total)
  unigram = np.mean([-np.log(alone(code)) for clip in held_out for code in clip[:, level]])
  return unigram, min(map(bigram, baselines.KEEP))


def test_the_numbers_are_those_of_counting_by_hand(clips):
  train, held_out = clips[:2], clips[2:]
  held_out = [np.concatenate([held_out[0], [[4, 2], [4, 2]]])]
  found = baselines.nats(train, held_out, CODES)
  for level in range(2):
    unigram, bigram = counted(train, held_out, level)
    np.testing.assert_allclose(found['unigram'][level], unigram, rtol=1e-12)
    np.testing.assert_allclose(found['bigram'][level], bigram, rtol=1e-12)


def discounted(train, held_out, level, alone):
  """Nats a code of the 5-gram by dictionaries."""
  after = [{} for _ in range(5)]
  for clip in train:
    codes = clip[:, level].tolist()
    for now in range(len(codes)):
      for length in range(1, min(4, now) + 1):
        after[length].setdefault(tuple(codes[now - length:now]), Counter())[codes[now]] += 1
  total = []
  for clip in held_out:
    codes = clip[:, level].tolist()
    for now, code in enumerate(codes):
      p = alone(code)
      for length in range(1, min(4, now) + 1):
        if seen := after[length].get(tuple(codes[now - length:now])):
          every = [count for one in after[length].values() for count in one.values()]
          less = max(0.1, every.count(1) / max(1, every.count(1) + 2 * every.count(2)))
          p = (max(seen[code] - less, 0) + less * len(seen) * p) / sum(seen.values())
      total.append(-np.log(p))
  return np.mean(total)


def test_the_5_gram_is_that_of_counting_by_hand(clips):
  rng = np.random.default_rng(1)
  train = [*clips[:2], np.tile(rng.integers(0, CODES, (6, 2)), (4, 1)), np.zeros((3, 2), int)]
  found = baselines.nats(train, clips[2:], CODES)['5-gram']
  for level in range(2):
    single = Counter(code for clip in train for code in clip[:, level])
    want = discounted(train, clips[2:], level, lambda code: (single[code] + 1) / (sum(single.values()) + CODES))
    np.testing.assert_allclose(found[level], want, rtol=1e-12)


def test_the_5_gram_tells_what_the_bigram_cannot():
  train = [np.tile([0, 0, 1, 0, 0, 0, 2], 30)[:, None]]
  found = baselines.nats(train, train, CODES)
  assert found['5-gram'][0] < 0.1 < 0.4 < found['bigram'][0]
  assert baselines.nats([np.zeros((1, 1), int)], train, CODES)['5-gram'] == pytest.approx(
      baselines.nats([np.zeros((1, 1), int)], train, CODES)['unigram'])      # no clip is long enough to tell anything


def test_codes_that_were_never_seen_cost_a_finite_number(clips):
  found = baselines.nats([np.zeros((4, 1), int)], [np.full((3, 1), 4)], CODES)
  np.testing.assert_allclose(found['unigram'], np.log(9))
  assert np.isfinite(found['bigram']).all()


def test_a_sequence_that_repeats_is_told_by_the_code_before():
  steps = [np.tile([0, 3, 1, 4, 2], 40)[:, None]]
  found = baselines.nats(steps, steps, CODES)
  np.testing.assert_allclose(found['unigram'], np.log(5), atol=1e-3)
  assert found['bigram'][0] < 0.1


def test_two_clips_are_not_read_as_one():
  """The last code of a clip says nothing of the first one of the next."""
  a, b = np.array([[0], [1]]), np.array([[2], [3]])
  np.testing.assert_allclose(baselines.nats([a, b], [a, b], 5)['bigram'], baselines.nats([b, a], [b, a], 5)['bigram'])
  assert baselines.nats([a, b], [np.array([[1], [2]])], 5)['bigram'] == pytest.approx(
      baselines.nats([b, a], [np.array([[1], [2]])], 5)['bigram'])
