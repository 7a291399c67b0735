"""Splits: no speaker and no sentence on both sides, and nothing moves when more comes in."""
import collections
import dataclasses
import subprocess
import sys

from hypothesis import example, given, strategies as st
import pytest

from telugu_s2s.corpora import splits
from telugu_s2s.corpora.folder import Recording
from telugu_s2s.errors import InputError

FEW = st.sampled_from(['', 'a', 'b', 'c', 'd', 'e'])
RECORDING = st.builds(lambda path, source, speaker, dialogue, text: Recording(
    f'x/{path}.wav', source=source, speaker=speaker, dialogue=dialogue, text=text),
    st.integers(0, 20), st.sampled_from(['one', 'two']), FEW, FEW, st.sampled_from(['', 'ఒకటి', 'రెండు', 'Yes.', 'yes', 'no', 'so']))
RECORDINGS = st.lists(RECORDING, max_size=30)
SHARE = st.floats(0, 1)


@given(RECORDINGS, st.integers(0, 9), SHARE)
def test_no_speaker_and_no_sentence_is_in_both(recordings, seed, share):
  names = [splits.split(one, seed, share) for one in recordings]
  voices, sentences = collections.defaultdict(set), collections.defaultdict(set)
  for one, name in zip(recordings, names):
    # A dialogue called as a speaker is called is not that speaker.
    voices[name].add((one.source, one.speaker, one.speaker or one.dialogue, one.speaker or one.dialogue or one.path))
    sentences[name].add(splits.plain(one.text))
  assert not voices['train'] & voices['eval']
  assert not (sentences['train'] & sentences['eval']) - {''}
  assert not voices['train'] & voices['seen_text'] and not voices['held_text'] & voices['eval']
  assert not (sentences['train'] & sentences['held_text']) - {''}


@given(RECORDING, SHARE, SHARE)
def test_a_greater_share_gives_no_speaker_back(one, share, other):
  less, more = (splits.split(one, 1, part) for part in sorted((share, other)))
  assert more in ('eval', 'seen_text') or less in ('train', 'held_text')
  assert more != 'train' or less == 'train'


@pytest.mark.parametrize('share', [0.02, 0.1, 0.5])
def test_shares_are_near_what_is_asked_on_many_speakers(share):
  recordings = [Recording(f'{index}.wav', source='s', speaker=f'p{index % 4000}', text=f'sentence {index}') for index in range(8000)]
  names = [splits.split(one, 3, share) for one in recordings]
  part = lambda *of: sum(names.count(name) for name in of) / 8000
  assert part('eval', 'seen_text') == pytest.approx(share, abs=0.02)
  assert part('eval', 'held_text') == pytest.approx(share, abs=0.02)
  assert part('train') == pytest.approx((1 - share) ** 2, abs=0.025)
  voices = {one.speaker for one, name in zip(recordings, names) if name == 'train'}
  assert len(voices) >= 0.9 * (1 - share) * 4000 * (1 - share)
  untexted = [Recording(f'{index}.wav', source='s', speaker=f'p{index}') for index in range(4000)]
  assert sum(splits.split(one, 3, share) == 'eval' for one in untexted) / 4000 == pytest.approx(share, abs=0.02)


def test_a_train_speaker_who_says_an_eval_sentence_is_held_for_the_text():
  recordings = [Recording(f'{voice}-{text}', source='s', speaker=f'p{voice}', text=f't{text}') for voice in range(40) for text in range(40)]
  names = {(one.speaker, one.text): splits.split(one, 0, 0.3) for one in recordings}
  assert set(names.values()) == set(splits.SPLITS) - {'held_talk'}
  for (speaker, text), name in names.items():
    if name == 'held_text':
      assert 'eval' not in {names[speaker, f't{other}'] for other in range(40)}
      assert {names[f'p{other}', text] for other in range(40)} == {'eval', 'held_text'}


def test_without_a_speaker_the_dialogue_and_then_the_file_stand_for_it():
  assert splits.voice(Recording('a/x.wav', source='s', speaker='p', dialogue='d')) == ('s', 'speaker', 'p')
  assert splits.voice(Recording('a/x.wav', source='s', dialogue='d', channel=1)) == ('s', 'dialogue', 'd')
  assert splits.voice(Recording('a/x.wav', source='s', channel=0)) == ('s', 'path', 'a/x.wav')
  assert splits.voice(Recording('x', source='s', speaker='p')) != splits.voice(Recording('x', source='t', speaker='p'))


@pytest.mark.parametrize('one, other', [
    ('నమస్కారం, మీరు ఎలా ఉన్నారు?', 'నమస్కారం మీరు  ఎలా ఉన్నారు'), ('Straße 5', 'STRASSE, 5!'), ('caf\u00e9', 'Cafe\u0301'),
    ('\u0c46\u0c56', '\u0c48'), ('క్\u200cష', 'క్ష'), ('గది ౧౨', 'గది 12')])
def test_two_writings_of_a_sentence_are_one(one, other):
  assert splits.plain(one) == splits.plain(other) != ''


@given(st.text())
@example('I\u0307')
@example('a\u200c\u0301')
def test_plain_text_of_plain_text_is_itself(text):
  assert splits.plain(splits.plain(text)) == splits.plain(text)


def test_vowel_signs_and_numbers_tell_sentences_apart():
  assert len({splits.plain(text) for text in ('కల', 'కాల', 'గది 5', 'గది 6', '?')}) == 5


def test_another_process_decides_alike():
  code = ("from telugu_s2s.corpora import splits, folder; print(*[splits.split(folder.Recording(f'{i}', speaker=f'p{i}', "
          "text=f't{i}'), 5, 0.4) for i in range(50)])")
  here = [splits.split(Recording(f'{i}', speaker=f'p{i}', text=f't{i}'), 5, 0.4) for i in range(50)]
  assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split() == here


@pytest.mark.parametrize('share', [-0.1, 1.1, float('nan')])
def test_a_share_outside_of_0_to_1_is_refused(share):
  with pytest.raises(InputError, match='eval_share'):
    splits.split(Recording('x'), 0, share)


def test_no_turn_of_a_conversation_is_for_training_where_one_is_held_out():
  found = [Recording(f'{dialogue}-{turn}', source='s', speaker=f'p{dialogue}-{turn % 2}', dialogue=f'd{dialogue}', text=f'{dialogue} {turn}')
           for dialogue in range(200) for turn in range(4)]
  found = [dataclasses.replace(one, split=splits.split(one, 0, 0.2)) for one in found]
  apart = splits.apart(found)
  of = {dialogue: {one.split for one in apart if one.dialogue == dialogue} for dialogue in {one.dialogue for one in apart}}
  assert any('train' in names for names in of.values()) and any('held_talk' in names for names in of.values())
  assert not any('train' in names and names & {'eval', 'seen_text'} for names in of.values())
  assert [one.split for one in apart if one.split != 'held_talk'] == [one.split for one, other in zip(found, apart) if other.split != 'held_talk']
