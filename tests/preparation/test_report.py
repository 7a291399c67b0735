"""The report says what the tables say, in a page that is whole, closed to what labels try, small, and always the same."""
import base64
import html.parser
import io
import itertools
import tracemalloc

import numpy as np
import pytest
import soundfile

from telugu_s2s import main
from telugu_s2s.corpora import catalogue
from telugu_s2s.corpora import folder as corpus
from telugu_s2s.errors import InputError
from telugu_s2s.preparation import checklist, report, report_page, segment, shards, table, tally
from telugu_s2s.preparation.segment import Segment

VOID = {'meta', 'br', 'img', 'input', 'link', 'hr'}
HOSTILE = '"><script>alert(1)</script><img src=http://x.test/a.png onerror=\'x\'>&amp;\x00\x1b\u202e'
QUALITY = {'snr_db': 31.5, 'clipped': 0.0, 'bandwidth_hz': 7800, 'rms_dbfs': -23.0, 'native_rate': 48000}


class Strict(html.parser.HTMLParser):
  """Collects the text and tags of a page, each of which is closed in its turn."""

  def __init__(self, page):
    super().__init__()
    self.open, self.tags, self.text = [], [], []
    self.feed(page)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attributes):
    assert len(dict(attributes)) == len(attributes), f'{tag} has an attribute twice'
    self.tags.append((tag, dict(attributes)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attributes):
    self.tags.append((tag, dict(attributes)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] != 'style':
      self.text.append(data)


def tone(seconds, hertz=200.0):
  time = np.arange(int(seconds * 16000)) / 16000
  return np.round(8000 * np.sin(2 * np.pi * hertz * time)).astype(np.float32) / 32768


def part(index=0, seconds=1.5, **fields):
  return Segment(**{'id': f'a{index}.wav#0', 'audio': tone(seconds, 100 + 10 * index), 'source': 'tales', 'revision': 'r', 'path':
                    f'a{index}.wav', 'start_s': 0.0, 'licence': 'CC-BY-4.0', 'licence_class': 'B', 'quality': QUALITY, **fields})


def made(folder, parts, dropped=None, skips=(), **made_from):
  """A folder as preparation leaves it, in one shard. dropped: {reason: numbers}."""
  row = shards.write(folder, 'one', [segment.to_bytes(one) for one in parts])
  table.write(folder, 'one', [table.of(one, '') for one in parts])
  if dropped:
    row['dropped'] = {reason: shards.ranges(numbers) for reason, numbers in dropped.items()}
  corpus.report(folder / 'report.tsv', skips)
  shards.write_manifest(folder, segment.KIND, segment.VERSION, {'source': 'x', 'profile': 'research', **made_from}, [row],
                        skipped=corpus.reasons(skips), left_out={'split': 3, 'exclude': 0})
  return folder


def read(folder):
  return Strict(report.write(folder).read_text(encoding='utf-8'))


LABELS = {name: value for name, value in vars(part(0)).items() if name != 'audio'}


def row(index, **fields):
  return LABELS | {'id': f'{index}', 'seconds': 2.0, 'shard': 'one', 'index': index, 'dropped': '', **fields}


def test_numbers_are_those_of_the_rows(tmp_path):
  parts = [part(index, 1 + index / 4, speaker=f's{index % 3}', style='read' if index < 4 else 'conversation', text='నమస్కారం')
           for index in range(10)]
  skips = [corpus.Skip('b.wav', 'clipped', '9 %', 1.0, 4.0), corpus.Skip('c.wav', 'corrupt'), corpus.Skip('d.wav', 'clipped', '', 0.0, 3.0)]
  folder = made(tmp_path, parts, {'near duplicate': [2, 7], 'filter snr_db': [9]}, skips, filters={'snr_db': [25, 70]})
  page = read(folder)
  text = ' '.join(' '.join(page.text).split())
  seconds = [one.seconds for one in parts]
  kept = sum(seconds) - seconds[2] - seconds[7] - seconds[9]
  assert f'{kept:.1f} s kept 7 segments 3 speakers 1 source 1 licence 3 segments left out' in text
  assert f'read {sum(seconds[:4]) - seconds[2]:.1f} s' in text
  assert f'near duplicate 2 {seconds[2] + seconds[7]:.1f} s' in text and 'filter snr_db 1' in text
  assert 'clipped 2 6.0 s' in text and 'corrupt 1 —' in text and '3 by split' in text and 'exclude' not in text
  assert 'limit 25' in text and 'limit 70' in text and 'నమస్కారం' in text and 'CC-BY-4.0 B, attribution 7' in text
  assert text.count('limit') - text.count('limits') == 2
  assert len([tag for tag, _ in page.tags if tag == 'audio']) == 6 + 2      # kept ones, and one of each reason
  assert ('a', {'href': 'report.tsv'}) in page.tags


def test_sound_and_picture_are_in_the_page_and_of_the_segment(tmp_path):
  page = read(made(tmp_path, [part(0, 14.0)]))
  sound = next(attributes['src'] for tag, attributes in page.tags if tag == 'audio')
  samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound.removeprefix('data:audio/ogg;base64,'))))
  assert len(samples) / rate == pytest.approx(report_page.HEARD_S, abs=0.1)
  spectrum = np.abs(np.fft.rfft(samples))
  assert spectrum.argmax() * rate / len(samples) == pytest.approx(100, abs=2)
  image = next(attributes['href'] for tag, attributes in page.tags if tag == 'image')
  assert base64.b64decode(image.removeprefix('data:image/png;base64,')).startswith(b'\x89PNG')
  assert f'first {report_page.HEARD_S} s' in ' '.join(page.text)


