"""What a session is set to: the protocol's session object, which always tells what is really done, and what an update may change.

Stock clients send settings that mean nothing here (transcription, noise reduction, tracing, a model's name): those are taken and
answered with what is so. Everything else is refused, and says what would be taken.
"""
import copy
import itertools
import json

from telugu_s2s.audio import shift, tempo
from telugu_s2s.errors import InputError
from telugu_s2s.serving import formats
from telugu_s2s.serving.voice import DEFAULT, Voice
from telugu_s2s.tokens import labels

# The names that stock configurations come with: they speak as the default voice, so that unchanged programs work.
STOCK_VOICES = ('alloy', 'ash', 'ballad', 'cedar', 'coral', 'echo', 'fable', 'marin', 'nova', 'onyx', 'sage', 'shimmer', 'verse')
SERVER_VAD = {'type': 'server_vad', 'threshold': 0.5, 'prefix_padding_ms': 300, 'silence_duration_ms': 500,
              'create_response': True, 'interrupt_response': True, 'idle_timeout_ms': None}
SEMANTIC_VAD = {'type': 'semantic_vad', 'eagerness': 'auto', 'create_response': True, 'interrupt_response': True}
FULL_DUPLEX = {'type': 'full_duplex'}
EAGERNESS_MS = {'low': 1000, 'medium': 600, 'high': 300, 'auto': 600}        # the pause that ends a turn
PASSED_OVER = ('tracing', 'prompt', 'include', 'truncation', 'model', 'id', 'object', 'expires_at')
LONGEST_TEXT = 100_000           # characters of instructions
LONGEST_TOOLS, DEEPEST_TOOLS = 64_000, 32           # characters of JSON, and levels


class Refused(InputError):
  """An event that cannot be followed: its code and the field that is wrong."""

  def __init__(self, message: str, code: str = 'invalid_value', param: str | None = None):
    super().__init__(message)
    self.code, self.param = code, param


def short(value, limit: int = 80) -> str:
  """A value as an error message quotes it; no more of it is written out, for it may be megabytes."""
  if isinstance(value, (list, dict)):
    text = ''.join(itertools.islice(json.JSONEncoder().iterencode(value), limit + 1))
  else:
    text = ascii(value[:limit + 1] if isinstance(value, str) else value)
  return text if len(text) <= limit else text[:limit - 3] + '...'


def fresh(voice: Voice, session_id: str, expires_at: int, how) -> dict:
  """The session object of a session that was not changed yet. how: the drawing.Sampling of the server."""
  pcm = {'type': formats.PCM, 'rate': formats.RATES[0]}
  return {
      'type': 'realtime', 'object': 'realtime.session', 'id': session_id, 'model': voice.name, 'expires_at': expires_at,
      'output_modalities': ['audio'], 'instructions': '', 'tools': [], 'tool_choice': 'auto', 'max_output_tokens': 'inf',
      'tracing': None, 'truncation': 'auto', 'prompt': None, 'include': None,
      'audio': {'input': {'format': dict(pcm), 'transcription': None, 'noise_reduction': None, 'turn_detection': dict(SERVER_VAD)},
                'output': {'format': dict(pcm), 'voice': DEFAULT, 'speed': 1.0}},
      'telugu': {'emotion': '', 'breath': None, 'filler': None, 'shift': 0.0, 'temperature': how.temperature, 'top_k': how.top_k, 'seed': None,
                 'voices': list(voice.names), 'emotions': list(voice.emotions),
                 'nonverbal': list(voice.nonverbal)}}


