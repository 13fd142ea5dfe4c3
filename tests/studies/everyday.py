"""How long everyday work takes at nnd, and at dockerd beside it: pairs of both, interleaved in one run.

    python -m tests.studies.everyday [--rounds 9] [--mib 100] [--only commit,load] [--json]   # root

Both daemons run in network and mount namespaces of this script's own, with roots of their own on the same
file system and the same content. Each work is asked for through the API on a connection of its own, so that
no client's start is in the time. A round takes both, in random order, each from the same state as before;
the first round is not counted. The ratio is nnd's time to dockerd's: the median over the pairs, with the 95 %
interval of a median (by ranks, from 6 rounds on); above 1 nnd is slower. dockerd must be installed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from math import comb
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from bench.backends.daemons.dockerd import OwnDaemon
from bench.backends.resources import owned
from tests.runtime.container_rootfs import build_rootfs
from tests.runtime.daemon_process import running_daemon
from tests.studies.pull import layer_tars

INSIDE = "NN_EVERYDAY_INSIDE"
IMAGE = "busybox:latest"
LISTED = 200
IMAGES = 100
STEPS = 12
RANDOM_MIB = 20
LINES = 400_000
EXECS = 5


# ---- one request -------------------------------------------------------------------------------------------


class Api:
    """A daemon, asked over connections that live for one request."""

    def __init__(self, path: str) -> None:
        self._path = path

    def ask(self, method: str, path: str, body: bytes | Path | None = None, kind: str = "") -> bytes:
        """Make a request; return its answer's body. Raises SystemExit for an error."""
        kind = kind or ("application/json" if isinstance(body, bytes) else "application/x-tar")
        status, data = self._exchange(method, path, body, kind, keep=True)
        if status >= 400 or b'"errorDetail"' in data[-4096:]:
            raise SystemExit(f"{method} {path} at {self._path}: {status} {data[-500:]!r}")
        return data

    def swallow(self, method: str, path: str) -> None:
        """Make a request whose answer is long, and let it go by."""
        status, _ = self._exchange(method, path, None, "", keep=False)
        if status >= 400:
            raise SystemExit(f"{method} {path} at {self._path}: {status}")

    def document(self, method: str, path: str, given: Any = None) -> Any:
        """Make a request of JSON for JSON."""
        data = self.ask(method, path, None if given is None else json.dumps(given).encode())
        return json.loads(data) if data else None

    def _exchange(
        self, method: str, path: str, body: bytes | Path | None, kind: str, *, keep: bool
    ) -> tuple[int, bytes]:
        size = body.stat().st_size if isinstance(body, Path) else len(body or b"")
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n"
        head += f"Content-Type: {kind}\r\n" if size else ""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self._path)
            sock.sendall(head.encode() + b"\r\n" + (body if isinstance(body, bytes) else b""))
            if isinstance(body, Path):
                with body.open("rb") as file:
                    sock.sendfile(file)
            return _answer(sock, keep=keep)


def _answer(sock: socket.socket, *, keep: bool) -> tuple[int, bytes]:
    with sock.makefile("rb", 1 << 20) as stream:
        status, chunked, length = int(stream.readline().split()[1]), False, -1
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().lower().partition(":")
            chunked = chunked or (name == "transfer-encoding" and "chunked" in value)
            length = int(value) if name == "content-length" else length
        pieces = _pieces(stream, chunked=chunked, length=0 if status in (204, 304) else length)
        return status, b"".join(data for data in pieces if keep)


def _pieces(stream: Any, *, chunked: bool, length: int) -> Iterator[bytes]:
    while chunked:
        left = size = int(stream.readline(), 16)
        while left and (data := stream.read1(left)):
            left -= len(data)
            yield data
        stream.readline()
        if not size:
            return
    while length and (data := stream.read1(1 << 20)):
        length -= len(data) if length > 0 else 0
        yield data


# ---- what both daemons get -------------------------------------------------------------------------------


class Content(NamedTuple):
    """Files that both are given. tar: of --mib; archive: an image of twice that; context: of a build."""

    tar: Path
    archive: Path
    context: bytes


