"""The text slot's vocabulary: unigram pieces of Telugu and Latin text, and the bytes of everything else.

Whatever the text, nothing of it is lost: a sign that the vocabulary lacks becomes the pieces of its UTF-8 bytes.
"""
import dataclasses
import functools
import hashlib
import io
import string
import unicodedata
from pathlib import Path

import sentencepiece

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder, licences, sample
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import read, shards

KIND, VERSION = 'vocabulary', 1
FILE = 'vocabulary.model'        # in a folder of its own, of a run or of a packed model
PAD, EPAD, BOS, EOS = range(4)   # nothing is said; a word comes next; a text begins, and ends
SPECIALS = ('<pad>', '<epad>', '<bos>', '<eos>')
UNKNOWN = 4                      # the library wants one; with the bytes at hand it is never given
BYTES = range(5, 261)
SPACE = '\u2581'                 # how the library writes a space within a piece
# Each is a piece of its own, whether the texts have it or not.
LETTERS = string.ascii_letters + string.digits + ''.join(
    chr(code) for code in range(0x0c00, 0x0c80) if unicodedata.category(chr(code))[0] in 'LMN')


def normal(text: str) -> str:
  """A text as it is encoded: composed (NFC), single spaces between words, none around them."""
  text = text.replace(SPACE, ' ').encode('utf-8', 'replace').decode()
  return unicodedata.normalize('NFC', ' '.join(text.split()))


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """Texts to numbers and back."""
  model: bytes                   # of sentencepiece

  @property
  def name(self) -> str:
    """Its size and a hash of what it is."""
    return f'te-{len(self)}-{hashlib.sha256(self.model).hexdigest()[:12]}'

  @functools.cached_property
  def _pieces(self):
    return sentencepiece.SentencePieceProcessor(model_proto=self.model)

  def __len__(self) -> int:
    return self._pieces.vocab_size()

  def encode(self, text: str) -> list[int]:
    """The numbers of a text's pieces, those of its words one after the other; [] where it is empty."""
    text = normal(text)
    return self._pieces.encode(' ' + text) if text else []

  def decode(self, numbers) -> str:
    """The text of numbers, whose specials are passed over: `normal(text)` of those that `encode` gave."""
    return self._pieces.decode([int(number) for number in numbers if number > UNKNOWN]).removeprefix(' ')

  def pieces(self, text: str) -> list[str]:
    """What a text falls into, to be looked at."""
    return [self._pieces.id_to_piece(number) for number in self.encode(text)]

  def __reduce__(self):            # grain's workers get the bytes and make the rest anew
    return Vocabulary, (self.model,)


def trained(texts, size: int) -> Vocabulary:
  """A vocabulary of at most `size` pieces for texts; the order and the number of equal texts change nothing.

  Raises:
    InputError: there is no text, or the size has no room for the bytes and the letters of the texts.
  """
  texts = sorted({normal(text) for text in texts} - {''})
  if not texts:
    raise InputError('config.texts, config.segments: there is no text in them')
  result = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(' ' + text for text in texts), model_writer=result, model_type='unigram', vocab_size=size,
        # One thread: sums in another order would give other pieces.
        num_threads=1, hard_vocab_limit=False, character_coverage=1 - 1e-5, byte_fallback=True, split_digits=True,
        required_chars=LETTERS, normalization_rule_name='identity', add_dummy_prefix=False, remove_extra_whitespaces=False,
        max_sentence_length=1 << 16, pad_id=PAD, control_symbols=[SPECIALS[EPAD]], bos_id=BOS, eos_id=EOS, unk_id=UNKNOWN,
        pad_piece=SPECIALS[PAD], bos_piece=SPECIALS[BOS], eos_piece=SPECIALS[EOS], minloglevel=2)
  except (RuntimeError, OSError, ValueError) as problem:
    raise InputError(f'config.size: {size} pieces are too few for {len(texts)} texts: {BYTES.stop} are specials and bytes, '
                     f'{len(LETTERS)} are letters of Telugu and Latin, and the texts may have others') from problem
  return Vocabulary(result.getvalue())


def save(path, vocabulary: Vocabulary, facts: dict) -> None:
  """Writes a vocabulary as one file that says what it is. facts: anything JSON can say of how it was made."""
  header = {'name': vocabulary.name, 'pieces': len(vocabulary), 'specials': SPECIALS, 'normal': 'NFC', 'made_from': facts}
  files.write(path, shards.pack(KIND, VERSION, header, vocabulary.model))


def load(path) -> Vocabulary:
  """The vocabulary in a file. Raises InputError where there is none, it is no vocabulary, or is damaged; the message says which."""
  try:
    _, _, model = shards.unpack(Path(path).read_bytes(), KIND, VERSION)
  except FileNotFoundError:
    raise InputError(f'{path}: no such vocabulary; make one with configs/vocabulary.py') from None
  except (OSError, ValueError) as problem:
    raise InputError(f'{path}: no vocabulary ({problem}); make one with configs/vocabulary.py') from None
  return Vocabulary(model)


def run(config, workdir) -> Vocabulary:
  """The job 'vocabulary': texts to `vocabulary.model` in workdir."""
  texts, bad = lines(config.texts)
  if config.segments:
    texts += transcripts(config.segments)
  if not config.texts and not config.segments:
    texts = [one.text for one in folder.recordings(sample.folder(), licences.OWN)[0] if one.split == 'train']
  found = trained(sample_of(texts, config.most), config.size)
  path = Path(workdir) / FILE
  save(path, found, {'texts': hashlib.sha256('\n'.join(sorted(set(texts))).encode('utf-8', 'replace')).hexdigest(),
                     'most': config.most, 'size': config.size})
  numbers = [found.encode(text) for text in texts]
  pieces, words = sum(map(len, numbers)), sum(len(text.split()) for text in texts)
  spelt = sum(number in BYTES for row in numbers for number in row)
  print(f'vocabulary {found.name}: {len(found)} pieces from {len(texts)} texts, {words} words; {pieces / words:.2f} pieces a '
        f'word, {spelt} of {pieces} are bytes' + (f'; {bad} lines that are no UTF-8 left out' if bad else ''))
  print(f'{path}', flush=True)
  return found


def lines(given: str) -> tuple[list[str], int]:
  """Lines of the text files in a comma list of files and folders of .txt, and how many were left out as no UTF-8."""
  found, bad = [], 0
  for place in (Path(part.strip()) for part in given.split(',') if part.strip()):
    paths = sorted(place.rglob('*.txt')) if place.is_dir() else [place]
    if not paths:
      raise InputError(f'config.texts: there is no .txt file in {place}')
    for path in paths:
      try:
        content = path.read_bytes()
      except OSError as problem:
        raise InputError(f'config.texts: {path}: {problem.strerror}') from None
      if b'\0' in content:                       # a recording, or text in another encoding, is mostly no lines
        raise InputError(f'config.texts: {path} is no text in UTF-8; give .txt files, a sentence a line')
      for line in content.splitlines():
        try:
          found.append(line.decode('utf-8-sig'))
        except UnicodeDecodeError:
          bad += 1
  return found, bad


def transcripts(segments) -> list[str]:
  """The transcripts of a folder of prepared segments, of those that have one."""
  return [labels['text'] for labels, _ in read.Segments(segments).outlines() if labels['text']]


def sample_of(texts, most: int) -> list[str]:
  """At most so many of the different texts, chosen by their hashes, so that order and seed have no part in it."""
  different = sorted(set(texts), key=lambda text: hashlib.sha256(text.encode('utf-8', 'replace')).digest())
  return different[:most]
