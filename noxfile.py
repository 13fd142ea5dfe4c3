"""The tasks (`nox -l` lists them), all in the one `.venv` at the root.

`bench` and `tests` set the machine up by themselves. This file imports nothing but nox and the standard
library, because it runs before anything else is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "ninetynine-setup.sha256"
VERSIONS = ROOT / "constraints.txt"
"""The versions that were tested together, on all Pythons that we support; `nox -s versions` writes it."""

# Debian's names, by what would be missing without them.
PACKAGES = {
    "build the C extension, the guest agent and libvirt-python": [
        "gcc", "libc6-dev", "musl-tools", "pkg-config", "libvirt-dev", "python3-dev",
    ],
    "start virtual machines": [
        "qemu-system-x86", "qemu-utils", "libvirt-daemon-driver-qemu", "libvirt-daemon-common",
        "e2fsprogs", "zstd",
    ],
    "build the image of the workloads": ["mmdebstrap", "ca-certificates"],
    "make and shape networks": ["iproute2", "libnftables1", "procps"],
}  # fmt: skip
TEST_PACKAGES = {
    "test": ["busybox-static", "chromium", "fish", "git", "nftables", "zsh"],
    "drive the daemon and the registry by other people's programs": [
        "docker-cli", "docker-compose", "docker-registry", "podman", "skopeo",
    ],
}  # fmt: skip
PEER_PACKAGES = {"measure docker and crun beside us": ["runc", "crun", "docker.io", "docker-cli"]}

nox.options.default_venv_backend = "none"
nox.options.sessions = ["unit", "lint"]
nox.options.error_on_missing_interpreters = False


def _missing(packages: list[str]) -> list[str]:
    """Those of `packages` that dpkg does not have installed."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages]
    known = subprocess.run(query, capture_output=True, text=True).stdout
    have = {line.split()[0] for line in known.splitlines() if line.endswith(" installed")}
    return [name for name in packages if name not in have]


def _system_packages(session: nox.Session, wanted: dict[str, list[str]]) -> None:
    """Install what the distribution has to give, or say what to type and go on with what is there."""
    names = sorted({name for group in wanted.values() for name in group})
    if not (shutil.which("apt-get") and shutil.which("dpkg-query")):
        for purpose, group in wanted.items():
            session.warn(f"not a Debian system: to {purpose}, install the counterparts of: {' '.join(group)}")
        return
    missing = _missing(names)
    if not missing:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        session.warn(f"not root; going on without some packages. Type: sudo {' '.join(install)}")
        return
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    session.run("apt-get", "update", "-qq", env=environment, external=True, success_codes=range(256))
    session.run(*install, env=environment, external=True, silent=True)


