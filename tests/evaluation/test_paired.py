"""Tables of clips, and what two codecs differ by on the clips that they share."""
import math

import numpy as np
import pytest

from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import paired


def rows(name, scores, folder='te', measure='pesq_wb', ending='wav'):
  return [{'name': name, 'kbps': 2.0, 'set': folder, 'file': f'{number}.{ending}', measure: score}
          for number, score in enumerate(scores)]


def test_a_table_that_is_written_is_read_back(tmp_path):
  given = [{**row, 'seconds': 1.5, 'lag_ms': 0.0, 'reference': {}} for row in rows('ours', [1.25, math.nan])]
  paired.write(tmp_path / 'a.tsv', given)
  first, second = paired.read(tmp_path / 'a.tsv')
  assert [first[name] for name in ('name', 'set', 'file', 'pesq_wb', 'kbps')] == ['ours', 'te', '0.wav', 1.25, '2.0']
  assert math.isnan(second['pesq_wb']) and math.isnan(first['stoi'])
  header = (tmp_path / 'a.tsv').read_text().splitlines()[0].split('\t')
  assert header[:7] == ['name', 'kbps', 'set', 'file', 'seconds', 'lag_ms', 'rtfx'] and 'visqol' in header


def test_a_table_with_other_columns_in_another_order_is_read(tmp_path):
  (tmp_path / 'peer.tsv').write_text('file\tset\tmos\tpesq_wb\nx.flac\tte\tgood\t2.5\n')
  assert paired.read(tmp_path / 'peer.tsv')[0]['pesq_wb'] == 2.5


@pytest.mark.parametrize('text,told', [('a\tb\n1\t2\n', 'file or set'), ('set\tfile\n', 'no clip'),
                                       ('set\tfile\tpesq_wb\nte\tx\tgood\n', 'line 2')])
def test_a_file_that_is_no_table_is_named(tmp_path, text, told):
  (tmp_path / 'peer.tsv').write_text(text)
  with pytest.raises(InputError, match=f'peer.tsv.*{told}'):
    paired.read(tmp_path / 'peer.tsv')
  with pytest.raises(InputError, match='absent.tsv'):
    paired.read(tmp_path / 'absent.tsv')


def test_clips_are_paired_by_folder_and_name_whatever_the_order_and_the_extension():
  ours = rows('ours', [1.0, 2.0, 3.0]) + rows('ours', [9.0], 'hi')
  theirs = rows('peer', [0.5, 1.5, 2.5], ending='flac')[::-1] + rows('peer', [0.0], 'en')
  assert [(a['pesq_wb'], b['pesq_wb']) for a, b in paired.paired(ours, theirs)] == [(1.0, 0.5), (2.0, 1.5), (3.0, 2.5)]
  with pytest.raises(InputError, match='hi/0 against te/2'):
    paired.paired(ours[3:], theirs)


def test_a_recording_of_which_one_measured_the_beginning_alone_is_not_the_same_clip(tmp_path):
  ours = [row | {'seconds': seconds} for row, seconds in zip(rows('ours', [1.0, 2.0, 3.0]), (20.0, 5.0, 7.0))]
  theirs = [row | {'seconds': seconds} for row, seconds in zip(rows('peer', [0.0, 0.0, 0.0]), (31.5, 5.04, ''))]
  paired.write(tmp_path / 'peer.tsv', theirs)
  assert [a['pesq_wb'] for a, _ in paired.paired(ours, paired.read(tmp_path / 'peer.tsv'))] == [2.0, 3.0]
  with pytest.raises(InputError, match='as much of each recording'):
    paired.paired(ours[:1], paired.read(tmp_path / 'peer.tsv'))


def test_a_constant_difference_is_certain_however_much_the_clips_differ():
  base = np.random.default_rng(0).normal(3, 1, 20)
  found = paired.difference(rows('ours', base + 0.1), rows('peer', base), np.random.default_rng(0))['pesq_wb']
  assert found['clips'] == 20 and found['verdict'] == 'better'
  assert found['low'] == pytest.approx(0.1) and found['high'] == pytest.approx(0.1)


@pytest.mark.parametrize('measure,verdict', [('pesq_wb', 'better'), ('ms_mel', 'worse'), ('vuv_err', 'worse')])
def test_what_is_better_depends_on_the_measure(measure, verdict):
  found = paired.difference(rows('ours', [2.0, 2.1], measure=measure), rows('peer', [1.0, 1.0], measure=measure),
                            np.random.default_rng(0))
  assert found[measure]['verdict'] == verdict and set(found) == {measure}


def test_the_interval_is_that_of_the_mean():
  differences = np.random.default_rng(1).normal(0.3, 1.0, 100)
  found = paired.difference(rows('ours', differences), rows('peer', 0 * differences), np.random.default_rng(0))['pesq_wb']
  half = 1.96 * differences.std() / 10
  assert found['mean'] == pytest.approx(differences.mean())
  assert found['low'] == pytest.approx(differences.mean() - half, abs=0.03)
  assert found['high'] == pytest.approx(differences.mean() + half, abs=0.03)


def test_a_difference_within_chance_has_no_verdict():
  values = np.random.default_rng(2).normal(0, 1, (2, 30))
  assert paired.difference(rows('ours', values[0]), rows('peer', values[0] + values[1] - values[1].mean()),
                           np.random.default_rng(0))['pesq_wb']['verdict'] == ''


def test_a_clip_that_one_of_them_could_not_score_is_left_out(capsys):
  ours, theirs = rows('ours', [1.0, math.nan, 3.0]), rows('peer', [0.0, 0.0, math.nan])
  found = paired.difference(ours, theirs, np.random.default_rng(0))
  assert found['pesq_wb']['clips'] == 1 and found['pesq_wb']['mean'] == 1.0
  paired.show(ours, theirs, found)
  assert 'ours (2.00 kbit/s) minus peer (2.00 kbit/s), 3 paired clips' in (said := capsys.readouterr().out)
  assert 'pesq_wb    1    1.000    0.000   +1.000' in said, 'means of the clips that both scored'


def test_a_name_with_a_quote_comes_back_and_one_clip_decides_nothing(tmp_path):
  ours, theirs = rows('ours', [2.0]), rows('theirs', [1.0])
  for some in (ours, theirs):
    some[0]['file'] = 'a"b.wav'
  paired.write(tmp_path / 'a.tsv', ours)
  assert paired.read(tmp_path / 'a.tsv')[0]['file'] == 'a"b.wav'
  found = paired.difference(ours, theirs, np.random.default_rng(0))['pesq_wb']
  assert found['mean'] == 1.0 and found['verdict'] == ''
