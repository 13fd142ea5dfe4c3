"""The command-line clients that drive a daemon in tests: docker's own, and `nn`.

def test_something(client: Client):
    assert client("run", "--rm", "busybox", "echo", "hi") == "hi\\n"
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.paths import REPOSITORY
from tests.runtime.daemon_process import Daemon
from tests.runtime.terminals import Terminal

_NN = (
    f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from runtime.cli.start.nn import script; script()"
)
_PATIENCE_S = 120


class Client:
    """One command at one daemon. name: `docker` or `nn`."""

    def __init__(self, name: str, daemon: Daemon) -> None:
        self.name, self.daemon = name, daemon
        self.line: Sequence[str] = ("docker",) if name == "docker" else (sys.executable, "-SEI", "-c", _NN)
        config = str(daemon.socket.parent / "nn")
        self.environment: Mapping[str, str] = daemon.environment | {
            "NN_HOST": daemon.host,
            "NN_CONFIG": config,
        }

    def __call__(self, *words: object, stdin: bytes | None = None, status: int = 0) -> str:
        """Run it to its end, which must be as told, and return what it wrote to stdout."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == status, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout.decode()

    def refused(self, *words: object, stdin: bytes | None = None) -> str:
        """Run what must fail, and return what it says of it."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode, (words, done.stdout[-2000:])
        return done.stderr.decode()

    def run(self, *words: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end."""
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            [*self.line, *map(str, words)],
            capture_output=True,
            timeout=_PATIENCE_S,
            env=self.environment,
            **given,  # type: ignore[call-overload]
        )

    def start(self, *words: object, **options: object) -> subprocess.Popen[bytes]:
        """Start it; standard input and outputs are pipes unless said otherwise."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        line = [*self.line, *map(str, words)]
        return subprocess.Popen(line, env=self.environment, **(pipes | options))  # type: ignore[call-overload]

    def terminal(self, *words: object) -> Terminal:
        """Start it at a terminal of its own."""
        return Terminal([*self.line, *map(str, words)], self.environment)

    def detached(self, *words: object) -> str:
        """Start a container without a network that ends at once when it is stopped; return its id."""
        return self("run", "-d", "--network", "none", "--stop-timeout", "0", *words).strip()


def names() -> list[str]:
    """Return the clients that are here."""
    found = any(os.access(Path(place, "docker"), os.X_OK) for place in os.get_exec_path())
    return ["nn", "docker"] if found else ["nn"]
