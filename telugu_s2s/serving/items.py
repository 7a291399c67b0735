"""The items of a conversation, as the protocol shows them: who took a turn, and with what. Their sound is not kept."""
import base64
import binascii
import collections
from collections.abc import Iterator

import numpy as np

from telugu_s2s.errors import InputError
from telugu_s2s.serving.settings import Refused, checked, one_of, short

MOST, MOST_TEXT = 256, 1_000_000         # items and characters that are remembered; the oldest are forgotten first
LONGEST_ID, LONGEST_TEXT = 512, 100_000
# What each role may say, and the field that says it.
PARTS = {'user': {'input_text': 'text', 'input_audio': 'audio'}, 'system': {'input_text': 'text'},
         'assistant': {'output_text': 'text', 'output_audio': 'audio'}}


class Items:
  """The items in their order."""

  def __init__(self):
    self._items, self._size = collections.OrderedDict(), 0

  @property
  def last(self) -> str | None:
    """The newest item's id."""
    return next(reversed(self._items), None)

  def __len__(self):
    return len(self._items)

  def __contains__(self, name):
    return name in self._items

  def add(self, item: dict) -> dict:
    """The item, now the newest."""
    self._items[item['id']] = item
    self._size += _characters(item)
    while len(self._items) > MOST or self._size > MOST_TEXT:
      self.remove(next(iter(self._items)))
    return item

  def named(self, name, param: str = 'item_id') -> dict:
    """The item of an id. Raises Refused where there is none."""
    checked(name, str, param)
    if name not in self._items:
      raise Refused(f'there is no item {short(name)} in this conversation', 'item_not_found', param)
    return self._items[name]

  def remove(self, name: str) -> None:
    self._size -= _characters(self._items.pop(name))


def _characters(item) -> int:
  return sum(len(part.get('text', '')) for part in item['content'])


def message(name: str, role: str, content: list, status: str = 'completed') -> dict:
  """An item that is a turn."""
  return {'id': name, 'object': 'realtime.item', 'type': 'message', 'status': status, 'role': role, 'content': content}


def asked(item, name: str, items: Items) -> tuple[dict, list[bytes]]:
  """The item that a client brings, and what is to be heard of it. name: its id, where it brings none.

  Raises:
    Refused: it is no item that there can be.
  """
  checked(item, dict, 'item')
  one_of(item.get('type'), ('message',), 'item.type')
  role = one_of(item.get('role'), tuple(PARTS), 'item.role')
  name = item_id(item['id']) if item.get('id') is not None else name
  if name in items:
    raise Refused(f'there is an item {short(name)} already', 'item_already_exists', 'item.id')
  content, sounds, size = [], [], 0
  for part in checked(item.get('content'), list, 'item.content')[:64]:
    checked(part, dict, 'item.content')
    kind = one_of(part.get('type'), tuple(PARTS[role]), 'item.content.type')
    if PARTS[role][kind] == 'text':
      text = checked(part.get('text'), str, 'item.content.text')
      size += len(text)
      if size > LONGEST_TEXT:
        raise Refused(f'item.content.text has {size} characters, at most {LONGEST_TEXT} are taken', 'string_above_max_length')
      content.append({'type': kind, 'text': text})
    else:
      if role == 'user':
        sounds.append(unpacked(part.get('audio'), 'item.content.audio'))
      content.append({'type': kind, 'transcript': ''})
  return message(name, role, content), sounds


def item_id(value) -> str:
  """An id that a client gives. Raises Refused."""
  checked(value, str, 'item.id')
  if not 0 < len(value) <= LONGEST_ID:
    raise Refused(f'item.id has {len(value)} characters; give 1 to {LONGEST_ID}', param='item.id')
  return value


def unpacked(value, param: str = 'audio') -> bytes:
  """The bytes of base64. Raises Refused."""
  checked(value, str, param)
  try:
    return base64.b64decode(value, validate=True)
  except (binascii.Error, ValueError):
    raise Refused(f'{param} is no base64: {short(value, 40)}', 'invalid_base64', param) from None


def pieces(incoming, data: bytes, param: str = 'audio') -> Iterator[np.ndarray]:
  """As `formats.Incoming.pieces`. Raises Refused."""
  try:
    yield from incoming.pieces(data)
  except InputError as problem:
    raise Refused(str(problem), 'invalid_audio', param) from None
