"""Connection pools whose connections can be cancelled and whose responses have a deadline."""

from __future__ import annotations

import os
import threading
import urllib.request
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import InsecureRequestWarning

from runtime.image.registry.cancel import CancelToken, shut
from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.tls import context_of

# RegistryOptions says where certificates need not be valid.
urllib3.disable_warnings(InsecureRequestWarning)


class _Limits(NamedTuple):
    cancel: CancelToken
    answer_s: float
    write_s: float


class _Watched:
    """A connection that a CancelToken can shut down, with a deadline for the response's head.

    A socket timeout alone would let a registry send one byte of a head every few seconds for ever.
    """

    sock: Any
    timeout: Any

    def __init__(self, *arguments: Any, limits: _Limits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self._limits.cancel.watch(self.sock)

    def request(self, *arguments: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()
        self.timeout = self._limits.write_s
        super().request(*arguments, **options)  # type: ignore[misc]

    def getresponse(self) -> Any:
        late = threading.Event()
        used = self.sock

        def give_up() -> None:
            late.set()
            shut(used)

        timer = threading.Timer(self._limits.answer_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()  # type: ignore[misc]
        finally:
            timer.cancel()
            if late.is_set():
                raise TimeoutError("no response in time")


class _Plain(_Watched, HTTPConnection):
    pass


class _Secure(_Watched, HTTPSConnection):
    pass


def new_pool(
    scheme: str, host: str, options: RegistryOptions, cancel: CancelToken
) -> urllib3.HTTPConnectionPool:
    """Create a pool of connections to `host[:port]`, through the environment's proxy if it has one."""
    parts = urlsplit(f"{scheme}://{host}")
    settings: dict[str, Any] = {"maxsize": options.parallel + 1}
    if scheme == "https":
        settings["ssl_context"] = context_of(host, options)
    proxy = _proxy_of(scheme, host)
    manager = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
    pool = manager.connection_from_host(parts.hostname, parts.port, scheme=scheme, pool_kwargs=settings)
    pool.ConnectionCls = _Secure if scheme == "https" else _Plain
    pool.conn_kw["limits"] = _Limits(cancel, options.answer_s, options.read_s)
    return pool


def _proxy_of(scheme: str, host: str) -> str | None:
    """Return the environment's proxy for a host; plain HTTP, which is for local hosts, uses none."""
    if scheme != "https" or not any(name.lower() == "https_proxy" for name in os.environ):
        return None
    if urllib.request.proxy_bypass_environment(host):  # type: ignore[attr-defined]
        return None
    return urllib.request.getproxies_environment().get("https")
