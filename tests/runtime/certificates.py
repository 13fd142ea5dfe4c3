"""Certificates for tests: an authority, a server's for localhost, a client's, and a stranger's."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificates(directory: Path, *names: str) -> Path:
    """Fill `directory` with ca.pem, {server,client}-{cert,key}.pem, and strange-* of another authority.

    names: of the server, beside localhost.
    """
    subject = ",".join(["subjectAltName=IP:127.0.0.1", *(f"DNS:{name}" for name in ("localhost", *names))])
    for authority, owners in (("ca", ("server", "client")), ("strange-ca", ("strange",))):
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={authority}", "-keyout", directory / f"{authority}-key.pem",
            "-out", directory / f"{authority}.pem",
        )  # fmt: skip
        for owner in owners:
            _signed(directory, authority, owner, subject)
    return directory


def _signed(directory: Path, authority: str, name: str, subject: str) -> None:
    request, names = directory / f"{name}.csr", directory / f"{name}.ext"
    names.write_text(subject)
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
