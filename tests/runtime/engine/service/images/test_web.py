"""What is fetched by URL: why it could not be had."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request

import pytest

from runtime.engine.errors import BadParameterError, EngineError
from runtime.engine.service.images.download import open_url


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            "dial tcp: lookup me.invalid: Name or service not known",
        ),
        (ConnectionRefusedError(111, "Connection refused"), "dial tcp me.invalid: connection refused"),
        (ssl.SSLCertVerificationError(1, "nobody vouches for it"), "nobody vouches for it"),
        ("no host given", "no host given"),
        (http.client.BadStatusLine("hello"), "hello"),
    ],
)
def test_why_an_url_could_not_be_fetched(
    reason: OSError | http.client.HTTPException | str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise reason if isinstance(reason, http.client.HTTPException) else urllib.error.URLError(reason)

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(EngineError) as caught, open_url("https://me.invalid/file"):
        pass
    assert f"https://me.invalid/file: {said}" in str(caught.value)


@pytest.mark.parametrize("url", ["http://[", "http://host:99999/", "http:///file", "ftp://host/"])
def test_what_is_not_a_url_is_refused(url: str) -> None:
    with pytest.raises(BadParameterError, match=re.escape(url)), open_url(url):
        pass
