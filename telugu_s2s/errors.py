"""What a user can mend: `InputError` is printed in one line, any other exception is a bug with its traceback."""


class InputError(ValueError):
  """A file, field or request that cannot be used; the message names it and says what to do."""
