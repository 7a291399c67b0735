"""One recording to its segments: decoded, cut at pauses, measured, and judged fit or not."""
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

from telugu_s2s.audio import decoding, files, level
from telugu_s2s.audio import parts as parts_of_file
from telugu_s2s.audio.activity import SILENCE_DBFS, cut
from telugu_s2s.corpora import licences
from telugu_s2s.corpora.folder import Recording, Skip
from telugu_s2s.preparation.measures import quality
from telugu_s2s.preparation.segment import Segment


def segments(folder, recording: Recording, revision: str, shortest_s: float, longest_s: float,
             clipped: float, activity: str = 'energy', mos: str = '', measures: str = 'basic') -> Iterator[Segment | Skip]:
  """The segments of a recording, and what was left out of it, in the order of time.

  Args:
    folder: of the corpus.
    revision: of the segments, where the recording names none.
    shortest_s: shorter speech is skipped, 'too short'.
    longest_s: a longer recording is cut at its pauses, and its text, which belongs to no one part, is dropped.
    clipped: a part with a greater share of clipped samples is skipped, 'clipped'.
    activity: what tells speech from pauses, see `activity.speech`.
    mos, measures: what the quality record holds, see `measures.quality`.

  Yields:
    Segments and skips. A file that fails part of the way gives what was cut before, which is done five minutes at a time (see
    `activity.cut`): of a shorter one nothing. Then comes a skip 'corrupt' of the rest.

  Raises:
    Unreadable: this machine lacks the decoder: no reason to leave out a recording for good.
  """
  path, rate, end_s, offset_s = Path(folder, recording.path), files.SAMPLE_RATE, 0.0, recording.start_s or 0.0

  def audio():
    nonlocal rate
    for block, rate in parts_of_file.blocks(path, recording.channel, offset_s, recording.end_s):
      yield block

  try:
    parts = cut(audio(), shortest_s, longest_s, by=activity)
    first = list(itertools.islice(parts, 2))
    for start, samples in itertools.chain(first, parts):
      start_s, end_s = (offset_s + edge / files.SAMPLE_RATE for edge in (start, start + len(samples)))
      fault = _fault(samples, shortest_s, clipped)
      if fault:
        yield Skip(recording.path, *fault, round(start_s, 3), round(end_s, 3))
      else:
        labels = _labels(recording, revision, whole=len(first) == 1)
        measured = quality(samples, rate, labels['text'], mos, measures)
        yield _segment(recording, labels, start_s, samples, measured)
    if not first:
      yield Skip(recording.path, *(('no speech', 'Silero VAD hears none') if activity == 'silero' else
                                   ('silent', f'nothing above {SILENCE_DBFS:.0f} dBFS')), recording.start_s, recording.end_s)
  except files.Unreadable as error:
    # Of what begins like a container planning knew that it needs the decoder, and that it was there.
    if error.reason == decoding.NO_DECODER and decoding.container(error.path):
      raise
    yield Skip(recording.path, error.reason, error.detail, round(end_s, 3) if end_s else recording.start_s, recording.end_s)


def _fault(samples, shortest_s, clipped):
  """Why samples are no segment, as (reason, detail), or None."""
  seconds, ratio = len(samples) / files.SAMPLE_RATE, level.clipped_ratio(samples)
  if seconds < shortest_s:
    return 'too short', f'{seconds:.2f} s of speech, at least {shortest_s:g} s are asked for'
  if level.rms_dbfs(samples) < SILENCE_DBFS:
    return 'silent', f'{level.rms_dbfs(samples):.0f} dBFS'
  if ratio > clipped:
    return 'clipped', f'{ratio:.2%} of the samples, at most {clipped:.2%} are let in'
  return None


def _labels(recording, revision, whole):
  fields = {field.name: getattr(recording, field.name) for field in dataclasses.fields(recording)}
  fields = {name: value for name, value in fields.items() if name not in ('bytes', 'start_s', 'end_s')}
  fields['revision'] = recording.revision or revision
  return fields if whole else fields | {'text': '', 'text_provenance': 'none'}


def _segment(recording, labels, start_s, samples, measured):
  channel = '' if recording.channel is None else f':{recording.channel}'
  part = ''                      # turns overlap, and two segments of different ones may begin at one time
  if (recording.start_s, recording.end_s) != (None, None):
    part = '@' + '-'.join('' if edge is None else f'{edge * 1000:.0f}' for edge in (recording.start_s, recording.end_s))
  return Segment(id=f'{recording.source}/{recording.path}{channel}{part}#{round(start_s * 1000):d}', audio=samples,
                 start_s=round(start_s, 4), licence_class=licences.licence_class(recording.licence), quality=measured, **labels)
