"""Dialogues as a folder: rows, licences, splits, resuming, and what is set aside."""
import csv
import dataclasses
import importlib.util
import itertools
import json
import pathlib

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import sample
from telugu_s2s.dialogue import engines, pairs, spoken, synthesis, timing
from telugu_s2s.dialogue import sample as sample_job
from telugu_s2s.dialogue.pairs import Aside, Dialogue, Turn, Unit
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import pairs as job
from telugu_s2s.preparation import prepare, read

CONFIG = pathlib.Path(__file__).parents[2] / 'configs/pairs.py'
QUESTION = {'dialogue': 'd1', 'kind': 'question', 'text': 'ఏమిటి?', 'split': 'train'}
ANSWER = {'dialogue': 'd1', 'kind': 'answer', 'text': 'ఇదే.', 'split': 'train'}
STORY = [{'dialogue': 's1', 'kind': 'story', 'text': f'{word} ' * 12, 'split': 'train'} for word in ('ఒకటి', 'రెండు', 'మూడు')]


def config(**fields):
  spec = importlib.util.spec_from_file_location('pairs_config', CONFIG)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  found = module.get_config()
  found.update(fields)
  return found


def tone(seconds=1.2, hz=200.0):
  t = np.arange(round(seconds * 16000)) / 16000
  return (np.sin(2 * np.pi * hz * t) * np.sin(np.pi * t / seconds) / 2).astype(np.float32)


def turn(at_s=0.0, speaker='A', licence='CC0-1.0', source='one', **fields):
  return Turn(at_s, tone(), speaker, source, licence, **fields)


def engine(fails=(), voices=('A', 'B', 'C'), held=('X', 'Y'), licence='CC0-1.0'):
  """Says a tone whose length follows from the text and whose pitch from the voice."""
  def speak(text, voice, emotion, rate, seed):
    if any(word in text for word in fails):
      raise engines.Unspoken(f'cannot say {text}')
    return engines.Spoken(tone(0.1 + 0.05 * len(text), 100 + 10 * ord(voice[0])), voice, 'f', 'neutral', f'voice {voice}', licence)
  return engines.Engine('tones', '1', False, speak, engines.voices_of({**dict.fromkeys(voices, False), **dict.fromkeys(held, True)}))


def how(**fields):
  return spoken.How(**{'engine': engine(), 'timing': timing.ASSUMED, 'seed': 0} | fields)


def manifest(folder):
  with open(folder / 'MANIFEST.tsv', encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))


def contents(folder):
  return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def written(dialogues, out, made_by='g', form='flac'):
  return pairs.write([Unit(one.name, lambda one=one: [one]) for one in dialogues], out, made_by, form, 1)


def test_a_dialogue_is_a_row_and_a_file_a_turn_in_the_order_of_time(tmp_path):
  turns = [turn(1.0, 'B', text='రెండు'), turn(0.0, 'A', text='ఒకటి', gender='f'), turn(1.4, 'A', act='backchannel', text='ఆఁ')]
  written([Dialogue('d1', 'train', turns)], tmp_path)
  rows = manifest(tmp_path / 'pairs')
  assert [(row['turn'], row['speaker'], row['at_s'], row['act']) for row in rows] == [
      ('0', 'A', '0.000', 'turn'), ('1', 'B', '1.000', 'turn'), ('2', 'A', '1.400', 'backchannel')]
  found, skips = corpus.recordings(tmp_path / 'pairs', '')
  assert len(found) == 3 and not skips and {one.dialogue for one in found} == {'d1'} and found[1].custom['at_s'] == '1.000'
  assert np.abs(files.read(tmp_path / 'pairs' / rows[0]['path'])[0] - tone()).max() < 1e-4


