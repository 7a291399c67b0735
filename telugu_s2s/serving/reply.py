"""A reply while it runs: the events in which it is told, and the protocol's response object."""
import base64
import dataclasses

from telugu_s2s.serving import formats


@dataclasses.dataclass
class Reply:
  """The reply that runs. `send` takes the kind of an event and its fields."""
  id: str
  item: dict
  output: dict                   # what the session was set to when it began
  outgoing: formats.Outgoing
  metadata: dict | None
  most_tokens: int | str
  since: float | None            # when what it answers was over; None where it answers nothing
  heard: bool = False            # its first audio went out
  before: str | None = None      # the item that its own comes after
  first_s: float | None = None   # how long after `since` its first audio went out
  sound_s: float | None = None   # and would be heard: the first frame that is not silent, played from the first audio on
  frames: int = 0
  words: list[int] = dataclasses.field(default_factory=list)           # pieces of the vocabulary
  told: str = ''                 # of them, as text

  @property
  def _part(self):
    return {'response_id': self.id, 'item_id': self.item['id'], 'output_index': 0, 'content_index': 0}

  def introduce(self, send, before: str | None) -> None:
    """Shows its item, before its first audio. before: the item that this one comes after."""
    self.heard, self.before = True, before
    send('response.output_item.added', response_id=self.id, output_index=0, item=self.item)
    send('conversation.item.added', previous_item_id=before, item=self.item)
    self.item['content'] = [{'type': 'output_audio', 'transcript': ''}]
    send('response.content_part.added', **self._part, part={'type': 'audio', 'transcript': ''})

  def write(self, send, vocabulary, whole: bool = False) -> None:
    """Tells what of its text is not told yet: up to the last word, which may go on, or all of it."""
    text = vocabulary.decode(self.words) if self.words else ''
    if new := (text if whole else text[:text.rfind(' ') + 1])[len(self.told):]:
      self.told += new
      send('response.output_audio_transcript.delta', **self._part, delta=new)

  def say(self, send, pieces) -> None:
    """Sends pieces of its audio, as `outgoing` gives them."""
    for piece in pieces:
      send('response.output_audio.delta', **self._part, delta=base64.b64encode(piece).decode())

  def done(self, send, vocabulary, status: str) -> None:
    """Sends the rest of what was begun, and that it is over."""
    if status != 'cancelled':
      self.say(send, self.outgoing.rest())
    self.write(send, vocabulary, whole=True)
    self.item['content'][0]['transcript'] = self.told
    self.item['status'] = 'completed' if status == 'completed' else 'incomplete'
    send('response.output_audio.done', **self._part)
    send('response.output_audio_transcript.done', **self._part, transcript=self.told)
    send('response.content_part.done', **self._part, part={'type': 'audio', 'transcript': self.told})
    send('conversation.item.done', previous_item_id=self.before, item=self.item)
    send('response.output_item.done', response_id=self.id, output_index=0, item=self.item)

  def response(self, status: str, details: dict | None, conversation: str) -> dict:
    """The response object."""
    spent = {'text_tokens': len(self.words), 'audio_tokens': self.frames}
    total = self.frames + len(self.words)
    return {'id': self.id, 'object': 'realtime.response', 'status': status, 'status_details': details,
            'output': [self.item] if self.heard else [], 'conversation_id': conversation, 'output_modalities': ['audio'],
            'max_output_tokens': self.most_tokens, 'metadata': self.metadata,
            'audio': {'output': {name: self.output[name] for name in ('format', 'voice')}},
            'usage': None if status == 'in_progress' else {
                'total_tokens': total, 'input_tokens': 0, 'output_tokens': total, 'output_token_details': spent,
                'input_token_details': {'text_tokens': 0, 'audio_tokens': 0, 'cached_tokens': 0}}}
