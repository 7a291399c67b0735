"""Sounds that are made are added to those that were made before."""
import pytest

from telugu_s2s.evaluation import generate


@pytest.mark.parametrize('there, first', [
    ([], 0), (['q-0.wav', 'q-0-both.wav', 'q-0.png'], 1), (['q-0.wav', 'q-10-both.wav'], 11), (['q-3.png'], 4),
    (['q-r-7.wav', 'x-q-5.wav', 'q-.wav', 'q-a-2.wav', 'p-9.wav'], 0)])
def test_the_first_number_that_no_file_of_that_name_has(tmp_path, there, first):
  for name in there:
    (tmp_path / name).touch()
  assert generate.first_free(tmp_path, 'q') == first


def test_a_name_is_no_pattern_and_a_folder_need_not_be_there(tmp_path):
  (tmp_path / 'what-0.wav').touch()
  assert generate.first_free(tmp_path, 'wh.t') == generate.first_free(tmp_path, 'wh*') == 0
  assert generate.first_free(tmp_path / 'none', 'what') == 0