def test_sides_of_different_licences_come_under_the_stricter_or_not_at_all(tmp_path):
  both = lambda name, first, second: Dialogue(name, 'train', [turn(0, 'A', first, 'here'), turn(1, 'B', second, 'there')])
  done = written([both('ok', 'CC0-1.0', 'CC-BY-SA-4.0'), both('no', 'CC-BY-SA-3.0', 'CC-BY-SA-4.0'), both('unknown', 'CC-BY-4.0', '')], tmp_path)
  rows = manifest(tmp_path / 'pairs')
  assert [row['dialogue'] for row in rows] == ['ok', 'ok'] and done['aside'] == 2
  assert {row['licence'] for row in rows} == {'CC-BY-SA-4.0'} and rows[0]['sources'] == 'here; there'
  assert rows[0]['licences'] == 'CC0-1.0; CC-BY-SA-4.0'
  report = (tmp_path / 'report.tsv').read_text()
  assert 'no\t\t\tlicence\tCC-BY-SA-3.0 and CC-BY-SA-4.0 may not' in report and 'unknown\t\t\tlicence\tCC-BY-4.0 and unknown may not' in report
  # Neither side gets into a build that the stricter one is not let into.
  assert not corpus.licensed(corpus.recordings(tmp_path / 'pairs', '')[0], 'commercial_attribution')[0]


def test_the_text_counts_among_the_sides(tmp_path):
  written([Dialogue('d', 'train', [turn(0, 'A'), turn(1, 'B')], texts=('book', 'CC-BY-4.0'))], tmp_path)
  assert {(row['licence'], row['sources']) for row in manifest(tmp_path / 'pairs')} == {('CC-BY-4.0', 'book; one')}


def test_what_fails_is_set_aside_and_the_others_are_made(tmp_path):
  def broken():
    raise files.Unreadable('x.wav', 'corrupt', 'it breaks off')
  def none():
    raise Aside('no exchange', 'one speaker')
  units = [Unit('a', broken), Unit('b', none), Unit('c', lambda: [Dialogue('c', 'train', [turn()])])]
  done = pairs.write(units, tmp_path, 'g', 'flac', 1)
  assert (done['dialogues'], done['aside']) == (1, 2)
  assert (tmp_path / 'report.tsv').read_text().splitlines()[1:] == ['a\t\t\tcorrupt\tit breaks off', 'b\t\t\tno exchange\tone speaker']
  with pytest.raises(InputError, match='no dialogue came of 2 .1 corrupt, 1 no exchange.'):
    pairs.write(units[:2], tmp_path / 'none', 'g', 'flac', 1)


def test_what_is_there_is_not_made_again_and_another_generator_makes_it_anew(tmp_path):
  calls = []
  def units(*names):
    return [Unit(name, lambda name=name: calls.append(name) or [Dialogue(name, 'train', [turn()])]) for name in names]
  pairs.write(units('a', 'b'), tmp_path, 'g', 'flac', 1)
  before = contents(tmp_path)
  pairs.write(units('a', 'b', 'c'), tmp_path, 'g', 'flac', 1)
  assert calls == ['a', 'b', 'c'] and before.items() - contents(tmp_path).items() == {('pairs/MANIFEST.tsv', before['pairs/MANIFEST.tsv'])}
  (tmp_path / 'pairs/audio/b-00.flac').unlink()
  pairs.write(units('a', 'b', 'c'), tmp_path, 'g', 'flac', 1)
  assert calls[3:] == ['b']
  pairs.write(units('a'), tmp_path, 'other', 'flac', 1)
  assert calls[4:] == ['a'] and len(manifest(tmp_path / 'pairs')) == 1


def test_names_of_files_are_each_another_one():
  found = pairs.named(['x', 'x ', 'x--2', 'x  '])
  assert len(set(found.values())) == 4 and found['x'] == 'x'


