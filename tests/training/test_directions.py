"""Which way is better: the sides that stages 3 and 4 compare, with scores that are known."""
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.tokens import turns
from telugu_s2s.training import lm_step, stage3, stage4

TALK = SimpleNamespace(compared=None, held=None, window=None, counted_then=None, asked_then=None)


def weighed(monkeypatch):
  """Answers cost their rows' numbers times the model's, better and worse ones alike."""
  monkeypatch.setattr(stage4, 'heard', lambda model, params, batch: ((params * stage4.both(batch)['codes'],) * 2, None))
  monkeypatch.setattr(stage4, 'both', lambda batch: dict.fromkeys(('codes', 'answered'), jnp.stack([batch['codes'], batch['worse_codes']], 1).ravel()))
  monkeypatch.setattr(stage4, 'nats', lambda model, params, h, slots, answered, chunk: h)


def test_a_step_on_preferences_makes_the_better_answer_likelier_than_the_worse_one(monkeypatch):
  """Of a model of one number, by which an answer's nats go up."""
  weighed(monkeypatch)
  monkeypatch.setattr(lm_step, 'parts_from', lambda *of: (jnp.zeros(()), {}))
  rows = {'codes': jnp.array([1.0, 2.0, 9.0]), 'worse_codes': jnp.array([2.0, 4.0, 0.0]), 'compared': jnp.array([1.0, 1.0, 0.0])}
  graded = jax.jit(jax.value_and_grad(
      lambda params: stage4.parts_of(None, params, rows, 0, [None] * 5 + [2.0], teacher=1.0, beta=2.0, anchor=0.1), has_aux=True))
  (loss, parts), slope = graded(1.0)
  assert loss == parts['preference'] == pytest.approx(np.log(2)) and parts['margin'] == 0 and parts['preferred'] == 1
  assert slope == pytest.approx(-2 * 0.5 * (1 + 2) / 2)                        # half of beta times the difference, on average
  (_, then), _ = graded(1.0 - 0.1 * slope)
  assert then['margin'] == pytest.approx(2 * -0.1 * slope * 1.5) and then['preference'] < np.log(2)
  (_, then), _ = graded(-1.0)
  assert then['preferred'] == 0 and then['margin'] < 0 and then['preference'] > np.log(2)


def test_an_answer_is_preferred_where_the_worse_one_takes_more_nats(monkeypatch):
  rows = [{'codes': np.array([1.0, 2.0]), 'worse_codes': np.array([3.0, 3.0])}, {'codes': np.array([5.0, 0.0]), 'worse_codes': np.array([4.0, 9.0])}]
  weighed(monkeypatch)
  monkeypatch.setattr(stage4.preferences, 'tests', lambda compared, held, window, kind, *of: (rows, [0, 1, 2]) if kind == 'reply' else ([], []))
  one, other = stage4.prefers(None, (1.0, -1.0), TALK, 0)
  assert one.keys() == other.keys() == {'reply'} and one['reply']['n'] == 3                # the last row only fills up
  assert one['reply']['share'] == pytest.approx(2 / 3) and other['reply']['share'] == pytest.approx(1 / 3)


def test_an_answer_that_takes_fewer_nats_after_its_own_question_shows_that_it_was_heard(monkeypatch):
  own, other = np.array([1.0, 1.0, 1.0, 5.0, 0.0]), np.array([2.0, 2.0, 2.0, 3.0, 9.0])
  monkeypatch.setattr(stage3, 'with_others', lambda talk: ([0, 1, 2, 3], 'others', [0, 1, 2, 3]))
  monkeypatch.setattr(stage3.turns, 'tests', lambda compared, found, window, batch, questions, asked: [{'nats': other if questions else own}])
  monkeypatch.setattr(lm_step, 'parts_of', lambda model, params, row: (None, {'codes': params * row['nats'][0] / 2, 'text': params * row['nats'][0] / 2}))
  one, reverse = stage3.listens(None, (1.0, -1.0), TALK, 0)
  assert (one['n'], one['own'], one['other'], one['share']) == (4, 2.0, 2.25, 0.75)
  assert (reverse['own'], reverse['share']) == (-2.0, 0.25)


def test_of_many_takes_of_a_question_few_are_measured_and_of_every_question_some():
  turn = turns.Turn(0, 'a')
  held = [turns.Exchange((turns.Turn(number, 'user'), turn), 0, 1) for number in range(30)]
  text = np.array([1] * 20 + [2] * 3 + [0] * 7)                              # takes of one question, of another one, and no transcripts
  silent = SimpleNamespace(view=lambda clip, view: SimpleNamespace(codes=np.array([clip])))
  kept = [one.asked for one in stage3.few(held, silent, text)]
  assert kept == sorted(kept) and len([one for one in kept if one < 20]) == stage3.TAKES and kept[0] == 0 and 19 in kept
  assert kept[stage3.TAKES:] == [*range(20, 30)]
