"""`nn serve registry`: a registry, from this process."""

from __future__ import annotations

from runtime.cli.flags.parser import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import Options


def registry(_client: Client, options: Options) -> int:
    """Hand all words to the server, which has flags and a help of its own."""
    from runtime.cli.start.nn import activate_packages

    activate_packages()
    from runtime.image.server.__main__ import main

    return main(options.words, prog="nn serve registry")


REGISTRY = Verb(
    registry, "[FLAGS]", most=-1, raw=True, example="nn serve registry --root images --listen 127.0.0.1:5000"
)