def _inputs_digest() -> str:
    """Of all that decides what the `.venv` must hold: when it is unchanged there is nothing to install."""
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for path in [
        ROOT / "pyproject.toml",
        ROOT / "setup.py",
        VERSIONS,
        Path(__file__),
        *sorted(ROOT.glob("runtime/**/*.c")),
    ]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _python_packages(session: nox.Session) -> None:
    """The project, editable, with its tools; libvirt-python in the version of the machine's libvirt."""
    digest = _inputs_digest()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    if not PYTHON.exists():
        session.run(sys.executable, "-m", "venv", str(VENV), external=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet"]
    session.run(*pip, "setuptools>=77", "wheel", external=True)
    session.run(*pip, "--constraint", str(VERSIONS), "--editable", f"{ROOT}[dev]", external=True)
    version = subprocess.run(["pkg-config", "--modversion", "libvirt"], capture_output=True, text=True) \
        if shutil.which("pkg-config") else None  # fmt: skip
    if version is not None and version.returncode == 0:
        session.run(*pip, f"libvirt-python=={version.stdout.strip()}", external=True)
    else:
        session.warn(
            "no libvirt headers (package libvirt-dev): virtual machines will be reported as not measured"
        )
    STAMP.write_text(digest)


def _set_up(session: nox.Session, *extra: dict[str, list[str]]) -> None:
    wanted = dict(PACKAGES)
    for group in extra:
        wanted |= group
    _system_packages(session, wanted)
    _python_packages(session)


def _python(session: nox.Session, *arguments: str) -> None:
    session.run(str(PYTHON), *arguments, external=True)


def _pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest; let Python keep its bytecode even where images of machines forbid it, as Docker's do.

    Each worker would compile every test, and each of thousands of programs every module, again.
    """
    pytest = (str(PYTHON), "-m", "pytest", "--benchmark-disable")
    session.run(*pytest, *arguments, external=True, env={"PYTHONDONTWRITEBYTECODE": ""})


@nox.session
def setup(session: nox.Session) -> None:
    """Install what a fresh machine lacks: `-- --peers` adds docker and crun, `-- --tests` a browser."""
    groups = {"--peers": PEER_PACKAGES, "--tests": TEST_PACKAGES}
    unknown = [word for word in session.posargs if word not in groups]
    if unknown:
        session.error(f"setup: unknown option {unknown[0]!r}; known: {', '.join(groups)}")
    _set_up(session, *(groups[word] for word in session.posargs))


@nox.session
def bench(session: nox.Session) -> None:
    """The main job: measure, judge, report. Options go through: `nox -s bench -- --profile full --seed 7`."""
    _set_up(session)
    _python(session, "-m", "bench", "run", *session.posargs)


def _side_by_side(for_each_cpu: int) -> tuple[str, ...]:
    """Options for so many workers; tests/conftest.py says which tests may run beside which."""
    return ("-n", str(min(8, for_each_cpu * (os.cpu_count() or 1))), "--dist", "loadscope")


@nox.session
def tests(session: nox.Session) -> None:
    """Every test, with root, QEMU, network namespaces and a browser for real; or only the paths given."""
    _set_up(session, TEST_PACKAGES)
    chosen = any(not word.startswith("-") for word in session.posargs)
    # Half of the time a test waits, for programs to end, for a timeout, for the disk: two workers a CPU.
    parallel = () if chosen else _side_by_side(2)
    _pytest(session, *parallel, *session.posargs)


@nox.session
def unit(session: nox.Session) -> None:
    """The tests that need no root and no processes of ours, and take under half a second each.

    Properties are tried on 20 examples unless they name a number; `tests` tries 100.
    """
    _python_packages(session)
    apart = ("root", "qemu", "network", "browser", "peers", "programs", "slow", "micro")
    without = ("-m", " and ".join(f"not {mark}" for mark in apart))
    _pytest(session, *_side_by_side(1), *without, "--hypothesis-profile", "brisk", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff, the import contracts, no import circle, and strict types."""
    _python_packages(session)
    _python(session, "-m", "ruff", "check", ".")
    _python(session, "-m", "ruff", "format", "--check", ".")
    session.run(str(VENV / "bin" / "lint-imports"), external=True)
    _python(session, "-m", "tests.lint.circles")
    _python(session, "-m", "mypy")


@nox.session
def versions(session: nox.Session) -> None:
    """Write constraints.txt: the newest versions that install together. Run it with the oldest Python."""
    fresh = Path(session.create_tmp()) / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    session.run(sys.executable, "-m", "venv", str(fresh), external=True)
    pip = [str(fresh / "bin" / "python"), "-m", "pip"]
    session.run(*pip, "install", "--quiet", "setuptools>=77", "wheel", external=True)
    session.run(*pip, "install", "--quiet", "--editable", f"{ROOT}[dev]", external=True)
    # Without nox: `setup` must not replace the nox that runs it.
    found = session.run(*pip, "freeze", "--exclude-editable", "--exclude", "nox", external=True, silent=True)
    VERSIONS.write_text(str(found))


@nox.session
def validate(session: nox.Session) -> None:
    """How often would a verdict be wrong? Simulated; `-- --quick`, or `-- --write` for docs/validation.md."""
    _python_packages(session)
    _python(session, "-m", "bench.stats.validate", *session.posargs)


@nox.session
def micro(session: nox.Session) -> None:
    """Benchmarks of our own hot code, and the start race against crun where crun is installed."""
    _set_up(session, TEST_PACKAGES)
    _python(session, "-m", "pytest", "tests/micro", "-m", "micro", "--benchmark-only", *session.posargs)
    _python(session, "-m", "tests.studies.race")


@nox.session
def series(session: nox.Session) -> None:
    """Whole runs one after another, summed up: `nox -s series -- --runs 20 --backends again --out DIR`."""
    _set_up(session)
    _python(session, "-m", "tests.studies.series", *session.posargs)


@nox.session
def designs(session: nox.Session) -> None:
    """Interleaved pairs against all of A, then all of B, here: `nox -s designs -- --minutes 10`."""
    _set_up(session)
    _python(session, "-m", "tests.studies.designs", *session.posargs)


@nox.session
def interruptions(session: nox.Session) -> None:
    """One run interrupted again and again, and whether anything was lost or measured twice."""
    _set_up(session)
    _python(session, "-m", "tests.studies.interruptions", *session.posargs)


@nox.session
def guests(session: nox.Session) -> None:
    """A Debian with systemd in a VM: does all work there, and is what others have left alone?"""
    _set_up(session, TEST_PACKAGES)
    options = (
        "--benchmark-disable",
        "-v",
        "--durations=0",
        "--durations-min=1",
        *(session.posargs or ["tests/guests"]),
    )
    session.run(str(PYTHON), "-m", "pytest", *options, external=True, env={"NINETYNINE_GUESTS": "1"})


@nox.session
def downstream(session: nox.Session) -> None:
    """Other people's suites, if given: `-- PATH…` of checkouts of docker-py and distribution-spec."""
    _set_up(session, TEST_PACKAGES)
    _python(session, "-m", "tests.studies.downstream.run", *session.posargs)
