"""Sysctls. Read by: service/validate (create), oci/plan (start)."""

from __future__ import annotations

import pytest

from runtime.docker_syntax import sysctls


@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        ("net.core.somaxconn", "network"),
        ("net.ipv4.conf.all.forwarding", "network"),
        ("kernel.sem", "ipc"),
        ("kernel.msgmax", "ipc"),
        ("kernel.shmmax", "ipc"),
        ("kernel.shm_rmid_forced", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("kernel.domainname", "uts"),
        ("kernel.hostname", None),
        ("kernel.shm_next_id", None),
        ("kernel.msgwhat", None),
        ("kernel.semaphore", None),
        ("fs.mqueue", None),
        ("net", None),
        ("network.x", None),
        ("vm.swappiness", None),
        ("", None),
    ],
)
def test_a_parameter_belongs_to_one_namespace_or_to_the_host(name: str, namespace: str | None):
    assert sysctls.namespace_of(name) == namespace
