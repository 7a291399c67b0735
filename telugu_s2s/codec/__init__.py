"""The neural codec: audio to codes and back, causal, whole or as a stream."""
