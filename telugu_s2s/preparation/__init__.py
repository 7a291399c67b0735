"""Recordings to 16 kHz mono segments in shards, each with its labels, licence and quality record."""