def test_labels_cannot_leave_their_place(tmp_path):
  fields = ('id', 'path', 'source', 'speaker', 'style', 'emotion', 'gender', 'language', 'text', 'licence', 'split', 'dialogue',
            'licence_class', 'text_provenance')
  parts = [part(index, **dict.fromkeys(fields, HOSTILE + 'x' * 5000 * index)) for index in range(2)]
  parts[1].quality[HOSTILE] = 1.0
  skips = [corpus.Skip(HOSTILE, HOSTILE, HOSTILE)]
  page = read(made(tmp_path, parts, {HOSTILE: [1]}, skips, source=HOSTILE, profile=HOSTILE))
  QUALITY.pop(HOSTILE)
  assert not {tag for tag, _ in page.tags} & {'script', 'img', 'iframe', 'link', 'object', 'form'}
  for tag, attributes in page.tags:
    assert not [name for name in attributes if name.startswith('on')]
    for name in ('src', 'href'):
      assert attributes.get(name, 'data:').startswith('data:') or attributes[name] in ('report.tsv', 'DATA_NOTICE.md')
  text = ' '.join(page.text)
  assert '<script>alert(1)</script>' in text and '\x00' not in text and '\x1b' not in text and 'x' * 1000 not in text


def test_a_page_is_the_same_each_time_and_asks_nothing_of_others(tmp_path):
  folder = made(tmp_path, [part(index) for index in range(3)], {'duplicate': [1]})
  first = report.write(folder).read_bytes()
  assert report.write(folder).read_bytes() == first
  assert b'http' not in first.replace(b'http-equiv', b'') and b'<script' not in first and b'@import' not in first
  assert not list(folder.glob('.tmp-*'))


@pytest.mark.parametrize('quality', [{}, {'snr_db': None, 'native_rate': None}, {'syllables_from': 'text', 'odd': True}])
def test_a_single_segment_without_labels_and_measures_is_a_page(tmp_path, quality):
  page = read(made(tmp_path, [part(0, 0.01, quality=quality, source='', licence='', licence_class='D')]))
  text = ' '.join(page.text)
  assert 'not labelled' in text and 'not measured' in text and 'D, non-commercial, no derivatives, unclear or unknown' in text


def test_segments_that_are_all_left_out_are_a_page(tmp_path):
  text = ' '.join(read(made(tmp_path, [part(0), part(1)], {'duplicate': [0, 1]})).text)
  assert '0.0 s' in text and 'none kept' in text


def test_a_record_that_cannot_be_read_costs_its_picture_only(tmp_path):
  folder = made(tmp_path, [part(0), part(1)])
  path = folder / 'one.array_record'
  path.write_bytes(path.read_bytes()[:-4000])
  page = read(folder)
  assert 'cannot be read' in ' '.join(page.text) and '2' in page.text


@pytest.mark.slow
def test_the_largest_page_stays_under_3_mb(tmp_path):
  random = np.random.default_rng(0)
  gains = np.repeat(10 ** random.uniform(-3, 0, 13 * 50), 320)      # another loudness every 20 ms: much to draw
  noise = np.round(random.uniform(-9000, 9000, 13 * 16000) * gains).astype(np.float32) / 32768
  parts = [part(index, audio=noise, text='అ' * 3000, id=f'{index}' * 300) for index in range(60)]
  dropped = {f'reason {index:02}': [index, 14 + index, 28 + index] for index in range(14)}
  skips = [corpus.Skip('అ' * 3000 + str(index), f'reason {index % 60:02}', 'అ' * 3000) for index in range(1200)]
  assert 1_500_000 < report.write(made(tmp_path, parts, dropped, skips)).stat().st_size < 3_000_000


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_no_more_memory_than_ten_thousand():
  quality = itertools.cycle([{**QUALITY, 'snr_db': float(snr)} for snr in range(60)])

  def peak(count):
    tracemalloc.start()
    try:
      counts = tally.tally(row(index, speaker=f's{index % 900}', text='అ' * 500, quality=next(quality),
                               dropped='duplicate' if index % 7 == 0 else '') for index in range(count))
      return counts, tracemalloc.get_traced_memory()[1]
    finally:
      tracemalloc.stop()

  _, few = peak(10_000)
  counts, many = peak(100_000)
  assert many < few + 100_000 and many < 2_000_000
  assert counts.segments == 100_000 - 14_286 and counts.seconds == 2.0 * counts.segments
  assert counts.dropped.hours.by == {'duplicate': [14_286, 28_572.0]}
  assert sum(counts.histograms['snr_db'].kept) + sum(counts.histograms['snr_db'].dropped) == 100_000


