"""Dialogues from a grammar: distinct by the thousand, answers to their questions, and what the sample job can speak."""
import os
import re
import runpy

import pytest

from telugu_s2s import usage
from telugu_s2s.dialogue import grammar, sample
from telugu_s2s.errors import InputError


@pytest.fixture(scope='module')
def own():
  return grammar.load(grammar.GRAMMAR)


def config(**fields):
  found = runpy.run_path(os.path.join(usage.ROOT, 'configs/dialogues.py'))['get_config']()
  found.update(fields)
  return found


def test_thousands_are_distinct_and_of_every_template(own):
  slots, templates = own
  rows = grammar.written(slots, templates, 5000, seed=0)
  texts = [row['text'] for row in rows]
  assert len(set(texts)) == len(texts) and len({row['dialogue'] for row in rows}) == 5000
  assert {row['topic'] for row in rows} == {one.topic for one in templates}
  assert not any(re.search('[{}A-Za-z0-9]', text) for text in texts)


# Which hours are in which part of the day; half past one of them is in it too.
HOURS = {'ఉదయం': 'ఐదు ఆరు ఏడు ఎనిమిది తొమ్మిది పది పదకొండు', 'మధ్యాహ్నం': 'పన్నెండు ఒంటి రెండు మూడు', 'సాయంత్రం': 'నాలుగు ఐదు ఆరు',
         'రాత్రి': 'ఏడు ఎనిమిది తొమ్మిది పది పదకొండు'}


def test_an_hour_is_in_its_part_of_the_day_and_the_sun_shines_by_day(own):
  texts = [row['text'] for row in grammar.written(*own, 5000, seed=0)]
  times = {found for text in texts for found in re.findall(rf'({"|".join(HOURS)}) (\S+?)(?:న్నరకు| గంటలకు| గంటకు)', text)}
  assert not {(part, hour) for part, hour in times if hour not in HOURS[part].split()}
  assert len(times) > 15 and {part for part, _ in times} == set(HOURS)
  assert not any('రాత్రి' in text for text in texts if 'పరీక్ష' in text or 'ఎండ' in text or 'ఉక్కపోత' in text)


def test_who_is_addressed_does_not_answer_with_their_own_name(own):
  rows = grammar.written(*own, 2000, seed=0)
  asked = {row['dialogue']: row['text'] for row in rows if row['kind'] == 'question'}
  addressed = 0
  for row in rows:
    if row['kind'] == 'answer' and (name := re.search(r'(?:^|, )(\S+) గారు[,?]', asked[row['dialogue']])):
      addressed += 1
      assert name[1] not in row['text']
  assert addressed > 500


def test_an_answer_speaks_of_what_was_asked():
  slots = {'town': ['ఏలూరు', 'కడప', 'ఖమ్మం'], 'day': ['సోమవారం', 'మంగళవారం']}
  one = grammar.Template('travel', ('question', 'answer'), ('{day} {town}?', '{town} {town2} {day2}.'))
  rows = grammar.written(slots, [one], 6, seed=0)
  for question, answer in zip(rows[::2], rows[1::2]):
    assert (question['kind'], answer['kind'], question['turn'], answer['turn']) == ('question', 'answer', 1, 2)
    day, town = question['text'].rstrip('?').split()
    same, other, second = answer['text'].rstrip('.').split()
    assert town == same != other and day != second


def test_the_same_seed_gives_the_same_and_another_one_others(own):
  of = lambda seed: [row['text'] for row in grammar.written(*own, 50, seed)]
  assert of(1) == of(1) != of(2)


def test_more_than_there_are_is_refused_with_how_many_there_are():
  one = grammar.Template('x', ('question', 'answer'), ('{a}?', '{a}.'))
  with pytest.raises(InputError, match='config.count 4: the grammar has about 3 dialogues'):
    grammar.written({'a': ['ఒకటి', 'రెండు', 'మూడు']}, [one], 4, seed=0)


def test_the_job_writes_what_the_sample_job_speaks(tmp_path, capsys):
  rows = grammar.run(config(count=300, eval_share=0.2), tmp_path)
  said = capsys.readouterr().out
  assert '300 dialogues and stories' in said and 'held out' in said
  read = sample.read_sentences(tmp_path / 'sentences.tsv')
  assert [row['text'] for row in read] == [row['text'] for row in rows]
  held = {row['dialogue'] for row in rows if row['split'] == 'eval'}
  assert 30 < len(held) < 90
  spoken = sample.plan(read, runpy.run_path(os.path.join(usage.ROOT, 'configs/sample.py'))['get_config']())
  assert len(spoken) == 2 * len(rows) and len({row['path'] for row in spoken}) == len(spoken)


@pytest.mark.parametrize('text, says', [
    ('slots = 3', 'no grammar'), ('[slots]\na = ["x"]', 'neither'), ('not toml', 'no grammar'),
    ('[slots]\na = ["x", "x"]\n[[dialogue]]\ntopic = "t"\nquestion = "{a} {a2}?"\nanswer = "{a}"', '2 values of slots.a, which has 1'),
    ('[slots]\n[[story]]\ntopic = "t"\nsentences = ["{b}"]', '1 values of slots.b, which has 0')])
def test_a_grammar_that_cannot_be_used_is_named(tmp_path, text, says):
  path = tmp_path / 'mine.toml'
  path.write_text(text)
  with pytest.raises(InputError, match=f'config.grammar.*{says}'):
    grammar.run(config(grammar=str(path)), tmp_path)
  with pytest.raises(InputError, match='no_such.toml'):
    grammar.load(tmp_path / 'no_such.toml')


def test_a_share_that_is_none_is_refused(tmp_path):
  with pytest.raises(InputError, match='config.eval_share 1.0'):
    grammar.run(config(eval_share=1.0), tmp_path)
