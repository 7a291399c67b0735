"""Events as clients send them, and what of them is taken."""
import json

from telugu_s2s.serving.settings import Refused, checked, short

LONGEST_EVENT_ID = 512
MOST_VALUES = 1 << 16            # of an event: unpacking the millions that a message has room for would keep everybody waiting
RESPONSE_FIELDS = ('instructions', 'metadata', 'output_modalities', 'max_output_tokens', 'audio', 'tools', 'tool_choice', 'conversation',
                   'input', 'prompt')


def parsed(text) -> dict:
  """The event of a text. Raises Refused where it holds none, or one of very many values."""
  def not_json(name):
    raise ValueError(f'{name} is no JSON')
  if sum(map(text.count, '[{,')) > MOST_VALUES:
    raise Refused(f'an event holds at most {MOST_VALUES} values')
  try:
    event = json.loads(text, parse_constant=not_json)
  except (ValueError, RecursionError) as problem:
    raise Refused(f'no JSON: {short(str(problem))}', 'invalid_json') from None
  if not isinstance(event, dict):
    raise Refused(f'an event is an object, such as {{"type": "response.create"}}, not {short(event)}', 'invalid_json')
  return event


def event_id(event):
  name = event.get('event_id')
  return name if isinstance(name, str) and len(name) <= LONGEST_EVENT_ID else None


def wanted(event) -> dict:
  """What a response.create asks for.

  Raises:
    Refused: something that a response of this server does not have.
  """
  asked = checked(event.get('response') or {}, dict, 'response')
  for name in asked.keys() - set(RESPONSE_FIELDS):
    raise Refused(f'unknown parameter: {short("response." + name)}', 'unknown_parameter', short(f'response.{name}'))
  if asked.get('output_modalities') not in (None, ['audio']):
    raise Refused(f"response.output_modalities {short(asked['output_modalities'])}: give ['audio']", param='response.output_modalities')
  if asked.get('input') or asked.get('conversation') not in (None, 'auto'):
    raise Refused("a response belongs to this conversation: leave response.input out, and response.conversation 'auto'",
                  param='response.input' if asked.get('input') else 'response.conversation')
  return asked


def metadata(given):
  """What a client wants told back with its response. Raises Refused where it is not {text: text}."""
  if given is None:
    return None
  checked(given, dict, 'response.metadata')
  if len(given) > 16 or not all(isinstance(one, str) and len(one) <= 512 for pair in given.items() for one in pair):
    raise Refused('response.metadata takes up to 16 pairs of strings of up to 512 characters', param='response.metadata')
  return given
