"""Errors of registries; each class has the status that an API answers with."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from runtime.image.errors import ImageError


class RegistryError(ImageError):
    """A registry operation failed: names the operation, the registry or image, and the cause.

    http_status: what Docker's daemon answers its client.
    """

    http_status: ClassVar[int] = 500


class RegistryNotFoundError(RegistryError):
    """The registry has no such repository, tag, manifest or platform, or hides it from us."""

    http_status = 404


class RegistryAuthError(RegistryError):
    """The registry requires other credentials."""

    http_status = 401


class ConnectionFailedError(RegistryError):
    """The registry cannot be reached, or the connection broke or stalled. A retry may help.

    tls: the other side does not use TLS. final: a retry cannot help (an untrusted certificate).
    """

    def __init__(self, message: str, *, tls: bool = False, final: bool = False) -> None:
        super().__init__(message)
        self.tls = tls
        self.final = final


class BusyRegistryError(RegistryError):
    """The registry is overloaded or has an internal error."""


class RedirectRefusedError(RegistryError):
    """The registry redirects to an address that is not followed."""


class RegistryDataError(RegistryError):
    """The data is not what was announced: wrong digest, size or form. Nothing of it was kept."""


class TransferCancelledError(RegistryError):
    """The client cancelled, or has gone."""


class CredentialsError(RegistryError):
    """config.json or a credential helper could not be used."""


def shown(url: str) -> str:
    """Return a URL without user and query, which may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets around a non-address
        return url.partition("?")[0].rpartition("@")[2]
    return parts._replace(query="", netloc=parts.netloc.rpartition("@")[2]).geturl()
