"""A dockerd of our own, beside which a test or a study holds the daemon of the project."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.backends.daemons.docker_api import DockerApi
from bench.backends.daemons.dockerd import OwnDaemon
from bench.backends.resources import owned


@contextlib.contextmanager
def own_dockerd(parent: Path) -> Iterator[DockerApi]:
    """Start one with its files below `parent`, and end it.

    Its directory is named after this process: whoever ends a dockerd ends all that bear its directory's name.
    """
    daemon = OwnDaemon(owned.directory(parent))
    try:
        yield daemon.api
    finally:
        daemon.close()
