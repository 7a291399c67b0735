"""The quality benchmark, on an untrained codec and four clips: what it counts, writes and compares."""
import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

from telugu_s2s import main
from telugu_s2s.audio import files, quality
from telugu_s2s.codec import streaming, weights
from telugu_s2s.corpora.folder import Recording
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import codec_quality, paired
from telugu_s2s.preparation.prepare import SAMPLE

CLIPS = ('te_read/q001-mezzo', 'te_read/a001-buzz', 'hi/a002-deep')


@pytest.fixture
def config(tmp_path, codec_file):
  folder = tmp_path / 'speech'
  for name in CLIPS:
    path = folder / 'eval' / f'{name}.opus'
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(SAMPLE / 'audio' / path.name, path)
  files.write_wav(folder / 'eval' / 'hi' / 'blip.wav', np.full(1600, 0.1, np.float32))
  (folder / 'MANIFEST.tsv').write_text('path\tsplit\tlanguage\n' + ''.join(
      f'eval/{name}\teval\t{name[:2]}\n' for name in [*(f'{name}.opus' for name in CLIPS), 'hi/blip.wav']))
  config = main.load('configs/benchmark.py', ['codec'])
  config.codec, config.levels, config.perceptual = str(codec_file), 2, False
  config.data.audio, config.data.workers = str(folder), 0
  return config


@pytest.fixture
def quick(monkeypatch):
  """Two measures that cost nothing in the place of all."""
  def measured(pair):
    reference, decoded = files.read(pair.reference)[0], files.read(pair.decoded)[0]
    reference = reference[:len(decoded)]
    return {'si_sdr': quality.si_sdr(reference, decoded), 'pesq_wb': math.nan}
  monkeypatch.setattr(codec_quality.perceptual, 'measured', measured)


def test_each_clip_is_measured_whole_and_by_any_number_of_processes_alike(config, tmp_path):
  result = codec_quality.measure(config, tmp_path / 'run')
  rows = paired.read(tmp_path / 'run' / 'codec.tsv')
  assert [f'{row["set"]}/{row["file"]}' for row in rows] == [
      'hi/a002-deep.wav', 'te_read/a001-buzz.wav', 'te_read/q001-mezzo.wav']
  trained = weights.load(config.codec)
  for row in rows:
    audio = files.read(SAMPLE / 'audio' / row['file'].replace('.wav', '.opus'))[0]
    decoded = files.read(tmp_path / 'run' / 'decoded' / row['set'] / row['file'])[0]
    assert len(decoded) == len(audio) and float(row['seconds']) == pytest.approx(len(audio) / 16000, abs=1e-3)
    np.testing.assert_allclose(decoded, streaming.roundtrip(trained, audio, 2), atol=1 / 32768)
    again = quality.measures(audio, decoded)
    for name in ('si_sdr', 'ms_mel', 'mel80_db', 'gain_db'):
      assert row[name] == pytest.approx(again[name], abs=1e-4)
    assert float(row['kbps']) == pytest.approx(50 * 2 * math.log2(11) / 1000, abs=1e-4)
  assert [result['measures'][name]['clips'] for name in ('hi', 'te', 'all')] == [1, 2, 3]
  mean, half = result['measures']['te']['ms_mel']
  assert mean == pytest.approx((rows[1]['ms_mel'] + rows[2]['ms_mel']) / 2, abs=1e-4) and half > 0
  config.data.workers = 2
  codec_quality.measure(config, tmp_path / 'spread')
  assert (tmp_path / 'spread' / 'codec.tsv').read_bytes() == (tmp_path / 'run' / 'codec.tsv').read_bytes()
  assert len(result['used_pct']) == len(result['entropy_normalised']) == 2
  json.dumps(result)


