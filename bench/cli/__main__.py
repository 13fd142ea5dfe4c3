"""`python -m bench.cli` is `ninetynine`."""

from bench.cli import main

main()
