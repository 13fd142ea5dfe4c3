"""How fast an image is pulled, against skopeo and dockerd, interleaved; see also delta.py.

    python -m tests.studies.pull [--mib 200] [--layers 5] [--content usr|small|random] [--rounds 8] [--json]

As root. A registry of ours on loopback serves an image of `--mib` MiB (of tar). Each round, everybody pulls
it once, in random order, into an empty place of his own below --dir:

* ours: RegistryClient.pull() into an empty ImageStore, layers unpacked; in this process, as in the daemon;
* nnd: `docker pull` with a daemon of ours, as dockerd is asked;
* skopeo copy to `containers-storage:`, which unpacks the layers as we do; its start is in the time;
* skopeo copy to `oci:` and `dir:`, which only store the compressed layers: no image that could run;
* docker pull with a dockerd of our own (overlay2, layers unpacked), where it is installed.

Nothing is removed before the end: file systems find places for new files slowly after old ones went.
Exit status 1: who unpacks as we do was faster, by the median of pairs.
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

from runtime.image.layers.tree import file_digest
from runtime.image.registry.client import RegistryClient
from runtime.image.store.image_store import ImageStore
from tests.runtime.daemon_process import running_daemon
from tests.runtime.own_dockerd import own_dockerd
from tests.runtime.registries import ours

LARGE, SMALL = 32 << 20, 100 << 10
UNPACKING = ("skopeo containers-storage", "docker")


class Contestant(NamedTuple):
    """pull: a name into an empty directory; clean: what that directory cannot be removed with."""

    pull: Callable[[str, Path], object]
    clean: Callable[[str, Path], object] = lambda name, where: None


def layer_tars(where: Path, mib: int, content: str, layers: int) -> list[Path]:
    """Write the layers' tars: files of this host's /usr (all, or small ones), or random bytes."""
    size = (mib << 20) // layers
    files = _random_files() if content == "random" else _usr_files(SMALL if content == "small" else LARGE)
    found = []
    for number in range(layers):
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


def _usr_files(most: int) -> Iterator[tuple[str, bytes]]:
    for top in ("lib", "bin", "share", "libexec", "sbin", "include"):
        for where, directories, names in os.walk(f"/usr/{top}"):
            directories.sort()
            for name in sorted(names):
                path = Path(where, name)
                with contextlib.suppress(OSError):
                    if path.is_file() and not path.is_symlink() and path.stat().st_size < most:
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


def skopeo_unpacking() -> Contestant:
    """Copy with skopeo into what podman runs containers from."""
    skopeo = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false"]

    def pull(name: str, where: Path) -> None:
        target = f"containers-storage:[overlay@{where}/root+{where}/run]it:1"
        subprocess.run([*skopeo, f"docker://{name}", target], check=True)

    def clean(_: str, where: Path) -> None:
        subprocess.run(["umount", f"{where}/root/overlay"], check=True)

    return Contestant(pull, clean)


@contextlib.contextmanager
def dockerd(where: Path) -> Iterator[Contestant]:
    """Pull with a dockerd of our own."""
    with own_dockerd(where / "dockerd") as api:
        yield _asked(f"unix://{api.path}", os.environ.copy())


@contextlib.contextmanager
def nnd() -> Iterator[Contestant]:
    """Pull with a daemon of ours, by docker's own command."""
    with running_daemon(checked=False) as daemon:
        yield _asked(daemon.host, daemon.environment)


def _asked(host: str, environment: dict[str, str]) -> Contestant:
    def docker(*arguments: str) -> None:
        command = ["docker", "--host", host, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)

    return Contestant(lambda name, _: docker("pull", "-q", name), lambda name, _: docker("rmi", "-f", name))


def race(name: str, contestants: dict[str, Contestant], where: Path, rounds: int) -> dict[str, list[float]]:
    """Let everybody pull `rounds` times; return the seconds of each. A round before is not counted."""
    times: dict[str, list[float]] = {who: [] for who in contestants}
    for number in range(rounds + 1):
        for who in random.sample(list(contestants), len(contestants)):
            place = where / f"{who.replace(' ', '-')}-{number}"
            place.mkdir()
            os.sync()
            begun = time.perf_counter()
            contestants[who].pull(name, place)
            taken = time.perf_counter() - begun
            if number:
                times[who].append(taken)
            contestants[who].clean(name, place)
    return times


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
    """Measure, print, and say by the exit status whether anybody was faster who does the same."""
    given = _options()
    with tempfile.TemporaryDirectory(dir=given.dir, prefix="pull-") as text, contextlib.ExitStack() as held:
        where = Path(text)
        tars = layer_tars(where, given.mib, given.content, given.layers)
        host = held.enter_context(ours(where / "served"))
        name, size = serve(where, host, tars, given.gzip)
        contestants = {"ours": us()}
        if shutil.which("skopeo"):
            contestants |= {"skopeo oci": skopeo_to("oci", ":x"), "skopeo dir": skopeo_to("dir")}
            contestants["skopeo containers-storage"] = skopeo_unpacking()
        if shutil.which("docker") and os.geteuid() == 0:
            contestants["nnd"] = held.enter_context(nnd())
        if shutil.which("dockerd") and "nnd" in contestants:
            contestants["docker"] = held.enter_context(dockerd(where))
        times = race(name, contestants, where, given.rounds)
    ratios = _ratios(times)
    _report(given, size, times, ratios)
    return int(any(ratio > 1 for one in ratios.values() for who, ratio in one.items() if who in UNPACKING))


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--content", choices=("usr", "small", "random"), default="usr")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=None, help="where all of it lies (default: $TMPDIR)")
    parser.add_argument("--gzip", type=int, default=6, help="level of the served layers")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _ratios(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Medians of our time to theirs, in pairs of one round."""
    return {
        mine: {
            who: round(statistics.median(a / b for a, b in zip(times[mine], them, strict=True)), 3)
            for who, them in times.items()
            if who not in ("ours", "nnd")
        }
        for mine in ("ours", "nnd")
        if mine in times
    }


def _report(given: Any, size: int, times: dict[str, list[float]], ratios: dict[str, Any]) -> None:
    found = {
        "image": f"{given.mib} MiB of {given.content} in {given.layers} layers, {size} bytes compressed, "
        f"{given.rounds} rounds",
        "median seconds": {who: round(statistics.median(them), 3) for who, them in times.items()},
        "ours to theirs, median of pairs": ratios,
    }
    print(json.dumps(found | {"seconds": times}, indent=1) if given.json else "")
    for key, value in found.items():
        print(f"{key}: {value}", file=sys.stderr if given.json else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
