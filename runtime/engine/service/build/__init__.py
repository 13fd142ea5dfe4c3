"""The classic builder: a Dockerfile, one image a step, each step's container and cache."""
