"""Turn failures of a connection into errors with advice."""

from __future__ import annotations

import ssl

from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from runtime.image.registry.registry_errors import ConnectionFailedError, shown

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER", "PACKET_LENGTH", "EOF")


def connection_error(method: str, url: str, error: Exception) -> ConnectionFailedError:
    """Describe an error of urllib3 or the socket as Docker does: `Get "https://…": cause`."""
    return ConnectionFailedError(
        f'{method.capitalize()} "{shown(url)}": {_text(error)}',
        tls=isinstance(error, SSLError) and _speaks_no_tls(error),
        final=isinstance(error, NameResolutionError) or _certificate(error) is not None,
    )


def _text(error: Exception) -> str:
    refused = _certificate(error)
    if refused is not None:
        advice = "put its CA's certificate into certs.d, or list the host as insecure"
        return f"x509: {refused.verify_message}; {advice}"
    if isinstance(error, SSLError):
        said = getattr(_inner(error), "reason", None) or _inner(error)
        if not _speaks_no_tls(error):
            return f"TLS failed: {said}"
        return f"TLS failed: {said}; if it speaks plain HTTP and you trust the network, list it as insecure"
    if isinstance(error, NameResolutionError):
        return "no such host; check the registry's name and the network's DNS"
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return "no connection in time; check the address and the network"
    if isinstance(error, NewConnectionError):
        return f"{_deepest(error)}; check the address and the network"
    if isinstance(error, ReadTimeoutError | TimeoutError):
        return "the registry stalls: no data came in time; try again later"
    return f"the connection broke ({_deepest(error)}); try again"


def _inner(error: SSLError) -> object:
    return error.args[0] if error.args else error


def _certificate(error: Exception) -> ssl.SSLCertVerificationError | None:
    inner = _inner(error) if isinstance(error, SSLError) else error
    return inner if isinstance(inner, ssl.SSLCertVerificationError) else None


def _speaks_no_tls(error: SSLError) -> bool:
    text = f"{getattr(_inner(error), 'reason', '')} {_inner(error)}".upper()
    return any(word in text for word in _NO_TLS)


def _deepest(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error) or type(error).__name__)[:200]