def dockerfile_context() -> bytes:
    """A context with a Dockerfile of several steps and some hundred files."""
    steps = [f"COPY part{at} /part{at}\nENV STEP{at}=1" for at in range(STEPS // 2)]
    files = {"Dockerfile": "\n".join((f"FROM {IMAGE}", *steps)).encode()}
    files |= {f"part{at % (STEPS // 2)}/{at}": bytes(8 << 10) for at in range(600)}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def prepare(api: Api, where: Path, content: Content) -> None:
    """Bring a daemon into the state that every work begins with."""
    import_tar(api, where / "busybox.tar", IMAGE, "ENV PATH=/bin")
    api.ask("POST", "/images/load?quiet=1", content.archive)
    create(api, "written", ["sleep", "1000000"], start=True)
    api.ask("PUT", "/containers/written/archive?path=/", content.tar)
    create(api, "whole", ["true"], image="big:latest")
    create(api, "lines", ["seq", str(LINES)], start=True)
    api.ask("POST", "/containers/lines/wait")
    api.ask("POST", "/build?t=built", content.context, "application/x-tar")
    for at in range(LISTED):
        create(api, f"listed{at}", ["true"])
    for at in range(IMAGES):
        api.ask("POST", f"/commit?container=listed0&repo=listed{at}&changes=ENV+AT%3D{at}", b"{}")


def import_tar(api: Api, tar: Path, name: str, change: str = "") -> None:
    """Make an image of a tar."""
    query = {"fromSrc": "-", "repo": name} | ({"changes": change} if change else {})
    api.ask("POST", f"/images/create?{urlencode(query)}", tar)


def create(api: Api, name: str, command: list[str], *, image: str = IMAGE, start: bool = False) -> None:
    """Create a container without a network."""
    body = {"Image": image, "Cmd": command, "HostConfig": {"NetworkMode": "none"}}
    api.document("POST", f"/containers/create?name={name}", body)
    if start:
        api.ask("POST", f"/containers/{name}/start")


# ---- the works -------------------------------------------------------------------------------------------


class Work(NamedTuple):
    """What is timed, and what comes before and after it and is not."""

    run: Callable[[Api], object]
    before: Callable[[Api], object] = lambda api: None
    after: Callable[[Api], object] = lambda api: None


def works(content: Content) -> dict[str, Work]:
    """All works by name."""

    def removed(name: str) -> Callable[[Api], object]:
        return lambda api: api.ask("DELETE", f"/images/{name}?force=1")

    def gone(api: Api) -> None:
        api.ask("DELETE", "/containers/talker?force=1")

    return {
        "commit": Work(lambda api: api.ask("POST", "/commit?container=written&repo=made", b"{}"),
                       after=removed("made")),
        "import": Work(lambda api: import_tar(api, content.tar, "imported"), after=removed("imported")),
        "load": Work(lambda api: api.ask("POST", "/images/load?quiet=1", content.archive),
                     before=unloaded, after=lambda api: create(api, "whole", ["true"], image="big:latest")),
        "save": Work(lambda api: api.swallow("GET", "/images/get?names=big")),
        "export": Work(lambda api: api.swallow("GET", "/containers/whole/export")),
        "cp in": Work(lambda api: api.ask("PUT", "/containers/target/archive?path=/", content.tar),
                      before=lambda api: create(api, "target", ["true"]),
                      after=lambda api: api.ask("DELETE", "/containers/target")),
        "cp out": Work(lambda api: api.swallow("GET", "/containers/written/archive?path=/0")),
        "logs": Work(lambda api: api.swallow("GET", "/containers/lines/logs?stdout=1&stderr=1")),
        "random output": Work(talk, lambda api: create(
            api, "talker", ["head", "-c", f"{RANDOM_MIB}m", "/dev/urandom"]), gone),
        "lines output": Work(talk, lambda api: create(api, "talker", ["seq", str(LINES)]), gone),
        "exec": Work(execute),
        "ps": Work(lambda api: api.ask("GET", "/containers/json?all=1")),
        "images": Work(lambda api: api.ask("GET", "/images/json")),
        "system df": Work(lambda api: api.ask("GET", "/system/df")),
        "cached build": Work(lambda api: api.ask("POST", "/build?t=built", content.context,
                                                 "application/x-tar")),
    }  # fmt: skip


def unloaded(api: Api) -> None:
    """Remove the large image and what was made of it."""
    api.ask("DELETE", "/containers/whole")
    api.ask("DELETE", "/images/big:latest?force=1")


def talk(api: Api) -> None:
    """Run what writes much, to its end."""
    api.ask("POST", "/containers/talker/start")
    api.ask("POST", "/containers/talker/wait")


def execute(api: Api) -> None:
    """Run `true` in a container that runs, as `docker exec` does, some times."""
    given = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}
    for _ in range(EXECS):
        made = api.document("POST", "/containers/written/exec", given)["Id"]
        api.ask("POST", f"/exec/{made}/start", b'{"Detach":false}')
        if api.document("GET", f"/exec/{made}/json")["ExitCode"]:
            raise SystemExit("true failed")


# ---- measuring -------------------------------------------------------------------------------------------


def race(daemons: dict[str, Api], work: Work, rounds: int) -> dict[str, list[float]]:
    """Let both do it once a round; milliseconds. The first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in daemons}
    for at in range(rounds + 1):
        for name in random.sample(list(daemons), len(daemons)):
            work.before(daemons[name])
            os.sync()
            begun = time.perf_counter()
            work.run(daemons[name])
            taken = (time.perf_counter() - begun) * 1e3
            work.after(daemons[name])
            if at:
                times[name].append(taken)
    return times


def ratio(times: dict[str, list[float]]) -> dict[str, float | None]:
    """Median of nnd's time to dockerd's over the pairs, and the ranks' 95 % interval around it."""
    ratios = sorted(mine / theirs for mine, theirs in zip(times["nnd"], times["dockerd"], strict=True))
    count, tail, rank = len(ratios), 0.0, -1
    for at in range(count // 2):
        tail += comb(count, at) / 2**count
        if tail > 0.025:
            break
        rank = at
    low, high = (ratios[rank], ratios[-1 - rank]) if rank >= 0 else (None, None)
    return {"ratio": statistics.median(ratios), "low": low, "high": high}


@contextlib.contextmanager
def both(where: Path) -> Iterator[dict[str, Api]]:
    """Both daemons, with nothing but nnd's own image."""
    with contextlib.ExitStack() as held:
        ours = held.enter_context(running_daemon(checked=False))
        theirs = OwnDaemon(owned.directory(where))
        held.callback(theirs.close)
        yield {"nnd": Api(str(ours.socket)), "dockerd": Api(str(theirs.api.path))}


def content_of(where: Path, mib: int, api: Api) -> Content:
    """Make the files; `api` is a daemon that makes an archive of an image and keeps nothing of it."""
    tar, *_ = layer_tars(where, mib, "usr", 1)
    rootfs = build_rootfs(where / "rootfs")
    subprocess.run(["tar", "-C", str(rootfs), "-cf", str(where / "busybox.tar"), "."], check=True)
    (where / "twice").mkdir()
    twice, *_ = layer_tars(where / "twice", 2 * mib, "usr", 1)
    import_tar(api, twice, "big:latest", "CMD true")
    archive = where / "big.tar"
    archive.write_bytes(api.ask("GET", "/images/get?names=big:latest"))
    api.ask("DELETE", "/images/big:latest?force=1")
    return Content(tar, archive, dockerfile_context())


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mib", type=int, default=100)
    parser.add_argument("--only", default="", help="some works, by commas")
    parser.add_argument("--dir", type=Path, default=None, help="where the files lie (default: $TMPDIR)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        parser.error("this needs root and an installed dockerd")
    if INSIDE not in os.environ:
        inside = [
            "unshare",
            "--net",
            "--mount",
            "--propagation",
            "private",
            sys.executable,
            *sys.orig_argv[1:],
        ]
        return subprocess.run(inside, env=os.environ | {INSIDE: "1"}).returncode
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return measure(given)


def measure(given: Any) -> int:
    """As main(), in namespaces of its own."""
    times: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(dir=given.dir, prefix="everyday-") as text, both(Path(text)) as daemons:
        content = content_of(Path(text), given.mib, daemons["dockerd"])
        for api in daemons.values():
            prepare(api, Path(text), content)
        chosen = [name for name in given.only.split(",") if name]
        for name, work in works(content).items():
            if not chosen or name in chosen:
                times[name] = race(daemons, work, given.rounds)
                found = ratio(times[name])
                if not given.json:
                    print(_line(name, times[name], found), flush=True)
    if given.json:
        print(json.dumps({"ms": times, "nnd to dockerd": {name: ratio(one) for name, one in times.items()}}))
    return 0


def _line(name: str, times: dict[str, list[float]], found: dict[str, float | None]) -> str:
    medians = "  ".join(f"{who} {statistics.median(one):9.1f} ms" for who, one in times.items())
    bounds = f" [{found['low']:.2f}, {found['high']:.2f}]" if found["low"] else ""
    return f"{name:14} {medians}  ratio {found['ratio']:.2f}{bounds}"


if __name__ == "__main__":
    sys.exit(main())
