"""`nn images`, `import`, `rmi`, `verify`, `sweep`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from runtime.cli.errors import CliError
from runtime.image import Image, ImageStore
from runtime.image.archive import is_archive
from runtime.image.files import scratch_directory
from runtime.image.loading import import_archive


def _store(arguments: argparse.Namespace) -> ImageStore:
    return ImageStore(arguments.root / "images")


def images(arguments: argparse.Namespace) -> int:
    """List images as a table, as digests, or as JSON."""
    found = _store(arguments).list()
    if arguments.json:
        import json

        print(json.dumps([_row(image) for image in found], indent=2))
        return 0
    if arguments.quiet:
        print("".join(f"{image.digest}\n" for image in found), end="")
        return 0
    width = max([len(image.reference) for image in found] + [len("IMAGE")])
    print(f"{'IMAGE':{width}}  {'DIGEST':12}  {'LAYERS':>6}  {'SIZE':>9}")
    for image in found:
        line = (
            f"{image.reference:{width}}  {image.digest[7:19]}  {len(image.layers):6}  {_human(image.size):>9}"
        )
        print(line)
    return 0


def _row(image: Image) -> dict[str, object]:
    layers = [
        {"digest": layer.digest, "diff_id": layer.diff_id, "size": layer.size} for layer in image.layers
    ]
    execution = image.execution
    return {
        "reference": image.reference,
        "digest": image.digest,
        "size": image.size,
        "layers": layers,
        "entrypoint": execution.entrypoint or [],
        "cmd": execution.cmd or [],
        "env": execution.env or [],
        "user": execution.user,
        "workdir": execution.working_dir,
    }


def _human(size: int) -> str:
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}TB"


def import_image(arguments: argparse.Namespace) -> int:
    """Make an image of a directory, tar or archive; print its name and digest."""
    store = _store(arguments)
    if arguments.source == "-":
        with scratch_directory(store.content.tmp) as scratch:
            path = scratch / "input"
            with path.open("xb") as target:
                shutil.copyfileobj(sys.stdin.buffer, target)
            made = _import(store, path, arguments.name)
    else:
        made = _import(store, Path(arguments.source), arguments.name)
    for image in made:
        print(f"{image.reference} {image.digest}")
    return 0


def _import(store: ImageStore, source: Path, name: str | None) -> list[Image]:
    if not source.exists():
        raise CliError(f"{source} does not exist; give a directory, a tar, or - for standard input")
    if is_archive(source):
        return import_archive(store, source, name)
    if name is None:
        raise CliError(f"{source} brings no name of its own; write: nn import {source} NAME")
    return [store.create(name, [source])]


def remove(arguments: argparse.Namespace) -> int:
    """Remove images; those that can be are removed even when one cannot."""
    return _each(arguments, lambda store, name: store.remove(name), "removed")


def verify(arguments: argparse.Namespace) -> int:
    """Check images against their digests."""
    return _each(arguments, lambda store, name: store.verify(name), "unchanged")


def _each(arguments: argparse.Namespace, act: Callable[[ImageStore, str], object], done: str) -> int:
    from runtime.image import ImageError

    store = _store(arguments)
    status = 0
    for name in arguments.image:
        try:
            act(store, name)
        except ImageError as error:
            print(f"nn: {error}", file=sys.stderr)
            status = 1
        else:
            print(f"{done}: {name}")
    return status


def sweep(arguments: argparse.Namespace) -> int:
    """Free what killed processes have left: containers, cgroups, links, tables, half-done imports."""
    from runtime.engine.engine import Engine

    with Engine(arguments.root) as engine:  # making one frees the dead engines' containers
        store = engine.images
        freed = [*engine.swept, *map(str, store.sweep())]
        loose = store.prune()
    for item in freed:
        print(f"freed: {item}")
    if loose:
        print(f"freed: {loose} blobs and layers without an image")
    return 0
