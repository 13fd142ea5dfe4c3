"""Who may see what: passwords, tokens and their scopes, TLS, and that no credential goes astray."""

import base64
import json
import re
import ssl
import subprocess

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.image.registry.challenge import Challenge, choose, parse_challenges
from runtime.image.registry.client import RegistryClient
from runtime.image.registry.credentials import Credential
from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.registry_errors import (
    ConnectionFailedError,
    RedirectRefusedError,
    RegistryAuthError,
    RegistryDataError,
    RegistryError,
    RegistryNotFoundError,
)
from tests.runtime.registries import Fake, TokenServer, make_image, send, tar_of

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS")

ME = Credential("me", "se:cret")
TAR = tar_of({"file": b"x" * 3000})


def test_a_token_is_asked_for_once_with_its_scope(fake, client, store):
    tokens = TokenServer(fake, ME)
    fake.add(make_image([TAR]))
    client.pull(store, fake.name(), credential=ME)
    ((method, query, _),) = tokens.asked
    assert method == "GET"
    assert query["scope"] == ["repository:app:pull"]
    assert query["service"] == ["a registry"]
    assert query["account"] == ["me"]


def test_an_expired_token_is_replaced(fake, client, store):
    tokens = TokenServer(fake, ME)
    fake.add(make_image([TAR]))
    with client.session(fake.host, ME) as session:
        for _ in range(2):
            with session.ask("GET", "/v2/app/manifests/1", scopes=("repository:app:pull",)) as answer:
                answer.document(1 << 20, "it")
            tokens.good.clear()  # the registry forgets it before its time
    assert len(tokens.asked) == 2


def test_an_identity_token_is_posted(fake, client, store):
    tokens = TokenServer(fake, ME)
    fake.add(make_image([TAR]))
    client.pull(store, fake.name(), credential=Credential(token="identity"))
    ((method, query, authorization),) = tokens.asked
    assert (method, authorization) == ("POST", None)
    assert query["refresh_token"] == ["identity"]
    assert query["scope"] == ["repository:app:pull"]


def test_the_wrong_password(fake, client, store):
    TokenServer(fake, ME)
    fake.add(make_image([TAR]))
    with pytest.raises(RegistryNotFoundError, match=r"pull access denied.*incorrect username or password"):
        client.pull(store, fake.name(), credential=Credential("me", "wrong"))
    with pytest.raises(RegistryAuthError, match=r"Get .*/v2/.*: incorrect username or password"):
        client.log_in(fake.host, Credential("me", "wrong"))


def test_a_login_gives_an_identity_token(fake, client):
    TokenServer(fake, ME)
    assert client.log_in(fake.host, ME) == "identity"


def test_a_password_where_that_is_wanted(fake, client, store):
    pair = base64.b64encode(b"me:se:cret").decode()

    def gate(handler):
        if handler.headers.get("Authorization") == f"Basic {pair}":
            return False
        send(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="here"'})
        return True

    fake.gate = gate
    fake.add(make_image([TAR]))
    assert client.log_in(fake.host, ME) == ""
    assert client.pull(store, fake.name(), credential=ME).new
    with pytest.raises(RegistryNotFoundError, match="no basic auth credentials"):
        client.pull(store, fake.name())
    with pytest.raises(RegistryAuthError, match=r"unauthorized.*failed with status: 401 Unauthorized"):
        client.log_in(fake.host, Credential("me", "wrong"))


def test_a_busy_token_server_is_asked_again(fake, client, store):
    tokens = TokenServer(fake, ME)
    fake.add(make_image([TAR]))
    asked = []

    def busy(handler):
        asked.append(handler.path)
        return send(handler, 503, b"") if len(asked) < 3 else tokens.give(handler)

    fake.on("GET", "/token", busy)
    assert client.pull(store, fake.name(), credential=ME).new
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            b'{"errors":[{"Code":"UNAUTHORIZED","message":"a message","detail":null}]}',
            "unauthorized: a message",
        ),
        (401, b'{"error":"unauthorized"}', "unauthorized: authentication required (unauthorized)"),
        (401, b'{"details":"wrong password"}', "unauthorized: wrong password"),
        (401, b"", "unauthorized: authentication required"),
        (
            403,
            b"no way",
            "denied: requested access to the resource is denied; "
            'error parsing HTTP 403 response body: not JSON: "no way"',
        ),
        (403, b'[{"a": 1}]', "denied: requested access to the resource is denied"),
        (
            429,
            b'{"errors":[{"code":"TOOMANYREQUESTS","message":"out of tokens"}]}',
            "toomanyrequests: out of tokens",
        ),
    ],
)
def test_what_a_token_server_says_is_reported_in_dockers_words(fake, brief, status, body, said):
    TokenServer(fake, ME)
    fake.on("GET", "/token", lambda handler: send(handler, status, body))
    with pytest.raises(RegistryError) as caught:
        brief.tags(f"{fake.host}/app")
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "realm",
    [
        "http://192.0.2.1/token",
        "file:///etc/passwd",
        "https://me@192.0.2.1/",
        "",
        "https://",
        "http://[::1",
    ],
)
def test_a_token_server_that_gets_no_password(fake, client, store, realm):
    tokens = TokenServer(fake, ME)
    tokens.realm = realm
    with pytest.raises(RegistryError, match=re.escape(repr(realm))):
        client.pull(store, fake.name(), credential=ME)


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"token":5}', b'{"token":"a\\r\\nX: y"}', b'{"token":"x","expires_in":"soon"}'],
)
def test_a_token_server_that_talks_nonsense(fake, client, store, answer):
    TokenServer(fake, ME)
    fake.on("GET", "/token", lambda handler: send(handler, 200, answer))
    with pytest.raises(RegistryDataError):
        client.pull(store, fake.name(), credential=ME)


