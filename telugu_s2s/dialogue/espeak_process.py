"""A process that speaks one utterance with libespeak-ng and ends; `synthesis.speak` starts it as a script.

  python espeak_process.py LIBRARY VOICE WORDS_PER_MINUTE PITCH AMPLITUDE RANGE < text in UTF-8 > i16 samples

It runs in the folder that holds espeak-ng-data, because the engine keeps that path in a buffer of 160
characters and a virtual environment's can be longer. Standard library only: it starts in some 30 ms.
The first four bytes of its output are the sampling rate, u32 little-endian.
"""
import ctypes
import sys

UNKNOWN_VOICE, NO_ENGINE = 3, 4                    # exit statuses
SYNCHRONOUS, DO_NOT_EXIT, UTF8 = 2, 0x8000, 1      # espeak's speak_lib.h
SEED = 1                                           # any; one for all utterances
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4            # espeak_PARAMETER


def main(library, voice, words_per_minute, pitch, amplitude, pitch_range):
  """Writes the samples to standard output and returns the exit status."""
  espeak = ctypes.CDLL(library)
  rate = espeak.espeak_Initialize(SYNCHRONOUS, 0, b'.', DO_NOT_EXIT)
  if rate <= 0:
    return NO_ENGINE
  espeak.espeak_ng_SetRandSeed(ctypes.c_long(SEED))    # the noise of breath: seeded from the clock otherwise
  samples = bytearray()

  @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
  def collect(wave, count, events):
    if wave and count > 0:
      samples.extend(ctypes.string_at(wave, 2 * count))
    return 0

  espeak.espeak_SetSynthCallback(collect)
  if espeak.espeak_SetVoiceByName(voice.encode()):
    return UNKNOWN_VOICE
  for parameter, value in ((RATE, words_per_minute), (PITCH, pitch), (VOLUME, amplitude), (RANGE, pitch_range)):
    espeak.espeak_SetParameter(parameter, int(value), 0)
  text = sys.stdin.buffer.read() + b'\0'
  espeak.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, UTF8, None, None)
  espeak.espeak_Synchronize()
  sys.stdout.buffer.write(rate.to_bytes(4, 'little') + bytes(samples))
  return 0


if __name__ == '__main__':
  sys.exit(main(*sys.argv[1:]))
