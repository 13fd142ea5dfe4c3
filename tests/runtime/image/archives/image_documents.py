"""Two small layers, and the documents that archives have about layers."""

from __future__ import annotations

import hashlib
import json

from tests.runtime.tars import directory, entry, tar

LAYERS = (tar(directory("etc"), entry("etc/a", data=b"1")), tar(entry("etc/.wh.a"), entry("b", data=b"2")))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def config(*layers: bytes) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}" for layer in layers]}
    settings = {"Cmd": ["/b"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": settings}).encode()
