"""The codec as a tool: the codec's own codes, exact lengths, nothing made twice, nothing bad let through or in the way."""
import csv
import dataclasses
import os
import shutil

import jax
import ml_collections
import numpy as np
import pytest
import soundfile

from telugu_s2s.audio import files, opus
from telugu_s2s.codec import model, streaming, weights
from telugu_s2s.errors import InputError
from telugu_s2s.tokens import code_file, transcode

HOP = 320


@pytest.fixture(scope='module')
def trained(codec_file):
  return weights.load(codec_file)


@pytest.fixture
def call(codec_file, tmp_path):
  """Runs the job; returns the report's rows by file, whether or not it ends in an error for refused files."""
  def run(source, out='out', **fields):
    config = ml_collections.ConfigDict({'input': str(source), 'output': str(tmp_path / out), 'levels': None, 'decode': True, 'precision': 'float32',
                                        'codec': str(codec_file), 'workers': 0, **fields}, type_safe=False)
    try:
      transcode.run(config, tmp_path)
    except InputError as problem:
      if 'files were refused' not in str(problem):
        raise
      run.error = str(problem)
    with open(tmp_path / out / 'report.tsv', newline='') as file:
      return {row['file']: row for row in csv.DictReader(file, delimiter='\t')}
  run.error = ''
  return run


@pytest.fixture
def folder(tmp_path, speech):
  """Recordings in two sub-folders, and what is none."""
  (tmp_path / 'in' / 'talk' / 'deep').mkdir(parents=True)
  soundfile.write(tmp_path / 'in' / 'a.wav', speech[0][:20_001], 16_000)
  soundfile.write(tmp_path / 'in' / 'talk' / 'b.flac', speech[1][5000:18_000], 16_000)
  soundfile.write(tmp_path / 'in' / 'talk' / 'deep' / 'c.v2.wav', speech[2][5000:5700], 16_000)
  (tmp_path / 'in' / 'notes.txt').write_text('not a recording')
  (tmp_path / 'in' / '.hidden.wav').write_bytes(b'')
  return tmp_path / 'in'


def stamps(folder):
  return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob('*')) if path.is_file() and path.name != 'report.tsv'}


