"""Which question has which answer, and what a text slot's words are nearest to."""
import numpy as np

from telugu_s2s.corpora.folder import Recording
from telugu_s2s.evaluation import answering


def of(text, style, dialogue, turn, source='a'):
  return Recording(path=f'{source}{dialogue}{turn}.wav', text=text, style=style, dialogue=dialogue, turn=turn, source=source, split='train')


def test_each_answer_goes_with_the_question_before_it_in_its_own_dialogue():
  rows = [of('A2', 'answer', '1', 3), of('Q1', 'question', '1', 0), of('A1', 'answer', '1', 1), of('Q2', 'question', '1', 2),
          of('QB', 'question', '1', 0, 'b'), of('AB', 'answer', '1', 1, 'b'), of('alone', 'answer', '2', 0), of('no dialogue', 'answer', '', 0)]
  assert {(asked.text, said.text) for asked, said in answering.exchanges(rows)} == {('Q1', 'A1'), ('Q2', 'A2'), ('QB', 'AB')}


class Letters:
  """A vocabulary of letters."""

  def decode(self, numbers):
    return ''.join(chr(number) for number in numbers if number > 4)


def test_words_are_those_of_the_sentence_that_is_nearest():
  words = [np.array([0, ord('a'), ord('b'), 1, ord('x')]), np.array([0, 0, 1])]
  assert answering.written(Letters(), words, ['xyz', 'abc']) == ['abc', '']