def test_pairs_are_made_again_where_the_licence_or_the_sound_of_what_they_are_made_of_changes(tmp_path):
  with open(sample.folder() / 'sentences.tsv', encoding='utf-8', newline='') as file:
    texts = [row['text'] for row in csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE) if row['dialogue']][:4]
  def people(folder, licence, level):
    lines = ['path\tspeaker\ttext\tlicence\tsplit']
    for who in 'AB':
      for number, text in enumerate(texts):
        files.write_wav(folder / f'{who}{number}.wav', level * tone(0.6, 150 + 60 * (who == 'B')))
        lines.append(f'{who}{number}.wav\t{who}\t{text}\t{licence}\ttrain')
    (folder / 'MANIFEST.tsv').write_text('\n'.join(lines) + '\n')
  run = lambda folder: job.run(config(source='text', engine='recorded', folder=str(folder), count=1, extras=False), tmp_path / 'out')
  for name, licence, level in (('A', 'CC-BY-4.0', 1.0), ('B', 'CC-BY-NC-4.0', 1.0), ('C', 'CC-BY-NC-4.0', 0.5)):
    (tmp_path / name / 'people').mkdir(parents=True)
    people(tmp_path / name / 'people', licence, level)
    assert run(tmp_path / name / 'people')['made'] == 1 and run(tmp_path / name / 'people')['made'] == 0
    assert {row['licence'] for row in manifest(tmp_path / 'out/pairs')} == {licence}


def test_a_unit_is_made_again_where_what_it_is_made_of_changed_or_it_failed(tmp_path):
  calls = []
  def made(good):
    calls.append(good)
    if not good:
      raise Aside('not spoken', 'the program is missing')
    return [Dialogue('b', 'train', [turn()])]
  fixed = Unit('a', lambda: [Dialogue('a', 'train', [turn()])])
  for good, of in ((False, 'x'), (True, 'x'), (True, 'x'), (True, 'y')):
    done = pairs.write([fixed, Unit('b', lambda good=good: made(good), of)], tmp_path, 'g', 'flac', 1)
    assert done['dialogues'] == 1 + good
  assert calls == [False, True, True]


def test_names_become_those_of_files_each_once():
  assert pairs.named(['talk', '../a b', 'a-b', 'a b', '...']) == {'talk': 'talk', '../a b': 'a-b', 'a-b': 'a-b--2', 'a b': 'a-b--3', '...': 'dialogue'}


def test_tracks_lie_on_one_axis_and_sum_up(tmp_path):
  written([Dialogue('d', 'train', [turn(0, 'A'), turn(0.5, 'B'), turn(2, 'A')])], tmp_path)
  tracks = pairs.tracks(tmp_path / 'pairs', 'd')
  assert list(tracks) == ['A', 'B'] and {len(one) for one in tracks.values()} == {round(3.2 * 16000)}
  assert not tracks['B'][:8000].any() and np.abs(tracks['B'][8000:8000 + 19200] - tone()).max() < 1e-4
  with pytest.raises(InputError, match="no dialogue 'x'"):
    pairs.tracks(tmp_path / 'pairs', 'x')
  written([Dialogue('alike', 'train', [turn(0, '1', source='one'), turn(2, '1', source='two'), turn(4, '2', source='two')])], tmp_path)
  assert list(pairs.tracks(tmp_path / 'pairs', 'alike')) == ['one/1', 'two/1', '2']


def test_a_speaker_and_a_sentence_are_on_one_side_of_the_split_alone(tmp_path):
  of = lambda name, split, speaker, text: Dialogue(name, split, [turn(0, speaker, text=f'{text} వాన పడింది')])
  done = written([of('a', 'train', 'A', 'x'), of('b', 'train', 'A', 'y'), of('c', 'eval', 'B', 'y'), of('d', 'eval', 'A', 'z'), of('e', 'eval', 'C', 'w')], tmp_path)
  # A is more in train, so that d goes; y is as often in eval, so that b goes.
  assert {row['dialogue'] for row in manifest(tmp_path / 'pairs')} == {'a', 'c', 'e'} and done['aside'] == 2
  assert 'sentence yవానపడింది is in split eval too' in (tmp_path / 'report.tsv').read_text()


