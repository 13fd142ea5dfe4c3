"""How fast an image is pulled, and what a small change of it moves, against skopeo and dockerd, interleaved.

    python tests/micro/pull.py [--mib 200] [--rounds 8] [--content usr|random] [--json]      (as root)

A registry of ours on loopback serves an image of `--mib` MiB (of tar) in five layers. Each round, everybody
pulls it once, in random order, into an empty place of his own below --dir:

* ours: RegistryClient.pull() into an empty ImageStore, layers unpacked; in this process, as in the daemon;
* skopeo copy to `oci:` and `dir:`, which only store the compressed layers; its start is in the time;
* docker pull with a dockerd of our own (overlay2, layers unpacked), where it is installed; without rmi.

Then 1 MB in the last layer changes, and both directions are counted on the wire, against our registry and,
where it is installed, docker-registry. Exit status 1: more than 1.05 MB travelled.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/runtime")]

from registries import Relay, distribution, has_distribution, ours  # noqa: E402

from runtime.image import ImageStore  # noqa: E402
from runtime.image.registry.client import RegistryClient  # noqa: E402
from runtime.image.tree import file_digest  # noqa: E402

LAYERS = 5
CHANGED = 1_000_000
MOST = 1_050_000


class Contestant(NamedTuple):
    """pull: a name into an empty directory; clean: what is not in that directory."""

    pull: Callable[[str, Path], object]
    clean: Callable[[str], object] = lambda name: None


def layer_tars(where: Path, mib: int, content: str) -> list[Path]:
    """Write the layers' tars: files of this host's /usr, or random bytes."""
    size = (mib << 20) // LAYERS
    files = _usr_files() if content == "usr" else _random_files()
    found = []
    for number in range(LAYERS):
        path = where / f"{number}.tar"
        written = 0
        with tarfile.open(path, "w") as archive:
            while written < size:
                name, data = next(files)
                info = tarfile.TarInfo(f"{number}/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
                written += len(data) + 1024
        found.append(path)
    return found


def _usr_files() -> Iterator[tuple[str, bytes]]:
    for top in ("lib", "bin", "share", "libexec", "sbin", "include"):
        for where, directories, names in os.walk(f"/usr/{top}"):
            directories.sort()
            for name in sorted(names):
                path = Path(where, name)
                with contextlib.suppress(OSError):
                    if path.is_file() and not path.is_symlink() and path.stat().st_size < 32 << 20:
                        yield str(path).lstrip("/"), path.read_bytes()
    raise SystemExit("pull.py: /usr is smaller than that; use --content random")


def _random_files() -> Iterator[tuple[str, bytes]]:
    number = 0
    while True:
        number += 1
        yield f"random{number}", os.urandom(256 << 10)


def us() -> Contestant:
    """Pull into a store of ours."""
    return Contestant(lambda name, where: RegistryClient().pull(ImageStore(where / "images"), name))


def skopeo_to(transport: str, suffix: str = "") -> Contestant:
    """Copy with skopeo, which does not unpack."""
    skopeo = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false"]

    def pull(name: str, where: Path) -> None:
        subprocess.run([*skopeo, f"docker://{name}", f"{transport}:{where}/copy{suffix}"], check=True)

    return Contestant(pull)


@contextlib.contextmanager
def dockerd(where: Path) -> Iterator[Contestant]:
    """Pull with a dockerd of our own."""
    from bench.backends.docker_daemon import OwnDaemon

    directory = where / "dockerd"
    directory.mkdir()
    daemon = OwnDaemon(directory)

    def docker(*arguments: str) -> None:
        command = ["docker", "--host", f"unix://{daemon.api.path}", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    try:
        yield Contestant(lambda name, _: docker("pull", "-q", name), lambda name: docker("rmi", "-f", name))
    finally:
        daemon.close()


def race(name: str, contestants: dict[str, Contestant], where: Path, rounds: int) -> dict[str, list[float]]:
    """Let everybody pull `rounds` times; return the seconds of each. A round before is not counted."""
    times: dict[str, list[float]] = {who: [] for who in contestants}
    for number in range(rounds + 1):
        for who in random.sample(list(contestants), len(contestants)):
            place = where / f"{who.replace(' ', '-')}"
            place.mkdir()
            os.sync()
            begun = time.perf_counter()
            contestants[who].pull(name, place)
            taken = time.perf_counter() - begun
            if number:
                times[who].append(taken)
            contestants[who].clean(name)
            shutil.rmtree(place)
    return times


Start = Callable[[Path], contextlib.AbstractContextManager[str]]


def delta(start: Start, where: Path, tars: list[Path]) -> dict[str, int]:
    """Change 1 MB in the last layer; return the bytes on the wire of a push and a pull."""
    builder, user = ImageStore(where / "builder"), ImageStore(where / "user")
    last, moved = where / "last.tar", {}
    with start(where / "registry") as host:
        relay = Relay(host)
        name = f"{relay.host}/app:1"
        for _ in range(2):
            with tarfile.open(last, "w") as archive:
                info = tarfile.TarInfo("changed")
                info.size = CHANGED
                archive.addfile(info, io.BytesIO(os.urandom(CHANGED)))
            builder.create(name, [*tars, last])
            relay.reset()
            RegistryClient().push(builder, name)
            moved["push"] = relay.up + relay.down
            relay.reset()
            RegistryClient().pull(user, name)
            moved["pull"] = relay.up + relay.down
        relay.close()
    for path in (builder.root, user.root, where / "registry"):
        shutil.rmtree(path)
    return moved


def serve(where: Path, host: str, tars: list[Path], level: int) -> tuple[str, int]:
    """Push the image that everybody pulls, gzipped; return its name and the bytes of its layers."""
    source, name = ImageStore(where / "source"), f"{host}/app:1"
    layers = []
    for tar in tars:
        packed = tar.with_suffix(".tar.gz")
        with packed.open("wb") as target:
            subprocess.run(["gzip", f"-{level}", "-n", "-c", str(tar)], stdout=target, check=True)
        with packed.open("rb") as stream:
            layers.append(source.content.add_stream(stream, digest=file_digest(str(packed))))
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    image = source.register((name,), layers, json.dumps(config).encode())
    RegistryClient().push(source, name)
    shutil.rmtree(source.root)
    return name, image.size


def main() -> int:
    """Measure, print, and say by the exit status whether the small change travelled alone."""
    given = _options()
    with tempfile.TemporaryDirectory(dir=given.dir, prefix="pull-") as text, contextlib.ExitStack() as held:
        where = Path(text)
        tars = layer_tars(where, given.mib, given.content)
        host = held.enter_context(ours(where / "served"))
        name, size = serve(where, host, tars, given.gzip)
        contestants = {"ours": us()}
        if shutil.which("skopeo"):
            contestants |= {"skopeo oci": skopeo_to("oci", ":x"), "skopeo dir": skopeo_to("dir")}
        if shutil.which("dockerd") and shutil.which("docker") and os.geteuid() == 0:
            contestants["docker"] = held.enter_context(dockerd(where))
        times = race(name, contestants, where, given.rounds)
        moved = {"ours": delta(ours, where, tars)}
        if has_distribution():
            moved["docker-registry"] = delta(distribution, where, tars)
    _report(given, size, times, moved)
    return int(max(size for one in moved.values() for size in one.values()) > MOST)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--content", choices=("usr", "random"), default="usr")
    parser.add_argument("--dir", type=Path, default=None, help="where all of it lies (default: $TMPDIR)")
    parser.add_argument("--gzip", type=int, default=6, help="level of the served layers")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _report(given: Any, size: int, times: dict[str, list[float]], moved: dict[str, Any]) -> None:
    mine = times["ours"]
    found = {
        "image": f"{given.mib} MiB of {given.content}, {size} bytes compressed, {given.rounds} rounds",
        "median seconds": {who: round(statistics.median(them), 3) for who, them in times.items()},
        "ours to theirs, median of pairs": {
            who: round(statistics.median(a / b for a, b in zip(mine, them, strict=True)), 3)
            for who, them in times.items()
            if who != "ours"
        },
        "bytes on the wire for 1 MB changed": moved,
    }
    print(json.dumps(found | {"seconds": times}, indent=1) if given.json else "")
    for key, value in found.items():
        print(f"{key}: {value}", file=sys.stderr if given.json else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
