from __future__ import annotations

import json

import pytest

from runtime.oci.spec import IdMapping, Mount, SpecError, TimeOffset, read_spec

BUNDLE = {
    "ociVersion": "1.2.0",
    "process": {
        "args": ["sh"],
        "cwd": "/",
        "noNewPrivileges": True,
        "user": {"uid": 1, "gid": 2, "additionalGids": [3]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
    },
    "root": {"path": "rootfs", "readonly": True},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "hooks": {"prestart": []},
    "linux": {
        "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/x"}],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        "timeOffsets": {"boottime": {"secs": 5}},
        "sysctl": {"net.core.somaxconn": "256"},
        "maskedPaths": ["/proc/kcore"],
    },
}


def test_a_bundle_is_read_by_the_specs_own_names():
    spec = read_spec(json.dumps(BUNDLE))
    assert spec.process.args == ("sh",)
    assert spec.process.no_new_privileges
    assert spec.process.user.additional_gids == (3,)
    assert spec.root.readonly
    assert spec.mounts == (Mount(destination="/proc", type="proc", source="proc"),)
    assert spec.linux.uid_mappings == (IdMapping(container_id=0, host_id=1000, size=1),)
    assert spec.linux.time_offsets == (("boottime", TimeOffset(secs=5)),)
    assert spec.linux.sysctl == (("net.core.somaxconn", "256"),)
    assert isinstance(hash(spec), int)


@pytest.mark.parametrize(
    ("text", "place"),
    [("{", "truncated"), ("[]", "Expected `object`"), ('{"process": {"args": "sh"}}', r"\$\.process\.args")],
)
def test_what_is_no_spec_names_the_place(text, place):
    with pytest.raises(SpecError, match=place):
        read_spec(text)
