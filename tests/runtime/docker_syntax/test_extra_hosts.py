"""Extra hosts. Read by: cli/flag_values (run, build), validate (create), network_files (start)."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, extra_hosts


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("db:10.0.0.1", ("db", "10.0.0.1")),
        ("db=10.0.0.1", ("db", "10.0.0.1")),
        ("db:::1", ("db", "::1")),
        ("db=::1", ("db", "::1")),
        ("db:[::1]", ("db", "::1")),
        ("db=[fe80::1]", ("db", "fe80::1")),
        ("host.docker.internal:host-gateway", ("host.docker.internal", "host-gateway")),
        ("db=host-gateway", ("db", "host-gateway")),
    ],
)
def test_a_line_is_a_name_and_an_address(text: str, line: tuple[str, str]):
    assert extra_hosts.parse(text) == line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("db", 'bad format for add-host: "db"'),
        ("", 'bad format for add-host: ""'),
        (":10.0.0.1", 'bad format for add-host: ":10.0.0.1"'),
        ("=::1", 'bad format for add-host: "=::1"'),
        ("a:b=::1", 'bad format for add-host: "a:b=::1"'),
        ("db:", 'invalid IP address in add-host: ""'),
        ("db:b", 'invalid IP address in add-host: "b"'),
        ("db:10.0.0.256", 'invalid IP address in add-host: "10.0.0.256"'),
        ("db:1.2.3", 'invalid IP address in add-host: "1.2.3"'),
        ("db:1.2.3.4:5", 'invalid IP address in add-host: "1.2.3.4:5"'),
        ("db:é", 'invalid IP address in add-host: "é"'),
        ("db:1.2.3.4\0", 'invalid IP address in add-host: "1.2.3.4\0"'),
    ],
)
def test_all_else_is_refused_in_dockerds_words(text: str, words: str):
    with pytest.raises(MalformedError) as caught:
        extra_hosts.parse(text)
    assert str(caught.value) == words


@given(st.text("ab.:=[]0123", max_size=14))
def test_any_text_is_a_line_or_refused(text: str):
    with contextlib.suppress(MalformedError):
        name, address = extra_hosts.parse(text)
        assert name and ipaddress.ip_address(address)
