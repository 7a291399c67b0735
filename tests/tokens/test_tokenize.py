"""Segments to tokens: once, the same however they are batched, and nothing lost in silence."""
import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import signal
import threading

import jax
import numpy as np
import pytest

from telugu_s2s import main
from telugu_s2s.audio import files
from telugu_s2s.codec import model, weights
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import read as segment_reader
from telugu_s2s.preparation import segment, shards
from telugu_s2s.tokens import batches, encoding, prosody, record, tokenize

ENCODER = encoding.Encoder
LENGTHS = [4000, 16_001, 7777, 320, 12_000]      # samples; the longest takes two chunks of 50 frames


@pytest.fixture(scope='module')
def trained(codec_file):
  return weights.load(codec_file)


@pytest.fixture(scope='module')
def clips(speech):
  return [np.resize(speech[number % 3][6000:], length) for number, length in enumerate(LENGTHS)]


@pytest.fixture(scope='module')
def encoder(trained):
  return encoding.Encoder(trained, batch=3)


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch, encoder):
  """The job's encoder is compiled once for all tests; another codec's is its own."""
  monkeypatch.setattr(tokenize, 'Encoder', lambda codec: encoder if codec.name == encoder.codec.name else ENCODER(codec, 3))


@pytest.fixture
def segments(tmp_path, clips):
  """A folder of two shards: clips 0 to 2, and 3 to 4."""
  folder = tmp_path / 'segments'
  folder.mkdir()
  packed = [segment.to_bytes(segment.Segment(
      id=f'clip{number}', audio=clip, source='test', revision='1', path=f'{number}.wav', start_s=0.0, licence='CC0-1.0',
      licence_class='A', speaker=f'voice{number}', text='నమస్కారం')) for number, clip in enumerate(clips)]
  filled(folder, [packed[:3], packed[3:]])
  return folder


def filled(folder, packed):
  rows = [shards.write(folder, f'segments-{number}', records) for number, records in enumerate(packed)]
  shards.write_manifest(folder, segment.KIND, segment.VERSION, {}, rows)


def read(folder, trained):
  clips = batches.Clips(folder, trained.name)
  return [clips[index] for index in range(len(clips))]


def kept(folder):
  return {name: (os.stat(folder / name).st_mtime_ns, (folder / name).read_bytes()) for name in sorted(os.listdir(folder))
          if name.startswith('tokens-')}


