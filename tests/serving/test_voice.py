"""The voice that the package ships can be talked to as it comes."""
import json

from telugu_s2s.serving import voice


def test_the_shipped_voice_loads_and_says_what_it_is():
  found = voice.load('')
  assert found.name == 'toy' and voice.DEFAULT in found.names and 'espeak-ng/espeak-mezzo' in found.names
  assert found.emotions and found.codec.name == json.loads((voice.SHIPPED / 'config.json').read_text())['codec']['name']
  card = (voice.SHIPPED / 'README.md').read_text()
  assert 'synthetic speech' in card and 'CC0-1.0' in card
