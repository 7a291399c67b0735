"""The pieces of an HTML page that stands alone: escaped text, tables with bars, histograms, and a clip to see and hear.

No script and nothing from outside; colours follow the reader's light or dark theme, pictures too. Pieces are strings of HTML.
"""
import base64
import html
import re
from collections.abc import Iterable, Sequence

import numpy as np

from telugu_s2s.audio import files, opus, pictures
from telugu_s2s.audio.mel import mel

KBPS = 24
HEARD_S = 12                     # of a clip: with EXAMPLES of every kind a page stays below 3 MB
WIDTH, HEIGHT = 360, 130         # of a histogram, in its own units
LEFT, BOTTOM = 8, 24
WAVE, BANDS = 40, 110            # heights of the two parts of a clip's picture
# What no text may hold in XML, lone surrogates among it.
FORBIDDEN = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]')

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1e23; --soft: #5a626d; --line: #d9dde3; --card: #f5f6f8;
  --kept: #2a6fb8; --gone: #b85c1e; --link: #1a5fa8 }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --ink: #e6e8eb; --soft: #a2abb6; --line: #363c45;
  --card: #1d2127; --kept: #6aa9ea; --gone: #e8965a; --link: #86bcf2 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, 'Noto Sans', 'Noto Sans Telugu', sans-serif; overflow-wrap: anywhere }
a { color: var(--link) }
h1 { font-size: 1.6rem; margin: .5rem 0 } h2 { margin: 2.2rem 0 .6rem; font-size: 1.25rem }
h3 { margin: 0 0 .3rem; font-size: 1rem }
p { margin: .4rem 0; max-width: 46rem } .soft, figcaption, summary, th { color: var(--soft) }
.grid { display: grid; gap: 1rem; align-items: start; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)) }
.card, figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem; margin: 0;
  min-width: 0 }
.figures { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); margin: 1rem 0 }
.figures b { display: block; font-size: 1.5rem; line-height: 1.2 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th { text-align: left; font-weight: normal }
th, td { padding: .15rem .5rem .15rem 0; vertical-align: top; border-top: 1px solid var(--line) } thead th { border-top: 0 }
h3 code { float: right; font-weight: normal; color: var(--soft) }
.scroll td { min-width: 6.2rem } .scroll td.number { min-width: 0 } td, b, code, h3, p, summary { unicode-bidi: isolate }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; overflow-wrap: normal }
td.name { width: 45%; min-width: 5rem } td.bar { width: 35% }
td.bar div { height: .8rem; margin-top: .3rem; min-width: 1px; background: var(--kept); border-radius: .15rem }
details { margin: .2rem 0 } summary { cursor: pointer }
svg { display: block; width: 100%; height: auto; font-size: 11px } svg text { fill: var(--soft) }
.kept { fill: var(--kept) } .gone { fill: var(--gone) } .axis { stroke: var(--soft) }
.limit { stroke: var(--ink); stroke-dasharray: 4 3 }
audio { width: 100%; height: 2.4rem; margin-top: .5rem }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .15em }
.key.kept { background: var(--kept) } .key.gone { background: var(--gone) }
.answer { font-weight: bold; white-space: nowrap } .yes::before { content: '✓ ' } .no::before { content: '✗ ' }
.partly::before { content: '◐ ' } .unknown::before { content: '? ' }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def page(title: str, body: Iterable[str]) -> str:
  """The whole document. title: text; body: HTML."""
  return PAGE.format(title=text(title), style=STYLE, body='\n'.join(body))


def text(value, signs: int = 400) -> str:
  """Anything as text of at most `signs` signs for between tags or in quotes; what no page may hold becomes U+FFFD."""
  value = str(value)
  return html.escape(FORBIDDEN.sub('\ufffd', value if len(value) <= signs else value[:signs - 1] + '…'))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
  """A table. head: text; rows: cells of HTML; numbers: the columns that are set right."""
  right = set(numbers)

  def line(kind, cells):
    return '<tr>' + ''.join(f'<{kind}{" class=number" if column in right else ""}>{cell}</{kind}>'
                            for column, cell in enumerate(cells)) + '</tr>'

  return '\n'.join(['<div class="scroll"><table>', '<thead>', line('th', map(text, head)), '</thead>', '<tbody>',
                    *(line('td', row) for row in rows), '</tbody></table></div>'])


def bars(title: str, entries: Sequence[tuple[str, int, float]], most: int = 12) -> str:
  """A card with the hours of each label as a bar, the largest first, and the rest in one line.

  Args:
    entries: (label, segments, seconds), ordered; '' is 'not labelled'.
    most: labels that are shown.
  """
  total = sum(one[2] for one in entries) or 1
  longest = max((one[2] for one in entries[:most]), default=0) or 1
  share = lambda seconds: f'{hours(seconds)} · {100 * seconds / total:.0f} %'
  lines = [f'<div class="card"><h3>{text(title)}</h3><table><tbody>']
  for label, segments, seconds in entries[:most]:
    lines.append(f'<tr><td class="name">{text(label, 80) if label else "<i>not labelled</i>"}</td>'
                 f'<td class="bar"><div style="width:{100 * seconds / longest:.1f}%"></div></td>'
                 f'<td class="number" title="{segments:,} segments">{share(seconds)}</td></tr>')
  if rest := entries[most:]:
    lines.append(f'<tr><td class="name"><i>{len(rest):,} more</i></td><td></td>'
                 f'<td class="number">{share(sum(one[2] for one in rest))}</td></tr>')
  return '\n'.join([*lines, '</tbody></table></div>'])


