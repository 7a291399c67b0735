"""Signals as arrays: files, activity, level, pitch, mel spectrograms, pictures and quality measures."""
