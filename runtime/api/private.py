"""The daemon of `nn --local`, which ends with its users.

`python -m runtime.api.private DIRECTORY REQUESTS USERS`

REQUESTS, USERS: inherited descriptors of unix sockets that listen in DIRECTORY, below the daemon's root.
runtime/cli/connection/private_daemon.py makes them and starts this. It is an nnd with the default settings;
of /etc/ninetynine/daemon.json it reads only the keys of registries.
"""

from __future__ import annotations

import os
import socket
import sys
from argparse import Namespace
from pathlib import Path
from typing import NoReturn

import msgspec

from runtime.api import nnd
from runtime.api.daemon.configuration import Configuration, configuration
from runtime.api.daemon.serve import DaemonOptions
from runtime.api.daemon.users import Users


def main() -> NoReturn:
    """Serve until the last user has left; exit with nnd's exit status."""
    directory = Path(sys.argv[1])
    requests, listener = (socket.socket(fileno=int(number)) for number in sys.argv[2:4])
    for sock in (requests, listener):
        sock.set_inheritable(False)
    paths = [directory / Path(sock.getsockname()).name for sock in (requests, listener)]
    users = Users(listener)
    os.chdir("/")
    status = 1
    try:
        status = nnd.run(lambda: _options(directory.parent, requests, users), _nothing)
    finally:
        for path in paths:  # not before the root is free: a command that comes earlier waits for our end
            path.unlink(missing_ok=True)
    sys.stderr.flush()
    os._exit(status)  # the kernel then closes the last user's connection, after everything else


def _options(root: Path, requests: socket.socket, users: Users) -> DaemonOptions:
    asked = configuration(Namespace())
    ours = Configuration(
        data_root=os.fspath(root),
        insecure_registries=asked.insecure_registries,
        registry_mirrors=asked.registry_mirrors,
    )
    return msgspec.structs.replace(nnd.options_of(ours), hosts=(), private=(requests, users))


def _nothing(line: str) -> None:
    """Print nothing: nobody reads it."""


if __name__ == "__main__":
    main()
