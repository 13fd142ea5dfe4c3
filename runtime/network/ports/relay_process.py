"""Start the relay process and tell it which listeners to serve."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from runtime.network.errors import wrap
from runtime.network.model import Serve

_PACKAGES = Path(__file__).parents[3]
_PATIENCE_S = 2.0
_SETTLE_S = 20.0
"""How long it may take to close ports: on a busy machine it may not run at once."""
_LONGEST = 4096


class RelayProcess:
    """The relay process, started when first needed. Orders queue, so nothing waits for its start."""

    def __init__(self) -> None:
        self._orders: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keys = itertools.count(1)
        self._stopping: set[int] = set()

    def serve(self, listener: socket.socket, address: str, port: int) -> int:
        """Relay a listening socket, which the caller keeps owning, to `address`; return a key for stop()."""
        key = next(self._keys)
        data = msgspec.msgpack.encode(Serve(key, address, port))
        try:
            socket.send_fds(self._ready(), [data], [listener.fileno()])
        except OSError as error:
            raise wrap("send a published port to the relay", error.errno) from error
        return key

    def stop(self, key: int) -> None:
        """Stop serving a listener; see settle()."""
        if self._orders is not None:
            with contextlib.suppress(OSError):
                self._orders.send(msgspec.msgpack.encode(Serve(key)))
                self._stopping.add(key)
                self._note_closed(socket.MSG_DONTWAIT)

    def settle(self) -> bool:
        """Wait until all stopped listeners are closed and their ports free; False if there were none."""
        if not self._stopping or self._orders is None:
            return False
        self._orders.settimeout(_SETTLE_S)
        with contextlib.suppress(OSError):
            while self._stopping and self._note_closed():
                pass
        self._orders.settimeout(None)
        self._stopping.clear()
        return True

    def _note_closed(self, flags: int = 0) -> bool:
        """Read one confirmation; False at the end."""
        assert self._orders is not None
        data = self._orders.recv(_LONGEST, flags)
        if data:
            self._stopping.discard(msgspec.msgpack.decode(data, type=Serve).key)
        return bool(data)

    def close(self) -> None:
        """End the process. Idempotent."""
        if self._orders is None or self._process is None:
            return
        self._orders.close()
        self._orders = None
        self._stopping.clear()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._process = None

    def _ready(self) -> socket.socket:
        """Return the socket to the process; start a new one if it was killed."""
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._orders is None:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "runtime.network.ports.relay", str(its.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env={"PATH": os.defpath, "PYTHONPATH": str(_PACKAGES), "LANG": "C.UTF-8"},
                    pass_fds=(its.fileno(),),
                )
            self._orders = ours
        return self._orders
