"""A mark in generated speech: a keyed pattern of small gains that a detector with the key finds and an ear does not.

Cells of 200 Hz and 40 ms become louder or softer by half a decibel or so, as a key says (a patchwork, Bender et al., 1996, on a
spectrum as in Tachibana et al., 2002: multiplied, so that speech masks it and loudness does not matter). It is meant
to help whoever wants to know; it does not resist whoever wants to remove it.
"""
import dataclasses
import hashlib

import numpy as np

from telugu_s2s.audio.files import SAMPLE_RATE

SYNTHETIC = 'synthetic speech, telugu_s2s'       # the comment in files of generated speech
WINDOW, HOP = 320, 160                           # samples: 20 ms and 10 ms, of which a tick of 40 ms holds four
BINS, LOWEST = 4, 6                              # of 50 Hz: of a cell, and below the first one
BANDS = (WINDOW // 2 - LOWEST) // BINS           # up to 8 kHz
FRAMES, PERIOD = 4, 48                           # of a cell; cells until the pattern comes again
STRENGTH_DB = 1.0
