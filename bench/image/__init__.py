"""The one image every arm runs: built once per recipe, kept in a cache, never written to afterwards.

`build()` returns a `BenchImage`: an OCI image layout, its layers unpacked (lowest first, overlay form) and
the same content flattened. Layer 0 is the bare distribution, layer 1 the workload tools and our own static
programs below /opt/ninetynine (`first`, `idle`, and one for every C file in bench/workloads). Device nodes
are part of the image, so that a plain chroot has a usable /dev; services are not started while packages are
installed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.backends.base import BenchImage
from bench.image import assemble, recipe
from bench.image.bootstrap import bootstrap, require
from bench.image.errors import ImageError
from runtime import image as oci

__all__ = ["ImageError", "build", "digest"]

Progress = Callable[[str], None]


def build(cache: Path, progress: Progress | None = None) -> BenchImage:
    """Return the bench image below `cache`, built when this recipe was not built before.

    Takes about a minute the first time and milliseconds afterwards. Two builds at once: the second waits
    for the first and uses its result. An interrupted build leaves no half image, and the next one removes
    its rest. Raises ImageError. Needs root.
    """
    tell = progress or (lambda _text: None)
    wanted = recipe.for_host(os.environ.get("NINETYNINE_MIRROR", ""))
    images = cache.resolve() / "image"
    final = images / wanted.digest[:16]
    if (final / assemble.RECORD).exists():
        return assemble.load(final)
    require()
    images.mkdir(parents=True, exist_ok=True)
    with _lock(images / "lock", tell):
        if not (final / assemble.RECORD).exists():
            _remove_rests(images, final)
            _build(wanted, final, tell)
    return assemble.load(final)


def _build(wanted: recipe.Recipe, final: Path, tell: Progress) -> None:
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=final.parent))
    try:
        tell(f"bootstrapping {wanted.distribution} {wanted.suite} with the workload tools (half a minute)")
        base, full = bootstrap(wanted, work)
        tell("writing the image's layers")
        assemble.assemble(wanted, base, full, final, work)
    except oci.ImageError as error:
        raise ImageError(f"build the bench image in {final.parent}: {error}") from error
    except OSError as error:
        raise ImageError(
            f"build the bench image in {final.parent}: {error.strerror}: {error.filename}; "
            "check the free space"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_rests(images: Path, final: Path) -> None:
    """Remove what a killed build left; called with the lock held, so nobody is building."""
    for rest in images.glob(".building-*"):
        shutil.rmtree(rest)
    if final.exists():
        shutil.rmtree(final)


@contextmanager
def _lock(path: Path, tell: Progress) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another build of the image")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(image: BenchImage) -> str:
    """Compute the digest anew from the bytes on disk: `image.digest`; ImageError when they were changed."""
    return assemble.digest_of(image)
