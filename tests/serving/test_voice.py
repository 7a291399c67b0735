"""The voice that the package ships can be talked to as it comes."""
import json

import numpy as np
import pytest

from telugu_s2s.audio import files
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import recipes, reply
from telugu_s2s.serving import voice
from telugu_s2s.training import packed


def test_the_shipped_voice_loads_and_says_what_it_is():
  found = voice.load('')
  assert found.name == 'toy' and voice.DEFAULT in found.names and 'espeak-ng/espeak-mezzo' in found.names
  assert found.emotions == ('neutral', 'happy') and found.codec.name == json.loads((packed.SHIPPED / 'config.json').read_text())['codec']['name']
  card = (packed.SHIPPED / 'README.md').read_text()
  assert 'synthetic speech' in card and 'CC0-1.0' in card


def test_the_shipped_voice_is_not_asked_for_what_it_never_heard(tmp_path):
  with pytest.raises(InputError, match="emotion 'sad': there were no clips of it to learn from; give one of neutral, happy"):
    reply.run(recipes.of('reply', emotion='sad'), tmp_path)


@pytest.mark.slow
def test_the_shipped_voice_answers_a_recording_without_a_run(tmp_path):
  config = recipes.of('reply', emotion='happy', speaker='espeak-mezzo', seconds=2.0, count=1)
  assert not config.run
  reply.run(config, tmp_path)
  [answer] = (tmp_path / 'replies').glob('*-0.wav')
  assert np.abs(files.read(answer)[0]).max() > 0.05
