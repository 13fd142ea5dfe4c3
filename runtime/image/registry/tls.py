"""TLS settings of a registry from docker's certs.d: CAs to trust and client certificates."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.registry_errors import RegistryError


def context_of(host: str, options: RegistryOptions) -> ssl.SSLContext:
    """Return the TLS settings for `host[:port]`.

    Its CAs (`*.crt`) are trusted in addition to the system's. An insecure host without any may use any
    certificate. `x.cert` and `x.key` are the client certificate.
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
        with _naming(path):
            context.load_verify_locations(path)
    for path in found:
        if path.suffix == ".cert":
            with _naming(path):
                context.load_cert_chain(path, path.with_suffix(".key"))
    return context


def _files(host: str, options: RegistryOptions) -> list[Path]:
    found: list[Path] = []
    for directory in options.certs:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _naming(directory / host):
            found += sorted((directory / host).iterdir())
    return found


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.suffix != ".cert":
            raise
        raise RegistryError(f"client certificate {path}: its .key is not beside it; put it there") from error
    except (OSError, ssl.SSLError) as error:
        cause = error.strerror or error
        raise RegistryError(f"certificate {path}: {cause}; make it a readable PEM file") from error
