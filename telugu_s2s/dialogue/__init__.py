"""Turns and pairs: how conversations are found in recordings or made by synthesis engines."""
