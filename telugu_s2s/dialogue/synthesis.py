"""Text to speech in one call, speak(text, voice, rate, pitch, pitch_range) -> f32[samples] at 16 kHz.

That is espeak-ng's formant synthesis: robotic, but no recorded voice is in it, it knows Telugu spelling, and it speaks
hundreds of times faster than real time. It comes with the optional package espeakng-loader (`pip install -e .[sample] -c
constraints.txt`; GPL-3), which the jobs need that make the sample corpus and speak dialogues; other engines are in engines.py.

espeak-ng keeps its state in the process's globals: voice, parameters, an echo buffer, and a slow pitch flutter that
runs on from one utterance into the next; it seeds its breath noise from the clock. Called in turn inside one process,
the same arguments would give other samples each time, and two threads would mix. So every utterance gets a process
of its own: `speak` is a function of its arguments, may be called from many threads, and the GPL library is never
loaded into ours.
"""
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import soxr

from telugu_s2s.audio.files import SAMPLE_RATE
from telugu_s2s.dialogue import espeak_process
from telugu_s2s.errors import InputError

WORDS_PER_MINUTE = (80, 450)    # what the engine accepts; its minutes are those of English words
PITCH = (0, 99)                 # of the voice's own range; 50 is its middle
PITCH_RANGE = (0, 99)           # how far pitch moves within a sentence
OWN_RANGE = 50                  # of a voice
AMPLITUDE = 60                  # of 200; the loudest utterance of the sample corpus then peaks at 0.70
TIMEOUT_S = 60


def available() -> bool:
  """Whether the espeak-ng package is installed."""
  return importlib.util.find_spec('espeakng_loader') is not None


def speak(text: str, voice: str, rate: int, pitch: int, pitch_range: int = OWN_RANGE) -> np.ndarray:
  """One utterance as f32[samples] at 16 kHz, in [-1, 1], with the engine's silence around it.

  Args:
    text: what to say, in the script of the voice's language.
    voice: an espeak-ng voice with its variant, such as 'te+f2'.
    rate: nominal words per minute, 80 to 450.
    pitch: 0 to 99; 50 is the voice's own.
    pitch_range: 0 to 99, how far it moves within a sentence; 50 is the voice's own.

  Raises:
    InputError: the package is missing, the voice is unknown, a number is out of range, or the text gives no sound, or none in time.
  """
  for name, value, (low, high) in (('rate', rate, WORDS_PER_MINUTE), ('pitch', pitch, PITCH), ('pitch_range', pitch_range, PITCH_RANGE)):
    if not low <= value <= high:
      raise InputError(f'{name} {value} of voice {voice!r} is outside {low} to {high}')
  if not available():
    raise InputError("espeakng-loader is not installed; run: pip install -e .[sample] -c constraints.txt")
  import espeakng_loader
  data = Path(espeakng_loader.get_data_path())
  variant = voice.partition('+')[2]     # the engine speaks on without an unknown one, in the language's own voice
  if variant and variant not in {file.name for file in (data / 'voices/!v').iterdir()}:
    raise _unknown(voice)
  # -I -S: nothing from the environment, nothing but the standard library
  command = [sys.executable, '-I', '-S', espeak_process.__file__, espeakng_loader.get_library_path(), voice,
             str(int(rate)), str(int(pitch)), str(AMPLITUDE), str(int(pitch_range))]
  try:
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=TIMEOUT_S, check=False, cwd=data.parent)
  except subprocess.TimeoutExpired:
    raise InputError(f'espeak-ng has not said {text!r} with voice {voice!r} within {TIMEOUT_S} s; check the text, or try again') from None
  if done.returncode == espeak_process.UNKNOWN_VOICE:
    raise _unknown(voice)
  if done.returncode:
    detail = done.stderr.decode(errors='replace').strip().rpartition('\n')[2]
    raise InputError(f'espeak-ng does not start (status {done.returncode}: {detail}); reinstall espeakng-loader')
  samples = np.frombuffer(done.stdout[4:], '<i2').astype(np.float32) / 32768
  if not samples.any():
    raise InputError(f'espeak-ng says nothing for {text!r} with voice {voice!r}; check the text')
  native = int.from_bytes(done.stdout[:4], 'little')
  return np.clip(soxr.resample(samples, native, SAMPLE_RATE, quality='VHQ'), -1, 1)


def _unknown(voice):
  return InputError(f'espeak-ng has no voice {voice!r}; name a language and a variant, such as te+f2')
