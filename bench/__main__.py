"""`python -m bench` is `ninetynine`. Ctrl-C ends it in order while its libraries load, too."""

import sys


def main() -> None:
    """Entry point of the distribution."""
    try:
        from bench.cli import main as run

        run()
    except KeyboardInterrupt:
        print("ninetynine: error: interrupted", file=sys.stderr)
        sys.exit(130)  # bench.cli.errors.INTERRUPTED, which may be what did not load


if __name__ == "__main__":
    main()
