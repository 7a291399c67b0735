"""A folder of prepared segments as one page to read: hours, distributions, what was left out and why, pictures and sound.

The page stands alone and depends on the segments only, so it can be made again at any time and compared.
"""
from collections.abc import Iterator, Mapping
from pathlib import Path

from telugu_s2s.audio import files
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.corpora import licences
from telugu_s2s.preparation import checklist, segment, shards, table, tally
from telugu_s2s.preparation import report_page as page

NAME = 'report.html'
SKIPS = 'report.tsv'           # what never became a segment, beside the shards
MOST_HEARD = 12                # reasons with a segment that can be heard
SHORTEST = 512                 # samples that a spectrogram needs
BY = {'source': 'Source', 'style': 'Style', 'speaker': 'Speaker', 'gender': 'Gender', 'emotion': 'Emotion',
      'language': 'Language', 'split': 'Split', 'text_provenance': 'Where the text is from',
      'native_rate': 'Rate of the original'}


def run(config, workdir) -> Path:
  """The job 'report': the page of `config.segments`, or of segments/ below workdir."""
  path = write(config.segments or Path(workdir) / 'segments')
  print(f'report: {path}', flush=True)
  return path


def write(folder) -> Path:
  """Writes report.html into a folder of prepared segments, whole or not at all; its path. Same segments, same bytes.

  Raises:
    InputError: the folder holds no prepared segments, or one of its tables is missing or damaged.
  """
  folder = Path(folder)
  manifest = shards.read_manifest(folder, segment.KIND)
  counts = tally.tally(table.rows(folder, manifest))
  skipped = _skipped(folder / SKIPS)
  body = [*_head(folder, manifest, counts), *_checklist(counts), *_labels(counts), *_distributions(manifest, counts),
          *_left_out(folder, manifest, counts, skipped), *_heard(folder, counts)]
  files.write(folder / NAME, page.page(f'Prepared speech: {page.hours(counts.seconds)}', body).encode())
  return folder / NAME


def _head(folder, manifest, counts) -> Iterator[str]:
  made = manifest['made_from']
  yield '<h1>Prepared speech</h1>'
  source, profile = (page.text(made.get(name, 'unknown')) for name in ('source', 'profile'))
  notice = ' <a href="DATA_NOTICE.md">Whom it owes attribution</a>.' if (folder / 'DATA_NOTICE.md').is_file() else ''
  yield (f'<p class="soft">From {source}, profile {profile}, dataset '
         f'<code>{page.text(manifest.get("content", "")[:16])}</code>.{notice}</p>')
  known = {name: _count(counts.labels[name]) for name in ('speaker', 'source', 'licence')}
  gone = sum(one[1] for one in counts.dropped.hours.ordered())
  figures = [('kept', page.hours(counts.seconds)), ('segments', f'{counts.segments:,}'),
             *((f'{name}{"s" if value != "1" else ""}', value) for name, value in known.items()),
             ('segments left out', f'{gone:,}')]
  yield '<div class="figures">' + ''.join(f'<div class="card"><b>{value}</b>{name}</div>' for name, value in figures) + '</div>'
  rows = [(page.text(licence or 'unknown', 80), counts.licence_class.get(licence, ''), number, seconds)
          for licence, number, seconds in counts.labels['licence'].ordered()]
  rows.sort(key=lambda row: row[1])
  yield '<h2>Licences</h2>'
  yield page.table(('licence', 'class', 'segments', 'hours'),
                   [(name, f'{page.text(letter)}, {licences.CLASSES.get(letter, "unknown")}', f'{number:,}', page.hours(seconds))
                    for name, letter, number, seconds in rows[:40]], numbers=(2, 3))


def _checklist(counts) -> Iterator[str]:
  yield '<h2>The plan’s checklist</h2>'
  yield page.table(('wish', 'answer', 'from the data', 'missing'),
                   [(page.text(one.wish), f'<span class="answer {one.word}">{one.word}</span>', page.text(one.numbers),
                     page.text(one.missing)) for one in checklist.answers(counts)])


def _labels(counts) -> Iterator[str]:
  yield '<h2>Hours by label</h2><div class="grid">'
  for name, title in BY.items():
    yield page.bars(title, counts.labels[name].ordered(), most=20 if name == 'speaker' else 12)
  yield '</div>'


def _distributions(manifest, counts) -> Iterator[str]:
  filters = manifest['made_from'].get('filters') or {}
  yield '<h2>Distributions</h2>'
  yield ('<p class="soft"><span class="key kept"></span> kept, <span class="key gone"></span> left out by selection, in '
         'segments. Dashed lines are the limits of a filter.</p><div class="grid">')
  for name, measure in tally.MEASURES.items():
    if name in counts.histograms:
      yield page.histogram(name, measure.title, measure.unit, counts.histograms[name], filters.get(name, ()))
  yield '</div>'
  if counts.other_measures:
    yield page.table(('measure', 'segments', 'mean', 'least', 'greatest'),
                     [(page.text(name, 80), f'{one.count:,}', *(f'{value:.4g}' for value in (one.mean, one.least, one.most)))
                      for name, one in sorted(counts.other_measures.items()) if one.count], numbers=(1, 2, 3, 4))


