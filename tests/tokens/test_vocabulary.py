"""The text slot's vocabulary: every text comes back, the same texts give the same bytes, and no other one is taken."""
import copy
import itertools
import runpy

from hypothesis import given, settings, strategies as st
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.preparation import segment, shards, table
from telugu_s2s.tokens import vocabulary

TEXTS = ['నమస్కారం, మీరు ఎలా ఉన్నారు?', 'నేను బాగానే ఉన్నాను, ధన్యవాదాలు.', 'ఈ రోజు 24 మంది school కి వచ్చారు.']


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """The job's vocabulary of the sample corpus, and its file."""
  folder = tmp_path_factory.mktemp('vocabulary')
  config = runpy.run_path('configs/vocabulary.py')['get_config']()
  return vocabulary.run(config, folder), folder / 'vocabulary.model'


telugu = st.text(st.characters(min_codepoint=0xc00, max_codepoint=0xc7f), max_size=12)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=40) | st.lists(telugu).map(' '.join))
def test_any_text_comes_back(made, text):
  numbers = made[0].encode(text)
  assert made[0].decode(numbers) == vocabulary.normal(text)
  assert all(vocabulary.UNKNOWN < number < len(made[0]) for number in numbers)
  assert vocabulary.normal(vocabulary.normal(text)) == vocabulary.normal(text)


@settings(max_examples=100, deadline=None)
@given(text=st.lists(st.text(max_size=8) | telugu).map(' '.join))
def test_a_text_is_its_words_one_after_the_other(made, text):
  words = vocabulary.normal(text).split()
  assert made[0].encode(text) == list(itertools.chain.from_iterable(map(made[0].encode, words)))


def test_specials_are_passed_over_and_digits_stand_alone(made):
  numbers = made[0].encode('2024 నమస్కారం')
  mixed = [vocabulary.BOS, *itertools.chain.from_iterable((vocabulary.PAD, vocabulary.EPAD, one) for one in numbers), vocabulary.EOS]
  assert made[0].decode(mixed) == '2024 నమస్కారం'
  assert [piece.strip('▁') for piece in made[0].pieces('2024')][-4:] == ['2', '0', '2', '4']
  assert set(vocabulary.BYTES).isdisjoint(made[0].encode('Latin and తెలుగు ౧౨'))
  assert set(vocabulary.BYTES) >= set(made[0].encode('漢')[1:])


def test_the_same_texts_give_the_same_bytes_in_any_order(tmp_path):
  found = [vocabulary.trained(texts, 440) for texts in (TEXTS, TEXTS[::-1] + TEXTS[:1])]
  for number, one in enumerate(found):
    vocabulary.save(tmp_path / str(number), one, {'of': 'three'})
  assert (tmp_path / '0').read_bytes() == (tmp_path / '1').read_bytes()
  assert found[0].name != vocabulary.trained(TEXTS[:2], 440).name


def test_what_is_saved_is_read(made):
  one, path = made
  assert vocabulary.load(path) == one == copy.deepcopy(one) and one != vocabulary.trained(TEXTS, 440)


def test_what_is_no_vocabulary_is_named(made, tmp_path):
  data = made[1].read_bytes()
  for content, says in ((data[:-1], 'checksum'), (data[:99] + b'x' + data[100:], 'checksum'), (b'', 'begins with'),
                        (shards.pack('tokens', 1, {}, b''), "'tokens' where 'vocabulary'")):
    (tmp_path / 'bad').write_bytes(content)
    with pytest.raises(InputError, match=says):
      vocabulary.load(tmp_path / 'bad')
  with pytest.raises(InputError, match='configs/vocabulary.py'):
    vocabulary.load(tmp_path / 'none')


def test_texts_come_from_files_and_from_segments(tmp_path, capsys, speech):
  (tmp_path / 'texts').mkdir()
  (tmp_path / 'texts' / 'a.txt').write_bytes('\ufeffఒకటి రెండు\n'.encode() + b'\xff\xfe\n' + 'మూడు\n'.encode())
  clips = [segment.Segment(str(number), speech[0], 's', 'r', 'p', 0.0, 'CC0-1.0', 'A', text=text)
           for number, text in enumerate(['నాలుగు', ''])]
  row = shards.write(tmp_path / 'segments', 'one', [segment.to_bytes(clip) for clip in clips])
  table.write(tmp_path / 'segments', 'one', [table.of(clip, '') for clip in clips])
  shards.write_manifest(tmp_path / 'segments', segment.KIND, segment.VERSION, {}, [row])
  config = runpy.run_path('configs/vocabulary.py')['get_config']()
  config.update(texts=str(tmp_path / 'texts'), segments=str(tmp_path / 'segments'), size=440)
  found = vocabulary.run(config, tmp_path)
  assert found == vocabulary.trained(['ఒకటి రెండు', 'మూడు', 'నాలుగు'], 440)
  assert '3 texts, 4 words' in (said := capsys.readouterr().out) and '1 lines that are no UTF-8' in said


@pytest.mark.parametrize('wrong, says', [
    (dict(texts='no/such.txt'), 'no/such.txt: No such file'), (dict(texts='configs'), 'no .txt file in configs'),
    (dict(texts='telugu_s2s/codec/released/tiny.safetensors'), 'tiny.safetensors is no text in UTF-8'),
    (dict(size=100), 'config.size: 100 pieces'), (dict(segments='configs'), 'manifest.json: missing')])
def test_what_cannot_be_used_stops_the_job(wrong, says, tmp_path):
  config = runpy.run_path('configs/vocabulary.py')['get_config']()
  config.update(wrong)
  with pytest.raises(InputError, match=says):
    vocabulary.run(config, tmp_path)
  assert not (tmp_path / 'vocabulary.model').exists()
