"""What can go wrong with a registry, each class with the status that an API answers it with."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from runtime.image.errors import ImageError


class RegistryError(ImageError):
    """A registry could not be used: names the operation, the registry or image, and the cause.

    `http_status` is what Docker's daemon answers its own client in that case.
    """

    http_status: ClassVar[int] = 500


class RegistryNotFoundError(RegistryError):
    """The registry has no such repository, tag, manifest or platform, or does not let us see it."""

    http_status = 404


class RegistryAuthError(RegistryError):
    """The registry wants other credentials."""

    http_status = 401


class ConnectionFailedError(RegistryError):
    """Nobody there, or the connection broke, or stalled. It may be better at the next attempt.

    tls: the other side speaks no TLS. final: trying again cannot help (a certificate nobody vouches for).
    """

    def __init__(self, message: str, *, tls: bool = False, final: bool = False) -> None:
        super().__init__(message)
        self.tls = tls
        self.final = final


class BusyRegistryError(RegistryError):
    """The registry cannot do it now: too many requests, or a fault of its own."""


class RedirectRefusedError(RegistryError):
    """The registry points at an address that is not followed."""


class LyingRegistryError(RegistryError):
    """What came is not what was announced: wrong digest, size or form. Nothing of it was kept."""


class TransferCancelledError(RegistryError):
    """The one who asked went away."""


class CredentialsError(RegistryError):
    """config.json or a credential helper could not be used."""


def shown(url: str) -> str:
    """A URL without its query, which may hold a signature."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets around no address
        return url.partition("?")[0].rpartition("@")[2]
    return parts._replace(query="", netloc=parts.netloc.rpartition("@")[2]).geturl()
