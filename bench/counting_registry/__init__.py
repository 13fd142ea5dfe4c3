"""The counting registry: an image registry on the loopback, behind a relay that counts every byte.

    system under test ── relay (counts) ── registry (a process of this project)

Every arm pulls from and pushes to the same registry through the same relay, so only the systems under test
differ. The two images are of random bytes, which do not compress: they share layers A and B and differ in the
last one, of 1 MiB.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.backends.resources import owned
from bench.counting_registry.images import Pushed, push_images
from bench.counting_registry.registry import CountingRegistryError, RegistryProcess
from bench.counting_registry.relay import Moved, Relay

__all__ = ["CountingRegistry", "CountingRegistryError", "Moved", "sweep"]

REPOSITORY = "ninetynine/transfer"


class CountingRegistry:
    """A context manager; opening takes a second. Raises CountingRegistryError.

    directory: for the registry's files. program: a static program, which the images contain as /first.
    """

    def __init__(self, directory: Path, program: Path) -> None:
        self._parent = directory
        self._program = program
        self._registry: RegistryProcess | None = None
        self._relay: Relay | None = None
        self.base = self.changed = Pushed(reference="", bytes=0, last_layer=0)

    def __enter__(self) -> CountingRegistry:
        try:
            self._registry = RegistryProcess(owned.directory(self._parent))
            self._relay = Relay(self._registry.port)
            self.base, self.changed = push_images(
                self._registry.port, self._relay.port, REPOSITORY, self._program.read_bytes()
            )
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise CountingRegistryError(f"open a registry in {self._parent}: {error}") from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def moved(self) -> Moved:
        """Return the bytes that passed the relay so far."""
        return self._relay.moved() if self._relay is not None else Moved(to_registry=0, from_registry=0)

    def reference(self, tag: str) -> str:
        """Return the reference by which an image of its repository is pulled and pushed."""
        port = self._relay.port if self._relay is not None else 0
        return f"127.0.0.1:{port}/{REPOSITORY}:{tag}"

    def last_layer(self, tag: str) -> int:
        """Return the bytes of the last layer of a pushed image, as stored in the registry."""
        if self._registry is None:
            raise CountingRegistryError("the counting registry is not open; enter it with `with`")
        return self._registry.last_layer(REPOSITORY, tag)

    def close(self) -> None:
        """End the registry and delete its files. Idempotent."""
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        if self._registry is not None:
            self._registry.close()
            self._registry = None
        shutil.rmtree(owned.path(self._parent), ignore_errors=True)


def sweep(directory: Path) -> None:
    """Remove the files that killed runs left; their registry ended with the thread that opened it."""
    for tree in owned.abandoned(directory):
        shutil.rmtree(tree, ignore_errors=True)
