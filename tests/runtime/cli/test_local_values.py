from __future__ import annotations

import argparse

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.cli.local import values
from runtime.network.model import Port


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("512b", 512), ("1k", 1024), ("1.5G", 3 << 29), ("64MiB", 64 << 20), ("-1", -1)],
)
def test_sizes(text: str, size: int) -> None:
    assert values.size(text) == size


@pytest.mark.parametrize("text", ["", "m", "5x", "1..2", "-5", "inf", "nan", "1e400", "k5"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"size|negative"):
        values.size(text)


@given(st.text(max_size=12))
@example("²")
@example("nofile=--1")
def test_any_text_is_a_value_or_a_worded_refusal(text: str) -> None:
    for parse in (values.size, values.cpus, values.positive, values.port, values.volume, values.temporary):
        try:
            parse(text)
        except argparse.ArgumentTypeError as error:
            assert repr(text) in str(error)
    for parse in (values.ulimit, values.capability):
        try:
            parse(text)
        except argparse.ArgumentTypeError as error:
            assert repr(text) in str(error)


def test_ports() -> None:
    assert values.port("8080:80") == Port(host=8080, container=80)
    assert values.port("127.0.0.1:53:53/udp") == Port(
        host=53, container=53, protocol="udp", host_ip="127.0.0.1"
    )
    assert values.port("0.0.0.0:1:2").host_ip is None


@pytest.mark.parametrize("text", ["80", "a:b", "1:2/sctp", "x:1:2", "0:1", "1:65536", "::1:80"])
def test_no_ports(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        values.port(text)


def test_volumes_are_host_paths() -> None:
    assert values.volume("/a:/b").options == ("rbind", "rw")
    assert values.volume("/a:/b:ro").options == ("rbind", "ro")
    with pytest.raises(argparse.ArgumentTypeError, match="absolute path"):
        values.volume("data:/b")


def test_tmpfs_takes_size_and_mode() -> None:
    assert {"size=1048576", "mode=755"} <= set(values.temporary("/run:size=1m,mode=755").options)


def test_capabilities_follow_docker() -> None:
    default = values.kept_capabilities((), ())
    assert len(default) == 14
    assert set(values.kept_capabilities(("NET_ADMIN",), ())) == {*default, "NET_ADMIN"}
    assert values.kept_capabilities((), ("ALL",)) == ()
    assert values.kept_capabilities(("CHOWN",), ("ALL",)) == ("CHOWN",)
    assert len(values.kept_capabilities(("ALL",), ())) == 41
    assert "CHOWN" not in values.kept_capabilities(("ALL",), ("CHOWN",))
    assert values.capability("cap_net_admin") == "NET_ADMIN"


def test_variables_come_from_the_host_when_they_have_no_value() -> None:
    assert values.environment("A=", {}) == "A="
    assert values.environment("A", {"A": "1"}) == "A=1"
    assert values.environment("A", {}) is None
