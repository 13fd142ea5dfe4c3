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
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.studies.downstream.go_programs import find_go
from tests.studies.downstream.outcomes import Suite, read_junit

NAME = "distribution-spec conformance"


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run it with its own defaults. Needs Go 1.24, and modules from the proxy or `--go-module`."""
    go = find_go()
    if go is None:
        print("skipped: the conformance suite needs Go 1.24 (apt-get install golang-1.24)", flush=True)
        return Suite(NAME, "our registry", ())
    with tempfile.TemporaryDirectory(prefix="nn-conformance-") as scratch:
        program = _build(go, checkout, options.go_modules, Path(scratch))
        with running_registry("127.0.0.1:0") as address:
            environment = os.environ | {
                "OCI_REGISTRY": options.registry or address,
                "OCI_TLS": "disabled",
                "OCI_RESULTS_DIR": scratch,
            }
            subprocess.run([program], cwd=scratch, env=environment, stdout=subprocess.DEVNULL)
        return Suite(NAME, options.registry or "our registry", read_junit(Path(scratch) / "junit.xml"))


def _build(go: str, checkout: Path, modules: Sequence[Path], scratch: Path) -> Path:
    """Compile it in a copy, since the modules that stand in are written into its go.mod."""
    work = scratch / "conformance"
    shutil.copytree(checkout / "conformance", work)
    for module in (checkout / "specs-go", *modules):
        name = re.search(r"^module (\S+)", (module / "go.mod").read_text(), re.MULTILINE)
        assert name, f"{module / 'go.mod'} names no module"
        subprocess.run([go, "mod", "edit", f"-replace={name[1]}={module.resolve()}"], cwd=work, check=True)
    environment = os.environ | {"GOFLAGS": "-mod=mod"}
    subprocess.run(
        [go, "build", "-buildvcs=false", "-o", "suite", "."], cwd=work, env=environment, check=True
    )
    return work / "suite"


@contextlib.contextmanager
def running_registry(listen: str) -> Iterator[str]:
    """Run our registry, empty; yields its address."""
    root = tempfile.mkdtemp(prefix="nn-registry-")
    command = [sys.executable, "-m", "runtime.image.server", "--root", root, "--listen", listen]
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