def updated(session: dict, update, voice: Voice) -> dict:
  """The session object after an update; the one before is left as it is.

  Raises:
    Refused: the update is no such object, or asks for what there is not.
  """
  new = session | {name: copy.deepcopy(session[name]) for name in ('audio', 'telugu')}           # of the others nothing is changed in its place
  checked(update, dict, 'session')
  if update.get('type') != 'realtime':
    raise Refused(f"session.type is {short(update.get('type'))}; this server has sessions of type 'realtime'", param='session.type')
  for name, value in update.items():
    param = f'session.{name}'
    if name in PASSED_OVER or name == 'type':
      continue
    if name == 'instructions':
      new[name] = checked(value, str, param)
      if len(value) > LONGEST_TEXT:
        raise Refused(f'{param} has {len(value)} characters, at most {LONGEST_TEXT} are taken', 'string_above_max_length', param)
    elif name == 'output_modalities':
      if value != ['audio']:
        raise Refused(f"{param} {short(value)}: this voice only speaks; give ['audio']", param=param)
    elif name == 'tools':
      new[name] = _tools(value, param)
    elif name == 'tool_choice':
      new[name] = one_of(value, ('auto', 'none', 'required'), param)
    elif name == 'max_output_tokens':
      new[name] = most_tokens(value, param)
    elif name == 'audio':
      _audio(new['audio'], checked(value, dict, param), voice)
    elif name == 'telugu':
      _telugu(new['telugu'], checked(value, dict, param), voice)
    else:
      raise Refused(f'unknown parameter: {short(param)}', 'unknown_parameter', short(param))
  if (new['audio']['input']['turn_detection'] or {}).get('type') == 'full_duplex':
    _check_duplex(new)
  return new


def _check_duplex(session):
  """Raises Refused where a session in full duplex is set to what has no place there."""
  if session['max_output_tokens'] != 'inf':
    raise Refused(f"session.max_output_tokens is {session['max_output_tokens']}: in full duplex the model itself decides how long it speaks; "
                  "give 'inf'", param='session.max_output_tokens')
  if session['audio']['output']['speed'] != 1:
    raise Refused(f"session.audio.output.speed is {session['audio']['output']['speed']}: in full duplex the model speaks in the user's own time; "
                  'give 1', param='session.audio.output.speed')


def checked(value, kind, param: str):
  """The value, if it is of a kind. Raises Refused."""
  if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
    name = {dict: 'an object', str: 'a string', list: 'a list', int: 'an integer', bool: 'true or false'}.get(kind, 'a number')
    raise Refused(f'{param} is {short(value)}; give {name}', 'invalid_type', param)
  return value


def one_of(value, choices, param: str):
  """The value, if it is one of some. Raises Refused."""
  if not isinstance(value, str) or value not in choices:
    raise Refused(f'{param} is {short(value)}; give one of {", ".join(choices)}', param=param)
  return value


def between(value, least, most, param: str, kind=(int, float)):
  """The number, if it lies in a range. Raises Refused."""
  checked(value, kind, param)
  if not least <= value <= most:
    raise Refused(f'{param} is {short(value)}; give {least} to {most}', param=param)
  return value


def most_tokens(value, param: str):
  """'inf' or a number of tokens: a frame of the reply is one."""
  return value if value == 'inf' else between(value, 1, 1 << 20, param, int)


def _tools(value, param):
  if _deeper(checked(value, list, param), DEEPEST_TOOLS) or len(json.dumps(value)) > LONGEST_TOOLS:
    raise Refused(f'{param}: at most {LONGEST_TOOLS} characters of JSON in {DEEPEST_TOOLS} levels are taken', 'string_above_max_length', param)
  for tool in value:
    checked(tool, dict, param)
    one_of(tool.get('type'), ('function',), f'{param}.type')
    checked(tool.get('name'), str, f'{param}.name')
  return [{name: tool[name] for name in ('type', 'name', 'description', 'parameters')
           if isinstance(tool.get(name), dict if name == 'parameters' else str)} for tool in value]


def _deeper(value, levels: int) -> bool:
  inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
  return levels < 0 or any(_deeper(one, levels - 1) for one in inside)


def _audio(audio: dict, update: dict, voice: Voice):
  for side, values in update.items():
    one_of(side, ('input', 'output'), 'session.audio')
    for name, value in checked(values, dict, f'session.audio.{side}').items():
      param = f'session.audio.{side}.{short(name).strip(chr(39))}'
      if name == 'format':
        audio[side][name] = _format(value, param)
      elif (side, name) == ('input', 'turn_detection'):
        audio[side][name] = _turn_detection(value, param)
      elif side == 'input' and name in ('transcription', 'noise_reduction'):
        if value is not None:
          checked(value, dict, param)
      elif (side, name) == ('output', 'voice'):
        audio[side][name] = _voice(value, param, voice)
      elif (side, name) == ('output', 'speed'):
        audio[side][name] = between(value, *tempo.SPEEDS, param)
      else:
        raise Refused(f'unknown parameter: {param}', 'unknown_parameter', param)


