"""What corpora write about people and splits, in the words of a manifest, and what transcripts mark between words."""
import re

# Common Voice has written three forms, AI4Bharat and RESPIN others; IndicTTS codes 0 as female and is not read here.
GENDERS = {'m': 'm', 'male': 'm', 'male_masculine': 'm', '0': 'm', 'f': 'f', 'female': 'f', 'female_feminine': 'f', '1': 'f',
           'other': 'o', 'others': 'o', 'transgender': 'o', 'non-binary': 'o', '2': 'o'}
EMOTIONS = {'happy': 'happy', 'happiness': 'happy', 'joy': 'happy', 'sad': 'sad', 'sadness': 'sad', 'anger': 'angry', 'angry': 'angry',
            'fear': 'fear', 'disgust': 'disgust', 'surprise': 'surprise', 'neutral': 'neutral'}
# As transcripts of IndicVoices write them.
MARKS = {'breath': re.compile(r'<(breath\w*|inhal\w*|sigh\w*)>', re.IGNORECASE), 'filler': re.compile(r'<(um+|uh+|hm+|er+)>', re.IGNORECASE)}
# Laughter, noise and the like, as transcribers write them; and in braces, as Vaani has it, the English spelling of the word before.
TAGS = re.compile(r'<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}')
HELD_OUT = ('dev', 'test', 'valid', 'validation', 'eval', 'testkn', 'testunk')


def gender(label) -> str:
  """'m', 'f', 'o' or 'u' for what corpora write."""
  return GENDERS.get(str(label).strip().lower(), 'u')


def emotion(label) -> str:
  """One of seven emotions for what a corpus writes, '' where that names none, such as a style of reading."""
  return EMOTIONS.get(str(label).strip().lower(), '')


def held_out(name: str) -> bool:
  """Whether the name of a file or folder has a word for a part that is held out, as 'te-Valid-00000-of-00003' has."""
  return bool(set(re.split('[-_. ]', name.lower())) & set(HELD_OUT))


def spoken(text: str) -> str:
  """A transcript without its tags, with single blanks: what is said in words."""
  return ' '.join(TAGS.sub(' ', text).split())