def test_a_sentence_is_the_same_without_its_question_mark_and_what_a_listener_says_is_none(tmp_path):
  heard = turn(1.0, 'L', text='సరే', act='backchannel')
  both = [Dialogue(name, split, [turn(0, name, text=text), dataclasses.replace(heard, speaker=split)])
          for name, split, text in (('a', 'train', 'నీ పేరు ఏమిటి?'), ('b', 'train', 'x'), ('c', 'eval', 'నీ పేరు ఏమిటి'),
                                    ('d', 'eval', 'y'))]
  written(both, tmp_path)
  assert {row['dialogue'] for row in manifest(tmp_path / 'pairs')} == {'b', 'c', 'd'}


def test_words_that_everybody_says_hold_nothing_out(tmp_path):
  both = lambda name, text: [turn(0, f'{name}-a', text=text), turn(1, f'{name}-b', text=f'{text}.')]
  of = lambda split, number, text: Dialogue(f'{split}{number}', split, both(f'{split}{number}', text))
  told = ('అవును', 'బాగా ఉన్నాను')
  done = written([of(split, number, told[number % 2]) for split, many in (('train', 9), ('eval', 3)) for number in range(many)], tmp_path)
  assert (done['dialogues'], done['aside']) == (12, 0)


def test_rejects_are_kept_apart_with_their_reason(tmp_path):
  written([Dialogue('a', 'train', [turn()]), Dialogue('b', 'train', [turn()], negative='repeats')], tmp_path)
  assert [row['negative'] for row in manifest(tmp_path / 'negatives')] == ['repeats'] and [row['negative'] for row in manifest(tmp_path / 'pairs')] == ['']
  assert (tmp_path / 'negatives/audio/b-00.flac').is_file()


def test_a_question_and_its_answer_have_two_voices_of_their_split_and_the_same_seed_the_same_bytes():
  first, again = (spoken.spoken('d1', [QUESTION, ANSWER], how(), spoken.OWN) for _ in range(2))
  turns = [one for one in first.turns if one.act == 'turn']
  assert [one.text for one in turns] == ['ఏమిటి?', 'ఇదే.'] and turns[0].speaker != turns[1].speaker and {one.speaker for one in turns} <= set('ABC')
  assert [(one.at_s, one.speaker, one.samples.tobytes()) for one in first.turns] == [(one.at_s, one.speaker, one.samples.tobytes()) for one in again.turns]
  other = [spoken.spoken(f'd{number}', [QUESTION, ANSWER], how(), spoken.OWN) for number in range(8)]
  assert len({one.turns[-1].at_s for one in other}) > 4
  held = spoken.spoken('d1', [row | {'split': 'eval'} for row in (QUESTION, ANSWER)], how(), spoken.OWN)
  assert {one.speaker for one in held.turns} == {'X', 'Y'}


def test_dialogues_that_a_count_leaves_out_are_told(capsys):
  assert len(spoken.from_text(config(count=2), how())) == 2
  assert f'{sample_job.SOURCE}: the first 2 of ' in capsys.readouterr().out
  spoken.from_text(config(), how())
  assert capsys.readouterr().out == ''


def test_takes_are_in_other_voices_and_some_answer_alone():
  made = spoken.units([QUESTION, ANSWER], how(takes=8, answerers=('C',), extras=False), ('text', 'CC0-1.0'))
  cast = [[one.speaker for one in unit.made()[0].turns] for unit in made]
  assert [unit.name for unit in made] == [f'd1-{take}' for take in range(1, 9)]
  assert {asks for asks, _ in cast} == {'A', 'B'} and {answers for _, answers in cast} == {'C'}
  held = spoken.units([row | {'split': 'eval'} for row in (QUESTION, ANSWER)], how(answerers=('C',), extras=False), ('text', 'CC0-1.0'))
  assert {one.speaker for one in held[0].made()[0].turns} == {'X', 'Y'}


