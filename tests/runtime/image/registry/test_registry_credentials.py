"""docker's config.json and the real protocol of its credential helpers, and the header that carries them."""

import base64
import json
import os
import re
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.image.registry import credentials
from runtime.image.registry.credentials import HUB_KEY, Credential
from runtime.image.registry.registry_errors import CredentialsError
from tests.runtime.image.registry.credential_helper import HELPER


@pytest.fixture
def config(tmp_path):
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def helper(tmp_path, monkeypatch):
    program = tmp_path / "docker-credential-test"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return program


def write(config, document):
    config.parent.mkdir(exist_ok=True)
    config.write_text(document if isinstance(document, str) else json.dumps(document))


def test_kept_in_the_file_for_its_owner_alone(config):
    write(config, {"HttpHeaders": {"X": "y"}, "auths": {"other:5000": {"auth": "YTpi"}}})
    credentials.store("registry:5000", Credential("me", "se:cret"), config)
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    document = json.loads(config.read_text())
    assert document["HttpHeaders"] == {"X": "y"}
    assert document["auths"]["registry:5000"] == {"auth": base64.b64encode(b"me:se:cret").decode()}
    assert credentials.lookup("registry:5000", config) == Credential("me", "se:cret")
    assert credentials.lookup("https://registry:5000/v2/", config) == Credential("me", "se:cret")
    assert credentials.lookup("other:5000", config) == Credential("a", "b")
    assert credentials.lookup("registry:5001", config) is None
    assert credentials.erase("registry:5000", config)
    assert not credentials.erase("registry:5000", config)
    assert credentials.lookup("registry:5000", config) is None


def test_the_hub_has_many_names(config):
    credentials.store("docker.io", Credential("me", "x"), config)
    assert list(json.loads(config.read_text())["auths"]) == [HUB_KEY]
    for name in ("", "docker.io", "index.docker.io", "registry-1.docker.io", HUB_KEY):
        assert credentials.lookup(name, config) == Credential("me", "x")


@pytest.mark.programs
def test_a_helper_keeps_what_the_file_does_not(config, helper):
    write(config, {"credsStore": "test"})
    assert credentials.store("registry:5000", Credential("me", "secret"), config) == "docker-credential-test"
    assert "secret" not in config.read_text()
    assert credentials.lookup("registry:5000", config) == Credential("me", "secret")
    assert credentials.lookup("other", config) is None
    credentials.store("tokens", Credential(token="identity"), config)
    assert credentials.lookup("tokens", config) == Credential(token="identity")
    assert credentials.erase("registry:5000", config)
    assert credentials.lookup("registry:5000", config) is None


@pytest.mark.programs
def test_a_helper_forgets_all_names_of_a_registry(config, helper):
    write(config, {"credsStore": "test", "auths": {"https://registry:5000": {}, "http://other": {}}})
    for name in ("https://registry:5000", "http://registry:5000", "http://other"):
        entry = {"ServerURL": name, "Username": "me", "Secret": "x"}
        subprocess.run([helper, "store"], input=json.dumps(entry), text=True, check=True)
    credentials.store("registry:5000", Credential("me", "secret"), config)
    assert credentials.erase("registry:5000", config)
    assert list(json.loads(config.read_text())["auths"]) == ["http://other"]
    assert not credentials.erase("registry:5000", config)
    assert list(json.loads(helper.with_suffix(".json").read_text())) == ["http://other"]


def test_a_helper_for_one_registry(config, helper):
    write(config, {"credHelpers": {"special": "test"}, "auths": {"plain": {"auth": "YTpi"}}})
    credentials.store("special", Credential("me", "x"), config)
    assert credentials.lookup("special", config) == Credential("me", "x")
    assert credentials.lookup("plain", config) == Credential("a", "b")


def test_a_helper_that_fails_says_no_secret(config, helper):
    helper.write_text("#!/bin/sh\necho secret; exit 3\n")
    write(config, {"credsStore": "test"})
    with pytest.raises(CredentialsError, match=r"docker-credential-test get: .*\b3\b") as caught:
        credentials.lookup("registry", config)
    assert "secret" not in str(caught.value)
    helper.write_text("#!/bin/sh\necho secret\n")
    with pytest.raises(CredentialsError, match="docker-credential-test get: ") as caught:
        credentials.lookup("registry", config)
    assert "secret" not in str(caught.value)
    helper.unlink()
    with pytest.raises(CredentialsError, match=r"docker-credential-test: .*\bPATH\b"):
        credentials.lookup("registry", config)


@pytest.mark.parametrize("name", ["../evil", "a/b", "x;y", "a b"])
def test_a_helper_is_a_name(config, name):
    write(config, {"credsStore": name})
    with pytest.raises(CredentialsError, match=re.escape(repr(name))):
        credentials.lookup("registry", config)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths": [1]}', '{"auths": {"registry": {"auth": "!"}}}', "[" * 99999]
)
def test_a_file_that_is_broken(config, text):
    write(config, text)
    with pytest.raises(CredentialsError):
        credentials.lookup("registry", config)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters=":\0"), min_size=1, max_size=20)


@given(TEXT, TEXT)
def test_the_header_carries_all(user, password):
    credential = Credential(user, password)
    assert credentials.decode_header(credentials.encode_header("registry", credential)) == credential


def test_the_header_in_all_its_spellings():
    document = {"username": "a?>", "password": "~~~", "serveraddress": "x"}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(json.dumps(document).encode()).decode()
        for value in (text, text.rstrip("=")):
            assert credentials.decode_header(value) == Credential("a?>", "~~~")
    assert credentials.decode_header("") is None
    assert credentials.decode_header("e30=") is None
    identity = credentials.encode_header("x", Credential(token="t"))
    assert credentials.decode_header(identity) == Credential(token="t")
    with pytest.raises(CredentialsError):
        credentials.decode_header("nonsense")


@given(st.text())
def test_no_header_breaks_the_reader(text):
    try:
        credentials.decode_header(text)
    except CredentialsError as error:
        assert "X-Registry-Auth" in str(error)


def test_a_client_that_looks_up_a_credential_does_not_load_the_image_store():
    """It used to: `nn pull` with a config.json imported the store first, 0.05 to 0.3 s of Python."""
    script = "import sys, runtime.image.registry.credentials; print('msgspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
