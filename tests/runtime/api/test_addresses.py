from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path

import pytest

from runtime.api.daemon.addresses import Address, listen, parse_address, shown
from runtime.api.daemon.configuration import configuration
from runtime.api.daemon.flags import PLAIN, parser
from runtime.api.daemon.locking import only_one
from runtime.api.daemon.serve import DaemonOptions
from runtime.api.nnd import options_of
from runtime.engine.errors import BadParameterError, EngineError


@pytest.mark.parametrize(
    ("text", "tls", "shown", "local"),
    [
        ("unix:///run/x.sock", False, "unix:///run/x.sock", True),
        ("tcp://127.0.0.1", False, "tcp://127.0.0.1:2375", True),
        ("tcp://127.0.0.1", True, "tcp://127.0.0.1:2376", True),
        ("tcp://[::1]:99", False, "tcp://[::1]:99", True),
        ("tcp://localhost:0", False, "tcp://localhost:0", True),
        ("tcp://0.0.0.0:99", False, "tcp://0.0.0.0:99", False),
        ("tcp://host.example:99", False, "tcp://host.example:99", False),
        ("tcp://:99", False, "tcp://127.0.0.1:99", True),
        ("fd://", False, "fd://", True),
    ],
)
def test_an_address_is_read(text: str, tls: bool, shown: str, local: bool):
    address = parse_address(text, tls=tls)
    assert (str(address), address.is_local) == (shown, local)


@pytest.mark.parametrize(
    "text", ["", "/run/x.sock", "unix://relative", "http://a", "tcp://a:many", "tcp://a:99999"]
)
def test_another_form_is_refused_with_those_that_are_known(text: str):
    with pytest.raises(BadParameterError, match="unix:///PATH"):
        parse_address(text)


def options(*flags: str) -> DaemonOptions:
    return options_of(configuration(parser().parse_args(flags)))


def test_tcp_that_others_reach_needs_certificates_or_a_flag_that_says_what_it_means():
    with pytest.raises(BadParameterError, match=PLAIN):
        options("--host", "tcp://0.0.0.0:1")
    assert options("--host", "tcp://0.0.0.0:1", PLAIN).tls is None
    with pytest.raises(BadParameterError, match="--tlscert"):
        options("--host", "tcp://0.0.0.0:1", "--tlsverify", "--tlscert", "/none")


def test_a_socket_that_nobody_has_is_replaced_and_one_in_use_is_not(tmp_path: Path):
    path = tmp_path / "d" / "s"
    address = Address(kind="unix", path=str(path))
    (first,) = listen(address)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with pytest.raises(EngineError, match=re.escape(str(path))):
        listen(address)
    assert stat.S_ISSOCK(path.stat().st_mode)
    first.close()
    (second,) = listen(address)
    second.close()
    path.unlink()
    path.write_text("mine")
    with pytest.raises(EngineError, match=re.escape(str(path))):
        listen(address)
    assert path.read_text() == "mine"


def test_a_port_in_use_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=rf"tcp://127\.0\.0\.1:{port}: .*--host"):
            listen(Address(kind="tcp", host="127.0.0.1", port=port))
    with pytest.raises(EngineError, match="--group nobody-has-this"):
        listen(Address(kind="unix", path=str(tmp_path / "s")), group="nobody-has-this")
    assert not (tmp_path / "s").exists()


def test_a_root_has_one_daemon_whose_process_is_named(tmp_path: Path):
    taken = rf"\b{os.getpid()}\b.*--root"
    with only_one(tmp_path), pytest.raises(EngineError, match=taken), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_port_0_is_a_free_one_and_shown_as_what_it_became(host: str):
    address = Address(kind="tcp", host=host)
    sockets = listen(address)
    ports = {one.getsockname()[1] for one in sockets}
    assert len(ports) == 1
    assert shown(address, sockets) == f"tcp://{host}:{ports.pop()}"
    for one in sockets:
        one.close()
