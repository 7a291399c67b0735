"""The notebooks run from top to bottom, end in something to see or hear, and are stored without outputs."""
import ast
import copy
import importlib.util
import pathlib
import subprocess

import nbclient
import nbformat
import pytest

from telugu_s2s import main, usage

ROOT = pathlib.Path(usage.ROOT)
NOTEBOOKS = sorted(path.name for path in (ROOT / 'notebooks').glob('*.ipynb'))
# They train, or start processes that compile; the others take seconds.
SLOW = {'02_codec.ipynb', '04_stage2.ipynb', '06_train_codec.ipynb', '08_preparation.ipynb', '09_text_and_alignment.ipynb', '10_voices.ipynb', '12_evaluate.ipynb',
        '13_conversation.ipynb', '15_talk.ipynb'}
UNASKED = {'labels', 'prosody', 'reference_s', 'depth_frame_fraction', 'optimiser'}         # fields of configs/stage2.py that a run does without
SENSES = ('image/', 'audio/')


def stored(name):
  return nbformat.read(ROOT / 'notebooks' / name, as_version=nbformat.NO_CONVERT)


def code_cells(book):
  return [cell for cell in book.cells if cell.cell_type == 'code']


def shows(cell):
  """Whether a cell that ran gave a picture, or a player of sound."""
  data = [output.data for output in cell.outputs if output.output_type in ('display_data', 'execute_result')]
  return any(kind.startswith(SENSES) for one in data for kind in one) or \
      any('<audio' in one.get('text/html', '') for one in data)


def test_there_are_notebooks_and_those_called_slow_exist():
  assert NOTEBOOKS and SLOW <= set(NOTEBOOKS)


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_a_notebook_is_valid_short_and_stored_without_outputs(name):
  book = stored(name)
  nbformat.validate(book)
  assert book.nbformat == 4
  assert book.cells[0].cell_type == 'markdown' and book.cells[0].source.startswith('# ')
  assert 5 <= len(book.cells) <= 11
  for cell in code_cells(book):
    assert not cell.outputs and cell.execution_count is None


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_the_configs_of_a_notebook_have_the_fields_that_the_jobs_read(name):
  calls = [node for cell in code_cells(stored(name)) for node in ast.walk(ast.parse(cell.source))
           if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict']
  named = [{one.arg: one.value for one in call.keywords} for call in calls]
  others = set().union(*(fields for fields in named if 'job' not in fields))                # of dict(rows, job=..)
  for call, fields in zip(calls, named):
    if job := fields.get('job'):
      known = set(main.load(str(ROOT / 'configs' / f'{job.value}.py'), []))
      assert fields.keys() <= known and known - fields.keys() <= UNASKED | (others if call.args else set()), job.value


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_the_first_cell_installs_what_a_folder_with_the_package_lacks(name, monkeypatch):
  asked = []
  monkeypatch.chdir(ROOT)
  monkeypatch.setattr(importlib.util, 'find_spec', lambda wanted: None if wanted == 'array_record' else object())
  monkeypatch.setattr(subprocess, 'run', lambda words, check: asked.append(words[-1]))
  exec(code_cells(stored(name))[0].source, {})
  assert asked and asked[0].partition('[')[0] == '.'


@pytest.mark.parametrize('name', [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in NOTEBOOKS])
def test_a_notebook_runs_and_ends_in_something_to_see_or_hear(name):
  book = stored(name)
  book.cells.append(copy.deepcopy(code_cells(book)[-1]))        # whoever changes something there runs it again
  # Raises CellExecutionError, with the cell and its traceback, where a cell fails.
  nbclient.NotebookClient(book, timeout=300, kernel_name='python3', resources={'metadata': {'path': str(ROOT)}}).execute()
  assert all(cell.execution_count for cell in code_cells(book) if cell.source.strip())
  assert shows(code_cells(book)[-1])
