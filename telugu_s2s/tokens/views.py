"""Several views of one clip, so that an epoch more is not the same codes once more.

A view begins elsewhere within a codec's frame, which alone gives other codes of the same sound, and is spoken faster or
slower, louder or softer, over noise, in a room and through a telephone. View 0 is the clip as it is.
"""
import dataclasses
import hashlib

import numpy as np
import soxr

from telugu_s2s.audio import files, level, nonverbal
from telugu_s2s.errors import InputError
from telugu_s2s.preparation.segment import Segment

DIRECT_DB = 0.0, 10.0                      # of the direct sound over a room's echoes
JUDGED = ('mos', 'sig', 'bak', 'ovr')      # what a network heard in the sound without noise


@dataclasses.dataclass(frozen=True)
class Ranges:
  """What views are drawn from, evenly between the lowest and the highest; () = that is left as it is."""
  hop_phase: bool = True                   # a view drops a part of the codec's first frame
  speed: tuple = (0.9, 1.1)                # above 1: faster, and higher by as much
  gain_db: tuple = (-6.0, 6.0)
  noise_snr_db: tuple = (15.0, 40.0)       # of speech to added noise, from white to falling 6 dB an octave
  room_s: tuple = ()                       # reverberation time (RT60)
  telephone: float = 0.0                   # share of the views that are heard through a telephone's band

  def __post_init__(self):
    for name in ('speed', 'gain_db', 'noise_snr_db', 'room_s'):
      limits = getattr(self, name)
      if limits != () and not (len(limits) == 2 and limits[0] <= limits[1]):
        raise InputError(f'view.{name}: {limits} is neither (lowest, highest) nor ()')
    if self.speed and not 0.5 <= self.speed[0] <= self.speed[1] <= 2:
      raise InputError(f'view.speed: {self.speed} is not between 0.5 and 2')
    if self.room_s and not 0 < self.room_s[0] or not 0 <= self.telephone <= 1:
      raise InputError(f'view.room_s {self.room_s}, view.telephone {self.telephone}: give seconds over 0, and a share from 0 to 1')


def view(clip: Segment, number: int, ranges: Ranges, seed: int, hop: int) -> tuple[Segment, dict]:
  """View `number` of a clip, and what was done: {number, phase, speed, gain_db, noise_snr_db, and room_s and telephone where
  they are asked for}; {} of view 0.

  It is a function of the arguments alone. Labels are those of what is heard: start_s, the measures of level, pitch, rate
  and noise follow, and opinion scores are left out where noise was added; `id` and `sha256` stay the segment's.

  Args:
    hop: samples of a codec's frame.
  """
  if not number:
    return clip, {}
  key = hashlib.sha256(f'{clip.id} {clip.sha256}'.encode()).digest()[:8]
  rng = np.random.default_rng([seed, number, int.from_bytes(key, 'little')])
  at = dict(zip(('speed', 'gain_db', 'noise_snr_db', 'colour'), rng.random(4)))
  drawn = lambda name, digits: round(float(np.interp(at[name], (0, 1), getattr(ranges, name))), digits)
  phase = int(hop * halves(number)) if ranges.hop_phase else 0
  phase = phase if len(clip.audio) - phase >= hop else 0
  speed = drawn('speed', 3) if ranges.speed else 1.0
  audio = clip.audio[phase:]
  if speed != 1:
    audio = soxr.resample(audio, round(1000 * speed), 1000, 'HQ')
  placed = {}
  if ranges.room_s:
    placed['room_s'] = round(float(rng.uniform(*ranges.room_s)), 3)
    audio = in_room(audio, placed['room_s'], rng.uniform(*DIRECT_DB), rng)
  if ranges.telephone:
    placed['telephone'] = bool(rng.random() < ranges.telephone)
  snr_db = drawn('noise_snr_db', 1) if ranges.noise_snr_db and np.any(audio) else None
  if snr_db is not None:
    audio = audio + noise(len(audio), at['colour'], rng) * 10 ** ((level.rms_dbfs(audio) - snr_db) / 20)
  if placed.get('telephone'):
    audio = through_telephone(audio)
  gain_db = drawn('gain_db', 1) if ranges.gain_db else 0.0
  peak = float(np.abs(audio).max(initial=0))
  if peak * 10 ** (gain_db / 20) > 1:
    gain_db = float(np.floor(-200 * np.log10(peak)) / 10)        # as loud as it may be without being clipped
  audio = (audio * 10 ** (gain_db / 20)).astype(np.float32)
  done = {'number': number, 'phase': phase, 'speed': speed, 'gain_db': gain_db, 'noise_snr_db': snr_db, **placed}
  quality = measures(clip.quality, audio, speed, snr_db, bool(placed.get('telephone')))
  if quality.get('breaths') is not None and (snr_db is not None or placed):
    quality |= nonverbal.heard(audio)                            # noise drowns breaths
  return dataclasses.replace(clip, audio=audio, start_s=round(clip.start_s + phase / files.SAMPLE_RATE, 4), quality=quality), done