def histogram(name: str, title: str, unit: str, counts, limits: Sequence[float | None] = (None, None)) -> str:
  """A figure of a tally.Histogram: kept values, dropped ones on top of them, and the limits of a filter as dashed lines.

  name: of the measure in a segment's record, by which filters know it.
  """
  low, high, bins = counts.low, counts.high, len(counts.kept)
  top = max(map(sum, zip(counts.kept, counts.dropped))) or 1
  width, height = (WIDTH - 2 * LEFT) / bins, HEIGHT - BOTTOM - 14
  columns = {'kept': '', 'gone': ''}
  for bin, (kept, gone) in enumerate(zip(counts.kept, counts.dropped)):
    base = 14 + height
    for kind, count in (('kept', kept), ('gone', gone)):
      if count:
        tall = max(height * count / top, 0.5)
        base -= tall
        columns[kind] += f'M{LEFT + bin * width:.1f} {base:.1f}h{width - 0.8:.1f}v{tall:.1f}h{0.8 - width:.1f}z'
  across = lambda value: LEFT + (WIDTH - 2 * LEFT) * min(max((value - low) / (high - low), 0), 1)
  parts = [f'<path class="{kind}" d="{path}"/>' for kind, path in columns.items() if path]
  parts.append(f'<path class="axis" d="M{LEFT} {14 + height}H{WIDTH - LEFT}"/>')
  parts.append(f'<text x="{LEFT}" y="10">{top:,}</text>')
  for step in range(5):
    value = low + (high - low) * step / 4
    sign = '≤ ' if step == 0 and counts.outside[0] else '≥ ' if step == 4 and counts.outside[1] else ''
    anchor = ('start', 'middle', 'middle', 'middle', 'end')[step]
    parts.append(f'<text x="{across(value):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{sign}{value:g}</text>')
  for value in limits:
    if value is not None and low < value < high:
      side, shift = ('end', -3) if value > (low + high) / 2 else ('start', 3)
      parts.append(f'<path class="limit" d="M{across(value):.1f} 12V{14 + height}"/>'
                   f'<text x="{max(across(value), 50) + shift:.1f}" y="10" text-anchor="{side}">limit {value:g}</text>')
  said = 'none kept'
  if counts.count:
    said = f'{counts.count:,} segments, mean {counts.mean:.4g}, {counts.least:.4g} to {counts.most:.4g}'
  heading = f'{text(title)}{f", {text(unit)}" if unit else ""}'
  return (f'<figure><h3>{heading} <code>{text(name)}</code></h3><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{heading}: {said}">'
          f'{"".join(parts)}</svg><figcaption>{said}</figcaption></figure>')


def clip(samples, rate: int = files.SAMPLE_RATE) -> str:
  """Waveform over spectrogram, and a player. samples: f32[samples], longer than 32 ms; HEARD_S of them are taken."""
  samples = np.asarray(samples, np.float32)[:HEARD_S * rate]
  seconds, image = len(samples) / rate, base64.b64encode(pictures.heat(samples, rate)).decode()
  sound = base64.b64encode(opus.encoded(samples, KBPS, rate)).decode()
  left, right, tall = 30, WIDTH - 4, WAVE + BANDS
  parts = [f'<path class="kept" d="{_envelope(samples, left, right)}"/>',
           f'<image href="data:image/png;base64,{image}" x="{left}" y="{WAVE}" width="{right - left}" height="{BANDS}" '
           'preserveAspectRatio="none"/>']
  for hertz in pictures.TICKS_HZ[2:]:
    parts.append(f'<text x="{left - 3}" y="{tall - BANDS * mel(hertz) / mel(rate / 2) + 4:.1f}" text-anchor="end">'
                 f'{hertz if hertz < 1000 else f"{hertz // 1000}k"}</text>')
  step = 1 if seconds <= 6 else 2
  for second in range(0, int(seconds) + 1, step):
    across = left + (right - left) * second / seconds
    parts.append(f'<text x="{across:.1f}" y="{tall + 13}" text-anchor="middle">{second}</text>')
  said = f'waveform and spectrogram of {seconds:.1f} s, 0 to {rate // 2} Hz'
  return (f'<svg viewBox="0 0 {WIDTH} {tall + 18}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
          f'<audio controls preload="metadata" src="data:audio/ogg;base64,{sound}"></audio>')


def hours(seconds: float) -> str:
  """'1,234.5 h' or '12.34 h'; minutes below one hour, seconds below one minute."""
  if seconds < 3600:
    return f'{seconds / 60:.1f} min' if seconds >= 60 else f'{seconds:.1f} s'
  return f'{seconds / 3600:,.{1 if seconds >= 360_000 else 2}f} h'


def _envelope(samples, left, right):
  """The path of a waveform in the picture of a clip: what lies between the least and greatest of each column."""
  columns = min(300, len(samples))
  edges = np.linspace(0, len(samples), columns + 1).astype(int)
  peak = max(float(np.abs(samples).max()), 1e-3)
  high, low = np.maximum.reduceat(samples, edges[:-1]) / peak, np.minimum.reduceat(samples, edges[:-1]) / peak
  middle, half = WAVE / 2 - 1, WAVE / 2 - 3
  across = np.linspace(left, right, columns)
  points = [*zip(across, middle - half * high - 0.3), *zip(across[::-1], middle - half * low[::-1] + 0.3)]
  return 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in points) + 'z'