# ---- challenges --------------------------------------------------------------------------------------------


def test_challenges_of_the_wild():
    text = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
    text += 'scope="repository:a/b:pull,push"'
    assert parse_challenges(text) == [
        Challenge(
            "bearer",
            {
                "realm": "https://auth.docker.io/token",
                "service": "registry.docker.io",
                "scope": "repository:a/b:pull,push",
            },
        )
    ]
    two = parse_challenges('Basic realm="a \\"b\\", c", Bearer realm=https://x/y , error = "z"')
    assert [one.scheme for one in two] == ["basic", "bearer"]
    assert two[0].parameters == {"realm": 'a "b", c'}
    assert two[1].parameters == {"realm": "https://x/y", "error": "z"}
    assert choose(two) is two[1]
    assert choose(parse_challenges("Negotiate")) is None


@given(st.text())
def test_no_header_breaks_the_parser(text):
    for challenge in parse_challenges(text):
        assert challenge.scheme == challenge.scheme.lower()


WORDS = st.text("abcXYZ019-_", min_size=1, max_size=6)


@given(st.lists(st.tuples(WORDS, st.dictionaries(WORDS.map(str.lower), st.text('ab ,="\\é', max_size=6)))))
def test_what_is_written_is_read(challenges):
    def quoted(value):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert parse_challenges(text) == [Challenge(scheme.lower(), dict(rest)) for scheme, rest in challenges]


# ---- TLS ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """ca.crt, and server.* and client.* signed by it."""
    where = tmp_path_factory.mktemp("authority")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=where, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=tests")
    (where / "san").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "2"),
            *("-CAcreateserial", "-extfile", "san", "-out", f"{name}.crt"),
        )
    return where


@pytest.fixture
def secure(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.crt", authority / "server.key")
    context.load_verify_locations(authority / "ca.crt")
    registry = Fake(tls=context)
    registry.context = context
    registry.add(make_image([TAR]))
    yield registry
    registry.close()


def strict(certs):
    return RegistryClient(
        RegistryOptions(trust_loopback=False, certs=(certs,), attempts=1, read_s=2, connect_s=2)
    )


def test_an_authority_of_its_own(secure, store, authority, tmp_path):
    with pytest.raises(ConnectionFailedError, match=r"x509: .*certs\.d"):
        strict(tmp_path).pull(store, secure.name())
    (tmp_path / secure.host).mkdir()
    (tmp_path / secure.host / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())
    assert strict(tmp_path).pull(store, secure.name()).new


def test_an_authority_is_asked_for_even_on_loopback_once_it_is_there(secure, store, tmp_path):
    assert RegistryClient(RegistryOptions(certs=())).pull(store, secure.name()).new
    (tmp_path / secure.host).mkdir()
    (tmp_path / secure.host / "ca.crt").write_text("nonsense")
    with pytest.raises(RegistryError, match=r"ca\.crt"):
        RegistryClient(RegistryOptions(certs=(tmp_path,))).pull(store, secure.name())


def test_a_certificate_of_ours(secure, store, authority, tmp_path):
    secure.context.verify_mode = ssl.CERT_REQUIRED
    where = tmp_path / secure.host
    where.mkdir()
    (where / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())
    with pytest.raises(ConnectionFailedError):
        strict(tmp_path).pull(store, secure.name())
    (where / "client.cert").write_bytes((authority / "client.crt").read_bytes())
    with pytest.raises(RegistryError, match=r"client\.cert\b.*\.key\b"):
        strict(tmp_path).pull(store, secure.name())
    (where / "client.key").write_bytes((authority / "client.key").read_bytes())
    assert strict(tmp_path).pull(store, secure.name()).new


def test_no_plain_http_but_where_it_is_allowed(fake, store, tmp_path):
    fake.add(make_image([TAR]))
    with pytest.raises(ConnectionFailedError, match="TLS"):
        strict(tmp_path).pull(store, fake.name())
    assert not fake.seen
    listed = msgspec.structs.replace(strict(tmp_path).options, insecure=(fake.host,))
    assert RegistryClient(listed).pull(store, fake.name()).new


def test_no_way_from_tls_to_plain_http(secure, fake, store, client):
    digest = json.loads(secure.manifests["app", "1"][0])["layers"][0]["digest"]
    target = f"{fake.base}/v2/app/blobs/{digest}"
    secure.on("GET", f"/v2/app/blobs/{digest}", lambda one: send(one, 302, b"", {"Location": target}))
    with pytest.raises(RedirectRefusedError, match=re.escape(target)):
        client.pull(store, secure.name())
    assert not fake.seen


@pytest.mark.parametrize(
    ("host", "insecure", "expected"),
    [
        ("localhost:5000", (), True),
        ("127.8.9.1", (), True),
        ("[::1]:5000", (), True),
        ("localhost.example.com", (), False),
        ("127.0.0.1.example.com", (), False),
        ("10.1.2.3:80", (), False),
        ("10.1.2.3:80", ("10.0.0.0/8",), True),
        ("registry:5000", ("registry:5000",), True),
        ("registry:5001", ("registry:5000",), False),
        ("registry:5001", ("registry",), True),
        ("10.1.2.3", ("nonsense/8",), False),
    ],
)
def test_who_may_be_talked_to_in_clear(host, insecure, expected):
    assert RegistryOptions(insecure=insecure).is_insecure(host) is expected
