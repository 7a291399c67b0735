"""Telugu speech to speech: from recordings to a voice that listens and answers, in JAX."""
__version__ = '0.1.0'