def test_each_segment_becomes_its_codes_its_prosody_and_its_labels(segments, tmp_path, trained, clips):
  manifest = tokenize.tokenize(segments, tmp_path / 'out', trained)
  found = read(tmp_path / 'out', trained)
  assert [one.labels['id'] for one in found] == [f'clip{number}' for number in range(5)]
  whole = jax.jit(lambda audio: model.Codec(trained.config).apply({'params': trained.params}, audio, method='encode')[0])
  long = np.zeros((1, 51 * 320), np.float32)
  for one, clip in zip(found, clips):
    frames = -(-len(clip) // 320)
    audio = long.copy()
    audio[0, :len(clip)] = np.round(clip * 32768) / 32768                    # as 16-bit FLAC has it
    np.testing.assert_array_equal(one.codes, whole(audio)[0, :frames])
    np.testing.assert_array_equal(one.prosody, prosody.codes(audio[0, :len(clip)], 640, (frames + 1) // 2))
    assert one.labels['speaker'] == one.labels['id'].replace('clip', 'voice') and one.labels['text'] == 'నమస్కారం'
    assert (one.codec, one.codebook_codes, one.frame_rate) == (trained.name, 11, 50.0)
  assert manifest['records'] == 5 and manifest['seconds'] == pytest.approx(sum(len(one.codes) for one in found) / 50)
  assert shards.check(tmp_path / 'out', record.KIND, hashes=True) == manifest


def test_a_rerun_makes_nothing_again_and_says_so(segments, tmp_path, trained, capsys):
  tokenize.tokenize(segments, tmp_path / 'out', trained)
  before, manifest = kept(tmp_path / 'out'), (tmp_path / 'out' / 'manifest.json').read_bytes()
  capsys.readouterr()
  tokenize.tokenize(segments, tmp_path / 'out', trained)
  assert '2 of 2 shards are there already' in capsys.readouterr().out
  assert kept(tmp_path / 'out') == before
  assert (tmp_path / 'out' / 'manifest.json').read_bytes() == manifest
  tokenize.tokenize(segments, tmp_path / 'other', trained)
  assert (tmp_path / 'other' / 'manifest.json').read_bytes() == manifest


def test_a_truncated_shard_of_tokens_is_named_and_made_again(segments, tmp_path, trained, capsys):
  out = tmp_path / 'out'
  tokenize.tokenize(segments, out, trained)
  before = kept(out)
  victim = next(name for name in before if name.endswith('.array_record'))
  os.truncate(out / victim, 100)
  with pytest.raises(InputError, match=f'{victim}: truncated'):
    batches.Clips(out, trained.name)
  capsys.readouterr()
  tokenize.tokenize(segments, out, trained)
  assert '1 of 2 shards' in capsys.readouterr().out
  assert {name: data for name, (_, data) in kept(out).items()} == {name: data for name, (_, data) in before.items()}


def test_the_codes_do_not_depend_on_the_batch_or_the_order(trained, encoder, clips):
  want = encoder(clips)
  alone = ENCODER(trained, batch=1, chunk=7)
  for number in (1, 3, 0, 2, 4):
    np.testing.assert_array_equal(alone([clips[number]])[0], want[number])
  for one, two in zip(encoder(clips[::-1])[::-1], want):
    np.testing.assert_array_equal(one, two)
  assert [len(codes) for codes in want] == [13, 51, 25, 1, 38]


def test_rows_are_full_while_there_are_clips_and_a_clip_of_no_samples_has_no_codes(trained, clips):
  encoder = ENCODER(trained, batch=2, chunk=10)
  found = encoder([clips[3], np.zeros(0, np.float32), *clips, clips[0]])
  assert [len(codes) for codes in found] == [1, 0, 13, 51, 25, 1, 38, 13]
  # Chunks of 10: 1 + 2 + 6 + 3 + 1 + 4 + 2 = 19 in two rows, of which one ends a chunk before the other.
  assert (encoder.useful, encoder.computed) == (142, 20 * 10)
  assert not len(encoder([]))


def test_silence_is_what_silence_settles_on(encoder, segments, tmp_path, trained):
  found = encoder([np.zeros(90 * 320, np.float32)])[0]
  np.testing.assert_array_equal(found[-1], encoder.silence())
  np.testing.assert_array_equal(found[-5:], np.tile(encoder.silence(), (5, 1)))
  assert tokenize.tokenize(segments, tmp_path / 'out', trained)['silence'] == encoder.silence().tolist()


def test_a_damaged_segment_is_counted_and_left_out(segments, tmp_path, trained, capsys):
  good = [segment.to_bytes(segment.Segment(f'{number}', np.full(640, 0.1, np.float32), 's', '', '', 0.0, 'CC0-1.0', 'A'))
          for number in range(3)]
  bad = bytearray(good[1])
  bad[len(bad) // 2] ^= 1
  filled(segments, [[good[0], bytes(bad), good[2]]])
  manifest = tokenize.tokenize(segments, tmp_path / 'out', trained)
  (index, reason), = manifest['shards'][0]['damaged']
  assert index == 1 and 'checksum' in reason
  assert [one.labels['id'] for one in read(tmp_path / 'out', trained)] == ['0', '2']
  assert '1 damaged records left out' in capsys.readouterr().out
  before = (tmp_path / 'out' / f'{manifest["shards"][0]["file"].partition(".")[0]}.json').stat().st_mtime_ns
  assert tokenize.tokenize(segments, tmp_path / 'out', trained) == manifest
  assert (tmp_path / 'out' / f'{manifest["shards"][0]["file"].partition(".")[0]}.json').stat().st_mtime_ns == before      # nothing to be tried again
  filled(segments, [good])                                                    # made again from the recordings
  tokenize.tokenize(segments, tmp_path / 'out', trained)
  assert [one.labels['id'] for one in read(tmp_path / 'out', trained)] == ['0', '1', '2']


def test_what_selection_dropped_is_left_out_and_makes_another_shard(segments, tmp_path, trained):
  before = tokenize.tokenize(segments, tmp_path / 'out', trained)
  whole = read(tmp_path / 'out', trained)
  manifest = shards.read_manifest(segments, segment.KIND)
  rows = [{**manifest['shards'][0], 'dropped': {'copies': '0,2'}}, manifest['shards'][1]]
  shards.write_manifest(segments, segment.KIND, segment.VERSION, {}, rows)
  after = tokenize.tokenize(segments, tmp_path / 'out', trained)
  found = read(tmp_path / 'out', trained)
  assert [one.labels['id'] for one in found] == ['clip1', 'clip3', 'clip4']
  for one, other in zip(found, (whole[1], whole[3], whole[4])):
    np.testing.assert_array_equal(one.codes, other.codes)
  assert before['shards'][0]['file'] != after['shards'][0]['file'] and before['shards'][1] == after['shards'][1]


def test_a_truncated_shard_of_segments_stops_before_anything_is_written(segments, tmp_path, trained):
  os.truncate(segments / 'segments-1.array_record', 50)
  with pytest.raises(InputError, match='segments-1.array_record: truncated'):
    tokenize.tokenize(segments, tmp_path / 'out', trained)
  assert not list((tmp_path / 'out').glob('*'))


def test_tokens_of_another_codec_are_refused_in_a_line_that_names_both(segments, tmp_path, trained):
  tokenize.tokenize(segments, tmp_path / 'out', trained)
  with pytest.raises(InputError) as caught:
    batches.Clips(tmp_path / 'out', '25hz-8x1024-abc')
  assert trained.name in str(caught.value) and '25hz-8x1024-abc' in str(caught.value) and '\n' not in str(caught.value)


def test_another_codec_makes_its_own_shards(segments, tmp_path, trained):
  tokenize.tokenize(segments, tmp_path / 'out', trained)
  before = kept(tmp_path / 'out')
  table = trained.params['quantizer']['table_qvz'][:, ::-1]
  other = dataclasses.replace(trained, name='50hz-3x11-other', params={
      **trained.params, 'quantizer': {**trained.params['quantizer'], 'table_qvz': table}})
  manifest = tokenize.tokenize(segments, tmp_path / 'out', other)
  assert manifest['codec'] == other.name
  assert not {row['file'] for row in manifest['shards']} & set(before)
  codes = read(tmp_path / 'out', other)[0].codes
  tokenize.tokenize(segments, tmp_path / 'first', trained)
  np.testing.assert_array_equal(10 - codes, read(tmp_path / 'first', trained)[0].codes)     # the books stand upside down
  assert not [name for name, value in before.items() if kept(tmp_path / 'out')[name] != value]


@pytest.mark.parametrize('folder, says', [('', 'configs/prepare.py'), ('missing', 'manifest.json: missing')])
def test_a_folder_without_segments_is_refused(tmp_path, codec_file, folder, says):
  config = main.load('configs/tokenize.py', [])
  config.segments, config.codec = folder and str(tmp_path / folder), str(codec_file)
  with pytest.raises(InputError, match=says):
    tokenize.run(config, tmp_path)


def test_more_views_are_more_shards_and_recompute_nothing(segments, tmp_path, trained, capsys):
  out = tmp_path / 'out'
  tokenize.tokenize(segments, out, trained)
  before, first = kept(out), read(out, trained)
  for number, made in ((2, 2), (3, 4)):
    capsys.readouterr()
    manifest = tokenize.tokenize(segments, out, trained, options=tokenize.Options(views=number))
    assert f'{made} of {2 * number} shards are there already' in capsys.readouterr().out
  assert {name: kept(out)[name] for name in before} == before
  assert manifest['views'] == 3 and manifest['records'] == 15
  clips = batches.Clips(out, trained.name)
  assert len(clips) == 5 and clips.seconds == pytest.approx(sum(one.seconds for one in first), abs=1e-3)
  for index, one in enumerate(first):
    np.testing.assert_array_equal(clips[index].codes, one.codes)
    assert 'view' not in one.labels
    other = clips.view(index, 2)
    assert other.labels['view']['number'] == 2 and other.labels['id'] == one.labels['id'] and other.labels['text'] == one.labels['text']
    assert len(other.codes) == pytest.approx((len(one.codes) - other.labels['view']['phase'] / 320) / other.labels['view']['speed'], abs=1)
  seeds = [tokenize.tokenize(segments, out, trained, options=tokenize.Options(views=2, seed=seed)) for seed in (0, 1)]
  assert len({row['file'] for manifest in seeds for row in manifest['shards']}) == 6


def test_tokens_that_were_made_before_there_were_views_are_kept_and_read(segments, tmp_path, trained):
  """The names of a build that stands on somebody's disk."""
  tokenize.tokenize(segments, tmp_path / 'out', trained)
  manifest = shards.read_manifest(tmp_path / 'out', record.KIND)
  assert not {'views'} & manifest.keys() and not [row for row in manifest['shards'] if 'view' in row]
  for row, one in zip(shards.read_manifest(segments, segment.KIND)['shards'], manifest['shards'], strict=True):
    key = hashlib.sha256(f'1 {record.VERSION} {trained.name} {row["content"]}'.encode()).hexdigest()
    assert one['file'] == f'tokens-{key[:16]}.array_record'
  clips = batches.Clips(tmp_path / 'out', trained.name)
  assert clips.views == 1 and clips.view(0, 0).labels['id'] == 'clip0'


@pytest.fixture
def many(segments):
  """Six shards."""
  source = read_segments(segments)
  filled(segments, [[segment.to_bytes(dataclasses.replace(one, id=f'{shard}/{one.id}', audio=np.roll(one.audio, shard)))
                     for one in source] * 4 for shard in range(6)])
  return segments


def read_segments(folder):
  source = segment_reader.Segments(folder)
  return [source[index] for index in range(len(source))]


def made(folder):
  return {name: data for name, (_, data) in kept(folder).items()} | {'manifest': (folder / 'manifest.json').read_bytes()}


@pytest.mark.slow
@pytest.mark.parametrize('engine', ['local', 'ray'])
def test_workers_and_engines_write_the_same_bytes(many, tmp_path, trained, codec_file, engine, monkeypatch):
  if engine == 'ray':
    pytest.importorskip('ray')
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', str(int(jax.config.read('jax_disable_most_optimizations'))))
  tokenize.tokenize(many, tmp_path / 'one', trained, ENCODER(trained), tokenize.Options(views=2))
  options = tokenize.Options(2, engine, views=2)
  tokenize.tokenize(many, tmp_path / 'two', trained, options=options, codec=codec_file)
  assert made(tmp_path / 'one') == made(tmp_path / 'two') and len(made(tmp_path / 'one')) == 25


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_shard_in_hand(many, tmp_path, trained, codec_file, monkeypatch):
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', str(int(jax.config.read('jax_disable_most_optimizations'))))
  tokenize.tokenize(many, tmp_path / 'one', trained, ENCODER(trained))
  out, killed = tmp_path / 'two', []

  def kill():
    while not killed:
      for process in multiprocessing.active_children():
        if list(out.glob('tokens-*.json')):
          with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)             # or it would end its shard while it is looked at
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if list(out.glob(f'{files.temporary_prefix()}{process.pid}-*')):
              process.kill()
              killed.append(process.pid)
              break
            os.kill(process.pid, signal.SIGCONT)

  thread = threading.Thread(target=kill, daemon=True)
  thread.start()
  tokenize.tokenize(many, out, trained, options=tokenize.Options(2), codec=codec_file)
  thread.join(10)
  assert killed and list(out.glob(f'{files.temporary_prefix()}{killed[0]}-*')), 'a shard was in hand'
  assert made(out) == made(tmp_path / 'one')


@pytest.mark.parametrize('codec', ['', 'tiny', 'small'])
def test_a_worker_finds_a_released_codec_by_its_name(segments, tmp_path, trained, codec, monkeypatch):
  manifest = shards.read_manifest(segments, segment.KIND)
  (task, _), *_ = tokenize.plan(manifest, segments, tmp_path / 'out', trained, tokenize.Options(2), codec)
  monkeypatch.chdir(tmp_path)
  assert weights.load(task.codec).name == weights.load(codec).name


def test_a_worker_with_another_codec_under_the_same_path_refuses(codec_file):
  with pytest.raises(InputError, match='other where the job began'):
    tokenize._encoder(str(codec_file), 'other')


@pytest.mark.parametrize('options, says', [(dict(workers=-2), 'config.workers -2'), (dict(views=0), 'config.views 0'), (dict(seed=-1), 'config.seed -1'),
                                           (dict(engine='spark'), "config.engine 'spark'"), (dict(address='auto'), 'config.address')])
def test_options_that_are_none_are_refused(options, says):
  with pytest.raises(InputError, match=says):
    tokenize.Options(**options)
