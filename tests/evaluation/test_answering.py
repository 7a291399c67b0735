"""Which question has which answer, and what a text slot's words are nearest to."""
import numpy as np
import pytest

from telugu_s2s.corpora.folder import Recording
from telugu_s2s.dialogue import engines, sample
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import answering, generate, recipes, reply


def of(text, style, dialogue, turn, source='a'):
  return Recording(path=f'{source}{dialogue}{turn}.wav', text=text, style=style, dialogue=dialogue, turn=turn, source=source, split='train')


def test_each_answer_goes_with_the_question_before_it_in_its_own_dialogue():
  rows = [of('A2', 'answer', '1', 3), of('Q1', 'question', '1', 0), of('A1', 'answer', '1', 1), of('Q2', 'question', '1', 2),
          of('QB', 'question', '1', 0, 'b'), of('AB', 'answer', '1', 1, 'b'), of('alone', 'answer', '2', 0), of('no dialogue', 'answer', '', 0)]
  assert {(asked.text, said.text) for asked, said in answering.exchanges(rows)} == {('Q1', 'A1'), ('Q2', 'A2'), ('QB', 'AB')}


def test_chance_is_greater_where_questions_have_several_answers():
  assert answering.chance([{'a'}, {'b'}], 4) == 0.25
  right = [{'a', 'b'}, {'c'}]
  drawn = np.random.default_rng(0).choice(['a', 'b', 'c', 'd'], size=(4000, 2))
  assert answering.chance(right, 4) == pytest.approx(np.mean([[one in known for one, known in zip(row, right)] for row in drawn]), abs=0.02)


@pytest.mark.parametrize('job, name', [(answering, 'answers'), (reply, 'reply'), (generate, 'generate')])
def test_less_than_a_frame_to_be_said_is_refused_by_name(job, name, tmp_path):
  with pytest.raises(InputError, match='config.seconds 0.01: give .* 0.1 s or more'):
    job.run(recipes.of(name, seconds=0.01), tmp_path)


class Letters:
  """A vocabulary of letters."""

  def decode(self, numbers):
    return ''.join(chr(number) for number in numbers if number > 4)


def test_words_are_those_of_the_sentence_that_is_nearest():
  words = [np.array([0, ord('a'), ord('b'), 1, ord('x')]), np.array([0, 0, 1])]
  assert answering.written(Letters(), words, ['xyz', 'abc']) == ['abc', '']


def along_the_best_path(one, other):
  """The distance of two recordings, cell by cell."""
  total = np.full((len(one) + 1, len(other) + 1), np.inf)
  total[0, 0] = 0
  for i, x in enumerate(one):
    for j, y in enumerate(other):
      total[i + 1, j + 1] = np.linalg.norm(x - y) + min(total[i, j], total[i, j + 1], total[i + 1, j])
  return total[-1, -1] / (len(one) + len(other))


@pytest.mark.parametrize('length', [1, 4, 9])
def test_a_distance_is_that_of_the_best_path_whatever_the_lengths(length):
  rng = np.random.default_rng(length)
  one, others = rng.normal(size=(length, 3)), [rng.normal(size=(frames, 3)) for frames in (1, 6, 11)]
  np.testing.assert_allclose(answering.warped(one, others), [along_the_best_path(one, other) for other in others], rtol=1e-6)
  again = np.repeat(one, 2, 0)                               # said half as fast
  assert answering.warped(again, [*others, one])[-1] < 1e-6


def test_what_was_said_is_the_sentence_it_sounds_like_in_noise_and_at_another_speed_too(speech):
  names, rng = ['first', 'second', 'third'], np.random.default_rng(0)
  known = [answering.cepstra(one) for one in speech]
  noisy = [one + 0.1 * one.std() * rng.standard_normal(len(one)).astype(np.float32) for one in speech]
  slow = [np.interp(np.arange(0, len(one), 0.93), np.arange(len(one)), one).astype(np.float32) for one in speech]
  for said in (speech, noisy, slow):
    assert answering.matched(said, known, names) == names
  assert answering.matched([speech[2], np.zeros(16_000, np.float32), speech[0]], known, names) == ['third', '', 'first']


def test_questions_are_asked_anew_by_voices_that_no_dialogue_has():
  learnt = [Recording(path='a.wav', speaker=f'espeak-{name}') for name in engines.VARIANTS[1:-1]]
  said = answering.anew(['ఎలా ఉన్నారు?', 'మీ పేరు ఏమిటి?'], learnt, 2, 0)
  engine = engines.espeak(engines.varied({}, len(engines.VARIANTS)), (0, 0))
  wanted = [sample.finished(engine.speak(text, name, 'neutral', 1.0, 0).samples)
            for name in (engines.VARIANTS[0], engines.VARIANTS[-1]) for text in ('ఎలా ఉన్నారు?', 'మీ పేరు ఏమిటి?')]
  assert len(said) == 4 and all(np.array_equal(*both) for both in zip(said, wanted))
  assert answering.anew(['x'], learnt, 0, 0) == []
  with pytest.raises(InputError, match='config.voices 3: give 0 to 2, the voices of espeak-ng that'):
    answering.anew(['x'], learnt, 3, 0)
