"""Whom to trust and who we are: docker's certs.d, one directory a registry."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.registry_errors import RegistryError


def context_of(host: str, options: RegistryOptions) -> ssl.SSLContext:
    """Make the TLS settings for `host[:port]`.

    Authorities of its own (`*.crt`) are trusted beside the system's. An insecure host without any may show
    what certificate it likes. `x.cert` goes with `x.key`; both are shown to a registry that asks.
    """
    found = _files(host, options)
    authorities = [path for path in found if path.suffix == ".crt"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if options.is_insecure(host) and not authorities:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs()
    for path in authorities:
        with _worded(path):
            context.load_verify_locations(path)
    for path in found:
        if path.suffix == ".cert":
            with _worded(path):
                context.load_cert_chain(path, path.with_suffix(".key"))
    return context


def _files(host: str, options: RegistryOptions) -> list[Path]:
    found: list[Path] = []
    for directory in options.certs:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _worded(directory / host):
            found += sorted((directory / host).iterdir())
    return found


@contextlib.contextmanager
def _worded(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.suffix != ".cert":
            raise
        raise RegistryError(f"client certificate {path}: its .key is not beside it; put it there") from error
    except (OSError, ssl.SSLError) as error:
        cause = error.strerror or error
        raise RegistryError(f"certificate {path}: {cause}; let it be readable, in PEM form") from error
