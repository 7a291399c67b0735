"""The job that writes Telugu dialogues and small stories from a grammar: templates whose slots are drawn, distinct by the thousand."""
import dataclasses
import re
import tomllib
from pathlib import Path

import numpy as np

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.dialogue.sample import SENTENCE
from telugu_s2s.errors import InputError

GRAMMAR = Path(__file__).with_suffix('.toml')
TRIES = 200                    # draws of a template in a row that give nothing new, after which it counts as used up
SLOT = re.compile(r'\{([a-z_]+)(\d?)\}')


@dataclasses.dataclass(frozen=True)
class Template:
  """What is said in one go: its sentences, with slots, and the kind of each."""
  topic: str
  kinds: tuple[str, ...]         # question and answer, or story
  sentences: tuple[str, ...]


def run(config, workdir) -> list[dict]:
  """The job: `config.count` dialogues and stories as a sentences.tsv that configs/sample.py speaks. Returns its rows."""
  slots, templates = load(config.grammar or GRAMMAR)
  if not 0 <= config.eval_share < 1:
    raise InputError(f'config.eval_share {config.eval_share}: give a share from 0 to below 1')
  rows = written(slots, templates, config.count, config.seed, config.eval_share)
  path = Path(workdir) / 'sentences.tsv'
  files.write(path, corpus.table(SENTENCE, rows))
  held = sum(row['split'] == 'eval' for row in rows)
  print(f'{path}: {config.count} dialogues and stories, {len(rows)} sentences, all distinct, {held} of them held out')
  return rows


def load(path) -> tuple[dict[str, list[str]], list[Template]]:
  """The slots and templates of a grammar's file, TOML.

  Raises:
    InputError: it is missing or none, or a template names a slot that is not there or has too few values.
  """
  try:
    found = tomllib.loads(Path(path).read_text('utf-8'))
    slots = {name: list(values) for name, values in found['slots'].items()}
    templates = [Template(one['topic'], ('question', 'answer'), (one['question'], one['answer'])) for one in found.get('dialogue', ())]
    templates += [Template(one['topic'], ('story',) * len(one['sentences']), tuple(one['sentences'])) for one in found.get('story', ())]
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
    raise InputError(f'config.grammar: {path} is no grammar ({problem}); see {GRAMMAR.name} of the package') from None
  if not templates:
    raise InputError(f'config.grammar: {path} has neither a [[dialogue]] nor a [[story]]')
  for one in templates:
    for name, values in wanted(one).items():
      if len(set(slots.get(name, ()))) < values:
        raise InputError(f'config.grammar: {path}: {one.sentences[0]!r} takes {values} values of slots.{name}, which has '
                         f'{len(set(slots.get(name, ())))}')
  return slots, templates


def wanted(template: Template) -> dict[str, int]:
  """{slot: how many different values of it} that a template takes."""
  found = {}
  for name, number in SLOT.findall(' '.join(template.sentences)):
    found[name] = max(found.get(name, 1), int(number or 1))
  return found


def written(slots, templates, count: int, seed: int, eval_share: float = 0.0) -> list[dict]:
  """The sentences of `count` dialogues and stories, from all templates in turn; no sentence comes twice, not even between splits.

  Raises:
    InputError: the grammar does not have so many.
  """
  rng, left, seen, rows, made = np.random.default_rng(seed), list(templates), set(), [], 0
  while made < count:
    if not left:
      raise InputError(f'config.count {count}: the grammar has about {made} dialogues without a sentence twice; give fewer, or add '
                       'slots and templates to a file of your own, config.grammar')
    template = left[made % len(left)]
    sentences = next((said for _ in range(TRIES) if not seen & set(said := filled(template, slots, rng))), None)
    if sentences is None:
      left.remove(template)
      continue
    seen |= set(sentences)
    split = 'eval' if rng.random() < eval_share else 'train'
    for turn, (kind, text) in enumerate(zip(template.kinds, sentences), 1):
      rows.append(dict(zip(SENTENCE, (f'{kind[0]}{made:06}' + (f'-{turn}' if kind == 'story' else ''), kind, template.topic,
                                      f'{"pair" if kind != "story" else "story"}{made:06}', turn, text, split))))
    made += 1
  return rows


def filled(template: Template, slots, rng) -> list[str]:
  """The sentences of a template with values drawn for its slots."""
  drawn = {name: rng.permutation(slots[name])[:values] for name, values in wanted(template).items()}
  return [SLOT.sub(lambda slot: str(drawn[slot[1]][int(slot[2] or 1) - 1]), sentence) for sentence in template.sentences]
