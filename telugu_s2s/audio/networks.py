"""Small networks that come as files inside packages: run on one CPU thread, so that they say the same everywhere.

Nothing is downloaded, and the package itself is not imported: what it asks for (torch, librosa) only its own code uses.
"""
import functools
import hashlib
import importlib.util
from pathlib import Path

from telugu_s2s.errors import InputError


@functools.cache
def session(package: str, file: str, sha256: str, remedy: str):
  """The onnxruntime session of a file in an installed package, one for the whole process.

  Args:
    package: as it is imported.
    file: below its folder.
    sha256: of the file; another version of the network would measure otherwise.
    remedy: what installs the package.

  Raises:
    InputError: the package or onnxruntime is not installed, or the file is another one.
  """
  found = importlib.util.find_spec(package)
  path = Path(found.submodule_search_locations[0], file) if found else None
  try:
    import onnxruntime
    model = path.read_bytes() if path else None
  except (ImportError, OSError) as problem:
    raise InputError(f'{package} cannot be used ({problem}): {remedy}') from problem
  if model is None:
    raise InputError(f'{package} is not installed: {remedy}')
  if hashlib.sha256(model).hexdigest() != sha256:
    raise InputError(f'{path} is not the network that the measures were made with: {remedy}')
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = options.inter_op_num_threads = 1
  return onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
