"""Dockerfiles: their text, words and instructions, and those that `--change` takes."""
