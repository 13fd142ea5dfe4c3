"""Certificates for tests: an authority, a server's for localhost, a client's, and a stranger's."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SUBJECT_NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


def make_certificates(directory: Path) -> Path:
    """Fill `directory` with ca.pem, {server,client}-{cert,key}.pem, and strange-* of another authority."""
    for authority, names in (("ca", ("server", "client")), ("strange-ca", ("strange",))):
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={authority}", "-keyout", directory / f"{authority}-key.pem",
            "-out", directory / f"{authority}.pem",
        )  # fmt: skip
        for name in names:
            _signed(directory, authority, name)
    return directory


def _signed(directory: Path, authority: str, name: str) -> None:
    request, names = directory / f"{name}.csr", directory / f"{name}.ext"
    names.write_text(_SUBJECT_NAMES)
    _openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
        "-keyout", directory / f"{name}-key.pem", "-out", request,
    )  # fmt: skip
    _openssl(
        "x509", "-req", "-in", request, "-days", "2", "-CA", directory / f"{authority}.pem",
        "-CAkey", directory / f"{authority}-key.pem", "-CAcreateserial", "-extfile", names,
        "-out", directory / f"{name}-cert.pem",
    )  # fmt: skip


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
