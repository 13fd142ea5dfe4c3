"""Installed packages. `nn` starts Python without its site module, to save time; few verbs need them."""

import sys


def activate() -> None:
    """Make installed packages importable."""
    if "site" not in sys.modules:
        import site

        site.main()
