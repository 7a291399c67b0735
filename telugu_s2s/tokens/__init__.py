"""The record that crosses from audio to language: its schema, its shards and the batches read from them."""
