"""The page that goes with a packed model, and its notice: made of facts alone, so that it cannot say more than is known."""
from telugu_s2s.codec.model import Config as CodecConfig
from telugu_s2s.corpora import licences
from telugu_s2s.lm.model import Config
from telugu_s2s.tokens import labels

SYNTHETIC = ('Everything that this model says is synthetic speech. Say so where it is heard; do not use it to pass for a person, '
             'and imitate nobody who has not agreed to it.')
MOST_SPEAKERS = 20               # that the card names

CARD = """\
---
language: te
library_name: telugu_s2s
pipeline_tag: audio-to-audio
tags: [speech-to-speech, telugu, jax]
{licence}---
# {name}

A Telugu voice: {rate} Hz speech in, {rate} Hz speech out, {frame_rate:g} times a second. Made by `telugu_s2s` and read by it:

    from telugu_s2s.training import runs
    voice = runs.voice('FOLDER')              # or 'owner/name' of a hub

**{synthetic}**

## What it is

| | |
|---|---|
| stage | {stage}, step {step} |
| parameters | {parameters:,}, kept in {precision} |
| width, layers | {width}, {layers}; depth transformer {depth_width}, {depth_layers} |
| codec | {codec}: {codebooks} codes of {codes}, {codec_note} |
| code that trained it | {revision} |
| speakers | {speakers} |
| emotions | {emotions} |
| prosody knobs | {knobs} |

## What it learnt from

{data}

Licence classes: {classes}. {profile} Attribution stands in `NOTICE`.

## Measured

{measured}

## What is not known

No listening test belongs to these numbers. How it treats accents, ages and voices that are not in its data was not measured.
{licence_note}
"""


def card(facts: dict, model: Config, codec: CodecConfig, table: labels.Table) -> str:
  """The text of README.md. facts: as packaging.facts_of gives them, with `parameters`."""
  rows, named = facts['data'], table.speakers[:model.speakers]
  found = sorted({licences.licence_class(row['licence']) for row in rows})
  fitting = [name for name, letters in licences.PROFILES.items() if set(found) <= set(letters)]
  knobs = ', '.join((*(table.edges if model.knob_bins else ()), *(table.told_apart if model.nonverbal else ())))
  licence = facts['licence']
  some = ', '.join(f'`{name}`' for name in named[:MOST_SPEAKERS])
  some += f' and {len(named) - MOST_SPEAKERS} more' if len(named) > MOST_SPEAKERS else ''
  return CARD.format(
      licence=f'license: {licence.lower()}\n' if licence else '', name=facts['name'], rate=codec.rate,
      frame_rate=codec.frame_rate, synthetic=SYNTHETIC, stage=facts['stage'], step=facts['step'],
      parameters=facts['parameters'], precision=facts['precision'],
      width=model.width, layers=model.layers, depth_width=model.depth_width, depth_layers=model.depth_layers,
      codec=facts['codec'], codebooks=codec.codebooks, codes=codec.codes,
      codec_note=('in `codec.safetensors`' if facts['codec_too'] else 'in every installed package') + (
          ', a released one' if facts['codec_released'] else ''),
      revision=facts['revision'] or 'not known', speakers=some or 'none to choose from',
      emotions=', '.join(table.felt if model.emotions else ()) or 'none to choose from', knobs=knobs or 'none',
      data=data_table(rows), classes='; '.join(f'{letter} ({licences.CLASSES[letter]})' for letter in found),
      profile=f'The strictest build profile with all of it is `{fitting[0]}`.' if fitting else 'No build profile has all of it.',
      measured=measured(facts),
      licence_note=f'The weights are given under {licence}.' if licence else 'No licence for the weights has been stated.')


def data_table(rows) -> str:
  lines = ['| source | licence | class | hours | speakers |', '|---|---|---|---|---|']
  cell = lambda text: text.replace('|', '\\|').replace('\n', ' ')
  lines += [f'| {cell(row["source"])} | {cell(row["licence"]) or "unknown"} | {licences.licence_class(row["licence"])} '
            f'| {row["seconds"] / 3600:.2f} | {row["speakers"] or "not labelled"} |' for row in rows]
  return '\n'.join(lines)


def measured(facts) -> str:
  """The numbers of the run's summary, held out, one a line, under the names that it has for them."""
  lines = [f'| {name} | {value:{",.4g" if isinstance(value, float) else ","}} |' for name, value in numbers(facts['measured'])]
  text = '\n'.join(['As `summary.json` of the run has them; losses in nats a code, on clips that were held out.', '',
                    '| | |', '|---|---|', *lines] if lines else ['Nothing: the run left no summary.'])
  if cost := facts.get('loss_of_precision'):
    text += (f'\n\nKept in {facts["precision"]}, the held-out loss is {cost["packed"]:.4f} nats a code '
             f'instead of {cost["float32"]:.4f} ({cost["packed"] - cost["float32"]:+.5f}).')
  return text


def numbers(summary, before=''):
  """(name, number) of everything in a nested summary but lists and times of the wall."""
  for name, value in summary.items():
    if isinstance(value, dict) and name != 'wall_s':
      yield from numbers(value, f'{before}{name}: ')
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
      yield f'{before}{name}', value


def notice(facts) -> str:
  """The text of NOTICE: that the voice is synthetic, and whom its data owes attribution."""
  codec = ('The codec is the one released with telugu_s2s, under Apache-2.0; its model card there names its data '
           'and their licences.' if facts['codec_released'] else
           f'The codec {facts["codec"]} was trained apart; its data are not listed here.')
  rows = licences.notice(facts['data']).replace('The recordings in this folder come from these sources.',
                                                'The model learnt from recordings of these sources; none is in this folder.')
  return f'{SYNTHETIC}\n\n{rows}\n{codec}\n'
