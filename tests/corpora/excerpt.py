"""A few rows of the sample corpus as a corpus of their own."""
import csv
import shutil

from telugu_s2s.corpora import sample


def excerpt(folder, train: int, held_out: int):
  """The folder, with the first rows of each split, their audio and their manifest."""
  with open(sample.folder() / 'MANIFEST.tsv', encoding='utf-8', newline='') as file:
    rows = list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))
  chosen = [row for split, count in (('train', train), ('eval', held_out)) for row in [row for row in rows if row['split'] == split][:count]]
  for row in chosen:
    (folder / row['path']).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(sample.folder() / row['path'], folder / row['path'])
  with open(folder / 'MANIFEST.tsv', 'w', encoding='utf-8', newline='') as file:
    table = csv.DictWriter(file, list(rows[0]), delimiter='\t', quoting=csv.QUOTE_NONE)
    table.writeheader()
    table.writerows(chosen)
  return folder