def test_each_side_has_a_pace_and_an_emotion_of_its_own_and_an_answer_may_be_said_one_way():
  said, felt = [], []

  def speak(text, voice, emotion, rate, seed):
    said.append((text, rate, seed))
    felt.append(emotion)
    return engine().speak(text, voice, emotion, rate, seed)

  heard, rows = engines.Engine('tones', '1', False, speak, engine().voices), [QUESTION, ANSWER]
  for number in range(8):
    spoken.spoken(f'd{number}', rows, how(engine=heard, rates=(0.8, 1.2), emotions=('sad', 'happy'), extras=False), spoken.OWN)
  assert set(zip(felt[::2], felt[1::2])) == set(itertools.product(('sad', 'happy'), repeat=2))
  asked, answered = ([rate for text, rate, _ in said if text == one['text']] for one in rows)
  assert len(set(asked)) == len(set(answered)) == 8 and abs(np.corrcoef(asked, answered)[0, 1]) < 0.9
  said.clear(), felt.clear()
  once = how(engine=heard, answer_once=True, emotions=('sad', 'happy'), extras=False)
  for number in range(8):
    for other in ('', ' కాదు'):
      spoken.spoken(f'd{number}', [QUESTION, ANSWER | {'text': ANSWER['text'] + other}], once, spoken.OWN)
  asked, answered = ({(*one, emotion) for one, emotion in zip(said, felt) if (one[0] == QUESTION['text']) == side} for side in (True, False))
  assert len(asked) == 8 and len(answered) == len({rate for _, rate, *_ in answered}) == 4          # of each text in each emotion one


def test_a_listener_of_a_story_makes_itself_heard_within_it():
  lively = timing.Timing('t', timing.ASSUMED.gap_s, timing.ASSUMED.pause_s, 0.6, timing.ASSUMED.backchannel_at, 0.0, 0.0)
  found = spoken.spoken('s1', STORY, how(timing=lively), spoken.OWN)
  told, listened = ([one for one in found.turns if one.act == act] for act in (timing.TURN, timing.BACKCHANNEL))
  assert len({one.speaker for one in told}) == 1 and len(told) == 3 and listened
  assert told[0].speaker not in {one.speaker for one in listened}
  for one in listened:
    assert any(other.at_s <= one.at_s < other.end_s for other in told) and one.text in spoken.BACKCHANNELS['train']
  assert min(one.at_s for one in found.turns) == 0
  for one, after in zip(told, told[1:]):
    assert after.at_s + 0.15 >= one.end_s - 0.15
  for seed in range(5):
    turns = spoken.spoken('d1', [QUESTION | {'text': 'ఏ' * 60}, ANSWER], how(timing=lively, seed=seed), spoken.OWN).turns
    for who in {one.speaker for one in turns}:
      mine = sorted((one.at_s, one.end_s) for one in turns if one.speaker == who)
      assert all(before[1] <= after[0] + 1e-6 for before, after in zip(mine, mine[1:]))        # nobody listens aloud while they speak
  plain = spoken.spoken('s1', STORY, how(timing=lively, extras=False), spoken.OWN)
  assert {one.act for one in plain.turns} == {'turn'}
  assert not set(spoken.BACKCHANNELS['train']) & set(spoken.BACKCHANNELS['eval'])


def test_breaths_and_fillers_begin_a_turn_move_what_follows_and_are_told_by_marks():
  of = lambda breaths, fillers: dataclasses.replace(timing.ASSUMED, backchannels_per_s=0.0, breaths=breaths, fillers=fillers)
  breath = Turn(0.0, tone(0.4), '', 'breaths', 'CC-BY-4.0', attribution='A. Breather')
  plain, begun = (spoken.spoken('s1', STORY, how(timing=of(share, share), breaths=(breath,)), spoken.OWN).turns for share in (0.0, 1.0))
  moved = 0.0
  for one, other in zip(plain, begun):
    assert one.text_raw == '' and other.text_raw == f'<breath> <uh> {one.text}' and other.text == one.text
    assert other.at_s == pytest.approx(one.at_s + moved)
    more = len(other.samples) - len(one.samples)
    assert np.array_equal(other.samples[more:], one.samples) and np.array_equal(other.samples[:len(breath.samples)], breath.samples)
    assert more > len(breath.samples) + 4800                      # the filler has silence at both ends
    assert other.mixed[0] == ('breaths', 'CC-BY-4.0', 'A. Breather') and one.mixed == ()
    moved += more / 16000
  spans = [[timing.Span(0.0, 1.0, 'x', text='x'), timing.Span(1.1, 2.0, 'y', text=one.text_raw or one.text)] for one in (*plain, *begun)]
  again = timing.measured(spans, 'made')
  assert again.breaths == again.fillers == 1 / 4                  # of both turns, in half of the dialogues


