"""The containers' AppArmor profile, where the kernel enforces profiles."""

from __future__ import annotations

import pytest

from runtime.spawn import apparmor
from tests.runtime.daemon_process import Daemon

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not apparmor.is_on(), reason="no AppArmor here, or no apparmor_parser"),
]

RUN = ("run", "--rm", "--network=none")
CURRENT = ("cat", "/proc/self/attr/current")
FREE = ("--security-opt", "apparmor=unconfined")
ABLE = ("--cap-add=ALL", "--security-opt=seccomp=unconfined", "--security-opt=systempaths=unconfined")


def test_a_program_and_what_joins_it_are_in_the_profile(daemon: Daemon) -> None:
    made = daemon.docker("run", "-d", "--network=none", "--name=kept", "busybox", "sleep", "600").strip()
    assert daemon.docker("exec", made, *CURRENT) == "nn-default (enforce)\n"
    assert daemon.docker("exec", made, "cat", "/proc/1/attr/current") == "nn-default (enforce)\n"
    assert daemon.docker("inspect", "-f", "{{.AppArmorProfile}}", made) == "nn-default\n"
    assert "name=apparmor" in daemon.docker("info", "-f", "{{.SecurityOptions}}")
    daemon.docker("stop", "-t", "0", made)
    daemon.docker("rm", made)


@pytest.mark.parametrize("flags", [FREE, ("--privileged",)])
def test_whoever_asks_is_in_none(daemon: Daemon, flags: tuple[str, ...]) -> None:
    assert daemon.docker(*RUN, *flags, "busybox", *CURRENT) == "unconfined\n"


@pytest.mark.parametrize(
    "flags", [("--init",), ("--user=1000",), ("--security-opt=no-new-privileges",), ("-t",)]
)
def test_however_the_program_is_started(daemon: Daemon, flags: tuple[str, ...]) -> None:
    assert daemon.docker(*RUN, *flags, "busybox", *CURRENT).strip() == "nn-default (enforce)"


REFUSED = (
    "mount -t tmpfs none /tmp",
    ": >> /proc/sys/vm/drop_caches",  # opened, not written to: where nothing refuses it, nothing happens
    ": >> /proc/sys/kernel/core_pattern",
    ": >> /proc/sysrq-trigger",
)


@pytest.mark.parametrize("script", REFUSED)
def test_it_refuses_what_capabilities_allow(daemon: Daemon, script: str) -> None:
    said = daemon.docker(*RUN, *ABLE, "busybox", "sh", "-c", f"({script}) 2>&1 || echo refused")
    assert "ermission denied" in said and said.endswith("refused\n")
    assert daemon.docker(*RUN, *ABLE, *FREE, "busybox", "sh", "-c", f"{script} && echo done") == "done\n"


def test_its_own_things_work_as_ever(daemon: Daemon) -> None:
    script = (
        "set -e; echo 4096 > /proc/sys/kernel/shmmni; sleep 9 & kill $!; ps; cat /proc/meminfo; echo well"
    )
    assert daemon.docker(*RUN, *ABLE, "busybox", "sh", "-c", script).endswith("well\n")


def test_an_unknown_one_is_named(daemon: Daemon) -> None:
    said = daemon.docker(*RUN, "--security-opt=apparmor=nn-none", "busybox", "true", status=127)
    assert "enter AppArmor profile nn-none: ENOENT" in said
