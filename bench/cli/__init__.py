"""The command line `ninetynine`: run, judge, report, doctor, list, show."""

from bench.cli.verbs import app


def main() -> None:
    """Entry point of the distribution."""
    app()


__all__ = ["app", "main"]