def _format(value, param):
  checked(value, dict, param)
  kinds = (formats.PCM, formats.ULAW, formats.ALAW) + ((formats.OPUS,) if formats.has_opus() else ())
  kind = one_of(value.get('type'), kinds, f'{param}.type')
  if extra := value.keys() - {'type', 'rate'}:
    raise Refused(f'unknown parameter: {param}.{short(min(extra))}', 'unknown_parameter', param)
  if kind != formats.PCM:
    if value.get('rate') not in (None, formats.rate_of({'type': kind})):
      raise Refused(f'{param}.rate is {short(value["rate"])}; {kind} has {formats.rate_of({"type": kind})}', param=f'{param}.rate')
    return {'type': kind}
  rate = value.get('rate', formats.RATES[0])
  if isinstance(rate, bool) or rate not in formats.RATES:
    raise Refused(f'{param}.rate is {short(rate)}; give one of {", ".join(map(str, formats.RATES))}', param=f'{param}.rate')
  return {'type': kind, 'rate': int(rate)}


def _turn_detection(value, param):
  if value is None:
    return None
  checked(value, dict, param)
  kind = one_of(value.get('type', 'server_vad'), ('server_vad', 'semantic_vad', 'full_duplex'), f'{param}.type')
  found = dict({'server_vad': SERVER_VAD, 'semantic_vad': SEMANTIC_VAD, 'full_duplex': FULL_DUPLEX}[kind])
  for name, one in value.items():
    field = f'{param}.{name}'
    if name not in found:
      raise Refused(f'unknown parameter: {short(field)}', 'unknown_parameter', short(field))
    if name == 'threshold':
      found[name] = between(one, 0, 1, field)
    elif name in ('prefix_padding_ms', 'silence_duration_ms'):
      found[name] = between(one, 0, 10_000, field, int)
    elif name == 'idle_timeout_ms':
      if one is not None:
        raise Refused(f'{field} is {short(one)}; this server does not speak unasked, give null', param=field)
    elif name == 'eagerness':
      found[name] = one_of(one, tuple(EAGERNESS_MS), field)
    elif name != 'type' and one is not None:
      found[name] = checked(one, bool, field)
  return found


def turns(detection: dict) -> dict:
  """How turn.Turns finds the user's turns, as a session's turn_detection asks for it."""
  if detection['type'] == 'server_vad':
    return {'threshold': detection['threshold'], 'prefix_ms': detection['prefix_padding_ms'], 'silence_ms': detection['silence_duration_ms']}
  return {'silence_ms': EAGERNESS_MS[detection.get('eagerness', 'auto')]}


def _voice(value, param, voice):
  if isinstance(value, dict):                  # {'id': ...}, as custom voices are named
    value = value.get('id')
  checked(value, str, param)
  if value not in voice.names and value not in STOCK_VOICES:
    raise Refused(f'{param} is {short(value)}; this server has {", ".join(map(str, voice.names[:12]))}', param=param)
  return value


def _telugu(telugu: dict, update: dict, voice: Voice):
  for name, value in update.items():
    param = f'session.telugu.{short(name).strip(chr(39))}'
    if name == 'emotion':
      if value and not voice.emotions:
        raise Refused(f'{param} is {short(value)}; this model was not taught emotions', param=param)
      telugu[name] = one_of(value, voice.emotions, param) if value else ''
    elif name in labels.NONVERBAL:
      if value is not None and name not in voice.nonverbal:
        raise Refused(f'{param} is {short(value)}; this model was not taught with and without one', param=param)
      telugu[name] = None if value is None else checked(value, bool, param)
    elif name == 'shift':
      telugu[name] = between(value, *shift.SEMITONES, param)
    elif name == 'temperature':
      telugu[name] = between(value, 0, 4, param)
    elif name == 'top_k':
      telugu[name] = between(value, 0, voice.model.codes, param, int)
    elif name == 'seed':
      telugu[name] = None if value is None else between(value, 0, (1 << 31) - 1, param, int)
    elif name not in ('voices', 'emotions', 'nonverbal'):
      raise Refused(f'unknown parameter: {param}', 'unknown_parameter', param)
