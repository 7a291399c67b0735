"""Epochs: what a mixture asks for, in rows that are full, the same for the same seed."""
import collections
import concurrent.futures
import time

from hypothesis import given, strategies as st
import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.tokens.census import Census
from telugu_s2s.tokens.epochs import Epochs, Mixture, packed, weights

FRAMES = 3000


def census(count=400, texts=0, seed=0):
  rng = np.random.default_rng(seed)
  text = 1 + np.arange(count) % texts if texts else np.zeros(count)
  return Census(rng.integers(50, 500, count).astype(np.int32), np.arange(count, dtype=np.int32) % 2, text.astype(np.uint64), ('a', 'b'))


def epoch(source, number=0):
  """All (clip, view) of one epoch."""
  return [one for row in range(source.rows) for one in source.row(number * source.rows + row)]


def of(clips=census(), most=1, **more):
  return Epochs(clips, clips.frames, FRAMES, most, **more)


@given(st.lists(st.integers(1, 100), max_size=300), st.integers(1, 12))
def test_each_clip_is_in_one_row_and_no_row_overflows(needs, most):
  rows = packed(needs, 100, most)
  assert sorted(place for row in rows for place in row) == list(range(len(needs)))
  assert all(0 < len(row) <= most and sum(needs[place] for place in row) <= 100 for row in rows)


def test_rows_are_full():
  needs = np.random.default_rng(0).integers(50, 500, 4000)
  assert needs.sum() / (FRAMES * len(packed(needs, FRAMES, 32))) > 0.97
  held, share = of(most=32).filled()
  assert held == 400 and share > 0.9


def test_few_clips_are_in_few_rows():
  assert packed([10, 20, 30, 40], 100, 8) == [[0, 1, 2, 3]]


@pytest.mark.parametrize('most', [1, 32])
def test_an_epoch_is_every_clip_once_in_an_order_of_its_own(most):
  source = of(most=most)
  first = epoch(source)
  assert sorted(first) == [(clip, 0) for clip in range(400)] and first != sorted(first)
  again = epoch(of(most=most))
  assert again == first and epoch(of(most=most, seed=1)) != first
  second = epoch(source, 1)
  assert second != first and len(set(second) & set(first)) >= 390         # rows of the first epoch may be some fewer


def test_views_take_turns_or_all_come():
  clips = census(40)
  turns = of(clips, views=3)
  seen = [set(epoch(turns, number)) for number in range(3)]
  assert all(sorted(clip for clip, _ in one) == list(range(40)) for one in seen)
  assert set.union(*seen) == {(clip, view) for clip in range(40) for view in range(3)}
  assert len({view for _, view in seen[0]}) == 3
  assert sorted(epoch(of(clips, views=3, how='all'))) == [(clip, view) for clip in range(40) for view in range(3)]
  assert {view for _, view in epoch(of(clips, views=3, how='first'))} == {0}


def test_sources_come_as_often_as_the_mixture_says():
  count = collections.Counter(clip % 2 for clip, _ in epoch(of(mixture=Mixture({'a': 2, 'b': 0.5}))))
  assert count[0] == 400 and 80 < count[1] < 120
  source = of(mixture=Mixture({'a': 0, 'b': 0.5}))
  halves = [{clip for clip, _ in epoch(source, number)} for number in range(8)]
  assert all(clip % 2 for one in halves for clip in one) and len(set.union(*halves)) > 190


def test_no_sentence_comes_more_often_than_the_cap_and_each_take_has_its_turn():
  source = of(census(400, texts=50), mixture=Mixture(text_cap=2))
  assert collections.Counter(clip % 50 for clip, _ in epoch(source)) == dict.fromkeys(range(50), 2)
  assert len({clip for number in range(20) for clip, _ in epoch(source, number)}) > 380
  assert len(epoch(of(mixture=Mixture(text_cap=1)))) == 400              # clips without a transcript are no sentence


def test_an_epoch_without_clips_is_the_first_one_again():
  source = of(census(2), mixture=Mixture({'a': 0.3, 'b': 0.3}), seed=next(
      seed for seed in range(50) if (np.random.default_rng([seed, 0]).random(2) > 0.7).any()))
  assert all(source.row(index) for index in range(50))


def test_a_mixture_is_read_and_a_wrong_one_is_refused():
  assert weights('') == {} and weights(' slr66=2, my/data = 0.5') == {'slr66': 2, 'my/data': 0.5}
  for text in ('slr66', 'slr66=', '=2', 'slr66=-1', 'slr66=inf', 'slr66=nan', 'slr66=many'):
    with pytest.raises(InputError, match='SOURCE=TIMES'):
      weights(text)
  with pytest.raises(InputError, match='no source c; there are a, b'):
    of(mixture=Mixture({'c': 1}))
  with pytest.raises(InputError, match='every clip has weight 0'):
    of(mixture=Mixture({'a': 0, 'b': 0}))
  with pytest.raises(InputError, match='no clip in the first epoch'):
    of(census(2), mixture=Mixture({'a': 1e-6, 'b': 0}))
  with pytest.raises(InputError, match='config.views'):
    of(how='some')


def test_a_clip_that_comes_several_times_comes_in_other_views():
  seen = collections.defaultdict(set)
  for clip, view in epoch(of(views=4, times=np.full(400, 3.0))):
    seen[clip].add(view)
  assert all(len(views) == 3 for views in seen.values())


def test_an_epoch_is_made_once_however_many_read_and_the_next_one_before_it_is_wanted(monkeypatch):
  made, real = [], Epochs._made

  def slow(self, number):
    made.append(number)
    time.sleep(0.05)
    return real(self, number)
  monkeypatch.setattr(Epochs, '_made', slow)
  source = of(most=8, views=2)
  wanted = [source.row(source.rows + place) for place in range(source.rows)]
  fresh = of(most=8, views=2)
  made.clear()
  with concurrent.futures.ThreadPoolExecutor(8) as readers:
    assert list(readers.map(lambda place: fresh.row(fresh.rows + place), range(source.rows))) == wanted
  assert made.count(1) == 1
  deadline = time.monotonic() + 10
  while 2 not in made and time.monotonic() < deadline:
    time.sleep(0.01)
  assert made.count(2) == 1
