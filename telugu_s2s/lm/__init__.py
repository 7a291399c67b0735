"""The audio language model: two streams of codes in, the next frame out, one step for listening and speaking."""