def _left_out(folder, manifest, counts, skipped) -> Iterator[str]:
  yield '<h2>What was left out, and why</h2>'
  aside = {name: number for name, number in manifest.get('left_out', {}).items() if number}
  if aside:
    numbers = ', '.join(f'{number:,} by {page.text(name)}' for name, number in sorted(aside.items()))
    yield f'<p>Recordings that the settings left aside: {numbers}.</p>'
  reasons = manifest.get('skipped', {}) or {reason: number for reason, number, _ in skipped.hours.ordered()}
  link = f' Each is named in <a href="{SKIPS}">{SKIPS}</a>.' if (folder / SKIPS).is_file() else ''
  yield '<h3>Before they were segments</h3>'
  if reasons:
    yield (f'<p class="soft">Files, and spans of files, that could not be used.{link} Time is that of spans: the length of a '
           'file that cannot be read is not known.</p>')
  yield from _reasons(sorted(reasons.items(), key=lambda one: (-one[1], one[0])), skipped, _skip_cells,
                      ('path', 'span', 'detail'))
  yield '<h3>By selection</h3>'
  yield from _reasons([one[:2] for one in counts.dropped.hours.ordered()], counts.dropped, _segment_cells,
                      ('segment', 'length', 'speaker', 'text'))


def _reasons(reasons, left, cells, head) -> Iterator[str]:
  """A line and examples for each (reason, number)."""
  if not reasons:
    yield '<p class="soft">Nothing.</p>'
    return
  seconds = {reason: entry[1] for reason, entry in left.hours.by.items()}
  yield page.table(('reason', 'number', 'time'),
                   [(page.text(reason, 80), f'{number:,}', page.hours(seconds[reason]) if seconds.get(reason) else '—')
                    for reason, number in reasons[:tally.MOST_REASONS]], numbers=(1, 2))
  for reason, _ in reasons[:tally.MOST_REASONS]:
    if examples := left.examples(reason):
      yield f'<details><summary>{page.text(reason, 80)}: examples</summary>{page.table(head, map(cells, examples))}</details>'


def _heard(folder, counts) -> Iterator[str]:
  yield '<h2>Seen and heard</h2><h3>Kept</h3><div class="grid">'
  for one in counts.shown.chosen():
    yield _clip(folder, one)
  yield '</div>'
  reasons = [reason for reason, *_ in counts.dropped.hours.ordered()][:MOST_HEARD]
  if reasons:
    yield '<h3 style="margin-top:1rem">Left out by selection</h3><div class="grid">'
    for reason in reasons:
      examples = counts.dropped.examples(reason)
      yield _clip(folder, examples[len(examples) // 2])
    yield '</div>'


def _clip(folder, one: Mapping) -> str:
  """A figure of an example of a segment; without picture and sound where its record cannot be read."""
  try:
    samples = segment.from_bytes(shards.Records(folder / one['shard'])[one['index']]).audio
    picture = page.clip(samples if len(samples) >= SHORTEST else [*samples, *[0] * (SHORTEST - len(samples))])
  except (ValueError, RuntimeError, OSError):
    picture = '<p>Its record cannot be read.</p>'
  facts = [one[name] for name in ('speaker', 'style', 'emotion', 'source') if one[name]]
  long = f', the first {page.HEARD_S} s of' if one['seconds'] > page.HEARD_S else ','
  reason = f'<b>{page.text(one["dropped"], 80)}</b> · ' if one['dropped'] else ''
  language = ' lang="te"' if one['language'] == 'te' else ''
  said = f'<p{language}>{page.text(one["text"])}</p>' if one['text'] else ''
  return (f'<figure>{picture}<figcaption>{reason}<code>{page.text(one["id"], 120)}</code>{long} {one["seconds"]:.2f} s'
          f'{"".join(f" · {page.text(fact, 60)}" for fact in facts)}</figcaption>{said}</figure>')


def _skipped(path) -> tally.Left:
  """What a report.tsv holds; nothing where there is none."""
  left = tally.Left()
  if not path.is_file():
    return left
  with open(path, encoding='utf-8', errors='replace', newline='') as lines:
    next(lines, None)
    for line in lines:
      row = dict(zip(corpus.REPORT, line.rstrip('\n').split('\t')))
      start, end = _number(row.get('start_s')), _number(row.get('end_s'))
      left.add(row.get('reason', ''), None if end is None else end - (start or 0), lambda: row)
  return left


def _number(cell) -> float | None:
  try:
    return float(cell)
  except (TypeError, ValueError):
    return None


def _skip_cells(row):
  path, start, end, _, detail = (row.get(name, '') for name in corpus.REPORT)
  span = f'{start or 0} to {end} s' if end else f'from {start} s' if start else 'the file'
  return [page.text(path, 160), page.text(span), page.text(detail, 160)]


def _segment_cells(one):
  return [page.text(one['id'], 120), f'{one["seconds"]:.2f} s', page.text(one['speaker'], 60), page.text(one['text'], 120)]


def _count(labelled) -> str:
  """How many labels: 'none labelled', '7', or the greatest number and more."""
  if tally.OTHERS in labelled.by and labelled.known > labelled.most:
    return f'over {labelled.most:,}'
  return f'{labelled.known:,}' if labelled.known else 'not labelled'