def test_every_recording_becomes_its_codes_and_what_they_decode_to(folder, call, trained, tmp_path, capsys):
  rows = call(folder)
  assert set(rows) == {'a.wav', 'talk/b.flac', 'talk/deep/c.v2.wav'} and not call.error
  assert 'left alone: 1 .txt' in capsys.readouterr().out
  whole = jax.jit(lambda x: model.Codec(trained.config).apply({'params': trained.params}, x, method='encode')[0])
  for name, row in rows.items():
    audio, target = files.read(folder / name)[0], tmp_path / 'out' / name.rpartition('.')[0]
    content = code_file.read(f'{target}.codes')
    frames = -(-len(audio) // HOP)
    np.testing.assert_array_equal(content.codes, whole(np.pad(audio, (0, frames * HOP - len(audio)))[None])[0])
    assert (content.samples, content.codec, content.rate, content.levels) == (len(audio), trained.name, 16_000, 3)
    found, rate = soundfile.read(f'{target}.wav', dtype='int16')
    assert (len(found), rate, soundfile.info(f'{target}.wav').subtype) == (len(audio), 16_000, 'PCM_16')
    np.testing.assert_array_equal(found, files.pcm16(streaming.audio_of(trained, content.codes, len(audio))))
    size = os.path.getsize(f'{target}.codes')
    assert (row['status'], row['bytes'], row['seconds']) == ('made', str(size), str(round(len(audio) / 16_000, 4)))
    assert float(row['kbps']) == pytest.approx(size * 8 / len(audio) * 16, rel=1e-3)


FORMS = [('wav', 'PCM_24', 44_100, 2), ('wav', 'PCM_32', 16_000, 1), ('wav', 'FLOAT', 48_000, 1), ('wav', 'DOUBLE', 22_050, 3),
         ('wav', 'PCM_U8', 8000, 1), ('wav', 'ULAW', 8000, 1), ('flac', 'PCM_24', 96_000, 2), ('ogg', 'VORBIS', 32_000, 1),
         ('mp3', 'MPEG_LAYER_III', 24_000, 2)]


@pytest.mark.parametrize('form, subtype, rate, channels', FORMS, ids=lambda value: str(value))
def test_any_rate_depth_and_channel_count_goes_in(tmp_path, call, speech, form, subtype, rate, channels):
  clip = np.stack([np.interp(np.arange(rate) / rate, np.arange(16_000) / 16_000, speech[0][8000:24_000])] * channels, 1)
  path = tmp_path / f'one.{form}'
  soundfile.write(path, clip, rate, subtype=subtype)
  row = call(path)[path.name]
  audio = files.read(path)[0]
  assert row['status'] == 'made' and abs(len(audio) - 16_000) < 2500         # mp3 pads
  assert soundfile.info(tmp_path / 'out' / 'one.wav').frames == len(audio) == code_file.read(tmp_path / 'out' / 'one.codes').samples


def test_opus_goes_in(tmp_path, call, speech):
  (tmp_path / 'one.opus').write_bytes(opus.encoded(speech[0], 18.0))
  row = call(tmp_path / 'one.opus')['one.opus']
  assert row['status'] == 'made' and soundfile.info(tmp_path / 'out' / 'one.wav').frames == len(files.read(tmp_path / 'one.opus')[0])


def test_code_files_become_the_same_wavs(folder, call, tmp_path):
  call(folder)
  shutil.copytree(tmp_path / 'out', tmp_path / 'sent', ignore=shutil.ignore_patterns('*.wav', '*.tsv'))
  rows = call(tmp_path / 'sent', 'received')
  assert set(rows) == {'a.codes', 'talk/b.codes', 'talk/deep/c.v2.codes'}
  for path in (tmp_path / 'out').rglob('*.wav'):
    assert (tmp_path / 'received' / path.relative_to(tmp_path / 'out')).read_bytes() == path.read_bytes()
  assert not list((tmp_path / 'received').rglob('*.codes'))


def test_fewer_levels_make_smaller_files_that_sound_as_fewer_levels_do(folder, call, trained, tmp_path):
  call(folder)
  call(folder, 'two', levels=2, decode=False)
  full, two = (code_file.read(tmp_path / out / 'a.codes') for out in ('out', 'two'))
  np.testing.assert_array_equal(two.codes, full.codes[:, :2])
  assert (tmp_path / 'two' / 'a.codes').stat().st_size < (tmp_path / 'out' / 'a.codes').stat().st_size
  assert not list((tmp_path / 'two').rglob('*.wav'))
  call(tmp_path / 'out' / 'a.codes', 'from-full', levels=2)
  call(tmp_path / 'two' / 'a.codes', 'from-two')
  wavs = [(tmp_path / out / 'a.wav').read_bytes() for out in ('from-full', 'from-two', 'out')]
  assert wavs[0] == wavs[1] != wavs[2]
  (tmp_path / 'out' / 'a.codes').unlink()
  call(folder, decode=False)
  assert (tmp_path / 'out' / 'a.wav').exists(), 'of the same codes'
  call(folder, levels=2, decode=False)
  assert not list((tmp_path / 'out').rglob('*.wav')), 'they would be of codes that are no longer there'


def test_a_rerun_keeps_what_is_there_and_makes_what_is_not(folder, call, tmp_path, capsys):
  call(folder)
  out, before = tmp_path / 'out', stamps(tmp_path / 'out')
  content = {path: path.read_bytes() for path in before}
  capsys.readouterr()
  assert {row['status'] for row in call(folder).values()} == {'kept'}
  assert '0 made, 3 kept' in capsys.readouterr().out and stamps(out) == before
  (out / 'a.wav').unlink()
  os.truncate(out / 'talk' / 'b.codes', 100)
  assert [row['status'] for row in call(folder).values()] == ['made', 'made', 'kept']
  assert {path: path.read_bytes() for path in before} == content


@pytest.mark.parametrize('fields', [dict(levels=2), dict(decode=False, levels=1)])
def test_other_levels_are_made_anew(folder, call, tmp_path, fields):
  call(folder)
  assert {row['status'] for row in call(folder, **fields).values()} == {'made'}
  assert code_file.read(tmp_path / 'out' / 'a.codes').levels == fields['levels']
  assert {row['status'] for row in call(folder, **fields).values()} == {'kept'}


def test_a_recording_that_changed_is_made_anew(folder, call, speech, tmp_path):
  call(folder)
  soundfile.write(folder / 'a.wav', speech[1][:9000], 16_000)
  later = (tmp_path / 'out' / 'a.codes').stat().st_mtime + 5
  os.utime(folder / 'a.wav', (later, later))
  assert [row['status'] for row in call(folder).values()] == ['made', 'kept', 'kept']
  assert soundfile.info(tmp_path / 'out' / 'a.wav').frames == 9000


def test_another_recording_of_the_same_name_and_time_is_made_anew(call, speech, tmp_path):
  for name, samples in (('in', speech[0][:9000]), ('others', speech[1][:7000])):
    (tmp_path / name).mkdir()
    soundfile.write(tmp_path / name / 'a.wav', samples, 16_000)
    os.utime(tmp_path / name / 'a.wav', (10**9, 10**9))
  assert call(tmp_path / 'in')['a.wav']['status'] == 'made'
  assert call(tmp_path / 'others')['a.wav']['status'] == 'made'
  assert soundfile.info(tmp_path / 'out' / 'a.wav').frames == 7000
  os.utime(tmp_path / 'others' / 'a.wav')                                     # the same recording, touched
  assert call(tmp_path / 'others')['a.wav']['status'] == 'kept'


def test_a_link_to_a_folder_above_is_gone_through_once(folder, call):
  before = set(call(folder))
  (folder / 'talk' / 'up').symlink_to(folder)
  assert set(call(folder)) == before


def bad(folder, trained):
  """Files that cannot be decoded, and a word of what is said of each."""
  good = code_file.CodeFile(np.ones((9, 3), np.uint16), 9 * HOP, trained.name, 16_000, HOP, 3, 11)
  whole = code_file.to_bytes(good)
  flipped = bytearray(whole)
  flipped[-6] ^= 1
  (folder / 'text.wav').write_text('RIFF? no')
  (folder / 'empty.mp3').write_bytes(b'')
  (folder / 'cut.codes').write_bytes(whole[:-5])
  (folder / 'flipped.codes').write_bytes(flipped)
  (folder / 'other.codes').write_bytes(code_file.to_bytes(dataclasses.replace(good, codec='25hz-8x1024-abc')))
  (folder / 'magic.codes').write_bytes(b'OggS' + whole[4:])
  soundfile.write(folder / 'none.wav', np.zeros(0), 16_000)
  soundfile.write(folder / 'nan.wav', np.where(np.arange(9000) == 5000, np.nan, 0.1), 16_000, subtype='FLOAT')
  return {'text.wav': 'non-audio', 'empty.mp3': 'no bytes', 'cut.codes': 'truncated', 'flipped.codes': 'checksum',
          'other.codes': '25hz-8x1024-abc', 'magic.codes': 'begins with', 'none.wav': 'no samples',
          'nan.wav': 'not finite'}


def test_what_cannot_be_decoded_is_named_and_the_others_are_done(folder, call, trained, tmp_path, capsys):
  wrong = bad(folder, trained)
  rows = call(folder)
  assert {name for name, row in rows.items() if row['status'] == 'refused'} == set(wrong)
  assert {name for name, row in rows.items() if row['status'] == 'made'} == {'a.wav', 'talk/b.flac', 'talk/deep/c.v2.wav'}
  for name, word in wrong.items():
    assert word in rows[name]['detail'] and name in rows[name]['detail']
    assert not list((tmp_path / 'out').glob(name.split('.')[0] + '.*'))
  assert '8 of 11 files were refused' in call.error and 'report.tsv' in call.error and '\n' not in call.error
  assert not list((tmp_path / 'out').rglob('.tmp-*'))
  assert '3 made, 0 kept since they were there, 8 refused' in capsys.readouterr().out


def test_a_name_that_is_no_utf_8_is_left_alone_and_the_others_are_done(tmp_path, call, speech, capsys):
  (tmp_path / 'in').mkdir()
  soundfile.write(tmp_path / 'in' / 'తెలుగు.wav', speech[0][:8000], 16_000)
  odd = os.fsdecode(os.fsencode(tmp_path / 'in') + b'/\xe0\xb0')
  for name in (f'{odd}.wav', f'{odd}.flac', f'{odd}/a.wav'):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    shutil.copy(tmp_path / 'in' / 'తెలుగు.wav', name)
  assert {file: row['status'] for file, row in call(tmp_path / 'in').items()} == {'తెలుగు.wav': 'made'}
  assert 'left alone: 3 with a name that is not UTF-8' in capsys.readouterr().out
  for given in (odd, f'{odd}.wav'):
    with pytest.raises(InputError, match=r'\\xe0\\xb0.* is not UTF-8'):
      call(given)


def test_a_sample_alone_and_a_constant_come_back_in_their_length(tmp_path, call):
  (tmp_path / 'in').mkdir()
  for name, clip in {'one': [0.7], 'constant': [0.5] * 16_000, 'silence': [0.0] * 641, 'clipped': [3.0, -3.0] * 400}.items():
    soundfile.write(tmp_path / 'in' / f'{name}.wav', np.array(clip), 16_000, subtype='FLOAT')
  assert {row['status'] for row in call(tmp_path / 'in').values()} == {'made'}
  assert [soundfile.info(tmp_path / 'out' / f'{name}.wav').frames for name in ('one', 'constant', 'silence', 'clipped')] == [
      1, 16_000, 641, 800]


def test_another_decoder_of_the_same_codes_makes_the_wavs_anew_and_no_codes(tmp_path, call, speech, trained, codec_file):
  files.write_wav(tmp_path / 'in' / 'a.wav', speech[0])
  call(tmp_path / 'in')
  before = {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir() if path.suffix in ('.wav', '.codes')}
  params = {**trained.params, 'decoder': jax.tree.map(lambda x: x + np.float32(0.25), trained.params['decoder'])}
  config = trained.config
  (tmp_path / 'tuned').write_bytes(weights.to_bytes(params, config, weights.codes_kept(codec_file, params, config)))
  rows = call(tmp_path / 'in', codec=str(tmp_path / 'tuned'))
  after = {name: (tmp_path / 'out' / name).read_bytes() for name in before}
  assert rows['a.wav']['status'] == 'made' and {name: after[name] == before[name] for name in before} == {'a.wav': False, 'a.codes': True}
  assert call(tmp_path / 'in', codec=str(tmp_path / 'tuned'))['a.wav']['status'] == 'kept'


def test_namesakes_are_kept_apart(tmp_path, call, speech):
  (tmp_path / 'in').mkdir()
  for number, name in enumerate(('a.wav', 'a.flac', 'B.wav', 'b.flac', 'c.wav')):
    soundfile.write(tmp_path / 'in' / name, speech[0][:1000 + number], 16_000)
  call(tmp_path / 'in')
  found = {path.name: soundfile.info(path).frames for path in (tmp_path / 'out').glob('*.wav')}
  assert found == {'a.wav.wav': 1000, 'a.flac.wav': 1001, 'B.wav.wav': 1002, 'b.flac.wav': 1003, 'c.wav': 1004}


@pytest.mark.parametrize('found, want', [
    (['a.wav', 'b.c.wav'], ['a', 'b.c']),
    (['a.wav', 'a.flac', 'a.flac.wav'], ['a.wav', 'a.flac', 'a.flac.wav']),
    (['x/a.wav', 'y/a.wav'], ['x/a', 'y/a']),
    (['x.wav/a.wav', 'x.wav/a.codes'], ['x.wav/a.wav', 'x.wav/a.codes']),
])
def test_results_have_the_names_of_their_recordings(found, want):
  assert transcode.targets(found) == want


def test_a_wav_that_the_tool_did_not_make_is_not_written_over(folder, call, speech, tmp_path):
  (tmp_path / 'out').mkdir()
  soundfile.write(tmp_path / 'out' / 'a.wav', speech[0], 16_000)
  before = (tmp_path / 'out' / 'a.wav').read_bytes()
  row = call(folder)['a.wav']
  assert row['status'] == 'refused' and 'was not made from codes' in row['detail']
  assert (tmp_path / 'out' / 'a.wav').read_bytes() == before and not (tmp_path / 'out' / 'a.codes').exists()
  row = call(tmp_path / 'out' / 'a.wav', 'out')['a.wav']                       # its own results would take its place
  assert row['status'] == 'refused' and (tmp_path / 'out' / 'a.wav').read_bytes() == before


def test_results_below_the_input_are_no_input_and_neither_is_a_pipe(folder, call, capsys):
  first = call(folder, 'in/results')
  os.mkfifo(folder / 'pipe.wav')
  assert set(call(folder, 'in/results')) == set(first)
  capsys.readouterr()
  again = call(folder, 'in/others')
  assert {name for name in again if name.endswith('.wav')} == {name for name in first if name.endswith('.wav')}
  assert '3 decoded before' in (said := capsys.readouterr().out) and '1 no regular file' in said


@pytest.mark.parametrize('field, value', [('rate', 48_000), ('hop', 640), ('codebooks', 16), ('entries', 4096)])
def test_codes_that_say_otherwise_than_their_codec_are_refused(tmp_path, call, trained, field, value):
  c = trained.config
  content = code_file.CodeFile(np.zeros((4, 3), np.uint16), 4 * c.hop, trained.name, c.rate, c.hop, c.codebooks, c.codes)
  content = dataclasses.replace(content, **{field: value})
  code_file.write(tmp_path / 'a.codes', dataclasses.replace(content, samples=4 * content.hop))
  row = call(tmp_path / 'a.codes')['a.codes']
  assert row['status'] == 'refused' and 'make it again from the recording' in row['detail'] and not (tmp_path / 'out' / 'a.wav').exists()


def test_codes_of_a_released_codec_are_refused_with_its_name(tmp_path, call):
  code_file.write(tmp_path / 'a.codes', code_file.CodeFile(np.zeros((4, 8), np.uint16), 2560, weights.load('tiny').name, 16_000, 640, 8, 1024))
  assert call(tmp_path / 'a.codes')['a.codes']['detail'].endswith('set config.codec to tiny')


def test_fewer_bits_decode_the_codes_that_are_there_a_little_otherwise(folder, call, tmp_path):
  wav = lambda: soundfile.read(tmp_path / 'out' / 'a.wav')[0]
  call(folder)
  codes, whole = (tmp_path / 'out' / 'a.codes').read_bytes(), wav()
  assert call(folder, precision='bfloat16')['a.wav']['status'] == 'made'
  assert (tmp_path / 'out' / 'a.codes').read_bytes() == codes and 0 < np.abs(wav() - whole).max() < 0.05
  assert call(folder, precision='bfloat16')['a.wav']['status'] == 'kept'
  with pytest.raises(InputError, match="config.precision 'half': give one of float32"):
    call(folder, precision='half')


@pytest.mark.parametrize('source, fields, says', [
    ('', {}, 'config.input is empty'), ('missing', {}, 'missing does not exist'), ('void', {}, 'no .wav, .flac'),
    ('in', dict(out='in'), 'config.output: .* is the input'), ('in', dict(levels=4), 'config.levels: 4; .* 1 to 3'),
    ('in', dict(levels=0), 'config.levels: 0'), ('in', dict(workers=-2), 'config.workers: -2'),
    ('in', dict(out='in/a.wav'), 'config.output: .*a.wav'), ('in', dict(codec='none'), 'none: no such codec file'),
])
def test_a_mistake_is_one_line_and_makes_nothing(folder, call, tmp_path, source, fields, says):
  (tmp_path / 'void').mkdir()
  before = stamps(tmp_path)
  with pytest.raises(InputError, match=says) as caught:
    call(source and tmp_path / source, **fields)
  assert '\n' not in str(caught.value) and stamps(tmp_path) == before


@pytest.mark.slow
def test_processes_make_the_same_bytes_with_the_released_codec(folder, call, tmp_path, trained, monkeypatch):
  # The processes compile as this one does, see conftest.py.
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', os.environ.get('JAX_DISABLE_MOST_OPTIMIZATIONS', '1'))
  wrong = bad(folder, trained)
  alone = call(folder, 'alone', codec='')
  together = call(folder, 'together', codec='', workers=2)
  clean = lambda rows: [{name: value.replace('alone', 'together') for name, value in row.items()} for row in rows.values()]
  assert clean(alone) == clean(together) and sum(row['status'] == 'refused' for row in together.values()) == len(wrong)
  contents = lambda out: {path.relative_to(tmp_path / out): path.read_bytes() for path in stamps(tmp_path / out)}
  assert contents('alone') == contents('together') and len(contents('alone')) == 6
