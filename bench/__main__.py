"""`python -m bench` is `ninetynine`. Ctrl-C also works while its libraries are loading."""

import sys


def main() -> None:
    """Entry point of the command `ninetynine`."""
    try:
        from bench.cli import main as run

        run()
    except KeyboardInterrupt:
        print("ninetynine: error: interrupted", file=sys.stderr)
        sys.exit(130)  # bench.cli.errors.INTERRUPTED, which may not be loaded yet


if __name__ == "__main__":
    main()
