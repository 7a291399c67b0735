"""A folder becomes a data set of TensorFlow Datasets, and TensorFlow is never imported."""
import json
import subprocess
import sys

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError

pytest.importorskip('tensorflow_datasets')

ROWS = [dict(path='a.wav', licence='CC-BY-4.0', speaker='rani', text='ఒకటి', attribution='Rani'), dict(path='b.wav', licence='CC0-1.0', split='eval'),
        dict(path='c.wav', licence='CC-BY-NC-4.0'), dict(path='d.wav', licence=''), dict(path='broken.wav', licence='CC0-1.0'),
        dict(path='a.wav', start_s=0.25, end_s=0.75, licence='CC-BY-4.0', text='రెండు')]


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / 'corpus'
  root.mkdir()
  for number, name in enumerate('abcd'):
    files.write_wav(root / f'{name}.wav', np.random.default_rng(number).uniform(-0.1, 0.1, 16_000))
  (root / 'broken.wav').write_bytes(b'nothing')
  (root / 'MANIFEST.jsonl').write_text('\n'.join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding='utf-8')
  return root


def test_what_the_profile_allows_is_written_and_read_with_its_labels(folder, tmp_path, monkeypatch):
  from telugu_s2s.corpora import tfds_builder
  monkeypatch.setattr(tfds_builder, 'LONGEST_S', 1.5)
  files.write_wav(folder / 'b.wav', np.zeros(16_000))
  files.write_wav(folder / 'long.wav', np.zeros(32_000))
  with open(folder / 'MANIFEST.jsonl', 'a') as file:
    file.write('\n{"path": "long.wav", "licence": "CC0-1.0"}')
  builder = tfds_builder.build(folder, tmp_path / 'out')
  train, held = (builder.as_data_source(split=split) for split in ('train', 'eval'))
  rows = {row['text'].decode(): row for row in (train[index] for index in range(len(train)))}
  assert set(rows) == {'ఒకటి', 'రెండు'} and len(held) == 1
  whole = files.pcm16(files.read(folder / 'a.wav')[0])
  np.testing.assert_array_equal(rows['ఒకటి']['audio'], whole)
  np.testing.assert_array_equal(rows['రెండు']['audio'], whole[4_000:12_000])
  assert rows['ఒకటి']['speaker'] == b'rani' and 'Rani: CC-BY-4.0' in builder.info.redistribution_info.license
  left = [line.split('\t')[:2] for line in (tmp_path / 'out/skipped.tsv').read_text().splitlines()[1:]]
  assert sorted(left) == [['broken.wav', 'non-audio'], ['c.wav', 'licence'], ['d.wav', 'licence'], ['long.wav', 'too long']]


def test_nothing_of_it_needs_tensorflow(folder, tmp_path):
  code = ('import sys; from telugu_s2s.corpora import tfds_builder as b; '
          f'print(len(b.build({str(folder)!r}, {str(tmp_path / "out")!r}).as_data_source(split="train")), "tensorflow" in sys.modules)')
  said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
  assert said.stdout.split()[-2:] == ['2', 'False'], said.stderr


def test_a_folder_without_a_row_in_the_profile_is_refused(folder, tmp_path):
  from telugu_s2s.corpora import tfds_builder
  (folder / 'MANIFEST.jsonl').write_text(json.dumps(ROWS[2]))
  with pytest.raises(InputError, match='profile.*1 licence'):
    tfds_builder.build(folder, tmp_path / 'out')


def test_another_profile_in_the_same_place_is_refused(folder, tmp_path):
  from telugu_s2s.corpora import tfds_builder
  tfds_builder.build(folder, tmp_path / 'out')
  left = (tmp_path / 'out/skipped.tsv').read_bytes()
  assert len(tfds_builder.build(folder, tmp_path / 'out').as_data_source(split='train')) == 2      # the same again
  assert (tmp_path / 'out/skipped.tsv').read_bytes() == left and b'broken.wav\t' in left
  with pytest.raises(InputError, match='another profile'):
    tfds_builder.build(folder, tmp_path / 'out', 'no_attribution')
