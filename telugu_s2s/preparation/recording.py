"""One recording to its segments: decoded, cut at pauses, measured, and judged fit or not."""
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

from telugu_s2s.audio import activity, files, level
from telugu_s2s.corpora import licences
from telugu_s2s.corpora.folder import Recording, Skip
from telugu_s2s.preparation.segment import Segment


def segments(folder, recording: Recording, revision: str, shortest_s: float, longest_s: float,
             clipped: float) -> Iterator[Segment | Skip]:
  """The segments of a recording, and what was left out of it, in the order of time.

  Args:
    folder: of the corpus.
    revision: of the segments, where the recording names none.
    shortest_s: shorter speech is skipped, 'too short'.
    longest_s: a longer recording is cut at its pauses, and its text, which belongs to no one part, is dropped.
    clipped: a part with a greater share of clipped samples is skipped, 'clipped'.

  Yields:
    Segments and skips. A file that fails part of the way gives what came before, then a skip 'corrupt'.
  """
  path, rate, end_s = Path(folder, recording.path), files.SAMPLE_RATE, 0.0

  def audio():
    nonlocal rate
    for block, rate in files.blocks(path, recording.channel):
      yield block

  try:
    parts = activity.cut(audio(), shortest_s, longest_s)
    first = list(itertools.islice(parts, 2))
    for start, samples in itertools.chain(first, parts):
      start_s, end_s = start / files.SAMPLE_RATE, (start + len(samples)) / files.SAMPLE_RATE
      fault = _fault(samples, shortest_s, clipped)
      if fault:
        yield Skip(recording.path, *fault, round(start_s, 3), round(end_s, 3))
      else:
        yield _segment(recording, revision, start_s, samples, rate, whole=len(first) == 1)
    if not first:
      yield Skip(recording.path, 'silent', f'nothing above {activity.SILENCE_DBFS:.0f} dBFS')
  except files.Unreadable as error:
    yield Skip(recording.path, error.reason, error.detail, round(end_s, 3) if end_s else None)


def _fault(samples, shortest_s, clipped):
  """Why samples are no segment, as (reason, detail), or None."""
  seconds, ratio = len(samples) / files.SAMPLE_RATE, level.clipped_ratio(samples)
  if seconds < shortest_s:
    return 'too short', f'{seconds:.2f} s of speech, at least {shortest_s:g} s are asked for'
  if level.rms_dbfs(samples) < activity.SILENCE_DBFS:
    return 'silent', f'{level.rms_dbfs(samples):.0f} dBFS'
  if ratio > clipped:
    return 'clipped', f'{ratio:.2%} of the samples, at most {clipped:.2%} are let in'
  return None


def _segment(recording, revision, start_s, samples, rate, whole):
  fields = {field.name: getattr(recording, field.name) for field in dataclasses.fields(recording)}
  del fields['bytes']
  fields['revision'] = recording.revision or revision
  if not whole:
    fields |= {'text': '', 'text_provenance': 'none'}
  channel = '' if recording.channel is None else f':{recording.channel}'
  quality = {'snr_db': round(level.snr_db(samples), 2), 'clipped': round(level.clipped_ratio(samples), 6),
             'bandwidth_hz': round(level.bandwidth_hz(samples)), 'rms_dbfs': round(level.rms_dbfs(samples), 2),
             'native_rate': rate}
  return Segment(id=f'{recording.path}{channel}#{round(start_s * 1000):d}', audio=samples, start_s=round(start_s, 4),
                 licence_class=licences.licence_class(recording.licence), quality=quality, **fields)
