"""A reply while it runs, and the protocol's response object that tells of it."""
import dataclasses

from telugu_s2s.serving import formats


@dataclasses.dataclass
class Reply:
  """The reply that runs."""
  id: str
  item: dict
  outgoing: formats.Outgoing
  metadata: dict | None
  most_tokens: int | str
  since: float                   # when what it answers was over
  heard: bool = False            # its first audio went out
  before: str | None = None      # the item that its own comes after
  first_s: float | None = None   # how long after `since`
  frames: int = 0
  words: list[int] = dataclasses.field(default_factory=list)           # pieces of the vocabulary
  told: str = ''                 # of them, as text

  def transcript(self, vocabulary, whole: bool) -> str:
    """What of its text is not told yet: up to the last word, which may go on, or all of it."""
    text = vocabulary.decode(self.words) if self.words else ''
    new = (text if whole else text[:text.rfind(' ') + 1])[len(self.told):]
    self.told += new
    return new

  def response(self, status: str, details: dict | None, conversation: str, output: dict) -> dict:
    """The response object. output: what the session is set to."""
    spent = {'text_tokens': len(self.words), 'audio_tokens': self.frames}
    total = self.frames + len(self.words)
    return {'id': self.id, 'object': 'realtime.response', 'status': status, 'status_details': details,
            'output': [self.item] if self.heard else [], 'conversation_id': conversation, 'output_modalities': ['audio'],
            'max_output_tokens': self.most_tokens, 'metadata': self.metadata,
            'audio': {'output': {'format': output['format'], 'voice': output['voice']}},
            'usage': None if status == 'in_progress' else {
                'total_tokens': total, 'input_tokens': 0, 'output_tokens': total, 'output_token_details': spent,
                'input_token_details': {'text_tokens': 0, 'audio_tokens': 0, 'cached_tokens': 0}}}
