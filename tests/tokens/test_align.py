"""Tokens with words: the codes stay, views are moved as their sound was, what is there is kept, other tokens are refused."""
import dataclasses
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s.codec import aligner, weights
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import segment, shards
from telugu_s2s.tokens import align, alignment, batches, record, tokenize

TEXTS = ('కమల కా', '', 'మా లక్క', 'కమల ' * 90)


@pytest.fixture(scope='module')
def forced():
  config, table = aligner.Config(width=8, layers=2), (' ', 'క', 'మ', 'ల', 'ా', '్')
  network = aligner.Aligner(config, len(table) + 1)
  params = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 4, 160)), jnp.ones(1, jnp.int32))['params']
  return aligner.Trained(config, params, table, 'aligner-a')


@pytest.fixture(scope='module')
def folders(speech, codec_file, tmp_path_factory):
  """Segments in two shards, and their tokens in two views."""
  folder = tmp_path_factory.mktemp('align')
  clips = [segment.Segment(f'{number}', speech[number % 3], 's', 'r', 'p', 0.0, 'CC0-1.0', 'A', text=text)
           for number, text in enumerate(TEXTS)]
  rows = [shards.write(folder / 'segments', f'segments-{part}', [segment.to_bytes(clip) for clip in some], {'seconds': 1.0})
          for part, some in enumerate((clips[:3], clips[3:]))]
  shards.write_manifest(folder / 'segments', segment.KIND, segment.VERSION, {}, rows)
  tokenize.tokenize(folder / 'segments', folder / 'tokens', weights.load(codec_file), options=tokenize.Options(views=2))
  return folder


def made(folders, forced, out='aligned', least=0.0):
  return align.align(folders / 'segments', folders / 'tokens', folders / out, forced, least)


def test_codes_stay_and_words_come(folders, forced, codec_file, capsys):
  manifest = made(folders, forced)
  assert manifest['words'] == {'aligned': 2, 'no transcript': 1, 'more text than audio': 1}
  assert '2 aligned, 1 more text than audio, 1 no transcript' in capsys.readouterr().out
  name = weights.load(codec_file).name
  before, after = batches.Clips(folders / 'tokens', name), batches.Clips(folders / 'aligned', name)
  assert (len(after), after.views) == (4, 2)
  for index in range(4):
    for view in range(2):
      old, new = before.view(index, view), after.view(index, view)
      np.testing.assert_array_equal(old.codes, new.codes)
      assert dataclasses.replace(new, codes=0, prosody=0, words=None) == dataclasses.replace(old, codes=0, prosody=0)
      assert new.words is None if index % 2 else [word.text for word in new.words] == TEXTS[index].split()


def test_words_of_views_are_moved_as_their_sound_was(folders, forced, codec_file):
  made(folders, forced)
  clips = batches.Clips(folders / 'aligned', weights.load(codec_file).name)
  plain, view = clips.view(0, 0), clips.view(0, 1)
  done = view.labels['view']
  assert done['number'] == 1 and done['speed'] != 1 and done['phase'] > 0
  for a, b in zip(plain.words, view.words):
    for was, now in ((a.start, b.start), (a.end, b.end)):
      assert abs((was / 50 - done['phase'] / 16_000) / done['speed'] - now / 50) <= 0.02 + 0.02 / done['speed']


def test_a_word_lies_at_the_frames_that_its_times_say():
  codes = np.zeros((50, 3), 'u2')
  tokens = record.Tokens(codes, np.zeros(25, 'u1'), 'a', 11, 25.0, {})
  span = lambda start, end: alignment.Span('క', start, end, 0.5)
  found = align.timed(tokens, alignment.Aligned((span(0.0, 0.08), span(0.1, 0.34), span(1.9, 2.02))))
  assert [(word.start, word.end) for word in found.words] == [(0, 2), (2, 9), (47, 50)]


def test_what_is_there_is_kept(folders, forced, capsys):
  first = made(folders, forced)
  times = {path: path.stat().st_mtime_ns for path in (folders / 'aligned').glob('*.array_record')}
  assert made(folders, forced) == first and '4 of 4 shards are there already' in capsys.readouterr().out
  gone = next(iter(times))
  data = gone.read_bytes()
  gone.unlink()
  assert made(folders, forced) == first and gone.read_bytes() == data
  assert made(folders, forced, 'sure', least=1.0)['words'] == {'not what is said': 2, 'no transcript': 1, 'more text than audio': 1}


def test_tokens_of_other_segments_are_refused(folders, forced, tmp_path):
  manifest = shards.read_manifest(folders / 'segments', segment.KIND)
  for row in manifest['shards'][:1]:
    for name in (row['file'], row['file'].replace('.array_record', '.json')):
      (tmp_path / name).write_bytes((folders / 'segments' / name).read_bytes())
  shards.write_manifest(tmp_path, segment.KIND, segment.VERSION, {}, manifest['shards'][:1])
  with pytest.raises(InputError, match='these are not the tokens of'):
    align.align(tmp_path, folders / 'tokens', tmp_path / 'out', forced, 0.0)
  with pytest.raises(InputError, match='holds the tokens themselves'):
    align.align(folders / 'segments', folders / 'tokens', folders / 'tokens', forced, 0.0)


def test_the_job_asks_for_what_it_lacks(tmp_path):
  config = runpy.run_path('configs/align.py')['get_config']()
  with pytest.raises(InputError, match='config.segments is empty: give what configs/prepare.py made'):
    align.run(config, tmp_path)
