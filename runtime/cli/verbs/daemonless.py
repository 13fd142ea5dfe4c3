"""Verbs without a daemon: `nn --local verify`, `nn --local sweep`, `nn serve registry`."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.cli import packages
from runtime.cli.connection.private_daemon import PrivateClient, need_root
from runtime.cli.errors import CliError
from runtime.cli.flags.parser import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine


def verify(client: Client, args: CommandLine) -> int:
    """Check images against their digests, also in the root of a running daemon."""
    root = _root_of(client)
    from runtime.image.errors import ImageError
    from runtime.image.store.image_store import ImageStore

    status = 0
    try:
        store = ImageStore(root / "images")
    except ImageError as error:
        raise CliError(str(error), 1) from error
    for name in args.words:
        try:
            store.verify(name)
        except ImageError as error:
            print(f"nn: {error}", file=sys.stderr)
            status = 1
        else:
            print(f"unchanged: {name}")
    return status


def _root_of(client: Client) -> Path:
    """Return the root of `nn --local`, ready to be opened: as root, with installed packages importable."""
    assert isinstance(client, PrivateClient)
    need_root()
    packages.activate()
    return client.root


def sweep(client: Client, args: CommandLine) -> int:
    """Free what killed daemons have left: containers, cgroups, links, tables, unfinished imports."""
    root = _root_of(client)
    from runtime.api.daemon.locking import only_one
    from runtime.engine.engine import Engine
    from runtime.engine.errors import EngineError
    from runtime.image.errors import ImageError

    try:
        with only_one(root), Engine(root) as engine:  # making one frees the dead engines' containers
            freed = [*engine.swept, *map(str, engine.images.sweep())]
            loose = engine.images.prune()
    except (EngineError, ImageError) as error:
        raise CliError(str(error), 1) from error
    for item in freed:
        print(f"freed: {item}")
    if loose:
        print(f"freed: {loose} blobs and layers without an image")
    return 0


def registry(_client: Client, args: CommandLine) -> int:
    """Pass all words to the server, which has its own flags and help."""
    packages.activate()
    from runtime.image.server.__main__ import main

    return main(args.words, prog="nn serve registry")


VERIFY = Verb(verify, "IMAGE...", example="nn --local verify debian")
SWEEP = Verb(sweep, "", example="nn --local sweep")
REGISTRY = Verb(
    registry, "[FLAGS]", raw=True, example="nn serve registry --root images --listen 127.0.0.1:5000"
)
