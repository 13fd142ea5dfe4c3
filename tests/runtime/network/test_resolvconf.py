from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from runtime.network.kernel.host_routes import parse_ipv4, parse_ipv6, read_addresses, read_routes
from runtime.network.resolvconf import (
    ResolvConf,
    for_containers,
    hosts_text,
    parse,
    with_overrides,
    write,
)

WORDS = st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,9}", fullmatch=True), max_size=4)
CONFS = st.builds(
    lambda servers, search, options: ResolvConf(tuple(map(str, servers)), tuple(search), tuple(options)),
    st.lists(st.ip_addresses(), max_size=3), WORDS, WORDS,
)  # fmt: skip


@given(CONFS)
def test_what_is_written_reads_the_same(conf: ResolvConf) -> None:
    assert parse(write(conf)) == conf


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(parse(text), ResolvConf)


def test_comments_rubbish_and_double_lines() -> None:
    text = "# x\nnameserver 1.1.1.1 ; why\nnameserver nonsense\nnameserver\nsearch a b\ndomain c\noptions x\n"
    assert parse(text) == ResolvConf(("1.1.1.1",), ("c",), ("x",))


def test_loopback_servers_are_no_use_inside() -> None:
    assert for_containers(ResolvConf(("127.0.0.53", "9.9.9.9", "::1"))).servers == ("9.9.9.9",)
    assert for_containers(ResolvConf(("127.0.0.1",))).servers == ("8.8.8.8", "8.8.4.4")


def test_choices_replace_and_a_dot_disables_the_search() -> None:
    base = ResolvConf(("1.1.1.1",), ("a",), ("x",))
    assert with_overrides(base, (), (), ()) == base
    assert with_overrides(base, ("2.2.2.2",), ("b",), ("y",)) == ResolvConf(("2.2.2.2",), ("b",), ("y",))
    assert with_overrides(base, (), (".",), ()).search == ()


def test_hosts_begin_as_everywhere() -> None:
    text = hosts_text([("10.0.0.2", "web")], ipv6=True)
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ")
    assert text.endswith("\nff02::2\tip6-allrouters\n10.0.0.2\tweb\n")
    assert hosts_text([("10.0.0.2", "web")], ipv6=False) == "127.0.0.1\tlocalhost\n10.0.0.2\tweb\n"


def test_routes_are_read_as_the_kernel_writes_them() -> None:
    ipv4 = (
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n"
        "nnb0 0000D10A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
    )
    assert [str(network) for network in parse_ipv4(ipv4)] == ["0.0.0.0/0", "10.209.0.0/24"]
    tail = "00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 1 0 1 eth0\n"
    ipv6 = "".join(
        f"{destination} {length} {tail}"
        for destination, length in (
            ("fd000000000000000000000000000000", "40"),
            ("fe800000000000000000000000000000", "40"),
            ("ff000000000000000000000000000000", "08"),
        )
    )
    assert [str(network) for network in parse_ipv6(ipv6)] == ["fd00::/64"]
    assert all(network.prefixlen >= 0 for network in read_routes())
    assert ip_address("127.0.0.1") in read_addresses()
