from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.api.app import Api
from runtime.api.daemon.tls import TlsProtocol, server_context
from runtime.engine.errors import BadParameterError
from tests.runtime.api.fake_service import fake_service
from tests.runtime.certificates import make_certificates

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("tls"))


class TlsClient:
    """A client whose TLS can say goodbye and still read, as Go's can and asyncio's cannot."""

    def __init__(self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.reader, self.writer = reader, writer

    async def _flush(self) -> None:
        self.writer.write(self.outgoing.read())
        await self.writer.drain()

    async def shake_hands(self) -> None:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                await self._flush()
                return
            await self._flush()
            await self._more()

    async def _more(self) -> None:
        data = await self.reader.read(1 << 16)
        self.incoming.write(data) if data else self.incoming.write_eof()

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self._flush()

    async def end(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self._flush()

    async def read(self) -> bytes:
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                await self._more()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def until(self, end: bytes) -> bytes:
        found = b""
        while end not in found:
            data = await self.read()
            assert data, f"{end!r} did not come, but {found!r}"
            found += data
        return found


@contextlib.asynccontextmanager
async def serving_tls(certificates: Path) -> AsyncIterator[int]:
    context = server_context(
        certificates / "server-cert.pem", certificates / "server-key.pem", certificates / "ca.pem"
    )
    api = Api(fake_service())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: TlsProtocol(context, api), "127.0.0.1", 0)
    try:
        async with asyncio.timeout(120):
            yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await api.shutdown(1)


async def connect(certificates: Path, port: int, name: str = "client") -> TlsClient:
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if name:
        context.load_cert_chain(certificates / f"{name}-cert.pem", certificates / f"{name}-key.pem")
    client = TlsClient(context, *await asyncio.open_connection("127.0.0.1", port))
    await client.shake_hands()
    return client


def test_a_client_may_end_its_input_and_read_on(certificates: Path):
    async def run() -> None:
        async with serving_tls(certificates) as port:
            client = await connect(certificates, port)
            await client.send(
                b"POST /containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
                b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
            )
            assert b"101 UPGRADED" in await client.until(b"hello")
            await client.send(b"x" * 200_000)
            echoed = 0
            while echoed < 200_000:
                echoed += (await client.read()).count(b"x")
            await client.end()
            rest = await client.until(b"bye")
            assert rest.endswith(b"\1\0\0\0\0\0\0\3bye")
            assert await client.read() == b""
            client.writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("name", ["", "strange"])
def test_a_client_without_our_certificate_gets_nothing(certificates: Path, name: str):
    async def run() -> None:
        async with serving_tls(certificates) as port:
            with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
                client = await connect(certificates, port, name)
                await client.send(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
                await client.until(b"OK")
            client = await connect(certificates, port)
            await client.send(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            assert b"200 OK" in await client.until(b"\r\n\r\nOK")
            client.writer.close()

    asyncio.run(run())


def test_what_is_not_tls_is_closed(certificates: Path):
    async def run() -> None:
        async with serving_tls(certificates) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            data = await reader.read()
            assert b"OK" not in data
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("cert", "ca", "message"),
    [("none.pem", "ca.pem", "--tlscert"), ("server-cert.pem", "none.pem", "--tlscacert")],
)
def test_a_missing_file_is_named_with_its_flag(certificates: Path, cert: str, ca: str, message: str):
    with pytest.raises(BadParameterError, match=message):
        server_context(certificates / cert, certificates / "server-key.pem", certificates / ca)