def test_labels_and_reasons_without_end_are_summed_under_one():
  hours = tally.Hours(most=3)
  for index in range(10):
    hours.add(f'label {index}', 1.0)
  assert len(hours.by) == 4 and hours.by[tally.OTHERS] == [7, 7.0]


@pytest.mark.parametrize('size', [1, 5, 6, 24, 25, 1000, 12345])
def test_examples_are_spread_evenly_from_the_first_on(size):
  spread = tally.Spread(6)
  for index in range(size):
    if spread.wants():
      spread.add(index)
  chosen = spread.chosen()
  assert len(chosen) == min(size, 6) and chosen[0] == 0 and chosen == sorted(set(chosen)) and len(spread.things) <= 24
  if size > 24:
    gaps = np.diff(chosen)
    assert gaps.max() <= 2 * gaps.min() and chosen[-1] > 0.8 * size


def test_values_outside_a_histogram_are_counted_at_its_ends():
  histogram = tally.Histogram(0, 10)
  for value in (-5, 0, 9.99, 10, 99):
    histogram.add(value, kept=True)
  assert histogram.kept[0] == 2 and histogram.kept[-1] == 3 and histogram.outside == (True, True)
  assert (histogram.least, histogram.most, histogram.mean) == (-5, 99, pytest.approx(22.798))


@pytest.mark.parametrize('seconds, said', [(0, '0.0 s'), (59, '59.0 s'), (90, '1.5 min'), (5400, '1.50 h'), (7_200_000, '2,000.0 h')])
def test_times_are_told_in_a_unit_that_fits(seconds, said):
  assert report_page.hours(seconds) == said


def answers(rows):
  return {one.wish: one for one in checklist.answers(tally.tally(rows))}


def test_the_checklist_has_the_wishes_of_the_catalogue_and_judges_by_it():
  many = [row(index, speaker=f's{index}', style='Conversational', emotion=('joy', 'fear')[index % 2], seconds=100.0, dialogue='d',
              quality={**QUALITY, 'syllables_per_s': 6.0}) for index in range(catalogue.SPEAKERS)]
  found = answers(many)
  assert list(found) == list(catalogue.WISHES)
  assert 'ovr' not in found['clean'].numbers and 'snr_db' in found['clean'].numbers       # no segment was judged by ovr
  assert [one.word for one in found.values()] == ['yes'] * 5 and not any(one.missing for one in found.values())
  fewer = answers(many[:-1])
  assert fewer['50 speakers'].word == 'no' and '1 more' in fewer['50 speakers'].missing


def test_the_checklist_tells_little_from_enough_and_unmeasured_from_bad():
  found = answers([row(0, emotion='neutral', style='read', quality={}), row(1, emotion='joy', style='conversation', quality={})])
  assert {wish: one.word for wish, one in found.items()} == {
      '50 speakers': 'unknown', 'emotions': 'partly', 'conversation': 'partly', 'clean': 'unknown', 'natural rate': 'unknown'}
  noisy = {**QUALITY, 'snr_db': 5.0, 'syllables_per_s': 6.0}
  found = answers([row(index, style='read', quality=noisy) for index in range(4)])
  assert found['clean'].word == 'no' and found['emotions'].word == 'no' and found['conversation'].word == 'no'
  assert found['natural rate'].word == 'partly' and 'read' in found['natural rate'].missing


def test_the_job_writes_the_page_and_names_a_folder_without_segments(tmp_path, capsys):
  config = main.load('configs/report.py', [])
  made(tmp_path / 'segments', [part(0)])
  assert report.run(config, tmp_path) == tmp_path / 'segments' / 'report.html'
  assert 'report.html' in capsys.readouterr().out
  config.segments = str(tmp_path)
  with pytest.raises(InputError, match='manifest.json'):
    report.run(config, tmp_path)
