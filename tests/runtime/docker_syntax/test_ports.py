"""Ports. Read by: cli/ports (-p, --expose), validate (create), network_ports, listing (filters), EXPOSE."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, ports


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80", (80, 80, "tcp")),
        ("80/", (80, 80, "tcp")),
        ("80/tcp", (80, 80, "tcp")),
        ("53/UDP", (53, 53, "udp")),
        ("9/sctp", (9, 9, "sctp")),
        ("8000-8010/udp", (8000, 8010, "udp")),
        ("80-80", (80, 80, "tcp")),
        ("0", (0, 0, "tcp")),
        ("65535", (65535, 65535, "tcp")),
        ("0080", (80, 80, "tcp")),
    ],
)
def test_ports_are_a_range_and_a_protocol(text: str, found: tuple[int, int, str]):
    assert ports.parse(text) == found


@pytest.mark.parametrize(
    "text",
    ["", "abc", "-1", "80-", "-80", "90-80", "65536", "99999999999", " 80", "80 ", "+80", "80/foo",
     "80/tcp/udp", "1-2-3", "٣", "8_0"],
)  # fmt: skip
def test_all_else_is_refused_in_dockerds_words(text: str):
    with pytest.raises(MalformedError) as caught:
        ports.parse(text)
    assert str(caught.value) == f'invalid port specification: "{text}"'


def test_a_range_alone_is_named_with_what_it_is_in():
    assert ports.range_of("80-90") == (80, 90)
    with pytest.raises(MalformedError, match='"8000-"'):
        ports.range_of("8000-")


@given(st.text("0123456789-/tcpud", max_size=12))
def test_any_text_is_ports_or_refused(text: str):
    with contextlib.suppress(MalformedError):
        first, last, protocol = ports.parse(text)
        assert 0 <= first <= last < 65536 and protocol in ports.PROTOCOLS