def halves(number: int) -> float:
  """Numbers in [0, 1) that lie well apart however many are taken: 0, 1/2, 1/4, 3/4, 1/8 (van der Corput's)."""
  return int(f'{number:b}'[::-1], 2) / (1 << number.bit_length())


def noise(samples: int, colour: float, rng) -> np.ndarray:
  """f32[samples] of a level of 1, whose power falls by 6 dB an octave times `colour`, above 50 Hz."""
  hertz = np.fft.rfftfreq(samples, 1 / files.SAMPLE_RATE)
  found = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * np.maximum(hertz, 50.0) ** -colour, samples)
  return (found / np.sqrt(np.mean(found ** 2))).astype(np.float32)


def in_room(audio, seconds: float, direct_db: float, rng) -> np.ndarray:
  """f32[samples], as it sounds in a room: noise that decays by 60 dB in so many seconds follows the direct sound (Polack, 1988)."""
  at = np.arange(round(seconds * files.SAMPLE_RATE)) / files.SAMPLE_RATE
  tail = rng.normal(size=len(at)) * 10 ** (-3 * at / seconds) * (at > 0.003)
  response = tail / np.sqrt(np.sum(tail ** 2)) * 10 ** (-direct_db / 20)
  response[0] = 1.0
  size = len(audio) + len(response)
  return np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(response, size), size)[:len(audio)].astype(np.float32)


def through_telephone(audio) -> np.ndarray:
  """f32[samples] without what lies outside of 300 to 3400 Hz (the band of ITU-T G.712)."""
  spectrum, hertz = np.fft.rfft(audio), np.fft.rfftfreq(len(audio), 1 / files.SAMPLE_RATE)
  return np.fft.irfft(spectrum * ((hertz >= 300) & (hertz <= 3400)), len(audio)).astype(np.float32)


def measures(quality: dict, audio, speed: float, snr_db: float | None, telephone=False) -> dict:
  """The quality record of a segment, as it is of a view of it."""
  result = {name: value for name, value in quality.items() if snr_db is None or name not in JUDGED}
  for name in ('syllables_per_s', 'f0_median_hz', 'bandwidth_hz'):
    if result.get(name) is not None:
      result[name] = round(result[name] * speed, 2)
  if result.get('bandwidth_hz') is not None:
    result['bandwidth_hz'] = min(round(result['bandwidth_hz']), files.SAMPLE_RATE // 2)
    result['bandwidth_hz'] = min(result['bandwidth_hz'], 3400) if telephone else result['bandwidth_hz']
  if result.get('rms_dbfs') is not None:
    result['rms_dbfs'] = round(float(level.rms_dbfs(audio)), 2)
  if snr_db is not None and result.get('snr_db') is not None:
    # Both noises lie under the speech, and their powers add.
    result['snr_db'] = round(float(-10 * np.log10(10 ** (-result['snr_db'] / 10) + 10 ** (-snr_db / 10))), 2)
  return result
