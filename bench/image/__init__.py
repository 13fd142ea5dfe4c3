"""The image that every arm runs: built once per recipe, kept in a cache, never written to afterwards.

`build()` returns a `BenchImage`: an OCI image layout, its layers unpacked (lowest first, overlay form) and
the same content flattened. Layer 0 is the bare distribution, layer 1 the workload tools, layer 2 our static
programs below /opt/ninetynine (one for every C file in bench/workloads). Device nodes are part of the image,
so that a plain chroot has a usable /dev.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.backends.base import BenchImage
from bench.backends.resources import owned
from bench.image import assemble, imported, recipe
from bench.image.bootstrap import bootstrap, require
from bench.image.recipe import ImageError
from runtime.image import errors

__all__ = ["ImageError", "build", "digest", "is_built"]

Progress = Callable[[str], None]


def build(cache: Path, progress: Progress | None = None) -> BenchImage:
    """Return the bench image below `cache`; build it if this recipe was not built before.

    With NINETYNINE_IMAGE=LAYOUT[:REFERENCE] the image is copied from that OCI image layout instead. A build
    takes about half a minute the first time, seconds if only our programs changed, and milliseconds if the
    image is there. A second build at the same time waits for the first and uses its result. An interrupted
    build leaves no partial image; the next one removes its files. Raises ImageError. Needs root.
    """
    tell = progress or (lambda _text: None)
    images = cache.resolve() / "image"
    given = os.environ.get("NINETYNINE_IMAGE")
    if given:
        with _room(images, tell):
            return assemble.load(imported.adopt(given, images, tell))
    wanted = recipe.for_host(os.environ.get("NINETYNINE_MIRROR", ""))
    final = assemble.directory_of(images, wanted.digest)
    if not assemble.is_complete(final):
        require()
        with _room(images, tell) as (work, lock):
            if not assemble.is_complete(final):
                _build(wanted, images, work, lock, tell)
    return assemble.load(final)


def is_built(cache: Path) -> bool:
    """Return whether `build` would find the image in the cache; False if it would be imported."""
    if os.environ.get("NINETYNINE_IMAGE"):
        return False
    wanted = recipe.for_host(os.environ.get("NINETYNINE_MIRROR", ""))
    return assemble.is_complete(assemble.directory_of(cache.resolve() / "image", wanted.digest))


def _build(wanted: recipe.Recipe, images: Path, work: Path, lock: int, tell: Progress) -> None:
    if not assemble.has_system(images, wanted):
        tell(f"bootstrapping {wanted.distribution} {wanted.suite} with the workload tools (half a minute)")
        base, full = bootstrap(wanted, work, lock)
        tell("writing the image's layers")
        assemble.add_system(images, wanted, base, full, work)
    tell("adding our own programs to the image")
    assemble.add_image(images, wanted, work)


@contextmanager
def _room(images: Path, tell: Progress) -> Iterator[tuple[Path, int]]:
    """Yield a scratch directory and the lock for a build; failures in the block become ImageError."""
    try:
        images.mkdir(parents=True, exist_ok=True)
        with _lock(images / "lock", tell) as lock:
            for rest in images.glob(".building-*"):  # the lock is held, so no other build is running
                owned.remove(rest)
            work = Path(tempfile.mkdtemp(prefix=".building-", dir=images))
            try:
                yield work, lock
            finally:
                owned.remove(work)
    except errors.ImageError as error:
        raise ImageError(f"build the bench image in {images}: {error}") from error
    except OSError as error:
        what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
        raise ImageError(f"build the bench image in {images}: {what}; check rights and free space") from error


@contextmanager
def _lock(path: Path, tell: Progress) -> Iterator[int]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another build of the image")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def digest(image: BenchImage) -> str:
    """Recompute the digest from the bytes on disk: `image.digest`. ImageError if they were changed."""
    return assemble.digest_of(image)