def test_the_licence_of_a_breath_counts_in_its_dialogue(tmp_path):
  breath = Turn(0.0, tone(0.4), '', 'breaths', 'CC-BY-SA-4.0')
  lively = dataclasses.replace(timing.ASSUMED, breaths=1.0)
  rows = pairs.rows_of(spoken.spoken('d1', [QUESTION, ANSWER], how(timing=lively, breaths=(breath,)), spoken.OWN), 'g', 'flac', tmp_path)
  [row, *_] = rows
  assert row['attribution'] == 'breaths (CC-BY-SA-4.0)'        # whose breath it is is told where nobody else is named
  assert row['licence'] == 'CC-BY-SA-4.0' and 'breaths' in row['sources'] and row['text_raw'].startswith('<breath> ')


def test_breaths_that_are_made_are_nobodys_and_follow_from_the_seed():
  one, again, other = (spoken.breaths('made', 'x', seed) for seed in (1, 1, 2))
  assert len(one) == spoken.MANY and {(breath.source, breath.licence) for breath in one} == {spoken.OWN}
  assert all(np.array_equal(a.samples, b.samples) for a, b in zip(one, again)) and not np.array_equal(one[0].samples, other[0].samples)
  assert max(np.abs(breath.samples).max() for breath in one) == pytest.approx(0.1) and spoken.breaths('', 'x') == ()


@pytest.mark.parametrize('fields, says', [(dict(breathed=0.5), 'give config.breaths'), (dict(filled=1.5), 'config.filled 1.5'),
                                          (dict(breathed=-0.5, breaths='made'), 'config.breathed -0.5'),
                                          (dict(filled=0.5, engine='recorded', folder=str(sample.folder())), 'say no more than they said')])
def test_a_share_that_cannot_be_is_refused(tmp_path, fields, says):
  with pytest.raises(InputError, match=says):
    job.run(config(**dict(count=1, engine='command', command='x {text} {out}') | fields), tmp_path)


@pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')
def test_what_is_asked_for_comes_without_the_other_extras(tmp_path):
  job.run(config(count=3, eval_share=0.0, extras=False, breaths='made', breathed=1.0, filled=1.0), tmp_path)
  rows = manifest(tmp_path / 'pairs')
  assert {row['act'] for row in rows} == {'turn'} and all(row['text_raw'].startswith('<breath> <uh> ') for row in rows)


def test_units_of_an_earlier_version_are_kept(tmp_path):
  units = spoken.units([QUESTION, ANSWER], how(extras=False), spoken.OWN)
  pairs.write(units, tmp_path, 'g', 'flac', 1)
  kept = next((tmp_path / 'units').iterdir())
  kept.write_text(json.dumps({**(was := json.loads(kept.read_text())), 'rows': [{name: row[name] for name in row if name != 'text_raw'} for row in was['rows']]}))
  assert pairs.write(units, tmp_path, 'g', 'flac', 1)['made'] == 0 and [row['text_raw'] for row in manifest(tmp_path / 'pairs')] == ['', '']


def test_a_dialogue_that_cannot_be_spoken_is_set_aside(tmp_path):
  rows = [QUESTION, ANSWER] + [row | {'dialogue': 'd2', 'text': row['text'] + ' కాదు'} for row in (QUESTION, ANSWER)]
  done = pairs.write(spoken.units(rows, how(engine=engine(fails=('కాదు',))), spoken.OWN), tmp_path, 'g', 'flac', 2)
  assert done['dialogues'] == 1 and 'not spoken' in (tmp_path / 'report.tsv').read_text()
  with pytest.raises(Aside, match='no two voices of split train'):
    spoken.spoken('d1', [QUESTION, ANSWER], how(engine=engine(voices=('A',))), spoken.OWN)


@pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')
def test_the_job_speaks_a_grammar_and_preparation_reads_it(tmp_path):
  done = job.run(config(count=4, eval_share=0.4), tmp_path)
  rows = manifest(tmp_path / 'pairs')
  assert done['dialogues'] == 4 and len({row['generator'] for row in rows}) == 1 and rows[0]['generator'].startswith('grammar-')
  held, train = ({row['speaker'] for row in rows if (row['split'] == 'eval') == split} for split in (True, False))
  assert held <= {'espeak-alto', 'espeak-bass'} and not held & train
  before = contents(tmp_path)
  job.run(config(count=4, eval_share=0.4), tmp_path / 'again')
  assert {name: data for name, data in contents(tmp_path / 'again').items()} == before
  prepare.prepare(prepare.Data(audio=str(tmp_path / 'pairs'), shortest_s=0.3, workers=0), tmp_path / 'segments')
  segments = read.Segments(tmp_path / 'segments')
  assert len(segments) == len([row for row in rows if row['split'] == 'train'])
  assert {'at_s', 'act', 'sources', 'generator'} <= set(segments[0].custom) and segments[0].turn is not None


@pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')
@pytest.mark.parametrize('fields', [dict(pitches=(-20, -20)), dict(ranges=(-40, -40)), dict(emotions=('happy',))])
def test_another_way_of_speaking_is_spoken_anew(tmp_path, fields):
  asked = dict(count=2, eval_share=0.0, extras=False)
  job.run(config(**asked), tmp_path)
  before = contents(tmp_path / 'pairs')
  job.run(config(**asked, **fields), tmp_path)
  after = contents(tmp_path / 'pairs')
  assert before.keys() == after.keys() and not before.items() & after.items()


@pytest.mark.skipif(not synthesis.available(), reason='espeakng-loader is not installed')
def test_an_emotion_that_is_acted_otherwise_is_spoken_anew(tmp_path, monkeypatch):
  asked = dict(count=1, eval_share=0.0, extras=False, emotions=('happy',))
  job.run(config(**asked), tmp_path)
  before = contents(tmp_path / 'pairs')
  monkeypatch.setitem(engines.ACTED, 'happy', (-30, 1.0, 0))
  job.run(config(**asked), tmp_path)
  assert not before.items() & contents(tmp_path / 'pairs').items()


@pytest.mark.parametrize('fields, says', [
    (dict(source='radio'), 'config.source'), (dict(count=0), 'config.count 0'), (dict(rates=(2.0, 1.0)), 'config.rates'),
    (dict(rates=(1.0,)), 'config.rates'), (dict(emotions=()), 'config.emotions'), (dict(emotions=('neutral', 'hapy')), "config.emotions .*'hapy'"),
    (dict(source='timing'), 'config.folder is empty'),
    (dict(eval_share=1.0), 'config.eval_share'), (dict(engine='model', run='nowhere'), 'config.run'), (dict(timing='none.json'), 'config.timing'),
    (dict(source='recordings'), 'config.folder is empty'), (dict(source='recordings', layout='x', folder='.'), 'config.layout'),
    (dict(source='retrieval', by='x'), 'config.by'), (dict(source='selfplay', run='nowhere'), 'config.run')])
def test_a_request_that_cannot_be_met_is_named(tmp_path, fields, says):
  with pytest.raises(InputError, match=says):
    job.run(config(**fields), tmp_path)


def test_one_voice_alone_tells_a_story_and_nobody_listens():
  lively = timing.Timing('t', timing.ASSUMED.gap_s, timing.ASSUMED.pause_s, 0.6, timing.ASSUMED.backchannel_at, 0.0, 0.0)
  found = spoken.spoken('s1', STORY, how(engine=engine(voices=('A',)), timing=lively), spoken.OWN)
  assert [(one.speaker, one.act) for one in found.turns] == [('A', 'turn')] * 3