def test_a_measure_that_some_clips_do_not_have_tells_of_how_many_it_is(capsys):
  """A clip that was decoded to nothing has no PESQ, and a mean without it is none of the group."""
  clips = [codec_quality.Clip(Recording('a.wav', language=language), {}, None, ()) for language in ('te', 'te', 'hi')]
  rows = [{'pesq_wb': score, 'si_sdr': 2.0} for score in (1.5, math.nan, 3.0)]
  measures, _ = codec_quality.tables(clips, rows, np.random.default_rng(0))
  assert {name: table['taken'] for name, table in measures.items()} == {'hi': {}, 'te': {'pesq_wb': 1}, 'all': {'pesq_wb': 2}}
  assert measures['te']['pesq_wb'][0] == 1.5 and measures['te']['clips'] == 2
  codec_quality.show({'codec': 'c', 'levels': 1, 'clips': 3, 'seconds': 9.0, 'nominal_bps': 1.0, 'entropy_bps': 1.0, 'used_pct': [100.0],
                      'entropy_normalised': [1.0], 'frames': 9, 'measures': measures, 'reference': {}})
  said = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
  assert said['pesq_wb'] == ['3.000', '±nan', '1.500', '±nan', '(1)', '2.250', said['pesq_wb'][6], '(2)']
  assert '(2)' not in said['si_sdr']


def test_a_peers_table_is_compared_and_a_foreign_one_refused(config, tmp_path, capsys, quick, monkeypatch):
  codec_quality.measure(config, tmp_path / 'run')
  rows = paired.read(tmp_path / 'run' / 'codec.tsv')
  rows = [{**row, 'name': 'peer', 'kbps': 9.2, 'si_sdr': row['si_sdr'] + 0.1} for row in rows]
  paired.write(tmp_path / 'peer.tsv', rows)
  config.peers = str(tmp_path / 'peer.tsv')
  found = codec_quality.measure(config, tmp_path / 'run')['peers']['peer (9.20 kbit/s)']
  assert found['si_sdr']['mean'] == pytest.approx(-0.1, abs=1e-3) and found['si_sdr']['verdict'] == 'worse'
  assert set(found) == {'si_sdr'} and 'minus peer' in capsys.readouterr().out
  paired.write(tmp_path / 'later.tsv', [{**row, 'si_sdr': row['si_sdr'] + 1.0} for row in rows])
  config.peers += f',{tmp_path / "later.tsv"}'                               # by the same name
  found = codec_quality.measure(config, tmp_path / 'run')['peers']
  assert [round(one['si_sdr']['mean'], 2) for one in found.values()] == [-0.1, -1.1]
  paired.write(tmp_path / 'peer.tsv', [{**row, 'set': 'elsewhere'} for row in rows])
  monkeypatch.setattr(codec_quality.perceptual, 'measured', lambda pair: pytest.fail('measured before the tables were looked at'))
  with pytest.raises(InputError, match='no clip of'):
    codec_quality.measure(config, tmp_path / 'run')


def test_a_silent_recording_is_left_out_since_no_measure_tells_anything_of_it(config, tmp_path, capsys):
  before = codec_quality.measure(config, tmp_path / 'run')['measures']['te']
  folder = tmp_path / 'speech'
  files.write_wav(folder / 'eval' / 'te_read' / 'silent.wav', np.zeros(32000, np.float32))
  with open(folder / 'MANIFEST.tsv', 'a') as file:
    file.write('eval/te_read/silent.wav\teval\tte\n')
  found = codec_quality.measure(config, tmp_path / 'run')['measures']['te']
  assert found['si_sdr'][0] == before['si_sdr'][0] and found['clips'] == 2
  assert 'silent.wav is silent' in capsys.readouterr().out


def test_each_number_of_levels_is_decoded_and_scored(config, tmp_path, capsys, monkeypatch):
  original = codec_quality.perceptual.measured
  pytest.importorskip('pesq')
  monkeypatch.setattr(codec_quality.perceptual, 'measured',
                      lambda pair: original(dataclasses.replace(pair, takes='pesq_wb')))
  config.by_level = True
  found = codec_quality.measure(config, tmp_path / 'run')['pesq_by_level']
  assert len(found) == 3 and all(1 <= score < 4.7 for score in found)
  assert 'PESQ-WB of 1 level and more: ' + ' '.join(f'{score:.3f}' for score in found) in capsys.readouterr().out
  first, third = (files.read(tmp_path / 'run' / 'levels' / level / 'hi' / 'a002-deep.wav')[0] for level in '13')
  assert np.abs(first - third).max() > 1e-3
  rows = paired.read(tmp_path / 'run' / 'codec.tsv')
  assert found[1] == pytest.approx(np.mean([row['pesq_wb'] for row in rows]), abs=1e-3)          # config.levels is 2


