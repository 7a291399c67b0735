"""Eight CPU devices for every test, so that meshes are real; tests marked `gpu` run only where there is one.

No compilation cache between runs: XLA's CPU code is made for the machine at hand, and a cache that travels crashes.
"""
import jax
jax.config.update('jax_num_cpu_devices', 8)    # before the first use of jax

from absl import flags
import pytest

flags.FLAGS.mark_as_parsed()                   # grain's readers ask for parsed flags


def pytest_collection_modifyitems(items):
  wanted = [item for item in items if item.get_closest_marker('gpu')]
  if wanted and jax.default_backend() != 'gpu':
    for item in wanted:
      item.add_marker(pytest.mark.skip(reason='needs a GPU'))
