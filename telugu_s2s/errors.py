"""What a user can mend: `InputError` is printed in one line, any other exception is a bug with its traceback."""
import math


class InputError(ValueError):
  """A file, field or request that cannot be used; the message names it and says what to do."""


def check_number(field: str, value: float, most: float = math.inf) -> None:
  """Raises InputError where the number of a field is not finite, below 0 or above `most`."""
  if not (0 <= value <= most and value < math.inf):
    raise InputError(f'{field} {value}: give a number from 0' + f' to {most}' * (most < math.inf))