@pytest.mark.parametrize('scores,told', [([1.1, 1.2, 1.3], 'monotone'), ([1.1, 1.0, 1.3], 'not monotone: level 2'),
                                         ([math.nan] * 3, 'not taken of any clip')])
def test_a_level_that_does_not_help_is_named(scores, told, capsys):
  clips = [codec_quality.Clip(None, {}, None, ('one', 'two', 'three'))]
  codec_quality.by_level(clips, {name: {'pesq_wb': score} for name, score in zip(clips[0].levels, scores)})
  assert f'({told};' in capsys.readouterr().out


def test_levels_are_compared_on_the_clips_that_were_scored_at_all_of_them(capsys):
  clips = [codec_quality.Clip(None, {}, None, ((number, 1), (number, 2))) for number in range(3)]
  found = {(0, 1): math.nan, (0, 2): 3.0, (1, 1): 1.2, (1, 2): 1.1, (2, 1): 1.2, (2, 2): 1.1}
  assert codec_quality.by_level(clips, {pair: {'pesq_wb': score} for pair, score in found.items()}) == [1.2, 1.1]
  assert 'not monotone: level 2; 2 of 3 clips' in capsys.readouterr().out


def test_a_recording_longer_than_the_longest_is_measured_at_its_beginning(config, tmp_path, quick):
  config.data.longest_s, config.data.shortest_s = 2.0, 0.05
  codec_quality.measure(config, tmp_path / 'run')
  rows = {row['file']: row for row in paired.read(tmp_path / 'run' / 'codec.tsv')}
  assert float(rows['a001-buzz.wav']['seconds']) == 2.0 and float(rows['blip.wav']['seconds']) == 0.1


def test_two_recordings_of_one_name_are_refused_for_one_would_be_measured_against_the_other(config, tmp_path, quick):
  folder = tmp_path / 'speech'
  shutil.copy(folder / 'eval' / f'{CLIPS[0]}.opus', folder / 'eval' / f'{CLIPS[0]}.ogg')
  with open(folder / 'MANIFEST.tsv', 'a') as file:
    file.write(f'eval/{CLIPS[0]}.ogg\teval\tte\n')
  with pytest.raises(InputError, match='q001-mezzo.* have one name'):
    codec_quality.measure(config, tmp_path / 'out')


def test_more_levels_than_the_codec_has_are_refused(config, tmp_path):
  config.levels = 4
  with pytest.raises(InputError, match='config.levels 4.* 1 to 3'):
    codec_quality.measure(config, tmp_path / 'run')


def test_an_even_use_of_codes_has_all_the_entropy_and_one_code_has_none():
  counts = np.zeros((2, 16), np.int64)
  counts[0], counts[1, 3] = 5, 80
  found = codec_quality.bitrate(counts, 25.0)
  assert found['entropy_normalised'] == pytest.approx([1.0, 0.0]) and found['used_pct'] == pytest.approx([100, 6.25])
  assert found['nominal_bps'] == 200 and found['entropy_bps'] == pytest.approx(100) and found['frames'] == 80


@pytest.mark.parametrize('path,channel,place', [('eval/te/a.flac', None, ('te', 'a')), ('te/x/a.b.wav', None, ('te/x', 'a.b')),
                                                ('a.wav', 1, ('.', 'a-1')), ('eval/a.wav', None, ('.', 'a'))])
def test_the_set_of_a_clip_is_its_folder_below_the_split(path, channel, place):
  assert codec_quality.place_of(Recording(path, split='eval', channel=channel)) == place


def test_the_interval_of_alike_values_is_narrow_and_nan_is_left_out():
  rng = np.random.default_rng(0)
  assert codec_quality.interval([2.0, math.nan, 2.0], rng) == [2.0, 0.0]
  assert all(map(math.isnan, codec_quality.interval([math.nan], rng)))


@pytest.mark.parametrize('clips', [3, 5, 30])
def test_the_interval_holds_the_mean_as_often_as_it_says_and_one_clip_has_none(clips):
  rng = np.random.default_rng(clips)
  found = [codec_quality.interval(rng.normal(size=clips), rng) for _ in range(400)]
  assert 0.91 < np.mean([abs(mean) <= half for mean, half in found]) < 0.99
  mean, half = codec_quality.interval([2.5, math.nan], rng)
  assert mean == 2.5 and math.isnan(half)
