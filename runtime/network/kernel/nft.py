"""libnftables through ctypes: commands in nft's language, answers as JSON.

In-process, because starting `nft` costs more than starting a container. The library calls select(), which
aborts the process when a descriptor is 1024 or higher, so a few low descriptors are reserved early.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from typing import Any

from runtime.network.errors import NetworkError

_OUTPUT_JSON = 1 << 4
_LIBRARY = "libnftables.so.1"
_FD_SETSIZE = 1024
_RESERVED = 4
_reserved: list[int] = []
_descriptors = threading.Lock()


def reserve_descriptors() -> None:
    """Reserve low descriptors for later contexts; call it before the process opens many others."""
    with _descriptors:
        while len(_reserved) < _RESERVED:
            fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            if fd >= _FD_SETSIZE:
                os.close(fd)
                return
            _reserved.append(fd)


def _free_low_descriptor() -> None:
    """Make sure that the next descriptor is below 1024."""
    if _reserved:
        os.close(_reserved.pop())
    lowest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.close(lowest)
    if lowest >= _FD_SETSIZE:
        raise NetworkError(
            f"nft: {lowest} files are open in this process, and libnftables needs one below {_FD_SETSIZE}; "
            "this is a bug of ninetynine, report it"
        )


class Nft:
    """One nftables context of the calling process's network namespace. Thread-safe."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            advice = "install it (Debian: apt-get install libnftables1); networks none and host do without"
            raise NetworkError(f"load {_LIBRARY}: {error}; {advice}") from error
        for name, result in (("ctx_new", ctypes.c_void_p), ("ctx_get_output_buffer", ctypes.c_char_p)):
            getattr(self._library, f"nft_{name}").restype = result
        self._library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        with _descriptors:
            _free_low_descriptor()
            self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Free the context. Idempotent."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = ctypes.c_void_p(None)
            reserve_descriptors()

    def run(self, commands: str) -> str:
        """Run commands as one transaction, all or none. NetworkError with nft's message."""
        return self._run(commands, 0)

    def query(self, command: str) -> list[dict[str, Any]]:
        """Run a `list …` command and return its objects (the array `nftables` of the JSON answer)."""
        answer: list[dict[str, Any]] = json.loads(self._run(command, _OUTPUT_JSON))["nftables"]
        return answer

    def _run(self, text: str, flags: int) -> str:
        with self._lock:
            self._library.nft_ctx_output_set_flags(self._context, flags)
            status = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
            output = self._library.nft_ctx_get_output_buffer(self._context) or b""
            error = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if status != 0:
            first = error.decode(errors="replace").strip().splitlines() or ["no message"]
            summary = text.strip().splitlines()[0][:60]
            raise NetworkError(
                f"nft {summary}: {first[0]}; needs root and a kernel with nf_tables and its modules "
                "nft_nat, nft_masq, nft_ct and nft_fib_inet"
            )
        return str(output.decode(errors="replace"))
