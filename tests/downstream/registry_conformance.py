"""The distribution-spec's conformance suite (Go) against our registry server."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from outcomes import Suite, read_junit


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run it. Needs Go, which fetches the suite's own modules."""
    if shutil.which("go") is None:
        print("skipped: the conformance suite needs Go (apt-get install golang-go)", flush=True)
        return Suite("distribution-spec conformance", "our registry", ())
    with _registry() as address, tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {
            "OCI_REGISTRY": address,
            "OCI_TLS": "disabled",
            "OCI_ROOT_URL": f"http://{address}",
            "OCI_NAMESPACE": "conformance/one",
            "OCI_CROSSMOUNT_NAMESPACE": "conformance/two",
            "OCI_TEST_PULL": "1",
            "OCI_TEST_PUSH": "1",
            "OCI_TEST_CONTENT_DISCOVERY": "1",
            "OCI_TEST_CONTENT_MANAGEMENT": "1",
            "OCI_REPORT_DIR": scratch,
            "OCI_RESULTS_DIR": scratch,
            "GOFLAGS": "-mod=mod",
        }
        work = Path(scratch) / "conformance"
        shutil.copytree(checkout / "conformance", work)
        subprocess.run(["go", "test", "-count=1", "."], cwd=work, env=environment)
        found = next(Path(scratch).rglob("junit*.xml"), Path(scratch) / "none")
        return Suite("distribution-spec conformance", "our registry", read_junit(found))


@contextlib.contextmanager
def _registry() -> Iterator[str]:
    root = tempfile.mkdtemp(prefix="nn-registry-")
    command = [sys.executable, "-m", "runtime.image.server", "--root", root, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"(127\.0\.0\.1:\d+)", line)
        assert found, f"the registry did not start: {line}"
        yield found[1]
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()
        shutil.rmtree(root)
